"""The list of public functions is complete; each does what its reference does, whatever the argument."""

from pathlib import Path

import golden
import numpy as np
import operations
import pytest
from numpy.testing import assert_allclose

import softmax_ext
from softmax_ext import _core

SHAPE = (6, 6)  # a square, so that labels of one axis fit the other, too
TYPES = [np.float32, np.float64]

# A value of each argument, other than its default, given the function's arrays. `out` has a test of its own.
VALUES = {
    "axis": lambda arrays: 0,
    "keepdims": lambda arrays: True,
    "dtype": lambda arrays: np.float32,
    "where": lambda arrays: np.arange(arrays[0].size).reshape(arrays[0].shape) % 3 > 0,
    "temperature": lambda arrays: 0.7,
    "b": lambda arrays: np.cos(np.arange(arrays[0].size)).reshape(arrays[0].shape),
    "return_sign": lambda arrays: True,
    "initial": lambda arrays: np.linspace(-2, 3, arrays[0].shape[0])[:, None],
    "return_logsumexp": lambda arrays: True,
    "reduction": lambda arrays: "sum",
    "weight": lambda arrays: np.linspace(0.5, 2, arrays[0].shape[-1]),
    "ignore_index": lambda arrays: int(arrays[1][0]),
    "label_smoothing": lambda arrays: 0.1,
    "sample_weight": lambda arrays: np.linspace(0.5, 2, arrays[1].size).reshape(arrays[1].shape),
}

every_operation = pytest.mark.parametrize("name", operations.OPERATIONS)


def assert_close(got, want):
    """Compare results, or tuples of them; accuracy has its own tests, so the tolerance is a loose one."""
    if isinstance(want, tuple):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert_close(g, w)
        return
    got, want = np.asarray(got), np.asarray(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    eps = np.finfo(want.dtype).eps
    assert_allclose(got, want, rtol=8 * eps, atol=64 * eps)


def test_every_public_function_is_listed():
    public = {name for name in softmax_ext.__all__ if callable(getattr(softmax_ext, name))}
    assert public == set(operations.OPERATIONS) | set(operations.SETTINGS)
    assert not set(operations.OPERATIONS) & set(operations.SETTINGS)


@pytest.mark.parametrize("name", operations.SETTINGS)
def test_every_setting_has_a_test(name):
    text = Path(__file__).with_name(operations.SETTINGS[name]).read_text(encoding="utf-8")
    assert f"{name}(" in text


@pytest.mark.parametrize("dtype", TYPES)
@every_operation
def test_as_the_reference(name, dtype, isa):
    operation = operations.OPERATIONS[name]
    for shape in (SHAPE, (3, 130)):
        arrays = operation.inputs(shape, dtype)
        assert_close(operation.function(*arrays), operation.reference(*arrays))


@every_operation
def test_every_argument(name):
    operation = operations.OPERATIONS[name]
    arrays = operation.inputs(SHAPE, np.float64)
    plain = operation.function(*arrays)
    for argument, default in operation.parameters.items():
        if argument == "out":
            continue
        value = VALUES[argument](arrays)
        got = operation.function(*arrays, **{argument: value})
        assert_close(got, operation.reference(*arrays, **{argument: value}))
        # It is not passed over, and its default is what the signature says.
        if isinstance(got, tuple) != isinstance(plain, tuple):
            continue
        first, unchanged = (np.asarray(r[0] if isinstance(r, tuple) else r) for r in (got, plain))
        assert (first.shape, first.dtype, first.tobytes()) != (
            unchanged.shape,
            unchanged.dtype,
            unchanged.tobytes(),
        )
        assert_close(operation.function(*arrays, **{argument: default}), plain)


@pytest.mark.parametrize("name", operations.names(lambda o: o.takes("out")))
@pytest.mark.parametrize("dtype", TYPES)
def test_out(name, dtype):
    operation = operations.OPERATIONS[name]
    arrays = operation.inputs(SHAPE, dtype)
    want = operation.function(*arrays)
    if isinstance(want, tuple):
        loss, want = want
        out = np.full_like(want, 7)
        got_loss, got = operation.function(*arrays, out=out)
        assert got_loss == loss
    else:
        out = np.full_like(want, 7)
        got = operation.function(*arrays, out=out)
    assert got is out
    assert out.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", operations.names(lambda o: o.same_as))
def test_second_names(name):
    operation = operations.OPERATIONS[name]
    arrays = operation.inputs(SHAPE, np.float64)
    want = operations.OPERATIONS[operation.same_as].function(*arrays)
    assert operation.function(*arrays).tobytes() == want.tobytes()


def test_every_operation_of_the_kernels_is_covered():
    """In golden.json; and among the measured results, if no other file measures them and they are of their own."""
    names = set(_core._operation_names())
    assert names == {function for function, _, _ in golden.cases()}
    assert {" ".join(case) for case in golden.cases()} == set(golden.read())
    assert names - set(operations.RESULTS) == {
        "smooth_loss", "smooth_loss_grad", "weighted_logsumexp", *golden.WITH_LOGSUMEXP
    }  # fmt: skip
    assert set(operations.RESULTS) <= names
