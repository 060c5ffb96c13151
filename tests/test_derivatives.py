"""Products with Jacobians: numbers of any size, and temperatures."""

import mpmath
import numpy as np
import operations
import pytest
from hypothesis import given
from hypothesis import strategies as st

import softmax_ext
from softmax_ext import _core, _reference

TYPES = [np.float32, np.float64]
LEVELS = softmax_ext.show_config(mode="dicts")["isa_available"]
FUNCTIONS = ["softmax_vjp", "log_softmax_vjp", "log_softmax_jvp"]
LENGTHS = [1, 2, 3, 4, 5, 7, 10, 17, 50, 80, 81, 100, 130, 257]


def truth(name, y, g, temperature):
    """The results and their natural scales, to 100 digits."""
    t = mpmath.mpf(temperature)
    y, g = ([mpmath.mpf(float(v)) for v in row] for row in (y, g))
    p = y if name == "softmax_vjp" else [mpmath.exp(v) for v in y]
    weights = [1] * len(y) if name == "log_softmax_vjp" else p
    d = mpmath.fsum(w * v for w, v in zip(weights, g, strict=True))
    size = mpmath.fsum(w * abs(v) for w, v in zip(weights, g, strict=True))
    of_all = p if name == "softmax_vjp" else [1] * len(y)
    of_d = p if name == "log_softmax_vjp" else [1] * len(y)
    values = [a * (v - b * d) / t for a, b, v in zip(of_all, of_d, g, strict=True)]
    scales = [a * (abs(v) + b * size) / t for a, b, v in zip(of_all, of_d, g, strict=True)]
    return values, scales


def errors(name, y, g, found, temperature=1.0):
    """The errors in u of the natural scale, beyond the spacing of the subnormals; infinite for a wrong infinity."""
    info = np.finfo(found.dtype)
    worst = 0.0
    with mpmath.workdps(100):
        u, spacing = mpmath.mpf(float(info.eps)) / 2, mpmath.mpf(float(info.smallest_subnormal))
        for result, value, scale in zip(found, *truth(name, y, g, temperature), strict=True):
            if np.isfinite(result):
                beyond = abs(mpmath.mpf(float(result)) - value) - spacing
                worst = max(worst, float(beyond / (u * scale)) if beyond > 0 else 0.0)
            elif np.isnan(result) or abs(value) + 6 * u * scale <= float(info.max):
                return np.inf
    return worst


def call(name, y, g, temperature=1.0):
    return getattr(softmax_ext, name)(y, g, temperature=temperature)


def forward(name, x):
    return getattr(softmax_ext, operations.OPERATIONS[name].forward)(x)


def gradients(rng, n, dtype):
    """Gradients of some kind: of one size or of many, up to the largest, down to subnormal, most of them 0."""
    info = np.finfo(dtype)
    low, high = np.log10(float(info.smallest_subnormal)), np.log10(float(info.max))
    size = 10.0 ** rng.uniform(low, high)
    g = [
        lambda: rng.normal(size=n) * size,
        lambda: rng.choice([-1, 1], size=n) * 10.0 ** rng.uniform(low, high, size=n),
        lambda: np.where(np.arange(n) == rng.integers(n), size, 0),
        lambda: rng.choice([-1, 1], size=n) * float(info.max) * rng.uniform(0.3, 1, size=n),
        lambda: rng.choice([-1, 0, 1], size=n) * size,
    ][rng.integers(5)]()
    return np.clip(g, float(info.min), float(info.max)).astype(dtype)


def temperatures(rng, dtype):
    """A moderate temperature, or any that the kernels of the type take."""
    widest = (-88, 98) if dtype is np.float32 else (-898, 898)
    return 2.0 ** rng.uniform(*(widest if rng.random() < 0.5 else (-6, 6)))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_of_any_size(name, dtype):
    rng = np.random.default_rng(1)
    for _ in range(150):
        n = rng.choice(LENGTHS)
        scale = rng.choice([1, 5, 30, 100 if dtype is np.float32 else 600])
        y = forward(name, (rng.normal(size=n) * scale).astype(dtype))
        g = gradients(rng, n, dtype)
        for temperature in (1.0, temperatures(rng, dtype)):
            error = errors(name, y, g, call(name, y, g, temperature), temperature)
            assert error <= 6, (y, g, temperature)


def test_sums_that_would_overflow():
    large = np.float32([3e38, -3e38])
    found = softmax_ext.softmax_vjp(np.float32([0.1, 0.9]), large)
    np.testing.assert_allclose(found, np.float32([5.4e37, -5.4e37]), rtol=1e-6)
    pairs = np.float32([3e38, 3e38, -3e38, -3e38])  # whose sum is 0
    assert (softmax_ext.log_softmax_vjp(np.float32([-1, -1, -2, -2]), pairs) == pairs).all()
    half = np.log(np.float32([0.5, 0.5]))
    np.testing.assert_array_equal(softmax_ext.log_softmax_jvp(half, large), large)
    found = softmax_ext.softmax_vjp(np.array([0.1, 0.9]), np.array([1.7e308, -1.7e308]))
    np.testing.assert_allclose(found, [3.06e307, -3.06e307], rtol=1e-14)
    pairs = np.array([1.7e308, 1.7e308, -1.7e308, -1.7e308])
    assert (softmax_ext.log_softmax_vjp(np.array([-1.0, -1, -2, -2]), pairs) == pairs).all()


@pytest.mark.parametrize(
    ("gap", "g"), [(95, [-65536, 0]), (100, [1e38, 0]), (103, [0, 1e6]), (140, [1e30, 0])]
)
def test_a_probability_that_is_subnormal(gap, g):
    """exp(y) is subnormal, exp(y) sum g is not."""
    y, g = softmax_ext.log_softmax(np.float32([0, -gap])), np.float32(g)
    assert errors("log_softmax_vjp", y, g, softmax_ext.log_softmax_vjp(y, g)) <= 3
    y, g = softmax_ext.log_softmax(np.array([0.0, -gap - 620])), np.array(g, float) * 1e150
    assert errors("log_softmax_vjp", y, g, softmax_ext.log_softmax_vjp(y, g)) <= 3


@pytest.mark.parametrize("dtype", TYPES)
def test_products_that_are_subnormal(dtype):
    """Every y g is below half of the smallest subnormal; their sum is not, and counts beside an element of 0."""
    tiny = np.finfo(dtype).smallest_subnormal
    for n in (64, 2000):
        y = np.full(n, 1 / (2 * n), dtype)
        y[0] = 0.5
        g = np.full(n, 16 * tiny, dtype)
        g[0] = 0
        found = softmax_ext.softmax_vjp(y, g)
        assert found[0] == -4 * tiny, n
        with_temperature = softmax_ext.softmax_vjp(y, g, temperature=2.0**-40)
        assert errors("softmax_vjp", y, g, with_temperature, 2.0**-40) <= 6


def strange_rows(name, shape, dtype):
    """Ordinary rows, and among them rows of every kind that is done in another way."""
    rng = np.random.default_rng(shape[1])
    y = forward(name, (rng.normal(size=shape) * 20).astype(dtype))
    g = rng.normal(size=shape).astype(dtype)
    for row in range(0, shape[0], 3):
        g[row] = gradients(rng, shape[1], dtype)
    g[1] = 0
    g[4, 0] = np.inf
    g[7, -1] = np.nan
    return y, g


@pytest.mark.parametrize("temperature", [1.0, 0.3, 2.0**-60, 2.0**60])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits_beside_any_rows(name, dtype, temperature, threads):
    """Rows that are done with care leave the others alone, at every level, in every layout, with any threads."""
    function = getattr(softmax_ext, name)
    for shape in [(30, 3), (30, 10), (300, 17), (20, 130), (11, 1000), (9, 5000)]:
        y, g = strange_rows(name, shape, dtype)
        alone = [function(y[i], g[i], temperature=temperature) for i in range(shape[0])]
        expected = np.array(alone).tobytes()
        shown = np.ones(shape, bool)
        for level in LEVELS:
            before = _core._set_isa(level)
            try:
                assert function(y, g, temperature=temperature).tobytes() == expected
                assert function(y, g, where=shown, temperature=temperature).tobytes() == expected
                columns = np.asfortranarray(y), np.asfortranarray(g)
                for pair in (columns, (y[:, ::-1][:, ::-1], np.repeat(g, 2, 1)[:, ::2])):
                    assert function(*pair, temperature=temperature).tobytes() == expected
                side_by_side = y.T.copy(), g.T.copy()
                assert function(*side_by_side, 0, temperature=temperature).T.tobytes() == expected
                for k in range(2):  # in place
                    pair = y.copy(), g.copy()
                    function(*pair, out=pair[k], temperature=temperature)
                    assert pair[k].tobytes() == expected
            finally:
                _core._set_isa(before)
        for count in (2, 3):
            threads(count)
            assert function(y, g, temperature=temperature).tobytes() == expected
        threads(1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_same_bits_of_long_rows_in_pieces(name, threads):
    """A sum that is taken again is the same if threads share its pieces."""
    rng = np.random.default_rng(8)
    y = forward(name, rng.normal(size=(2, 100_000)).astype(np.float32))
    g = rng.choice([-3e38, 3e38], size=y.shape).astype(np.float32)
    expected = call(name, y, g)
    assert np.isfinite(expected).any()
    for count in (2, 3):
        threads(count)
        assert call(name, y, g).tobytes() == expected.tobytes()


@pytest.mark.parametrize("shape", [(200, 10), (200, 3), (60, 1000)])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_rows_behind_one_that_needs_care_in_place(name, dtype, shape):
    """Rows are done one after the other up to such a row; what is done already is not read again."""
    rng = np.random.default_rng(3)
    y = forward(name, rng.normal(size=shape).astype(dtype))
    g = rng.normal(size=shape).astype(dtype)
    for row in (37, 38, shape[0] - 1):
        g[row] = np.finfo(dtype).max / 2 / shape[1]
    expected = np.concatenate([call(name, y[k : k + 1], g[k : k + 1]) for k in range(shape[0])])
    assert np.isfinite(expected).all()
    found = g.copy()
    getattr(softmax_ext, name)(y, found, out=found)
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hidden_elements_of_rows_done_with_care(name):
    rng = np.random.default_rng(9)
    for shape in [(20, 7), (20, 200)]:
        where = rng.random(shape) < 0.7
        y = forward(name, rng.normal(size=shape).astype(np.float32))
        g = rng.choice([-3e38, 3e38], size=shape).astype(np.float32)
        hidden = np.where(where, y, np.float32(np.nan)), np.where(where, g, np.float32(np.nan))
        found = getattr(softmax_ext, name)(*hidden, where=where)
        assert (found[~where] == 0).all()
        for row in range(shape[0]):
            shown = where[row]
            compact = y[row][shown], g[row][shown]
            assert errors(name, *compact, found[row][shown]) <= 6


@pytest.mark.parametrize("temperature", [0.25, 0.7, 3.0, 1e-40, 1e45])
@pytest.mark.parametrize("name", [*FUNCTIONS, "softmax_jvp"])
def test_the_gradient_at_the_input(name, temperature):
    """The derivative of the forward function at x, by differences."""
    rng = np.random.default_rng(4)
    operation = operations.OPERATIONS[name]
    function = getattr(_reference, operation.forward)
    x, vector = (rng.normal(size=6).astype(np.longdouble) for _ in range(2))
    x *= temperature
    step = np.longdouble(2.0**-20) * temperature
    columns = []
    for k in range(6):
        moved = [x + sign * step * (np.arange(6) == k) for sign in (1, -1)]
        plus, minus = (function(v, temperature=temperature) for v in moved)
        columns.append((plus - minus) / (2 * step))
    jacobian = np.array(columns).T
    expected = vector @ jacobian if name.endswith("vjp") else jacobian @ vector
    y = function(x, temperature=temperature)
    for dtype in TYPES:
        found = call(name, y.astype(dtype), vector.astype(dtype), temperature)
        with np.errstate(all="ignore"):  # the differences of float32 may be out of its range
            rounded = expected.astype(dtype)
        np.testing.assert_allclose(found, rounded, rtol=1e-5, atol=float(np.finfo(dtype).smallest_subnormal))


@pytest.mark.parametrize("temperature", [2.0**-900, 1e-45, 0.3, 5.0, 1e45, 2.0**900])
@pytest.mark.parametrize("dtype", [*TYPES, np.float16])
def test_the_jacobian_with_a_temperature(dtype, temperature):
    y = _reference.softmax(np.array([[0, -1, -3.0], [0, -30, -60]])).astype(dtype)
    found = softmax_ext.softmax_jacobian(y, temperature=temperature)
    with np.errstate(all="ignore"):
        expected = _reference.softmax_jacobian(y.astype(np.longdouble), temperature=temperature).astype(dtype)
    assert found.dtype == dtype
    tiny = float(np.finfo(dtype).smallest_subnormal)
    np.testing.assert_allclose(found, expected, rtol=2 * float(np.finfo(dtype).eps), atol=tiny)


@pytest.mark.parametrize("name", operations.DERIVATIVES)
@given(data=st.data())
def test_any_numbers(name, data):
    name = operations.OPERATIONS[name].same_as or name
    dtype = data.draw(st.sampled_from(TYPES))
    width = 32 if dtype is np.float32 else 64
    n = data.draw(st.integers(1, 9))
    numbers = st.floats(width=width, allow_nan=False, allow_infinity=False)
    x = np.array(data.draw(st.lists(st.floats(-800, 800, width=width), min_size=n, max_size=n)), dtype)
    g = np.array(data.draw(st.lists(numbers, min_size=n, max_size=n)), dtype)
    widest = 88 if dtype is np.float32 else 898
    temperature = data.draw(st.floats(2.0**-widest, 2.0**widest))
    y = forward(name, x)
    assert errors(name, y, g, call(name, y, g, temperature), temperature) <= 6


@pytest.mark.slow
def test_the_sum_of_very_many_pieces():
    """Each piece of the row adds nine tenths of half a last place of the sum, and what is lost of it adds up."""
    n, piece = 1 << 28, 4096
    g = np.full(n, 921.49 * 2.0**-34 / piece, np.float32)
    total = 1 + float(g[-1]) * (n - piece)
    g[:piece] = 0
    g[0] = 1
    y = np.broadcast_to(np.float32(0), n)
    got = softmax_ext.log_softmax_vjp(y, g, out=g)[0]
    assert abs(float(got) - (1 - total)) <= 6 * 2.0**-24 * (1 + total)
