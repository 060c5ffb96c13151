"""Each function against the reference, on whatever hypothesis comes up with.

Random shapes, axes, types, strides, broadcasts, masks and special values at once: what the other files
test one by one. Few examples each, since every run draws new ones.
"""

import hypothesis.extra.numpy as hnp
import numpy as np
import operations
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS, repeated
from numpy.testing import assert_array_equal
from test_capi import MAPS as COMPILED_MAPS
from test_capi import NAMES as COMPILED
from test_capi import TYPES, call, function_at

import softmax_ext
from softmax_ext import _reference

# Compiling nothing and waiting for nothing, examples still take long on a busy machine: no deadline.
several = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MAPS, DERIVATIVES, OPERATIONS = operations.MAPS, operations.DERIVATIVES, operations.OPERATIONS
SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 88.7, -103.9, 709.8, -745.1, 1e-40, 1e30, -1e30]

shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9)
# Long axes too, past the vectors of any level; with at most one other axis beside it.
long_shapes = st.tuples(st.integers(1, 3), st.integers(60, 300)) | st.tuples(
    st.integers(60, 300), st.integers(1, 40)
)
try:
    import ml_dtypes

    finfo = ml_dtypes.finfo
    HALVES = ["f2", ">f2", ml_dtypes.bfloat16]
except ImportError:  # an optional package
    finfo = np.finfo
    HALVES = ["f2", ">f2"]
floats = ["f4", "f8", *HALVES]
types = st.sampled_from([*floats, ">f4", "<f8", ">f8", "i1", "u2", "i4", "i8", "?"])


@st.composite
def arrays(draw, shape, dtype):
    """Return numbers of one scale, with special ones among them if the type has them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype.kind in "biu":
        x = rng.integers(0, 2 if dtype.kind == "b" else 100, size=shape).astype(dtype)
    else:
        x = rng.normal(size=shape) * draw(st.sampled_from([0, 1e-20, 1e-3, 1, 30, 1e4, 1e30]))
        x = np.asarray(x + draw(st.sampled_from([0, 0, 5.5, -1000, 1e7])))
        hidden = rng.random(shape) < draw(st.sampled_from([0, 0, 0.05, 0.5]))
        x = np.where(hidden, rng.choice(draw(st.lists(st.sampled_from(SPECIAL), min_size=1)), size=shape), x)
        with np.errstate(all="ignore"):
            x = x.astype(dtype)
    return draw(st.sampled_from([*LAYOUTS.values(), repeated]))(x) if x.ndim and x.size else x


@st.composite
def axes(draw, ndim):
    if ndim == 0:
        return draw(st.sampled_from([-1, 0, None]))
    one = st.integers(-ndim, ndim - 1)
    tuples = st.lists(one, max_size=ndim, unique_by=lambda a: a % ndim).map(tuple)
    return draw(st.just(-1) | one | tuples | st.none())


@st.composite
def parts(draw, shape):
    """Return a shape that broadcasts to the one given."""
    part = draw(hnp.broadcastable_shapes(shape, max_dims=len(shape), max_side=1)) if shape else ()
    return part if np.broadcast_shapes(part, shape) == shape else shape


@st.composite
def masks(draw, shape):
    """Return arguments with or without a mask, of any strides and of any shape that broadcasts."""
    if draw(st.booleans()):
        return {}
    part = draw(parts(shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    where = rng.random(part) < draw(st.sampled_from([0, 0.1, 0.5, 0.9, 1]))
    return {
        "where": draw(st.sampled_from(list(LAYOUTS.values())))(where) if where.ndim and where.size else where
    }


def assert_close(got, want, scale):
    """Same type, same infinities and NaN; finite numbers within 8 eps of their scale.

    The scale is that of the terms which make up a result, in absolute value: looser than the bounds
    that `test_accuracy.py` holds to, since here the reference's rounding adds to ours.
    """
    got, want, scale = np.asarray(got), np.asarray(want), np.asarray(scale)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    info = finfo(want.dtype)
    eps, tiny, top = np.longdouble(info.eps), np.longdouble(info.smallest_subnormal), np.longdouble(info.max)
    got, want = got.astype(np.longdouble), want.astype(np.longdouble)
    assert_array_equal(np.isnan(got), np.isnan(want))
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= 8 * (eps * scale + tiny)
        # At the very end of the range one rounding more or less is infinity.
        edge = (np.abs(got) >= top) & (np.abs(want) >= top) & (np.sign(got) == np.sign(want))
    assert np.all(near | edge | (got == want) | np.isnan(want)), (got, want)


@several
@given(st.data(), st.sampled_from(MAPS), shapes | long_shapes, types)
def test_maps(data, name, shape, dtype):
    x = data.draw(arrays(shape, np.dtype(dtype)))
    axis = data.draw(axes(x.ndim))
    kwargs = data.draw(masks(shape))
    if data.draw(st.booleans()):
        kwargs["dtype"] = data.draw(st.sampled_from(floats))
    if OPERATIONS[name].takes("keepdims") and data.draw(st.booleans()):
        kwargs["keepdims"] = True
    kept = x.tobytes()
    want = getattr(_reference, name)(x, axis, **kwargs)
    with np.errstate(all="ignore"):
        top = np.abs(want).astype(float)
        if OPERATIONS[name].measure == "row":
            wide = x.astype(float)
            top = np.maximum(top, np.max(np.abs(wide), where=np.isfinite(wide), initial=0))
    got = getattr(softmax_ext, name)(x, axis, **kwargs)
    assert_close(got, want, top)
    out = np.full(np.shape(want), 7, np.asarray(want).dtype)
    assert getattr(softmax_ext, name)(x, axis, out=out, **kwargs) is out
    assert out.tobytes() == np.asarray(got).tobytes()
    assert x.tobytes() == kept


def moderate(g):
    """Leave out vectors whose sums overflow in the type itself, which longdouble's do not."""
    return (
        np.where(np.abs(g.astype(float)) > 1e25, np.sign(g), g).astype(g.dtype) if g.dtype.kind in "fV" else g
    )


@several
@given(
    st.data(), st.sampled_from(DERIVATIVES), shapes | long_shapes, st.sampled_from([*floats, ">f8"]), types
)
def test_products(data, name, shape, y_type, g_type):
    x = data.draw(arrays(shape, np.dtype(y_type)))
    axis = data.draw(axes(x.ndim))
    forward = OPERATIONS[name].forward
    y = np.asarray(getattr(_reference, forward)(x, axis)).astype(y_type)
    g = moderate(data.draw(arrays(data.draw(parts(shape)), np.dtype(g_type))))
    kwargs = data.draw(masks(shape))
    want = getattr(_reference, name)(y, g, axis, **kwargs)
    got = getattr(softmax_ext, name)(y, g, axis, **kwargs)
    with np.errstate(all="ignore"):
        # Σ g of log_softmax_vjp may cancel to as little as it likes: its terms count here.
        size = np.abs(np.broadcast_to(g, shape).astype(float))
        rows = None if axis is None or not shape else axis

        def total(terms):
            terms = np.where(kwargs.get("where", True), terms, 0)
            return np.sum(terms, axis=rows, keepdims=True, where=np.isfinite(terms))

        scale = OPERATIONS[name].scale(y.astype(float), size, total=total)
    assert_close(got, want, np.nan_to_num(scale, posinf=0))
    out = np.full(shape, 7, want.dtype)
    assert getattr(softmax_ext, name)(y, g, axis, out=out, **kwargs) is out
    assert out.tobytes() == np.asarray(got).tobytes()


@several
@given(
    st.data(),
    st.sampled_from(DERIVATIVES),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=9) | long_shapes,
    st.sampled_from([np.float32, np.float64]),
    st.just(1.0) | st.builds(np.ldexp, st.floats(0.5, 1), st.integers(-800, 800)).map(float),
)
def test_products_of_any_size(data, name, shape, dtype, temperature):
    """Gradients of any size, all alike or each by itself, at any temperature: 6 u of the natural scale."""
    info = np.finfo(dtype)
    if np.finfo(np.longdouble).maxexp <= info.maxexp:
        pytest.skip("longdouble is no wider")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    axis = data.draw(axes(len(shape)))
    spread = data.draw(st.sampled_from([0.1, 3, 100]))
    y = getattr(_reference, OPERATIONS[name].forward)((rng.normal(size=shape) * spread).astype(dtype), axis)
    exponents = rng.integers(
        info.minexp - info.nmant, info.maxexp, size=data.draw(st.sampled_from([(), shape]))
    )
    g = np.ldexp(rng.choice([-1, 1], size=shape) * rng.uniform(1, 1.999, size=shape), exponents).astype(dtype)
    kwargs = {**data.draw(masks(shape)), "temperature": temperature}
    wide = y.astype(np.longdouble), g.astype(np.longdouble)
    want = getattr(_reference, name)(*wide, axis, **kwargs)
    seen = kwargs.get("where", True)

    def total(terms):
        return np.sum(np.where(seen, terms, 0), axis=axis, keepdims=True)

    scale = OPERATIONS[name].scale(wide[0], np.abs(wide[1]), total=total) / np.longdouble(temperature)
    got = getattr(softmax_ext, name)(y, g, axis, **kwargs)
    bound = 3 * np.longdouble(info.eps) * scale + 2 * np.longdouble(info.smallest_subnormal)
    with np.errstate(all="ignore"):
        near = np.abs(got - want) <= bound
    # Beyond the range: the result, or two terms that cancel.
    assert np.all(near | (np.abs(want) + bound >= np.longdouble(info.max))), (got, want)


@several
@given(st.data(), hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6))
def test_jacobian(data, shape):
    x = data.draw(arrays(shape, np.dtype(data.draw(st.sampled_from(["f4", "f8"])))))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    y = _reference.softmax(x, axis)
    want = _reference.softmax_jacobian(y, axis)
    assert_close(softmax_ext.softmax_jacobian(y, axis), want, 1.0)
    assert want.shape == (*np.delete(shape, axis), shape[axis], shape[axis])


def window(draw, buffer, rows, n):
    """Return a view of the buffer of that shape, of some strides, from some place on."""
    steps = draw(st.sampled_from([(n, 1), (1, rows), (2 * n, 2), (n + 3, 1), (2, 2 * rows)]))
    start = draw(st.integers(0, 100))
    size = [buffer.itemsize * s for s in steps]
    view = np.lib.stride_tricks.as_strided(buffer[start:], (rows, n), size, writeable=True)
    return view[::-1] if draw(st.booleans()) else view


@several
@given(
    st.data(),
    st.sampled_from(operations.ELEMENTWISE),
    st.sampled_from(["f4", "f8"]),
)
def test_out_that_overlaps(data, name, dtype):
    """Windows into one buffer, of any strides: the result is as if they were apart."""
    rows, n = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 70))
    buffer = (
        np.random.default_rng(data.draw(st.integers(0, 99))).normal(size=4 * rows * n + 300).astype(dtype)
    )
    inputs = [window(data.draw, buffer, rows, n) for _ in OPERATIONS[name].arguments]
    out = window(data.draw, buffer, rows, n)
    axis = data.draw(axes(2))
    want = getattr(softmax_ext, name)(*[a.copy() for a in inputs], axis)
    getattr(softmax_ext, name)(*inputs, axis, out=out)
    assert out.tobytes() == want.tobytes()


@several
@given(st.data(), st.sampled_from(operations.FUNCTIONS), shapes | long_shapes, types)
def test_out_of_any_type_and_layout(data, name, shape, out_type):
    """`out` is filled with the result, cast, however it lies in memory; or refused, and not touched."""
    x = data.draw(arrays(shape, np.dtype(data.draw(st.sampled_from(["f4", "f8"])))))
    inputs = [x] * len(OPERATIONS[name].arguments)
    axis = data.draw(axes(len(shape)))
    want = np.asarray(getattr(softmax_ext, name)(*inputs, axis))
    out = np.full(want.shape, 7, out_type)
    out = data.draw(st.sampled_from(list(LAYOUTS.values())))(out) if out.ndim and out.size else out
    if np.can_cast(want.dtype, out.dtype, "same_kind"):
        assert getattr(softmax_ext, name)(*inputs, axis, out=out) is out
        with np.errstate(all="ignore"):
            assert out.tobytes() == want.astype(out.dtype).tobytes()
    else:
        kept = out.tobytes()
        with pytest.raises(TypeError, match=r"\bout\b"):
            getattr(softmax_ext, name)(*inputs, axis, out=out)
        assert out.tobytes() == kept


@several
@given(st.data(), st.sampled_from(COMPILED), st.integers(0, 40), st.integers(0, 300))
def test_functions_for_compiled_code(data, name, rows, n):
    """The bytes of the Python functions, of any numbers; the output may be an input."""
    base, kind = name.rsplit("_", 1)
    dtype, shape = np.dtype(TYPES[kind]), (rows, n)
    count = 1 if base in COMPILED_MAPS else 2
    inputs = [np.ascontiguousarray(data.draw(arrays(shape, dtype)), dtype) for _ in range(count)]
    want = np.asarray(getattr(softmax_ext, base)(*inputs))
    out = np.full_like(want, 7)
    if OPERATIONS[base].elementwise:
        out = data.draw(st.sampled_from([out, *(a if a.flags.writeable else a.copy() for a in inputs)]))
    inputs = [out if a.shape == out.shape and np.shares_memory(a, out) else a for a in inputs]
    assert call(function_at(name), inputs, out, shape) == 0
    assert out.tobytes() == want.tobytes()
