"""Routes (csrc/route.c): no result depends on the route or option that a call takes, and each of them is reached."""

import ml_dtypes
import numpy as np
import operations
import pytest

import softmax_ext
from softmax_ext import _core
from softmax_ext._explain import explain

ROUTES, OPTIONS = _core._route_names()
#: Take all short rows and all long ones, and so cannot be turned off.
FALLBACKS = ("short", "gathered")

#: Rows that are short, long and of several pieces; few and many; along one axis and along two.
SHAPES = [(1, 10), (64, 10), (300, 3), (70, 1), (40, 80), (9, 81), (40, 500), (2, 5000), (1, 70_000)]
SHAPES += [(6, 200, 10), (4, 30, 7), (12, 5, 300)]
#: More bytes than the last cache of any machine leaves room for; float32.
LARGE = [((2900, 2900), -1), ((2900, 2900), 0), ((850_000, 10), -1)]
TYPES = [np.float32, np.float64, np.float16, ml_dtypes.bfloat16]


def _strided(a):
    wide = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    wide[..., ::2] = a
    return wide[..., ::2]


LAYOUTS = {"C": np.ascontiguousarray, "F": np.asfortranarray, "strided": _strided}


@pytest.fixture(autouse=True)
def all_on():
    yield
    _core._set_routes()


def _calls_of(x, g, axis, where):
    """Calls that end in each operation of csrc/kernel.h on x; each is a function and its arguments."""
    kw = {"axis": axis} if where is None else {"axis": axis, "where": where}
    y, log_y = softmax_ext.softmax(x, **kw), softmax_ext.log_softmax(x, **kw)
    for name in operations.DISTINCT:
        operation = operations.OPERATIONS[name]
        first = {None: x, "softmax": y, "log_softmax": log_y}[operation.forward]
        yield operation.function, (first, g)[: len(operation.arguments)], kw
    if where is None:
        labels = np.zeros(np.delete(x.shape, axis), np.intp)
        real = np.float64 if x.dtype == np.float64 else np.float32
        q = np.asarray(y, real)
        for extra in ((labels, {}), (labels, {"label_smoothing": 0.1}), (q, {})):
            for function in (softmax_ext.cross_entropy, softmax_ext.cross_entropy_with_grad):
                yield function, (x, extra[0]), {"axis": axis, "reduction": "none", **extra[1]}


def _small_calls():
    rng = np.random.default_rng(19)
    for number, shape in enumerate(SHAPES):
        masks = [rng.random(shape) > 0.3, rng.random(shape[-1:]) > 0.3]
        for dtype in TYPES:
            x, g = (rng.normal(size=shape, scale=s) for s in (4, 1))
            for turn, lay in enumerate(LAYOUTS.values()):
                for axis in (-1, 0):
                    for where in (None, masks[(number + turn) % 2]):
                        yield from _calls_of(lay(x.astype(dtype)), lay(g.astype(dtype)), axis, where)
        # Rows that have to be shifted, and rows that hold a NaN.
        far = (rng.normal(size=shape) * 100 + 1e6).astype(np.float32)
        far.flat[:: 7 * shape[-1]] = np.nan
        yield from _calls_of(far, np.ones_like(far), -1, None)


def _ragged_calls():
    rng = np.random.default_rng(20)
    for longest in (3, 20, 40, 200):
        indptr = np.concatenate([[0], np.cumsum(rng.integers(0, longest + 1, 300))])
        for dtype in TYPES:
            x, g = (rng.normal(size=indptr[-1], scale=s).astype(dtype) for s in (4, 1))
            y, log_y = softmax_ext.segment_softmax(x, indptr), softmax_ext.segment_log_softmax(x, indptr)
            yield softmax_ext.segment_softmax, (x, indptr), {}
            yield softmax_ext.segment_softmax_vjp, (y, g, indptr), {}
            yield softmax_ext.segment_log_softmax_vjp, (log_y, g, indptr), {}


def _on_one_thread(function, *arguments):
    before = softmax_ext.get_num_threads()
    softmax_ext.set_num_threads(1)
    try:
        return function(*arguments)
    finally:
        softmax_ext.set_num_threads(before)


def _large_calls():
    rng = np.random.default_rng(19)
    for shape, axis in LARGE:
        x, g = (rng.normal(size=shape, scale=s).astype(np.float32) for s in (4, 1))
        yield softmax_ext.softmax, (x,), {"axis": axis}
        yield softmax_ext.softmax_vjp, (x, g), {"axis": axis}
    # Pieces of so long rows are kept where the results go, unless threads share them.
    for scale in (4, 1e6):
        x, g = (_strided(rng.normal(size=(2, 600_000), scale=s).astype(np.float32)) for s in (scale, 1))
        for name in operations.DISTINCT:
            operation = operations.OPERATIONS[name]
            yield _on_one_thread, (operation.function, *(x, g)[: len(operation.arguments)]), {}


@pytest.fixture(scope="module")
def calls():
    return [*_small_calls(), *_ragged_calls(), *_large_calls()]


def _run(call):
    """Return a digest of the results of a call, and the way that it took."""
    function, arguments, keywords = call
    results = []
    way = _core._explain(lambda: results.append(function(*arguments, **keywords)))
    parts = results[0] if isinstance(results[0], tuple) else results
    return hash(b"".join(np.asarray(part).tobytes() for part in parts)), way


def _described(call):
    first, *others = [call[0], *call[1]] if call[0] is not _on_one_thread else call[1]
    return f"{first.__name__} of {others[0].shape}"


@pytest.fixture(scope="module")
def usual(calls):
    """What the calls give with everything on."""
    _core._set_routes()
    return [_run(call) for call in calls]


@pytest.mark.parametrize("off", [*(name for name in ROUTES if name not in FALLBACKS), *OPTIONS])
def test_same_bytes_without(off, calls, usual):
    """Contract 1.5. The switch has to change the way of some call, or the test would test nothing."""
    _core._set_routes(off=[off])
    changed = 0
    for call, (want, usual_way) in zip(calls, usual, strict=True):
        got, way = _run(call)
        assert got == want, f"{_described(call)}: {way}, not {usual_way}"
        changed += way != usual_way
    assert changed > 0


def test_same_bytes_without_any(calls, usual):
    """Everything turned off that can be."""
    _core._set_routes(off=[name for name in (*ROUTES, *OPTIONS) if name not in FALLBACKS])
    for call, (want, usual_way) in zip(calls, usual, strict=True):
        assert _run(call)[0] == want, f"{_described(call)}, usually {usual_way}"


def test_every_route_is_reached(usual):
    reached = {way.split(":")[0] for _, way in usual}
    assert set(ROUTES) <= reached


def test_unknown_name():
    with pytest.raises(ValueError, match="off: no route or option is named"):
        _core._set_routes(off=["rwos"])


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("softmax float32 1x10", "tiny:"),
        ("softmax float32 128x1000 axis=-1", "rows:"),
        ("log_softmax float64 1000x4096 axis=0", "lines:"),
        ("softmax_vjp float32 100000x10", "packed:"),
        ("softmax float64 100000x10 where", "short:"),
        ("logsumexp bfloat16 300x200 order=F", "lines:"),
        ("cross_entropy float32 64x1000", "rows:"),
        ("segment_softmax float32 1000x1", "ragged:"),
        ("softmax float32 0x10", "no kernel ran"),
    ],
)
def test_explain(text, start):
    assert explain(text).startswith(start)


@pytest.mark.parametrize(
    ("shape", "way"),
    [
        ((300, 200), "lines: 2 tiles of 160 rows"),
        ((600, 300), "lines: 4 tiles of"),
        ((31, 9000), "lines: 1 tile of"),
    ],
)
def test_columns_are_shared_out(shape, way, threads):
    """As many tiles for each thread, but not where threads share pieces."""
    threads(2)
    if softmax_ext.get_num_threads() < 2:
        pytest.skip("built without OpenMP")
    x = np.asfortranarray(np.zeros(shape, np.float32))
    assert _core._explain(lambda: softmax_ext.softmax(x)).startswith(way)


@pytest.mark.parametrize(
    "text", ["", "softmax", "softmix float32 3x4", "softmax float33 3x4", "softmax float32 3by4",
             "softmax float32 3x4 axis=x", "softmax float32 3x4 order=X", "softmax float32 3x4 color=red"],
)  # fmt: skip
def test_explain_refuses(text):
    with pytest.raises(ValueError, match="explain: got"):
        explain(text)


def test_explain_from_the_shell(python):
    assert python("-m", "softmax_ext", "--explain", "softmax float32 128x1000").startswith("rows:")
    done = python("-m", "softmax_ext", "--explain", "softmax", check=False)
    assert done.returncode == 2
    assert "explain: got 'softmax'" in done.stderr
