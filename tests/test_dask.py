"""Dask arrays: any chunks, the NumPy functions' values, types and errors, and memory for a few chunks only."""

import doctest
import tracemalloc
import zlib

import families
import numpy as np
import operations
import pytest
import ulp
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from test_values import TABLE

import softmax_ext

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

import dask_helpers  # noqa: E402

from softmax_ext import dask as softmax_dask  # noqa: E402

FUNCTIONS = [name for name in operations.MAPS if hasattr(softmax_dask, name)]
OPERATIONS = operations.OPERATIONS
TYPES = [np.float32, np.float64]
INF, NAN = np.inf, np.nan

# In ULP, of rows in several chunks. Pairs are float64, so float32 is rounded once, all but exactly: the docstrings' 2
# ULP and better. In float64 they say 8; the worst of some millions of random rows was 6.1 (softmax), 3.5 (log_softmax)
# and 5.0 (logsumexp).
BOUNDS = {np.float32: 0.51, np.float64: 8}


@pytest.fixture(autouse=True)
def scheduler():
    """Run graphs in this thread unless a test says otherwise: quicker, where graphs are small."""
    with dask.config.set(scheduler="synchronous"):
        yield


def both(name, x, chunks, *args, **kwargs):
    """Return the results for the array in these chunks and for the array itself."""
    cut = getattr(softmax_dask, name)(da.from_array(x, chunks), *args, **kwargs)
    return cut, getattr(softmax_ext, name)(x, *args, **kwargs)


def assert_close(got, want, ulps=12):
    """The default allows for the bounds of both, 8 and 2 ULP, and for an ULP that halves below a power of two."""
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    finite = np.isfinite(want)
    assert_array_equal(np.where(finite, 0, got), np.where(finite, 0, want))
    np.testing.assert_array_less(
        np.abs(np.where(finite, got, 0).astype(float) - np.where(finite, want, 0)),
        ulps * np.spacing(np.where(finite, np.abs(want), 1)) + 5e-324,
    )


# Chunks, types, metadata --------------------------------------------------------------------------

CASES = [
    # shape, chunks, axis
    ((7,), 3, -1),
    ((7,), 3, None),
    ((4, 9), (2, 4), -1),
    ((4, 9), (2, 9), -1),
    ((4, 9), (2, 4), 0),
    ((4, 9), (3, 2), (0, 1)),
    ((4, 9), (3, 2), None),
    ((3, 4, 5), (2, 3, 2), (2, 0)),
    ((3, 4, 5), (2, 3, 5), (0, -1)),
    ((3, 4, 5), (2, 4, 2), 1),
    ((3, 4, 5), (1, 1, 1), ()),
    ((3, 8), ((1, 2), (1, 0, 5, 2, 0)), 1),  # chunks without elements
    ((3, 8), ((0, 1, 2, 0), (1, 5, 2)), 1),
    ((), (), -1),
    ((), (), None),
]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("shape", "chunks", "axis"), CASES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_any_chunks_along_any_axes(name, shape, chunks, axis, dtype):
    x = (np.random.default_rng(0).normal(size=shape) * 3).astype(dtype)
    for kwargs in [{"keepdims": False}, {"keepdims": True}] if OPERATIONS[name].takes("keepdims") else [{}]:
        cut, want = both(name, x, chunks, axis, **kwargs)
        assert isinstance(cut, da.Array)
        assert type(cut._meta) is np.ndarray
        assert cut.dtype == cut._meta.dtype == want.dtype
        assert cut.shape == want.shape
        assert cut.ndim == cut._meta.ndim
        given = da.from_array(x, chunks).chunks
        if OPERATIONS[name].elementwise:
            assert cut.chunks == given
        # Each block has the type and the size that was said.
        for index in np.ndindex(cut.numblocks):
            block = cut.blocks[index].compute() if cut.ndim else cut.compute()
            assert block.dtype == want.dtype
            assert block.shape == tuple(sizes[i] for sizes, i in zip(cut.chunks, index, strict=True))
        assert_close(cut.compute(), want)


@pytest.mark.parametrize("dtype", [">f4", ">f8", np.int8, np.uint64, bool])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_types_are_those_of_the_numpy_functions(name, dtype):
    x = (np.random.default_rng(0).normal(size=(3, 7)) * 3).astype(dtype)
    for chunks in ((2, 7), (2, 3)):
        cut, want = both(name, x, chunks)
        assert cut.dtype == cut._meta.dtype == want.dtype
        assert_close(cut.compute(), want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_row_in_one_chunk_has_the_very_bits_of_the_numpy_function(name):
    x = np.random.default_rng(0).normal(size=(6, 5, 8)).astype(np.float32)
    for axis, chunks in ((-1, (2, 3, 8)), (0, (6, 2, 3)), ((0, 1), (6, 5, 3)), (None, (6, 5, 8))):
        cut, want = both(name, x, chunks, axis)
        assert_array_equal(cut.compute(), want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_is_computed_before_it_is_asked_for(name):
    def fail(block):
        raise AssertionError("computed")

    x = da.ones((4, 6), chunks=(2, 3)).map_blocks(fail, meta=np.empty((0, 0)))
    lazy = getattr(softmax_dask, name)(x)
    with pytest.raises(AssertionError, match="computed"):
        lazy.compute()


@pytest.mark.parametrize("chunks", [(2, 6), (2, 4)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_unknown_sizes_of_chunks(name, chunks):
    x = np.random.default_rng(0).normal(size=(5, 6))
    cut = da.from_array(x, chunks)
    rows = cut[cut[:, 0].map_blocks(lambda block: block < 9)]  # all, but Dask can't know
    assert np.isnan(rows.shape[0])
    for axis in (0, 1, None):
        got = getattr(softmax_dask, name)(rows, axis)
        assert_close(np.asarray(got.compute()), np.asarray(getattr(softmax_ext, name)(x, axis)))


@pytest.mark.parametrize("chunks", [(2, 3), (4, 6)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_threads_give_the_same_bits_every_time(name, chunks):
    x = np.random.default_rng(0).normal(size=(40, 60))
    result = getattr(softmax_dask, name)(da.from_array(x, chunks))
    want = result.compute()
    for _ in range(3):
        assert_array_equal(result.compute(scheduler="threads"), want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_same_call_has_the_same_keys(name):
    """By which Dask finds what several results have in common, and computes it once."""
    function, x = getattr(softmax_dask, name), da.ones((6, 9), chunks=(4, 2))
    assert function(x).name == function(x).name != function(x + 1).name
    assert function(x).__dask_graph__().keys() == function(x).__dask_graph__().keys()


def test_results_go_on_through_a_graph():
    """What comes before and after is Dask's own: derivatives, slices, several results at once."""
    x = np.random.default_rng(0).normal(size=(6, 9))
    cut = da.from_array(x, (4, 2)) * 2
    y, total = softmax_dask.softmax(cut), softmax_dask.logsumexp(cut, keepdims=True)
    one, entropy = dask.compute(da.exp(cut - total)[::2], -(y * softmax_dask.log_softmax(cut)).sum(axis=1))
    p = softmax_ext.softmax(2 * x)
    np.testing.assert_allclose(one, p[::2], rtol=1e-14)
    np.testing.assert_allclose(entropy, -(p * np.log(p)).sum(axis=1), rtol=1e-14)


# Values -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("case", TABLE)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_special_values(name, case, dtype):
    """The NumPy functions' values wherever the row is cut, and beside chunks of finite numbers or of -inf."""
    row = np.array(TABLE[case][0], dtype)
    for fill in (np.zeros(0), np.zeros(2), np.full(2, -INF)):
        for x in (np.concatenate([row, fill]).astype(dtype), np.concatenate([fill, row]).astype(dtype)):
            for size in {1, len(x) - 1} - {0}:
                assert_close(*(np.asarray(r) for r in both(name, x, size)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_arrays_without_elements(name, dtype):
    for shape, chunks in [
        ((0,), 1),
        ((3, 0), (2, 1)),
        ((0, 3), (1, 2)),
        ((2, 0, 3), (1, 1, 2)),
        ((3, 0), ((1, 2), (0, 0))),
        ((0, 3), ((0, 0), (2, 1))),
    ]:
        for axis in (0, -1, None):
            got, want = both(name, np.empty(shape, dtype), chunks, axis)
            assert_array_equal(got.compute(), want)
            assert got.dtype == dtype


def test_no_warning_is_raised():
    """pytest makes errors of them; NumPy's come from the operations on pairs and chunks."""
    x = np.array([[1e308, -1e308, NAN, 0], [-INF, -INF, 0, -745], [INF, 0, INF, -INF], [-1e308, 1e308, 1, 2]])
    with np.errstate(all="raise"):
        for name in FUNCTIONS:
            for dtype in TYPES:
                with np.errstate(all="ignore"):
                    cut = da.from_array(x.astype(dtype), (2, 1))
                for axis in (0, 1):
                    getattr(softmax_dask, name)(cut, axis).compute()


# Accuracy -----------------------------------------------------------------------------------------


def error(name, x, chunks):
    """Return the largest error over rows in these chunks, in the contract's units."""
    result = getattr(softmax_dask, name)(
        da.from_array(x, chunks), **({"keepdims": True} if OPERATIONS[name].takes("keepdims") else {})
    )
    if x.dtype == np.float32 or ulp.WIDE_ENOUGH[np.float64]:
        truth = ulp.wide(name, x)
    else:
        truth = ulp.exact(name, x)
    return ulp.errors(name, result.compute(), truth, x).max()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "family", sorted(set(families.ROWS) - {"many_pairs", "long_rows", "zero_among_tiny_terms"})
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy(name, family, dtype):
    rng = np.random.default_rng(zlib.crc32(f"{family} {np.dtype(dtype)}".encode()))
    inputs = families.ROWS[family](rng, dtype)
    for i in rng.permutation(len(inputs))[:6]:
        x = inputs[i]
        n = x.shape[1]
        for size in {max(1, n // 7), (n + 1) // 2, max(1, n - 1)}:
            assert error(name, x, (len(x), size)) <= BOUNDS[dtype], (i, size)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_accuracy_of_long_rows_through_a_deep_tree(name, dtype):
    rng = np.random.default_rng(5)
    for x in (
        rng.normal(size=(1, 100_000)),
        np.full((1, 100_000), -17.0),
        np.linspace(-700, 0, 100_000)[None],
    ):
        x = x.astype(dtype)
        x[0, 31_415] = 0
        with dask.config.set(split_every=2):  # 7 levels
            assert error(name, x, (1, 1_000)) <= BOUNDS[dtype]


@pytest.mark.parametrize("dtype", TYPES)
def test_log_softmax_keeps_its_digits_near_zero(dtype):
    """However a confident row is cut, at the maximum there is the sum of the others, be it e^-700."""
    gap = np.arange(20.0, 700 if dtype is np.float64 else 87)
    x = np.stack([-gap - 1, 0 * gap, -gap, -gap], axis=1).astype(dtype)
    for chunks in (1, 2, 3, (1, 3), (1, 2, 1), (3, 1)):
        got = softmax_dask.log_softmax(da.from_array(x, (len(x), chunks))).compute()[:, 1]
        want = -np.log1p(np.exp(-gap) * (2 + np.exp(-1)))
        np.testing.assert_allclose(got, want, rtol=8 * np.finfo(dtype).eps)


def test_terms_that_are_subnormal_have_a_sum_with_all_its_digits():
    """e^-719.9 has some 35 bits left, 200,000 of them are e^-707.7, which has room for 53."""
    x = np.full((1, 200_001), -719.9)
    x[0, 0] = 0
    for chunks in ((1, 200_000), (200_000, 1)):
        assert error("log_softmax", x, (1, chunks)) <= BOUNDS[np.float64]


@st.composite
def arrays_in_chunks(draw):
    """A small array of numbers of every size, special ones among them, in random chunks; an axis or some."""
    shape = draw(st.lists(st.integers(0, 6), min_size=1, max_size=3))
    chunks = []
    for n in shape:
        ends = sorted(draw(st.lists(st.integers(0, n), max_size=3)))
        chunks.append(tuple(int(size) for size in np.diff([0, *ends, n])))
    dtype = draw(st.sampled_from(TYPES))
    seed, scale = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.1, 1, 30, 1e3, 1e30]))
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=shape) * scale).astype(dtype)
    rare = draw(st.sampled_from([0, 0, 0.05, 0.5]))
    x[rng.random(shape) < rare] = draw(st.sampled_from([-INF, INF, NAN, 0]))
    axis = draw(st.one_of(st.none(), st.permutations(range(len(shape))).map(lambda p: tuple(p[:2]))))
    return x, tuple(chunks), axis


@settings(max_examples=150, deadline=None)
@given(arrays_in_chunks(), st.sampled_from(FUNCTIONS), st.booleans())
def test_chunks_change_no_more_than_last_bits(case, name, keepdims):
    x, chunks, axis = case
    kwargs = {"keepdims": keepdims} if OPERATIONS[name].takes("keepdims") else {}
    got, want = (np.asarray(r) for r in both(name, x, chunks, axis, **kwargs))
    if OPERATIONS[name].elementwise:
        assert_close(got, want)
    else:
        # Its error is measured by the largest |x|, since the maximum and log of the sum may cancel.
        top = np.max(np.abs(x), axis=axis, keepdims=keepdims, initial=0, where=np.isfinite(x))
        finite = np.isfinite(want)
        assert_array_equal(np.where(finite, 0, got), np.where(finite, 0, want))
        unit = np.spacing(np.maximum(np.where(finite, np.abs(want), 1), top))
        assert (np.abs(np.where(finite, got, 0) - np.where(finite, want, 0)) <= 12 * unit).all()


# Errors -------------------------------------------------------------------------------------------

BAD = {
    "complex": (np.ones((2, 3), complex), {}),
    "longdouble": (np.ones((2, 3), np.longdouble), {}),
    "object": (np.ones((2, 3), object), {}),
    "string": (np.full((2, 3), "a"), {}),
    "datetime": (np.zeros((2, 3), "M8[s]"), {}),
    "masked": (np.ma.masked_equal([[1.0, 2, 3], [4, 5, 6]], 2), {}),
    "axis beyond": (np.ones((2, 3)), {"axis": 2}),
    "axis far below": (np.ones((2, 3)), {"axis": -3}),
    "axis beyond in a tuple": (np.ones((2, 3)), {"axis": (0, 2)}),
    "axis twice": (np.ones((2, 3)), {"axis": (1, -1)}),
    "axis of float": (np.ones((2, 3)), {"axis": 1.0}),
    "axis of bool": (np.ones((2, 3)), {"axis": True}),
    "axis of string": (np.ones((2, 3)), {"axis": "0"}),
    "axis of a list": (np.ones((2, 3)), {"axis": [0]}),
    "axis of a scalar": (np.ones(()), {"axis": 1}),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_errors_are_those_of_the_numpy_functions_and_come_at_once(name, case):
    x, kwargs = BAD[case]
    with pytest.raises((TypeError, ValueError)) as wanted:
        getattr(softmax_ext, name)(x, **kwargs)
    cut = da.from_array(x, chunks=1)
    with pytest.raises(wanted.type) as got:
        getattr(softmax_dask, name)(cut, **kwargs)
    assert str(got.value) == str(wanted.value)


@pytest.mark.parametrize("x", [np.ones(3), [1.0, 2.0], None], ids=type)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_no_dask_array_is_refused(name, x):
    with pytest.raises(TypeError, match=f"^x: got {type(x).__name__}, expected a Dask array"):
        getattr(softmax_dask, name)(x)


def test_a_mask_that_dask_does_not_know_of_is_not_dropped():
    x = da.ones((4, 6), chunks=(2, 3)).map_blocks(lambda b: np.ma.masked_equal(b, 1), meta=np.empty((0, 0)))
    for name in FUNCTIONS:
        with pytest.raises(TypeError, match="mask"):
            getattr(softmax_dask, name)(x).compute()


def test_without_dask_the_import_names_the_extra(python):
    code = """
import sys
sys.modules["dask"] = None
import softmax_ext
try:
    import softmax_ext.dask
except ImportError as error:
    print(error)
"""
    assert "softmax_ext[dask]" in python("-c", code)


def test_the_package_does_not_import_dask(python):
    assert python("-c", "import sys, softmax_ext; print('dask' in sys.modules)") == "False\n"


def test_docstrings():
    result = doctest.testmod(softmax_dask, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed


# Memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["memmap", "memmap and a step", "random"])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_few_chunks_are_in_memory_at_a_time(name, source, tmp_path):
    """One file to another, the rows in 32 chunks each: a graph that kept what both sweeps read would hold all 64."""
    shape, chunks = (32, 32 * 8192), (16, 8192)
    if source == "random":
        x = da.random.default_rng(0).normal(size=shape, chunks=chunks).astype(np.float32)
    else:
        file = np.memmap(tmp_path / "x", np.float32, "w+", shape=shape)
        file[:] = np.linspace(-9, 9, shape[1], dtype=np.float32)
        x = da.from_array(np.memmap(tmp_path / "x", np.float32, "r", shape=shape), chunks)
        if source != "memmap":
            x = x + 1
    out = np.memmap(tmp_path / "y", np.float32, "w+", shape=shape)
    y = getattr(softmax_dask, name)(x)
    y[:, :9].compute()  # what is imported and cached once counts not
    tracemalloc.start()
    try:
        da.store(y, out)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # One in float32, two in float64, the graph itself, and at random numbers a chunk of those in float64.
    assert peak < 12 * 4 * chunks[0] * chunks[1]
    np.testing.assert_allclose((np.exp(out) if name == "log_softmax" else out).sum(axis=1), 1, rtol=1e-4)


@pytest.mark.parametrize(
    ("megabytes", "limit"),
    [(600, 200), pytest.param(2000, 250, marks=[pytest.mark.slow, pytest.mark.timeout(900)])],
    ids=["quick", "long"],
)
def test_worker_processes_with_less_memory_than_the_array(megabytes, limit):
    """Several times each worker's limit: a worker that held its chunks would be killed."""
    rows, columns = 128, 8192
    count = megabytes * 10**6 // (4 * rows * columns)

    def block(block_info=None):
        where = block_info[None]["chunk-location"]
        return np.random.default_rng(where[1]).random((rows, columns), dtype=np.float32) * 20

    with dask_helpers.small_cluster(limit) as client:
        x = da.map_blocks(block, chunks=((rows,), (columns,) * count), meta=np.empty((0, 0), np.float32))
        assert x.nbytes > 2.9 * limit * 10**6
        y, log_y = softmax_dask.softmax(x), softmax_dask.log_softmax(x)
        last = count - 1
        figures = client.compute(
            [y.sum(axis=1, dtype=np.float64), softmax_dask.logsumexp(x), log_y.max(axis=1), y[:, -columns:]]
        )
        total, lse, top, tail = client.gather(figures)

    # The truth, one chunk at a time.
    largest, terms = np.full(rows, -INF), np.zeros(rows)
    for i in range(count):
        values = block({None: {"chunk-location": (0, i)}}).astype(np.float64)
        terms += np.exp(values - 20).sum(axis=1)
        largest = np.maximum(largest, values.max(axis=1))
    truth = 20 + np.log(terms)
    # float32 results: half a unit for each rounding, and the sum of many has random ones that all but cancel.
    np.testing.assert_allclose(total, 1, rtol=1e-7)
    np.testing.assert_allclose(lse, truth, rtol=1e-7)
    np.testing.assert_allclose(top, largest - truth, rtol=1e-7)
    values = block({None: {"chunk-location": (0, last)}}).astype(np.float64)
    np.testing.assert_allclose(tail, np.exp(values - truth[:, None]), rtol=1e-7)
