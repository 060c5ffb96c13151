"""`b=`, the weights of logsumexp's terms, and `return_sign=`: SciPy's meaning, at any size of weights."""

import inspect
import itertools

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import ulp
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from numpy.testing import assert_array_equal

import softmax_ext
from softmax_ext import _core, _reference, logsumexp

TYPES = [np.float32, np.float64]
LEVELS = softmax_ext.show_config(mode="dicts")["isa_available"]
INF, NAN = np.inf, np.nan

both_types = pytest.mark.parametrize("dtype", TYPES)


def pair(x, axis=-1, **options):
    return logsumexp(x, axis, return_sign=True, **options)


def arrays(shape, dtype, seed=0, spread=1.0):
    """Return elements, and weights of both signs whose sizes are spread over so many powers of ten."""
    rng = np.random.default_rng([seed, *shape])
    most = 35 if dtype is np.float32 else 290
    size = 10.0 ** rng.uniform(-spread, min(spread, most), size=shape)
    return (rng.normal(size=shape) * 4).astype(dtype), (rng.normal(size=shape) * size).astype(dtype)


def error(x, b):
    """Return the largest error of rows, in the unit of the contract."""
    got = pair(x, b=b, keepdims=True)[0]
    return ulp.errors("signed_logsumexp", got, ulp.exact("signed_logsumexp", x, b), x, b).max()


# Values -------------------------------------------------------------------------------------------


def sum_of_terms(x, b):
    """Return the sum in float64, as the contract has it."""
    terms = []
    for v, w in zip(x, b, strict=True):
        if w == 0:
            continue
        if v == -INF:
            terms.append(w * 0.0)
        else:
            terms.append(w * (INF if v == INF else np.exp(v)))
    return np.sum(terms) if terms else 0.0


@both_types
@pytest.mark.filterwarnings("ignore:invalid value")
def test_special_values(dtype, isa):
    """All pairs of such elements and weights, alone, in twos, and beside a term of 1."""
    values, weights = [0.0, 1.5, -INF, INF, NAN], [1.0, -1.0, 0.0, 2.0, INF, -INF, NAN]
    for n in (1, 2):
        for x in itertools.product(values, repeat=n):
            for b in itertools.product(weights, repeat=n):
                for more in ([], [0.0]):
                    row, weight = np.array([*x, *more], dtype), np.array([*b, *[1.0 for _ in more]], dtype)
                    total = sum_of_terms(row.astype(float), weight.astype(float))
                    got, sign = pair(row, b=weight)
                    assert_array_equal(sign, np.sign(total))
                    np.testing.assert_allclose(
                        got, np.log(np.abs(total)) if total != 0 else -INF, rtol=1e-5, atol=1e-6
                    )
                    assert_array_equal(logsumexp(row, b=weight), got if sign >= 0 else NAN)


@both_types
def test_terms_that_cancel_leave_0(dtype, isa):
    for v in (0.0, 1.5, -300.25, 1e6):
        for b in ([1.0, -1.0], [-1.0, 0.0, 1.0], [0.1, -0.1], [3.0, -3.0]):
            x = np.full(len(b), v, dtype)
            assert pair(x, b=np.array(b, dtype)) == (-INF, 0)
            assert logsumexp(x, b=np.array(b, dtype)) == -INF
    many = np.zeros(1000, dtype)
    many[[3, 700]] = 1.25
    b = np.zeros(1000, dtype)
    b[[3, 700]] = 7, -7
    assert pair(many, b=b) == (-INF, 0)


@both_types
def test_a_weight_of_0_hides_anything(dtype, isa):
    for n in (2, 50, 200, 5000):
        x, b = arrays((n,), dtype, 1)
        want = pair(x[1:], b=b[1:])
        b[0] = 0
        with_zero = pair(x, b=b)
        for value in (INF, -INF, NAN, 1e30):
            x[0] = value
            assert pair(x, b=b) == with_zero
        np.testing.assert_allclose(with_zero[0], want[0], rtol=8 * np.finfo(dtype).eps)
        assert with_zero[1] == want[1]


@both_types
def test_empty_rows(dtype):
    empty = np.empty((2, 0), dtype)
    value, sign = pair(empty, b=empty)
    assert_array_equal(value, [-INF, -INF])
    assert_array_equal(sign, [0, 0])
    value, sign = pair(empty, b=2.0, initial=np.array([[1.0], [NAN]], dtype), keepdims=True)
    assert_array_equal(value, [[1], [NAN]])
    assert_array_equal(sign, [[1], [NAN]])
    assert pair(np.empty((0, 3), dtype), b=1.0)[1].shape == (0,)


@both_types
def test_nothing_left(dtype):
    x = np.array([[0, 1, NAN], [INF, 2, 3]], dtype)
    value, sign = pair(x, b=-1.0, where=False)
    assert_array_equal(value, [-INF, -INF])
    assert_array_equal(sign, [0, 0])
    assert_array_equal(logsumexp(x, b=[0.0, 0.0, 0.0]), [-INF, -INF])


# Accuracy -----------------------------------------------------------------------------------------


@both_types
@pytest.mark.parametrize("spread", [0, 5, 35, 290])
def test_within_2_ulp(dtype, spread):
    if dtype is np.float32 and spread > 35:
        spread = 44  # subnormal weights included
    for n in (1, 2, 3, 17, 90, 300):
        for scale in (0.01, 1.0, 30.0):
            x, b = arrays((12, n), dtype, n, spread)
            assert error(x * dtype(scale), b) <= 2


@both_types
def test_no_intermediate_result_decides(dtype, isa):
    """b exp(x) of moderate size, where neither of the two is."""
    log_b = 85.0 if dtype is np.float32 else 700.0
    for sign in (1, -1):
        x = np.array([[sign * log_b, 0.5, sign * (log_b + 2)]] * 4, dtype)
        b = np.array([np.exp(-sign * log_b), -1.0, np.exp(-sign * log_b)], dtype) * np.ones((4, 1), dtype)
        assert error(x, b) <= 2
    tiny, top = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    for weight in (tiny, 3 * tiny, np.finfo(dtype).tiny, top):
        for offset in (0.0, 50.0, -50.0, 1e4, -1e4, 1e20, -1e20):
            x = (np.array([[0.0, 0.5, -3.0]]) + offset).astype(dtype)
            assert error(x, np.array([[weight, -weight, weight]], dtype)) <= 2
            assert error(x[:, :2], np.array([[weight, 1]], dtype)) <= 2
    x = np.array([[top, top]], dtype)
    assert pair(x, b=np.array([[top, -tiny]], dtype))[0] == top
    assert pair(-x, b=np.array([[top, -tiny]], dtype)) == (-top, 1)


@both_types
def test_a_weight_of_1_costs_no_digit(dtype):
    """A leading term of 1 leaves a logarithm as small as the others are."""
    gaps = np.arange(5.0, 80.0, 3)
    x, b = np.stack([0 * gaps, -gaps], axis=1).astype(dtype), np.array([1, -1], dtype)
    np.testing.assert_allclose(logsumexp(x, b=b), np.log1p(-np.exp(-gaps)), rtol=2 * np.finfo(dtype).eps)
    x = arrays((30, 60), dtype)[0]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(logsumexp(x, b=np.ones_like(x)), logsumexp(x), rtol=2 * eps)
    assert_array_equal(logsumexp(x[:, :1], b=np.ones_like(x[:, :1])), x[:, 0])


# Bits ---------------------------------------------------------------------------------------------


def bits(result):
    return [np.asarray(part).tobytes() for part in result]


@both_types
@pytest.mark.parametrize("shape", [(37, 5), (3, 130), (70, 130), (2, 9000), (20, 1), (1, 70)])
def test_same_bits(shape, dtype):
    """Alone and in batches, in any layout and at any level, at a temperature, with an initial term, and masked."""
    x, b = arrays(shape, dtype, 2, 3)
    if shape[1] > 4:
        x[0, :3], b[0, :3], x[-1] = [NAN, INF, -INF], 0, x[-1] * 1e6
    before = softmax_ext.show_config(mode="dicts")["isa"]
    mask = np.arange(x.size).reshape(shape) % 7 > 0
    initial = np.linspace(-3, 3, shape[0]).astype(dtype)[:, None]
    for options in ({}, {"temperature": 0.7}, {"initial": initial}, {"where": mask, "initial": initial}):
        want = bits(pair(x, b=b, **options))
        alone = []
        for i in range(shape[0]):
            mine = {k: v[i : i + 1] if isinstance(v, np.ndarray) else v for k, v in options.items()}
            alone.append(np.concatenate(pair(x[i : i + 1], b=b[i : i + 1], **mine)))
        assert bits(np.array(alone).T) == want
        try:
            for level in LEVELS:
                _core._set_isa(level)
                assert bits(pair(x, b=b, **options)) == want, level
        finally:
            _core._set_isa(before)
        for layout, other in itertools.product(LAYOUTS, repeat=2):
            placed, weights = LAYOUTS[layout](x), LAYOUTS[other](b)
            assert bits(pair(placed, b=weights, **options)) == want, (layout, other)
        for threads in (1, 2, 3):
            softmax_ext.set_num_threads(threads)
            assert bits(pair(x, b=b, **options)) == want
        transposed = {k: v.T if isinstance(v, np.ndarray) else v for k, v in options.items()}
        assert bits(pair(np.ascontiguousarray(x.T), axis=0, b=b.T, **transposed)) == want


@both_types
def test_weights_broadcast(dtype):
    x, b = arrays((6, 4, 9), dtype, 5)
    for weights in (b[0, 0, 0], b[0, 0], b[0, :, :1], b[:, :1, :1], b[:, :1], np.float64(2.0), b[::-1, ::-1]):
        for axis in (-1, 0, 1, (0, 2), None):
            want = pair(x, axis, b=np.ascontiguousarray(np.broadcast_to(weights, x.shape)))
            assert bits(pair(x, axis, b=weights)) == bits(want)
    row = x[:, :1]  # and elements broadcast to weights
    want = pair(np.ascontiguousarray(np.broadcast_to(row, b.shape)), b=b)
    assert bits(pair(row, b=b)) == bits(want)
    assert pair(dtype(1.5), b=b, axis=None)[0].shape == ()
    assert pair(np.zeros((4, 1, 2, 1), dtype), 0, b=np.ones((3, 1, 5), dtype))[0].shape == (3, 2, 5)


@both_types
def test_out_and_keepdims(dtype):
    x, b = arrays((5, 7), dtype, 6)
    want, sign = pair(x, b=b)
    for keepdims in (False, True):
        shape = (5, 1) if keepdims else (5,)
        for out in (np.full(shape, 7, dtype), np.full(shape, 7, np.float64), b[:, :1].reshape(shape)):
            given = b.copy()
            if np.shares_memory(out, b):
                out = given[:, 0].reshape(shape) if not keepdims else given[:, :1]
            got = pair(x, b=given, out=out, keepdims=keepdims)
            assert got[0] is out
            assert out.astype(dtype).tobytes() == want.tobytes()
            assert got[1].shape == shape
            assert got[1].tobytes() == sign.tobytes()
    assert_array_equal(logsumexp(x, b=b, dtype=np.float16), logsumexp(x, b=b).astype(np.float16))


@both_types
def test_without_weights_the_sign_is_that_of_a_sum(dtype):
    x = np.array([[0, 1], [-INF, -INF], [INF, 0], [NAN, 1]], dtype)
    value, sign = logsumexp(x, return_sign=True)
    assert_array_equal(value, logsumexp(x))
    assert_array_equal(sign, [1, 0, 1, NAN])
    assert_array_equal(logsumexp(x, b=1), logsumexp(x))


# Types and errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("b_type", [bool, np.int8, np.int32, np.int64, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("x_type", [np.int64, np.float16, np.float32, np.float64])
def test_types_promote(x_type, b_type):
    x, b = np.array([[2, 1, 3]], x_type), np.array([1, 0, 1], b_type)
    value, sign = pair(x, b=b)
    wanted = np.result_type(x, b)
    assert value.dtype == sign.dtype == (wanted if wanted.kind == "f" else np.float64)
    np.testing.assert_allclose(value, np.log(np.exp(2.0) + np.exp(3.0)), rtol=2 * np.finfo(value.dtype).eps)
    assert pair(x, b=2)[0].dtype == pair(x, b=2.0)[0].dtype == logsumexp(x).dtype


def test_bfloat16():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.linspace(-3, 3, 40).astype(ml_dtypes.bfloat16).reshape(4, 10)
    b = np.linspace(-1, 2, 40).astype(ml_dtypes.bfloat16).reshape(4, 10)
    value, sign = pair(x, b=b)
    want, signs = pair(x.astype(np.float32), b=b.astype(np.float32))
    assert value.dtype == sign.dtype == x.dtype
    assert_array_equal(value, want.astype(x.dtype))
    assert_array_equal(sign.astype(np.float32), signs)
    assert logsumexp(x, b=np.ones(10, bool)).dtype == x.dtype


@pytest.mark.parametrize(
    ("b", "error", "message"),
    [
        (1j, TypeError, "b: got"),
        ([1j, 2j], TypeError, "b: got"),
        ("1", TypeError, "b: got"),
        ([None, 1], TypeError, "b: got"),
        (np.longdouble([1, 2]), TypeError, "b: got"),
        (
            np.ma.masked_array([1.0, 2.0], [True, False]),
            TypeError,
            r"b: got MaskedArray, .*: pass b.filled\(0\)",
        ),
        ([1.0, 2.0, 3.0], ValueError, r"b: got shape \(3,\), expected one that broadcasts with x's \(4, 2\)"),
        (10**400, ValueError, "b: got int beyond float64"),
    ],
)
def test_refused(b, error, message):
    out = np.full(4, 7.0)
    with pytest.raises(error, match=message):
        logsumexp(np.zeros((4, 2)), b=b, out=out)
    assert (out == 7).all()


def test_refused_flags():
    with pytest.raises(TypeError, match="return_sign: got str"):
        logsumexp([1.0], return_sign="yes")


# All keywords together ----------------------------------------------------------------------------

FINITE = st.floats(-30, 30, width=32)
WEIGHTS = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-1000, 1000, width=32))


@settings(max_examples=200)
@given(data=st.data())
def test_all_keywords_together(data):
    """As the reference, within what cancellation leaves."""
    dtype = data.draw(st.sampled_from([np.float16, np.float32, np.float64]))
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=5))
    x = data.draw(hnp.arrays(np.float32, shape, elements=FINITE)).astype(dtype)
    b_shape = data.draw(hnp.broadcastable_shapes(shape, max_dims=len(shape), max_side=5))
    full = np.broadcast_shapes(shape, b_shape)
    b_type = data.draw(st.sampled_from([np.float32, np.float64]))
    b = data.draw(hnp.arrays(np.float32, b_shape, elements=WEIGHTS)).astype(b_type)
    axis = data.draw(st.one_of(st.none(), st.integers(-len(full), len(full) - 1)))
    options = {"axis": axis, "b": b, "keepdims": data.draw(st.booleans()), "return_sign": True}
    if data.draw(st.booleans()):
        options["temperature"] = data.draw(st.floats(0.25, 8))
    if data.draw(st.booleans()):
        options["where"] = data.draw(hnp.arrays(bool, full))
    if data.draw(st.booleans()):
        reduced = [1 if axis is None or d == axis % len(full) else n for d, n in enumerate(full)]
        options["initial"] = data.draw(hnp.arrays(np.float32, tuple(reduced), elements=FINITE))
    if data.draw(st.booleans()):
        options["dtype"] = data.draw(st.sampled_from(TYPES))
    value, sign = logsumexp(x, **options)
    want, want_sign = _reference.logsumexp(x, **options)
    sizes = _reference.logsumexp(x, **{**options, "b": np.abs(b)})[0]
    assert value.dtype == want.dtype
    assert value.shape == want.shape == sign.shape
    out = np.full_like(value, 7) if isinstance(value, np.ndarray) else None
    if out is not None:
        assert logsumexp(x, out=out, **options)[0] is out
        assert out.tobytes() == value.tobytes()
    eps = max(np.finfo(value.dtype).eps, np.finfo(np.float32).eps)
    with np.errstate(all="ignore"):
        condition = np.exp(np.float64(sizes) - np.float64(want))
        digits = 64 + np.abs(np.float64(want)) + np.abs(np.float64(sizes))
        certain = ~(condition > 0.01 / eps)  # of others not even the sign is known
        near = np.abs(np.float64(value) - np.float64(want)) <= 4 * eps * digits * np.maximum(condition, 1)
    assert np.all(near | (value == want) | ~certain)
    assert np.all((sign == want_sign) | ~certain)
    with_nan = logsumexp(x, **{**options, "return_sign": False})
    assert_array_equal(with_nan, np.where(sign < 0, NAN, value))


# SciPy's own tests --------------------------------------------------------------------------------


def like_scipy(a, axis=None, b=None, keepdims=False, return_sign=False):
    return logsumexp(a, axis, b=b, keepdims=keepdims, return_sign=return_sign)


def test_scipy_agrees():
    special = pytest.importorskip("scipy.special")
    x, b = arrays((50, 20), np.float64, 8, 2)
    for axis in (None, 0, 1):
        got, want = (f(x, axis=axis, b=b, return_sign=True) for f in (like_scipy, special.logsumexp))
        np.testing.assert_allclose(got[0], want[0], rtol=1e-9)
        assert_array_equal(got[1], want[1])


#: Marks that SciPy's own settings declare.
SCIPY_MARKS = [
    "array_api_backends", "fail_slow", "parallel_threads_limit", "skip_xp_backends", "skip_xp_invalid_arg",
    "thread_unsafe", "uses_xp_capabilities", "xfail_xp_backends", "xslow",
]  # fmt: skip


def calls_of(function):
    """Yield the arguments that a parametrized test is called with."""
    marks = [m for m in getattr(function, "pytestmark", []) if m.name == "parametrize"]
    values = [[v if "," in m.args[0] else (v,) for v in m.args[1]] for m in marks]
    names = [[n.strip() for n in m.args[0].split(",")] for m in marks]
    for chosen in itertools.product(*values):
        arguments = {}
        for of, given_values in zip(names, chosen, strict=True):
            arguments.update(zip(of, getattr(given_values, "values", given_values), strict=True))
        yield arguments


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_scipys_own_tests(monkeypatch, pytestconfig):
    """Those of `logsumexp`, but for complex numbers, errors and devices."""
    for mark in SCIPY_MARKS:
        pytestconfig.addinivalue_line("markers", f"{mark}: SciPy's")
    module = pytest.importorskip("scipy.special.tests.test_logsumexp")
    monkeypatch.setattr(module, "logsumexp", like_scipy)
    tests, passed = module.TestLogSumExp(), set()
    for name, function in inspect.getmembers(module.TestLogSumExp, inspect.isfunction):
        parameters = set(inspect.signature(function).parameters)
        if (
            "complex" in name
            or "imaginary" in name
            or name == "test_xp_invalid_input"
            or "devices" in parameters
        ):
            continue
        for arguments in calls_of(function):
            if any("complex" in str(v) or isinstance(v, complex) for v in arguments.values()):
                continue
            if "xp" in parameters:
                arguments["xp"] = np
            function(tests, **arguments)
            passed.add(name)
    assert passed >= {
        "test_logsumexp_b", "test_logsumexp_b_zero", "test_logsumexp_b_shape", "test_logsumexp_sign",
        "test_logsumexp_sign_zero", "test_logsumexp_sign_shape",
    }  # fmt: skip
