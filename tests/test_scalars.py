"""Arguments that are one number (contract 1.1): any real number is taken, anything else is refused by name."""

import array
import re
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import softmax_ext
from softmax_ext import cross_entropy, cross_entropy_with_grad, log_softmax, softmax

X = np.array([[0.5, -1.0, 3.0]])
P = np.array([[0.5, 0.125, 0.375]])

CALLS = {
    "softmax temperature": lambda value: softmax(X, temperature=value),
    "log_softmax temperature": lambda value: log_softmax(X, temperature=value),
    "logsumexp temperature": lambda value: softmax_ext.logsumexp(X, temperature=value),
    "softmax_entropy temperature": lambda value: softmax_ext.softmax_entropy(X, temperature=value),
    "softmax_vjp temperature": lambda value: softmax_ext.softmax_vjp(P, X, temperature=value),
    "log_softmax_jvp temperature": lambda value: softmax_ext.log_softmax_jvp(np.log(P), X, temperature=value),
    "softmax_jacobian temperature": lambda value: softmax_ext.softmax_jacobian(P, temperature=value),
    "cross_entropy temperature": lambda value: cross_entropy(X, [1], temperature=value),
    "cross_entropy label_smoothing": lambda value: cross_entropy(X, [1], label_smoothing=value),
    "cross_entropy_with_grad label_smoothing": (
        lambda value: cross_entropy_with_grad(X, [1], label_smoothing=value)[1]
    ),
}
every_scalar = pytest.mark.parametrize("call", CALLS)


class Tensor:
    """A scalar of another library, which Python converts by `__float__`."""

    def __float__(self):
        return 0.5


class Broken:
    def __float__(self):
        raise RuntimeError("on another device")

    def __repr__(self):
        raise RuntimeError("no repr")


@every_scalar
@pytest.mark.parametrize(
    "value",
    [1, Fraction(1, 2), Decimal("0.5"), Tensor(), np.float64(0.5), np.float16(0.5),
     np.float32(0.5), np.longdouble(0.5), np.int8(1), np.uint64(1), np.array(0.5), np.array(1, ">i4")],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_real_numbers_are_taken(call, value):
    np.testing.assert_array_equal(CALLS[call](value), CALLS[call](float(value)), strict=True)


@every_scalar
def test_scalars_of_ml_dtypes_are_taken(call):
    ml_dtypes = pytest.importorskip("ml_dtypes")
    for kind in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn):
        np.testing.assert_array_equal(CALLS[call](kind(0.5)), CALLS[call](0.5), strict=True)


@every_scalar
@pytest.mark.parametrize(
    ("value", "shown"),
    [("0.5", "'0.5'"), (b"0.5", "b'0.5'"), (bytearray(b"0.5"), "bytearray"), (memoryview(b"0.5"), "memoryview"),
     (array.array("b", b"1"), "array"), (True, "True"), (np.True_, "np.True_"), (0.5j, "complex"), (None, "NoneType"),
     (np.complex64(0.5), "complex64"), (np.str_("0.5"), "'0.5'"), (np.bytes_(b"0.5"), "b'0.5'"),
     (np.void(b"1"), "void"), (np.timedelta64(1, "s"), "timedelta64"), (np.array(True), "ndarray"),
     (np.array("1"), "ndarray"), (np.array(1, object), "ndarray"), (np.array([0.5]), "ndarray"),
     (np.ma.masked, "MaskedConstant"), ([0.5], "list"), ({}, "dict"), (object(), "object"), (Broken(), "Broken")],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)  # fmt: skip
def test_anything_else_is_refused_by_name(call, value, shown):
    name = call.split()[1]
    with pytest.raises(
        TypeError, match=rf"^{name}: got .*{re.escape(shown)}.*, expected a .*number"
    ) as caught:
        CALLS[call](value)
    assert isinstance(value, Broken) == ("on another device" in str(caught.value))


@every_scalar
@pytest.mark.parametrize(
    "value", [10**400, -(10**5000), Fraction(10**400)], ids=["int", "long int", "Fraction"]
)
def test_a_number_beyond_float64(call, value):
    with pytest.raises(ValueError, match=rf"^{call.split()[1]}: got \w+ beyond float64, expected a .*number"):
        CALLS[call](value)


@pytest.mark.parametrize("setter", [softmax_ext.set_num_threads, softmax_ext.set_buffer_limit])
def test_an_integer_that_python_does_not_print(setter):
    with pytest.raises(ValueError, match=r"^n: got a value of type int, expected a number of"):
        setter(10**5000)


def test_long_values_are_cut_in_messages():
    with pytest.raises(ValueError, match=r"^reduction: got 'aaa") as caught:
        cross_entropy(X, [1], reduction="a" * 10_000)
    assert len(str(caught.value)) < 200
