"""Types and arrays (contract 1.2): what is read, what comes out, where it is written, what is refused.

Types of 16 bits have a file of their own, `test_half_types.py`, and so have masks, `test_masks.py`.
"""

import contextlib
import re
import sys

import numpy as np
import operations
import pytest
from layouts import LAYOUTS, field
from numpy.testing import assert_allclose, assert_array_equal

import softmax_ext
from softmax_ext import _reference, log_softmax, logsumexp, softmax, softmax_jacobian, softmax_vjp

every_level = pytest.mark.usefixtures("isa")

MAPS, DERIVATIVES, FUNCTIONS = operations.MAPS, operations.DERIVATIVES, operations.FUNCTIONS
OPERATIONS = operations.OPERATIONS
INTEGERS = "bBhHiIlLqQ"


def call(name, x, *args, module=softmax_ext, **kwargs):
    """Call a function of x, or one of y and a vector: then x serves as both."""
    rows = [x] * len(OPERATIONS[name].arguments)
    return getattr(module, name)(*rows, *args, **kwargs)


@contextlib.contextmanager
def refused(error, *parts):
    """Expect an error whose message names the argument, what came and what was wanted."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    missing = [p for p in map(str, parts) if not re.search(rf"(?<!\w){re.escape(p)}(?!\w)", message)]
    assert not missing, message


def assert_as_reference(name, got, x, *args, **kwargs):
    want = call(name, x, *args, module=_reference, **kwargs)
    assert np.asarray(got).dtype == want.dtype
    # Within 2 ULP (4 u) or 4 u of a natural scale of a few units: what is tested here are places
    # and types, and accuracy elsewhere.
    eps = np.finfo(want.dtype).eps
    assert_allclose(got, want, rtol=4 * eps, atol=16 * eps)


@pytest.fixture
def x():
    return np.random.default_rng(0).normal(size=(3, 4, 5))


# Types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_keep_their_type(name, dtype, x):
    assert_as_reference(name, call(name, x.astype(dtype)), x.astype(dtype))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("code", "?" + INTEGERS)
def test_bool_and_integers_become_float64(name, code):
    x = np.array([[0, 1, 1], [1, 0, 0]], code)
    assert_as_reference(name, call(name, x), x)


def test_small_integers_cannot_wrap_around():
    assert_allclose(log_softmax(np.int8([-128, 127])), [-255, 0], atol=1e-100)
    assert_allclose(logsumexp(np.uint8([255, 0])), 255)
    assert_allclose(log_softmax(np.array([-(2**63), 2**63 - 1])), [-(2.0**64), 0])


@pytest.mark.parametrize("name", MAPS)
def test_dtype_names_the_type_of_the_result(name, x):
    single = x.astype(np.float32)
    assert_as_reference(name, call(name, single, dtype=np.float64), single.astype(np.float64))
    assert_as_reference(name, call(name, single, dtype="f4"), single)
    assert_as_reference(name, call(name, x, dtype=float), x)
    # Wider input: the arithmetic is float64's, so that rounding the result is the only error.
    got = call(name, x * 20, dtype=np.float32)
    assert_array_equal(got, call(name, x * 20).astype(np.float32))
    assert got.dtype == np.float32
    assert_as_reference(name, call(name, np.int16([1, 2, 3]), dtype="f4"), np.float32([1, 2, 3]))


@pytest.mark.parametrize("name", MAPS)
def test_dtype_in_another_byte_order_means_the_type(name, x):
    got = call(name, x, dtype=np.dtype(np.float32).newbyteorder())
    assert_array_equal(got, call(name, x, dtype=np.float32))


NO_NUMBERS = [
    np.zeros(3, np.longdouble),
    np.zeros(3, np.complex64),
    np.zeros(3, np.complex128),
    np.array([1.0, 2.0], object),
    np.array(["1", "2"]),
    np.array([b"1", b"2"]),
    np.array(["2020-01-01"], "M8[D]"),
    np.array([1, 2], "m8[s]"),
    np.zeros(2, [("a", float)]),
]


@pytest.mark.parametrize("name", [*FUNCTIONS, "softmax_jacobian"])
@pytest.mark.parametrize("x", NO_NUMBERS, ids=lambda x: str(x.dtype))
def test_other_types_are_refused(name, x):
    if x.dtype == np.longdouble == np.float64:
        pytest.skip("longdouble is float64 here")
    with refused(
        TypeError, OPERATIONS[name].arguments[0], x.dtype, "float16", "bfloat16", "float32", "float64"
    ):
        call(name, x)


@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("dtype", ["g", "c16", "i4", "?", "O", "U3", "M8[s]"])
def test_other_result_types_are_refused(name, dtype):
    if np.dtype(dtype) == np.float64:
        pytest.skip("longdouble is float64 here")
    with refused(TypeError, "dtype", np.dtype(dtype), "float16", "bfloat16", "float32", "float64"):
        call(name, [1.0, 2.0], dtype=dtype)


def test_what_is_no_array_is_refused():
    for no_numbers, name in ((None, "NoneType"), ({1.0, 2.0}, "set"), (object(), "object")):
        with refused(TypeError, "x", name):
            softmax(no_numbers)
    with refused(ValueError, "x"):
        softmax([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize("name", [*FUNCTIONS, "softmax_jacobian"])
@pytest.mark.parametrize("mask", [[True, False], False])
def test_masked_arrays_are_refused(name, mask):
    with refused(TypeError, OPERATIONS[name].arguments[0], "mask"):
        call(name, np.ma.array([1.0, 2.0], mask=mask))


@pytest.mark.parametrize("name", DERIVATIVES)
def test_masked_vector_is_refused(name):
    with refused(TypeError, OPERATIONS[name].arguments[1], "mask"):
        getattr(softmax_ext, name)([0.5, 0.5], np.ma.array([1.0, 2.0], mask=[True, False]))


def test_lists_scalars_and_subclasses():
    assert_array_equal(softmax([[1, 1], [2, 2]]), np.full((2, 2), 0.5))
    assert_array_equal(softmax(range(3)), softmax(np.arange(3.0)))
    for x in (3, 3.5, np.float64(3), np.array(3.0)):
        assert softmax(x) == 1
        assert log_softmax(x) == 0
        assert logsumexp(x) == x
    assert softmax(np.float32(3)).dtype == np.float32


@pytest.mark.parametrize(
    ("y", "g", "result"),
    [
        ("f4", "f8", "f8"),
        ("f8", "f4", "f8"),
        ("f4", ">f4", "f4"),
        ("f4", "i8", "f8"),
        ("f4", "?", "f8"),  # integers and bool are float64 before anything else
        ("f4", "i1", "f8"),
        ("i4", "f8", "f8"),
        ("i4", "i4", "f8"),
    ],
)
def test_products_promote_as_numpy_does(y, g, result):
    y, g = np.array([0, 1, 0], y), np.array([[1, 0, 1]], g)
    for name in DERIVATIVES:
        assert getattr(softmax_ext, name)(y, g[0]).dtype == result


# Axes ---------------------------------------------------------------------------------------------

AXES = [0, 1, 2, -1, -2, -3, (0,), (0, 1), (1, 2), (0, 2), (2, 0), (-1, 0), (0, 1, 2), None, ()]


@every_level
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_axes(name, axis, x):
    got = call(name, x, axis)
    assert_as_reference(name, got, x, axis)
    if not OPERATIONS[name].elementwise:
        kept = call(name, x, axis, keepdims=True)
        assert kept.shape == np.sum(x, axis=axis, keepdims=True).shape
        assert np.shape(got) == np.shape(np.sum(x, axis=axis))
        assert_array_equal(np.ravel(kept), np.ravel(got))
    else:
        assert got.shape == x.shape


@pytest.mark.parametrize("name", FUNCTIONS)
def test_axis_takes_any_integer(name, x):
    for axis in (np.int8(1), np.uint64(1), -2):
        assert_array_equal(call(name, x, axis), call(name, x, 1))
    assert_array_equal(call(name, x, (0, np.int64(2))), call(name, x, (0, 2)))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
@pytest.mark.parametrize(
    "shape", [(7,), (1, 9), (9, 1), (4, 1, 6), (2, 3, 1, 5, 4), (1, 1, 1), (3, 90, 2), (5, 4, 1, 120)]
)
def test_an_axis_alone_and_in_a_tuple(name, dtype, shape):
    """Contiguous arrays along one axis take a short way; a tuple takes the long one."""
    x = np.random.default_rng(1).normal(size=shape).astype(dtype)
    for axis in range(-x.ndim, x.ndim):
        want = np.asarray(call(name, x, (axis,)))
        assert_array_equal(call(name, x, axis), want, strict=want.ndim > 0)
        if OPERATIONS[name].elementwise:
            out = np.full_like(x, 7)
            assert call(name, x, axis, out=out) is out
            assert_array_equal(out, want)
        if x.ndim > 1:
            where = np.random.default_rng(2).random(shape) < 0.7
            assert_array_equal(call(name, x, axis, where=where), call(name, x, (axis,), where=where))


@pytest.mark.parametrize("name", [*FUNCTIONS, "softmax_jacobian"])
@pytest.mark.parametrize("axis", [3, -4, 10**30])
def test_axis_out_of_range(name, axis, x):
    with pytest.raises((np.exceptions.AxisError, OverflowError)) as caught:
        call(name, x, axis)
    if axis < 10:
        assert caught.type is np.exceptions.AxisError
        assert str(axis) in str(caught.value)
        assert "3" in str(caught.value)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_axes(name, x):
    with pytest.raises(np.exceptions.AxisError):
        call(name, x, (0, 3))
    for axis in ((0, 0), (1, -2)):
        with refused(ValueError, "axis"):
            call(name, x, axis)
    for axis in (1.0, "0", (0, 1.5), (None,), np.array([0.0])):
        with refused(TypeError, "axis"):
            call(name, x, axis)
    with pytest.raises(np.exceptions.AxisError):
        call(name, 1.0, 1)


# Empty and 0-d ------------------------------------------------------------------------------------


@every_level
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0), (2, 0, 4)])
def test_empty_arrays(shape, dtype):
    x = np.empty(shape, dtype)
    for axis in [*range(x.ndim), None, tuple(range(x.ndim))]:
        for name in operations.ELEMENTWISE:
            got = call(name, x, axis)
            assert got.shape == shape
            assert got.dtype == dtype
        total = np.asarray(logsumexp(x, axis))
        assert total.dtype == dtype
        assert total.shape == np.shape(x.sum(axis=axis))
        assert_array_equal(total, np.full(total.shape, -np.inf))


def test_empty_jacobian():
    assert softmax_jacobian(np.empty((3, 0))).shape == (3, 0, 0)
    assert softmax_jacobian(np.empty((0, 3))).shape == (0, 3, 3)


@pytest.mark.parametrize("axis", [-1, 0, None, ()])
def test_zero_dimensions_count_as_one_row_of_one_element(axis):
    x = np.array(2.5)
    for name, value in (("softmax", 1), ("log_softmax", 0), ("logsumexp", 2.5)):
        got = call(name, x, axis)
        assert np.shape(got) == ()
        assert got == value
        out = np.array(np.nan)
        assert call(name, x, axis, out=out) is out
        assert out == value
    assert softmax_vjp(np.array(1.0), np.array(3.0), axis) == 0


@every_level
def test_many_dimensions():
    x = np.random.default_rng(1).normal(size=(2, 1) * 8 + (3, 2))
    for axis in (-1, 0, 7, (0, 16), (2, 4, 17), None):
        assert_as_reference("softmax", softmax(x, axis), x, axis)
        assert_as_reference("logsumexp", logsumexp(x, axis), x, axis)


# Layouts ------------------------------------------------------------------------------------------


@every_level
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(name, dtype, layout, x):
    plain = x.astype(dtype)
    strange = LAYOUTS[layout](plain)
    kept = strange.copy()
    for axis in (-1, 0, (0, 2), None):
        got = call(name, strange, axis)
        assert got.dtype == dtype
        assert np.asarray(got).dtype.isnative
        assert_array_equal(got, call(name, plain, axis))
        if np.ndim(got):
            out = LAYOUTS[layout](np.full_like(got, np.nan))
            assert call(name, strange, axis, out=out) is out
            assert_array_equal(out, got)
    assert_array_equal(strange, kept)


@pytest.mark.parametrize("code", ["?", ">i2", "<i8", ">u4"])
def test_integers_of_any_layout(code):
    x = np.arange(24).reshape(4, 6).astype(code)
    assert_array_equal(softmax(x[::-1, ::2]), softmax(x[::-1, ::2].astype(float)))
    assert_array_equal(softmax(field(x), 0), softmax(x.astype(float), 0))


@every_level
@pytest.mark.parametrize("name", MAPS)
def test_broadcast_views(name):
    """Zero strides, also ones that stand for more elements than memory has."""
    row = np.array([1.0, 2.0, 3.0])
    wide = np.broadcast_to(row, (4, 3))
    assert_array_equal(call(name, wide), call(name, wide.copy()))
    assert_array_equal(call(name, wide, 0), call(name, wide.copy(), 0))
    assert_array_equal(call(name, wide, None), call(name, wide.copy(), None))
    constant = np.broadcast_to(np.float64(2), (5, 7))
    assert_array_equal(call(name, constant), call(name, constant.copy()))


@pytest.mark.parametrize("axis", [-1, 0])
def test_vector_broadcasts_to_y(axis, x):
    y = softmax(x, axis)
    for g in (2.5, np.arange(5.0), np.arange(4.0)[:, None], np.arange(3.0)[:, None, None], x[:1]):
        for name in DERIVATIVES:
            function = getattr(softmax_ext, name)
            full = np.broadcast_to(g, y.shape).copy()
            assert_array_equal(function(y, g, axis), function(y, full, axis))


@pytest.mark.parametrize("name", DERIVATIVES)
def test_vector_of_another_shape_is_refused(name):
    y = np.full((2, 3), 1 / 3)
    for g in (np.ones((2, 2)), np.ones((5, 2, 3)), np.ones((4, 1)), np.ones(2)):
        with refused(ValueError, OPERATIONS[name].arguments[1], g.shape, y.shape):
            getattr(softmax_ext, name)(y, g)


# out= ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_out_is_filled_and_returned(name, x):
    want = call(name, x)
    out = np.full(want.shape, np.nan)
    assert call(name, x, out=out) is out
    assert_array_equal(out, want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_out_is_cast_to(name, x):
    single = x.astype(np.float32)
    want = call(name, single)
    for array, dtype in ((single, np.float64), (x, np.float32)):
        want = call(name, array)
        out = np.full(want.shape, np.nan, dtype)
        assert call(name, array, out=out) is out
        assert_array_equal(out, want.astype(dtype))
        big = out.astype(out.dtype.newbyteorder())
        call(name, array, out=big)
        assert_array_equal(big, out)


@pytest.mark.parametrize("name", MAPS)
def test_out_of_any_float_type_takes_a_result(name, x):
    for code in ("f2", "g", "c8", "c16"):
        out = np.zeros(call(name, x).shape, code)
        assert call(name, x, out=out) is out
        assert_array_equal(out, call(name, x).astype(code))


@pytest.mark.parametrize("name", MAPS)
def test_dtype_and_out_together(name, x):
    """The arithmetic is done in the wider of the input's type and `dtype`; `out` takes the result."""
    single = x.astype(np.float32)
    want = call(name, single, dtype=np.float64)
    out = np.zeros(want.shape, np.float32)
    assert call(name, single, dtype=np.float64, out=out) is out
    assert_array_equal(out, want.astype(np.float32))
    out = np.zeros(want.shape)
    call(name, x, dtype=np.float32, out=out)
    assert_array_equal(out.astype(np.float32), call(name, x, dtype=np.float32))


def test_logsumexp_out_with_keepdims(x):
    out = np.empty((3, 1, 5))
    assert logsumexp(x, 1, keepdims=True, out=out) is out
    assert_array_equal(out[:, 0], logsumexp(x, 1))
    with refused(ValueError, "out", (3, 1, 5), (3, 5)):
        logsumexp(x, 1, out=out)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_out_is_refused_before_anything_is_written(name, x):
    shape = call(name, x).shape
    read_only = np.full(shape, 7.0)
    read_only.flags.writeable = False
    for out, error in [
        (read_only, ValueError),
        (np.full((*shape, 1), 7.0), ValueError),
        (np.full(shape[::-1], 7.0), ValueError),
        (np.full((2, *shape), 7.0), ValueError),
        (np.full(shape, 7), TypeError),
        (np.full(shape, True), TypeError),
        (np.full(shape, "2020", "M8[Y]"), TypeError),
    ]:
        kept = out.copy()
        with refused(error, "out"):
            call(name, x, out=out)
        assert_array_equal(out, kept)
    for no_array in ([0.0], 1.0, "out", np.float64(1)):
        with refused(TypeError, "out", type(no_array).__name__):
            call(name, x, out=no_array)


def test_out_is_not_written_when_another_argument_is_bad(x):
    out = np.full(x.shape, 7.0)
    for bad in (
        lambda: softmax(x, 5, out=out),
        lambda: softmax(x, dtype=int, out=out),
        lambda: softmax(x.astype(complex), out=out),
        lambda: softmax_vjp(x, np.ones(9), out=out),
    ):
        with pytest.raises((TypeError, ValueError)):
            bad()
        assert (out == 7).all()


def test_message_says_what_came_and_what_was_wanted(x):
    with refused(ValueError, "out", (3, 4), (3, 4, 5)):
        softmax(x, out=np.empty((3, 4)))
    with refused(TypeError, "out", "int64", "float64", "same_kind"):
        softmax(x, out=np.empty(x.shape, np.int64))
    with refused(ValueError, "out", "read-only"):
        softmax(x, out=np.broadcast_to(0.0, x.shape))
    with refused(TypeError, "out", "an array", "MaskedArray"):
        softmax(x, out=np.ma.array(np.zeros(x.shape), mask=True))


# Overlap: the result is as if `out` were elsewhere ------------------------------------------------


def overlaps(n):
    """Yield (x, out) views of one buffer of n×n numbers, and how they lie."""

    def buffer():
        return np.random.default_rng(2).normal(size=n * n + 2 * n + 3)

    whole = slice(0, n * n)
    yield "in place", *((b := buffer())[whole].reshape(n, n),) * 2
    for shift in (1, 2, n - 1, n, n + 1, 2 * n):
        b = buffer()
        yield f"forward by {shift}", b[whole].reshape(n, n), b[shift : shift + n * n].reshape(n, n)
        b = buffer()
        yield f"backward by {shift}", b[shift : shift + n * n].reshape(n, n), b[whole].reshape(n, n)
    b = buffer()[whole].reshape(n, n)
    yield "transposed", b, b.T
    b = buffer()[whole].reshape(n, n)
    yield "reversed", b, b[::-1, ::-1]
    b = buffer()[whole].reshape(n, n)
    yield "rows reversed", b[::-1], b
    b = buffer()
    yield "row read for all", np.broadcast_to(b[5 : 5 + n], (n, n)), b[whole].reshape(n, n)
    b = np.zeros(n * n // 4)
    single = b.view(np.float32)[: b.size]
    single[:] = buffer()[: b.size]
    yield "as another type", single.reshape(2, -1), b.reshape(2, -1)


@every_level
@pytest.mark.parametrize("axis", [-1, 0, None])
@pytest.mark.parametrize("n", [8, 24, 200])
@pytest.mark.parametrize("name", operations.ELEMENTWISE)
def test_out_may_overlap_the_input_in_any_way(name, n, axis, threads):
    threads(3)
    for how, x, out in overlaps(n):
        want = call(name, x.copy(), axis)
        assert call(name, x, axis, out=out) is out
        assert out.dtype == np.float64
        assert_array_equal(out, want, err_msg=how)


@every_level
@pytest.mark.parametrize("n", [8, 200])
def test_logsumexp_out_may_overlap_the_input(n):
    for axis, pick in [(1, lambda b: b[:, 0]), (1, lambda b: b[3]), (0, lambda b: b[0]),
                       (0, lambda b: b[::-1, 2])]:  # fmt: skip
        x = np.random.default_rng(3).normal(size=(n, n))
        want = logsumexp(x.copy(), axis)
        out = pick(x)
        assert logsumexp(x, axis, out=out) is out
        assert_array_equal(out, want)


@every_level
@pytest.mark.parametrize("name", DERIVATIVES)
@pytest.mark.parametrize("n", [8, 200])
@pytest.mark.parametrize("axis", [-1, 0])
def test_out_may_overlap_the_vector(name, n, axis):
    for how, g, out in overlaps(n):
        y = softmax(np.random.default_rng(4).normal(size=out.shape), axis)
        want = getattr(softmax_ext, name)(y, g.copy(), axis)
        getattr(softmax_ext, name)(y, g, axis, out=out)
        assert_array_equal(out, want, err_msg=how)


def test_vector_may_be_a_part_of_out():
    """A broadcast `g` that lies inside `out` is read before it is overwritten."""
    out = np.random.default_rng(5).normal(size=(6, 6))
    y = softmax(np.random.default_rng(6).normal(size=(6, 6)))
    want = softmax_vjp(y, out[0].copy())
    assert_array_equal(softmax_vjp(y, out[0], out=out), want)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_inputs_are_not_changed(name, x):
    kept = x.copy()
    x.flags.writeable = False
    for axis in (-1, 0, None):
        call(name, x, axis)
    assert_array_equal(x, kept)


@pytest.mark.parametrize("name", MAPS)
def test_result_is_a_new_contiguous_array(name, x):
    for array in (x, np.asfortranarray(x), x[:, ::-1]):
        got = call(name, array)
        assert type(got) is np.ndarray
        assert got.flags.writeable
        assert not np.may_share_memory(got, array)


AT_THE_EDGE = """
import ctypes, itertools, mmap
import numpy as np
import softmax_ext

page = mmap.PAGESIZE
memory = mmap.mmap(-1, 16 * page)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
protect = ctypes.CDLL(None, use_errno=True).mprotect
protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
for edge in (0, 15 * page):  # pages that must not be touched
    assert protect(address + edge, page, 0) == 0, ctypes.get_errno()


def at_the_edge(x):
    for start in (page, 15 * page - x.nbytes):
        view = np.frombuffer(memory, x.dtype, x.size, start).reshape(x.shape)
        view[...] = x
        yield view


shapes = [(3, 7), (7, 3), (5, 1), (80, 9), (9, 81), (100, 5), (5, 100), (4, 33), (33, 4), (2, 500), (500, 2)]
for level in softmax_ext._core._isa_available():
    softmax_ext._core._set_isa(level)
    for dtype, shape, axis in itertools.product((np.float32, np.float64), shapes, (0, 1)):
        for value in (0.5, np.nan, 1e30):
            x = np.full(shape, value, dtype)
            x[0, 0] = 0
            indptr = [0, 1, 1, shape[0] - 1, shape[0]]
            for view in at_the_edge(x):
                softmax_ext.logsumexp(view, axis)
                for name in ("softmax", "log_softmax"):
                    getattr(softmax_ext, name)(view, axis, out=view)
                    getattr(softmax_ext, name + "_vjp")(view, view, axis, out=view)
                    getattr(softmax_ext, "segment_" + name)(view, indptr, out=view)
                    getattr(softmax_ext, "segment_" + name)(view.ravel(), [0, 3, x.size], out=view.ravel())
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs mprotect")
def test_nothing_beside_an_array_is_touched(python):
    """Neither read nor written: arrays end, and begin, where memory does."""
    assert python("-c", AT_THE_EDGE).strip() == "done"
