"""The functions (contract 1.1): names, signatures, and what they mean in textbooks and training."""

import inspect
import pickle
import pydoc
import typing

import numpy as np
import operations
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import softmax_ext
from softmax_ext import (
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    softmax,
    softmax_entropy,
    softmax_jacobian,
    softmax_jvp,
    softmax_vjp,
)

pytestmark = pytest.mark.usefixtures("isa")
U = 2.0**-53  # one rounding in float64


@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_signature(name):
    operation = operations.OPERATIONS[name]
    assert operations.signature(operation.function) == dict.fromkeys(operation.arguments, ...) | (
        operation.parameters
    )
    for p in inspect.signature(operation.function).parameters.values():
        expected = p.POSITIONAL_OR_KEYWORD if p.name in (*operation.arguments, "axis") else p.KEYWORD_ONLY
        assert p.kind == expected, p.name
    assert operation.function.__doc__


def test_public_names():
    assert all(hasattr(softmax_ext, name) for name in softmax_ext.__all__)


FUNCTIONS = [name for name in softmax_ext.__all__ if callable(getattr(softmax_ext, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_where_users_find_them(name):
    function = getattr(softmax_ext, name)
    assert (function.__module__, function.__qualname__) == ("softmax_ext", name)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        data = pickle.dumps(function, protocol)
        assert b"_core" not in data
        assert pickle.loads(data) is function
    assert pydoc.render_doc(function).splitlines()[0].endswith("in module softmax_ext")
    assert "softmax_ext._" not in repr(function)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_annotations_can_be_evaluated(name):
    function = getattr(softmax_ext, name)
    annotations = inspect.get_annotations(function, eval_str=True)
    assert annotations == typing.get_type_hints(function)
    assert not any(isinstance(annotation, str) for annotation in annotations.values())
    inspect.signature(function, eval_str=True)
    for overload in typing.get_overloads(function):
        inspect.get_annotations(overload, eval_str=True)


def test_annotations_of_the_functions_of_dask_arrays():
    pytest.importorskip("dask")
    dask = pytest.importorskip("softmax_ext.dask")
    for name in dask.__all__:
        assert "axis" in inspect.get_annotations(getattr(dask, name), eval_str=True)


# Textbook figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.25, 1.23, -0.8], [0.249, 0.664, 0.087]),
        ([0.1, 0.9, 0.2], [0.231, 0.514, 0.255]),
        ([0, 0.9, 0.1], [0.219, 0.539, 0.242]),
    ],
)
def test_textbook_figures(x, y):
    assert_array_equal(softmax(x).round(3), y)


def test_thousands_do_not_overflow():
    x = [1000.0, 2000.0, 3000.0]
    assert_array_equal(softmax(x), [0, 0, 1])
    assert_array_equal(log_softmax(x), [-2000, -1000, 0])
    assert logsumexp(x) == 3000


def test_two_classes_give_the_sigmoid():
    z = np.linspace(-30, 30, 241)
    y = softmax(np.stack([z, np.zeros_like(z)], axis=1))
    # exp, sum and quotient round once each here; softmax itself is within 2 ULP (4 u).
    assert_allclose(y[:, 0], 1 / (1 + np.exp(-z)), rtol=8 * U)


@pytest.mark.parametrize("shift", [-1024.0, -1.0, 0.5, 2.0**20])
def test_shift_changes_nothing(shift):
    x = np.arange(-8, 8, 0.25)  # so few digits that the shift is exact
    # Each side is within 2 ULP (4 u) of the same true value.
    assert_allclose(softmax(x + shift), softmax(x), rtol=8 * U)
    assert_allclose(log_softmax(x + shift), log_softmax(x), rtol=8 * U)
    assert_allclose(logsumexp(x + shift), logsumexp(x) + shift, rtol=10 * U)


def test_rows_sum_to_one_and_logarithms_agree():
    x = np.random.default_rng(0).normal(size=(7, 50)) * 5
    y = softmax(x)
    assert_allclose(y.sum(axis=1), 1, rtol=8 * U)
    # y = exp(log y): an error in log y, up to 30 in size, is an absolute one.
    assert_allclose(np.exp(log_softmax(x)), y, rtol=60 * 4 * U)
    # x - log Σ exp(x) rounds as an ordinary difference of numbers up to 30.
    assert_allclose(x - logsumexp(x, keepdims=True), log_softmax(x), atol=30 * 4 * U)


def test_logsumexp_of_logarithms_is_the_logarithm_of_the_sum():
    p = np.array([1e-300, 2e-300, 5e-300])
    assert_allclose(logsumexp(np.log(p)), np.log(8e-300), rtol=8 * U)


def test_entropy_of_textbook_rows():
    assert_array_equal(softmax_entropy([[7.0], [-1e300]]), [0, 0])
    assert_allclose(softmax_entropy(np.zeros((3, 8))), np.log(8), rtol=4 * U)
    p = np.array([0.5, 0.25, 0.125, 0.125])  # 1.75 bits; the logarithms are rounded
    assert_allclose(softmax_entropy(np.log(p)), 1.75 * np.log(2), rtol=16 * U)
    x = np.random.default_rng(4).normal(size=(5, 300)) * 3
    y, log_y = softmax(x), log_softmax(x)
    # -Σ y log y rounds each of its terms a few times.
    assert_allclose(softmax_entropy(x), -(y * log_y).sum(axis=1), rtol=32 * U)
    assert_allclose(softmax_entropy(x, temperature=2.5), softmax_entropy(x / 2.5), rtol=300 * U)


# Derivatives --------------------------------------------------------------------------------------


@pytest.fixture
def x():
    return np.random.default_rng(1).normal(size=(5, 6)) * 2


@pytest.fixture
def g():
    return np.random.default_rng(2).normal(size=(5, 6))


def numerical_jacobian(function, row, h=1e-5):
    """Return d function_i / d row_j by central differences."""
    steps = h * np.eye(row.size)
    return np.stack([(function(row + s) - function(row - s)) / (2 * h) for s in steps], axis=-1)


# Central differences are off by h²/6 times a third derivative, here below 1, and by rounding,
# 2u/h: 2e-11 each. 1e-9 leaves room; a wrong term would show in the first digits.
DIFFERENCES = 1e-9


def test_jacobian_is_diag_y_minus_y_y(x):
    y = softmax(x)
    want = [np.diag(row) - np.outer(row, row) for row in y]
    assert_allclose(softmax_jacobian(y), want, atol=4 * U, rtol=0)
    assert_allclose(softmax_jacobian(y)[0], numerical_jacobian(softmax, x[0]), atol=DIFFERENCES)


def test_jacobian_along_any_axis():
    y = softmax(np.random.default_rng(3).normal(size=(2, 3, 4)), axis=1)
    got = softmax_jacobian(y, axis=1)
    assert got.shape == (2, 4, 3, 3)
    assert_array_equal(got[1, 2], softmax_jacobian(y[1, :, 2]))
    assert softmax_jacobian(np.float32([0.5, 0.5])).dtype == np.float32


def test_softmax_vjp_is_g_times_the_jacobian(x, g):
    y = softmax(x)
    want = np.einsum("ri,rij->rj", g, softmax_jacobian(y))
    # Both sum six terms below 1: some roundings of 1 at most.
    assert_allclose(softmax_vjp(y, g), want, atol=16 * U, rtol=0)
    assert_array_equal(softmax_jvp(y, g), softmax_vjp(y, g))
    numerical = g[0] @ numerical_jacobian(softmax, x[0])
    assert_allclose(softmax_vjp(y, g)[0], numerical, atol=DIFFERENCES)


def test_log_softmax_vjp_and_jvp_are_products_with_its_jacobian(x, g):
    y = log_softmax(x)
    jacobian = np.eye(6) - np.exp(y)[:, None, :]
    assert_allclose(log_softmax_vjp(y, g), np.einsum("ri,rij->rj", g, jacobian), atol=32 * U, rtol=0)
    assert_allclose(log_softmax_jvp(y, g), np.einsum("rij,rj->ri", jacobian, g), atol=32 * U, rtol=0)
    numerical = numerical_jacobian(log_softmax, x[0])
    assert_allclose(log_softmax_vjp(y, g)[0], g[0] @ numerical, atol=DIFFERENCES)
    assert_allclose(log_softmax_jvp(y, g)[0], numerical @ g[0], atol=DIFFERENCES)


def test_gradient_of_logsumexp_is_softmax(x):
    numerical = numerical_jacobian(logsumexp, x[0])
    assert_allclose(softmax(x[0]), numerical, atol=DIFFERENCES)


def test_gradient_of_the_mean_cross_entropy(x):
    """It is (softmax - onehot) / m: what a training step uses."""
    m, classes = x.shape
    labels = np.array([0, 5, 2, 2, 1])
    onehot = np.eye(classes)[labels]

    def loss(x):
        return -log_softmax(x)[np.arange(m), labels].mean()

    got = log_softmax_vjp(log_softmax(x), -onehot / m)
    assert_allclose(got, (softmax(x) - onehot) / m, atol=8 * U, rtol=0)
    h = 1e-5
    numerical = [
        [
            (loss(x + step) - loss(x - step)) / (2 * h)
            for step in h * np.eye(x.size).reshape(m, -1, *x.shape)[i]
        ]
        for i in range(m)
    ]
    assert_allclose(got, numerical, atol=DIFFERENCES)
