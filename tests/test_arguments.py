"""Arguments that no array comes of (contract 1.2): refused with the argument's name, what came, and what to do instead.

One number is the subject of `test_scalars.py`; arrays of other types, shapes and axes are in `test_arrays.py`.
"""

import re
from collections import deque

import numpy as np
import operations
import pytest

import softmax_ext
from softmax_ext import (
    cross_entropy,
    log_softmax,
    logsumexp,
    segment_softmax,
    softmax,
    softmax_jacobian,
    softmax_vjp,
)

OPERATIONS = operations.OPERATIONS
SLOTS = [(name, slot) for name, operation in OPERATIONS.items() for slot in operation.arguments]
OPTIONS = [
    (name, slot)
    for name, operation in OPERATIONS.items()
    for slot in ("where", "weight")
    if operation.takes(slot)
]
every_array = pytest.mark.parametrize(("name", "slot"), [*SLOTS, *OPTIONS])


def call(name, **kwargs):
    """Call the function with good arguments, but for those given."""
    operation = OPERATIONS[name]
    return operation.function(
        **dict(zip(operation.arguments, operation.inputs((3, 4), np.float64), strict=True)) | kwargs
    )


def message(name, slot, value, error=(TypeError, ValueError)):
    """Return what the error says that the function raises for this value."""
    with pytest.raises(error, match=rf"^{slot}: ") as caught:
        call(name, **{slot: value})
    assert "expected" in str(caught.value)
    return str(caught.value)


class Converts:
    """What has an array of its own, as tensors and data frames do."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None):  # without `copy`, as older libraries have it
        return self.array


class Elsewhere:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("on another device")


@pytest.mark.filterwarnings("error")
def test_indptr_may_be_a_tensor():
    """As it is read, NumPy warns of `__array__` without `copy`, which tensors have, unless it may choose."""
    x = np.arange(5.0)
    want = softmax_ext.segment_softmax(x, [0, 2, 5])
    assert softmax_ext.segment_softmax(x, Converts(np.array([0, 2, 5]))).tobytes() == want.tobytes()


@pytest.mark.filterwarnings("error")
def test_indptr_may_be_pytorchs_tensor():
    torch = pytest.importorskip("torch")
    x = np.arange(5.0)
    want = softmax_ext.segment_softmax(x, [0, 2, 5])
    for dtype in (torch.int32, torch.int64):
        got = softmax_ext.segment_softmax(torch.tensor(x), torch.tensor([0, 2, 5], dtype=dtype))
        assert got.tobytes() == want.tobytes()


# Names of types -----------------------------------------------------------------------------------


@every_array
@pytest.mark.parametrize(
    ("value", "named"),
    [({"a": 1}, "dict"), ({1.0}, "set"), (object(), "object"), ("abc", "str"), (1j, "complex"),
     (lambda: 1, "function"), ([[1.0, None]], "list that holds NoneType"), ((1.0, {}), "tuple that holds dict"),
     (10**30, "int beyond 64 bits"), ([1, 10**30], "list that holds int beyond 64 bits"),
     (np.complex64(1), "complex64"), (np.array([1, None]), "object"), (Elsewhere(), "Elsewhere")],
    ids=str,
)  # fmt: skip
def test_what_came_is_named(name, slot, value, named):
    text = message(name, slot, value)
    assert re.match(rf"{slot}: got {re.escape(named)}\b", text), text
    assert isinstance(value, Elsewhere) == ("on another device" in text)


def test_a_number_that_is_no_mask_is_named():
    for value, named in ((1, "int"), (1.5, "float"), (2**63, "int"), (10**30, "int beyond 64 bits")):
        with pytest.raises(TypeError, match=f"^where: got {named}, expected bool$"):
            softmax_ext.softmax([0.0, 1.0], where=value)


@pytest.mark.parametrize(("name", "slot"), SLOTS)
def test_none(name, slot):
    assert message(name, slot, None).startswith(f"{slot}: got NoneType, expected")


@pytest.mark.parametrize(("name", "slot"), [s for s in SLOTS if s[1] not in ("labels", "indptr")])
def test_a_sparse_array_of_scipy(name, slot):
    sparse = pytest.importorskip("scipy.sparse")
    for kind in (sparse.csr_array, sparse.coo_matrix):
        text = message(name, slot, kind(np.eye(3)), TypeError)
        assert text.startswith(f"{slot}: got {kind.__name__}, expected")
        assert f"segment_softmax({slot}.data, {slot}.indptr)" in text


def test_what_the_message_about_sparse_arrays_says_works():
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.csr_array(np.array([[1.0, 2.0], [0.0, 3.0]]))
    np.testing.assert_array_equal(segment_softmax(x.data, x.indptr), [*softmax([1.0, 2.0]), 1])


@every_array
def test_a_dask_array(name, slot):
    da = pytest.importorskip("dask.array")

    def never(x):
        raise AssertionError("it was computed")

    lazy = da.from_array(np.ones((3, 4)), 2).map_blocks(never, dtype=float)
    for value in (lazy, [lazy], deque([[lazy]])):
        text = message(name, slot, value)
        assert "softmax_ext.dask" in text
        assert ".compute()" in text


def test_dask_arrays_elsewhere():
    da = pytest.importorskip("dask.array")
    assert "Array, expected a NumPy array" in message("softmax", "out", da.zeros((3, 4)), TypeError)
    assert "got Array, expected a positive" in message("softmax", "temperature", da.ones(()), TypeError)


# Masked arrays ------------------------------------------------------------------------------------


@every_array
def test_a_mask_is_never_dropped(name, slot):
    masked = np.ma.array([0.0, 1.0, 2.0, 3.0], mask=[0, 0, 1, 0])
    for value in (masked, Converts(masked), [masked] * 3, ((masked,), (masked,)), [1.0, np.ma.masked], deque([masked]),
                  [Converts(masked)]):  # fmt: skip
        text = message(name, slot, value)
        assert "without a mask: " in text, text
        # What it says to do instead is something that the function takes.
        if "where=~" in text:
            assert OPERATIONS[name].takes("where")
        if "ignore_index" in text:
            assert OPERATIONS[name].takes("ignore_index")


@pytest.mark.parametrize(
    "value", [[[1.0, 2.0], [3.0, 4.0]], [range(3)], deque([1.0]), Converts(np.ones(3)), b"", [[]]]
)
def test_other_sequences_are_read_as_numpy_reads_them(value):
    if value == b"":
        assert message("softmax", "x", value, TypeError).startswith("x: got bytes")
    else:
        np.testing.assert_array_equal(softmax(value), softmax(np.asarray(value)))


def test_a_list_that_holds_itself():
    endless = []
    endless.append(endless)
    message("softmax", "x", endless)


def test_what_the_messages_about_masks_say_works():
    x = np.ma.array([[0.0, 1.0, 2.0]], mask=[[0, 1, 0]])
    want = softmax(x.data, where=~x.mask)
    for value in (list(x), Converts(x)):
        m = np.ma.array(value) if isinstance(value, list) else np.asanyarray(value)
        np.testing.assert_array_equal(softmax(m.data, where=~np.ma.getmaskarray(m)), want)
    np.testing.assert_array_equal(segment_softmax(x[0].data, [0, 3], where=~x[0].mask), want[0])
    labels = np.ma.array([0, 7], mask=[0, 1])
    assert cross_entropy([[1.0, 2.0]] * 2, labels.filled(-1), ignore_index=-1) == cross_entropy(
        [[1.0, 2.0]], [0]
    )


# out, dtype, and flags ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in OPERATIONS if OPERATIONS[name].takes("out")])
def test_out_that_is_no_array(name):
    result = call(name)
    shape = np.shape(result[1] if isinstance(result, tuple) else result)
    assert "got list, expected a NumPy array to write to" in message(name, "out", [0.0], TypeError)
    text = message(name, "out", Converts(np.zeros(shape)), TypeError)
    assert text.endswith("got Converts, expected a NumPy array to write to, such as np.asarray(out)")
    assert message(name, "out", np.ma.zeros(shape), TypeError).endswith("without a mask: pass out.data")
    for code in ("S4", "U4", "O", "V8", "M8[s]", [("a", "f8")]):
        out = np.zeros(shape, code)
        before = out.tobytes()
        assert "same_kind" in message(name, "out", out, TypeError)
        assert out.tobytes() == before


class BadDtype:
    @property
    def dtype(self):
        raise RuntimeError("no")


@pytest.mark.parametrize("function", [softmax, log_softmax, logsumexp])
@pytest.mark.parametrize(
    "dtype",
    [[("a", "f4")], np.dtype([("a", "f8")]), {"names": ["a"]}, "f4,f4", ",", "(2,)f4", "nothing", 3.5, [1], BadDtype(),
     "O", "S4", "c8", int, bool, "V4", "V2", np.dtypes.StringDType()],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)  # fmt: skip
def test_dtype_of_no_real_number(function, dtype):
    with pytest.raises(TypeError, match=r"^dtype: got .*expected one of float16, bfloat16, float32, float64"):
        function([1.0, 2.0], dtype=dtype)


def test_keepdims():
    x = np.ones((2, 3))
    for yes in (True, np.True_, 1, np.int8(1)):
        assert logsumexp(x, keepdims=yes).shape == (2, 1)
    for no in (False, np.False_, 0, np.int8(0)):
        assert logsumexp(x, keepdims=no).shape == (2,)
    for value in (np.array([1, 2]), "yes", None, 1.0, []):
        with pytest.raises(
            TypeError, match=rf"^keepdims: got {type(value).__name__}, expected True or False"
        ):
            logsumexp(x, keepdims=value)


@pytest.mark.parametrize(
    "mode", [np.zeros(3), ["dicts"], b"dicts", {}, np.zeros((200, 200))], ids=lambda x: type(x).__name__
)
def test_mode_of_show_config(mode):
    with pytest.raises(ValueError, match=r"^mode: got (?s:.{1,85}), expected 'stdout' or 'dicts'$"):
        softmax_ext.show_config(mode)


# Nothing, and the most dimensions -----------------------------------------------------------------


def test_an_empty_list_is_no_list_of_floats():
    assert cross_entropy(np.zeros((0, 3)), [], reduction="none").shape == (0,)
    assert cross_entropy(np.zeros((2, 0)), [[], []], reduction="none").shape == (2,)  # probabilities
    assert softmax(np.zeros((2, 0)), where=[]).shape == (2, 0)
    for text in (message("cross_entropy", "labels", []), message("segment_softmax", "indptr", [])):
        assert "float64" not in text
        assert "shape (0,)" in text
    # An array says of what type it is.
    assert "float64" in message("cross_entropy", "labels", np.zeros(0))
    assert "float64" in message("segment_softmax", "indptr", np.zeros(0))


def test_labels_of_no_classes():
    with pytest.raises(ValueError, match=r"got 0 at position 0, expected none, since there are no classes$"):
        cross_entropy(np.zeros((1, 0)), [0])
    with pytest.raises(ValueError, match=r"got 0 at position 0, expected none.* or 5, the ignore_index"):
        cross_entropy(np.zeros((1, 0)), [0], ignore_index=5)


def test_as_many_dimensions_as_numpy_has():
    x = np.zeros((1,) * 64)
    assert softmax(x).shape == x.shape
    assert softmax_vjp(x, x).shape == x.shape
    assert logsumexp(x, keepdims=True).shape == x.shape
    assert cross_entropy(x, np.zeros(x.shape[1:], int)) == 0
    assert segment_softmax(x, [0, 1]).shape == x.shape
    assert softmax_jacobian(x[0]).shape == x.shape
    with pytest.raises(ValueError, match=r"^y: got 64 dimensions, expected at most 63"):
        softmax_jacobian(x)


# Arrays of other libraries ------------------------------------------------------------------------


def test_objects_with_arrays_are_read_without_a_warning():
    """Warnings are errors here. Older libraries' `__array__` takes no `copy`."""
    x, labels, indptr = np.ones((3, 4)), np.array([0, 1, 2]), np.array([0, 1, 3])
    assert softmax(Converts(x), where=Converts(x > 0)).shape == x.shape
    assert cross_entropy(Converts(x), Converts(labels), weight=Converts(np.ones(4))) > 0
    np.testing.assert_array_equal(segment_softmax(Converts(x), Converts(indptr)), segment_softmax(x, indptr))
    assert softmax_jacobian(Converts(x)).shape == (3, 4, 4)
