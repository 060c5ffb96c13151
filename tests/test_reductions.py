"""Functions with one number a row: one row, all axes, `out` and `keepdims` take the short ways of other calls."""

import numpy as np
import pytest

import softmax_ext
from softmax_ext import _core

FUNCTIONS = [softmax_ext.logsumexp, softmax_ext.softmax_entropy]
CASES = [
    ((10,), -1),
    ((10,), 0),
    ((10,), None),
    ((1000,), -1),
    ((5000,), None),
    ((1, 10), -1),
    ((64, 10), -1),
]
CASES += [((7, 5), 0), ((7, 5), None), ((3, 4, 5), 1), ((3, 4, 5), None), ((6, 300), -1), ((2, 3, 50), None)]


def _elsewhere(x):
    """Return the same numbers with gaps between them, for which the general path is taken."""
    wide = np.zeros((*x.shape, 2), x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize(("shape", "axis"), CASES)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_same_as_on_the_general_path(function, shape, axis, keepdims, dtype):
    x = np.random.default_rng(3).normal(size=shape, scale=4).astype(dtype)
    want = function(_elsewhere(x), axis, keepdims=keepdims)
    got = function(x, axis, keepdims=keepdims)
    assert type(got) is type(want)
    assert got.dtype == want.dtype
    assert got.shape == want.shape == np.sum(x, axis, keepdims=keepdims).shape
    assert got.tobytes() == want.tobytes()
    out = np.zeros(want.shape, dtype)
    assert function(x, axis, keepdims=keepdims, out=out) is out
    assert out.tobytes() == want.tobytes()
    assert function(x, axis, keepdims=keepdims, out=out, where=np.ones(x.shape[-1:], bool)) is out
    assert out.tobytes() == want.tobytes()


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_special_values_in_small_calls(function, special):
    """The short way leaves them to the long one."""
    x = np.zeros((5, 7), np.float32)
    x[2, 3] = special
    x[4] = special
    assert function(x).tobytes() == function(_elsewhere(x)).tobytes()
    assert function(x[4]).tobytes() == function(_elsewhere(x[4])).tobytes()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_out_within_the_input(function):
    x = np.random.default_rng(4).normal(size=(6, 6))
    want = function(x)
    assert function(x, out=x[3]) is not None
    assert x[3].tobytes() == want.tobytes()


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("out", "match"),
    [
        (np.zeros(4), "shape"),
        (np.zeros((3, 1)), "shape"),
        (np.zeros(3, np.int64), "out"),
        (np.zeros(()), "shape"),
    ],
)
def test_unfit_out_is_refused(function, out, match):
    with pytest.raises((ValueError, TypeError), match=match):
        function(np.zeros((3, 4)), out=out)


@pytest.mark.parametrize(
    "keywords", [{}, {"axis": None}, {"keepdims": True}, {"out": np.zeros(1, np.float32)}, {"axis": 1}]
)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_small_calls_take_the_shortest_way(function, keywords):
    x = np.zeros((1, 10), np.float32)
    assert _core._explain(lambda: function(x, **keywords)).startswith("tiny:")
    assert _core._explain(lambda: function(x[0])).startswith("tiny:")
    assert _core._explain(lambda: softmax_ext.softmax(x, None)).startswith("tiny:")
