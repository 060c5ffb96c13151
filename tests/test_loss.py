"""Cross-entropy and its gradient: values, types, options, errors (contract 1.1), and the same bits (1.5).

What PyTorch and ONNX define is worked out by hand here; where PyTorch is at hand, it is asked as well.
"""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS
from numpy.testing import assert_allclose, assert_array_equal

import softmax_ext
from softmax_ext import _loss_arguments, _reference, cross_entropy, cross_entropy_with_grad

TYPES = [np.float32, np.float64]
LN2 = np.log(2)
U = 2.0**-53

# Rows of probabilities that are powers of two: losses are multiples of ln 2.
P = np.array([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75], [0.25, 0.5, 0.25]])
LOGITS = np.log(P) + np.array([[3.0], [-700.0], [0.25]])
LABELS = np.array([0, 1, 2])
LOSSES = np.array([1, 3, 2]) * LN2
WEIGHT = np.array([1.0, 2.0, 0.5])
ONE_HOT = np.eye(3)[LABELS]
# An offset of 700 costs the logits that many roundings.
CLOSE = {"rtol": 1400 * U, "atol": 1400 * U}


def assert_gives(loss, gradient, *args, **kwargs):
    """Both functions give the loss; the one with a gradient also that."""
    got, got_gradient = cross_entropy_with_grad(*args, **kwargs)
    assert_allclose(got, loss, **CLOSE)
    assert_allclose(got_gradient, gradient, **CLOSE)
    alone = cross_entropy(*args, **kwargs)
    assert np.asarray(alone).tobytes() == np.asarray(got).tobytes()
    assert type(alone) is type(got)


# Values --------------------------------------------------------------------------------------------


def test_reductions_of_labels(isa):
    gradient = P - ONE_HOT
    assert_gives(LOSSES, gradient, LOGITS, LABELS, reduction="none")
    assert_gives(6 * LN2, gradient, LOGITS, LABELS, reduction="sum")
    assert_gives(2 * LN2, gradient / 3, LOGITS, LABELS)


def test_weights_of_labels(isa):
    """The mean is divided by the weights of the labels: that of ONNX and PyTorch."""
    w = WEIGHT[LABELS]
    gradient = w[:, None] * (P - ONE_HOT)
    assert_gives(w * LOSSES, gradient, LOGITS, LABELS, reduction="none", weight=WEIGHT)
    assert_gives(8 * LN2, gradient, LOGITS, LABELS, reduction="sum", weight=WEIGHT)
    assert_gives(8 / 3.5 * LN2, gradient / 3.5, LOGITS, LABELS, weight=WEIGHT)


def test_ignored_labels(isa):
    for ignored in (1, -100, 7):
        labels = np.where(LABELS == 1, ignored, LABELS)
        counts = np.array([True, False, True])
        gradient = np.where(counts[:, None], P - ONE_HOT, 0)
        kwargs = {"ignore_index": ignored}
        assert_gives(np.where(counts, LOSSES, 0), gradient, LOGITS, labels, reduction="none", **kwargs)
        assert_gives(3 * LN2, gradient, LOGITS, labels, reduction="sum", **kwargs)
        assert_gives(1.5 * LN2, gradient / 2, LOGITS, labels, **kwargs)
        w = WEIGHT[LABELS]
        gradient *= w[:, None]
        assert_gives(2 * LN2 / 1.5, gradient / 1.5, LOGITS, labels, weight=WEIGHT, **kwargs)


@pytest.mark.parametrize("dtype", [*TYPES, np.float16])
@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.1, "temperature": 2.5}])
@pytest.mark.parametrize("integer", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4"])
def test_labels_of_any_integer_type_are_those_of_a_list(integer, options, dtype):
    x, labels = LOGITS.astype(dtype), LABELS.astype(integer)
    expected, gradient = cross_entropy_with_grad(x, LABELS.tolist(), **options)
    loss, got = cross_entropy_with_grad(x, labels, **options)
    assert loss.tobytes() == expected.tobytes()
    assert got.tobytes() == gradient.tobytes()
    assert_array_equal(labels, LABELS)
    assert cross_entropy(x, labels, **options).tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("smoothing", [2.0**-20, 0.1, 0.5, 1 - 2.0**-20])
def test_smoothing_on_the_fast_path_is_that_of_equal_weights(smoothing, dtype):
    x = np.random.default_rng(0).normal(size=(200, 7)).astype(dtype)
    labels = np.arange(200) % 7
    for reduction in ("mean", "sum", "none"):
        options = {"label_smoothing": smoothing, "reduction": reduction}
        expected = cross_entropy_with_grad(x, labels, weight=np.ones(7), **options)
        for got, wanted in zip(cross_entropy_with_grad(x, labels, **options), expected, strict=True):
            assert got.tobytes() == wanted.tobytes()


def test_label_smoothing(isa):
    """PyTorch: (1 - s) of the weighted loss of the label, s / C of the weighted sum over the classes."""
    s = 0.3
    w = WEIGHT[LABELS]
    targets = (1 - s) * w[:, None] * ONE_HOT + s / 3 * WEIGHT
    losses = -(targets * np.log(P)).sum(axis=1)
    assert_allclose(losses, (1 - s) * w * LOSSES - s / 3 * (WEIGHT * np.log(P)).sum(axis=1))
    gradient = targets.sum(axis=1, keepdims=True) * P - targets
    kwargs = {"weight": WEIGHT, "label_smoothing": s}
    assert_gives(losses, gradient, LOGITS, LABELS, reduction="none", **kwargs)
    assert_gives(losses.sum(), gradient, LOGITS, LABELS, reduction="sum", **kwargs)
    assert_gives(losses.sum() / w.sum(), gradient / w.sum(), LOGITS, LABELS, **kwargs)
    # An ignored label takes its row's share of the smoothing along.
    assert_gives(
        losses[[0, 2]].sum() / 1.5,
        np.where(LABELS[:, None] == 1, 0, gradient / 1.5),
        LOGITS, LABELS, ignore_index=1, **kwargs,
    )  # fmt: skip
    # All of it: the label itself no longer matters.
    flat = cross_entropy_with_grad(LOGITS, LABELS, label_smoothing=1)
    assert_gives(*flat, LOGITS, LABELS[::-1], label_smoothing=1.0)
    assert_allclose(flat[1], (P - 1 / 3) / 3, **CLOSE)


def test_probabilities(isa):
    q = np.array([[0.5, 0.5, 0], [0, 0.25, 0.75], [1, 0, 0]])
    for weight in (None, WEIGHT):
        for s in (0, 0.25):
            targets = (1 if weight is None else weight) * ((1 - s) * q + s / 3)
            losses = -(targets * np.log(P)).sum(axis=1)
            gradient = targets.sum(axis=1, keepdims=True) * P - targets
            kwargs = {"weight": weight, "label_smoothing": s}
            assert_gives(losses, gradient, LOGITS, q, reduction="none", **kwargs)
            assert_gives(losses.sum(), gradient, LOGITS, q, reduction="sum", **kwargs)
            # The mean is over rows, whatever the weights are.
            assert_gives(losses.mean(), gradient / 3, LOGITS, q, **kwargs)


def test_class_axis_within(isa):
    """Logits of shape (N, C, d1, d2), labels of (N, d1, d2): PyTorch's and ONNX's order."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(2, 5, 3, 4)), rng.integers(5, size=(2, 3, 4))
    last = np.moveaxis(x, 1, -1)
    want, want_gradient = cross_entropy_with_grad(np.ascontiguousarray(last), labels, reduction="none")
    got, got_gradient = cross_entropy_with_grad(x, labels, 1, reduction="none")
    assert got.shape == labels.shape
    assert_array_equal(got, want)
    assert_array_equal(got_gradient, np.moveaxis(want_gradient, -1, 1))
    assert_array_equal(cross_entropy(x, labels, axis=-3), cross_entropy(last, labels))
    q = np.moveaxis(np.eye(5)[labels], -1, 1)
    assert_allclose(cross_entropy(x, q, 1, reduction="none"), got, rtol=8 * U)


def test_one_row():
    loss, gradient = cross_entropy_with_grad([0.0, 0.0], 1, reduction="none")
    assert isinstance(loss, np.float64)
    assert loss == pytest.approx(LN2)
    assert_array_equal(gradient, [0.5, -0.5])


# The traps -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
def test_nothing_counts(dtype, isa):
    for x in (np.ones((4, 3), dtype), np.full((4, 3), np.nan, dtype), np.zeros((0, 3), dtype)):
        labels = np.full(len(x), -1)
        for reduction in _loss_arguments.REDUCTIONS:
            loss, gradient = cross_entropy_with_grad(x, labels, ignore_index=-1, reduction=reduction)
            assert_array_equal(loss, np.zeros(len(x)) if reduction == "none" else 0)
            assert_array_equal(gradient, np.zeros_like(x))
            assert gradient.dtype == np.asarray(loss).dtype == dtype
    # Weights that are all 0 count for nothing, too.
    loss, gradient = cross_entropy_with_grad(np.ones((2, 3), dtype), [0, 1], weight=[0, 0, 1])
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("n", [3, 70, 1000, 9000])
def test_ignored_rows_are_not_looked_at(n, isa):
    """NaN and infinities in them change nothing, in whatever tile they lie."""
    rng = np.random.default_rng(n)
    x = rng.normal(size=(9, n))
    labels = rng.integers(n, size=9)
    labels[[0, 4, 5]] = -100
    for smoothing in (0, 0.1):
        for axis in (-1, 0):
            kwargs = {"ignore_index": -100, "reduction": "none", "axis": axis, "label_smoothing": smoothing}
            want, want_gradient = cross_entropy_with_grad(x if axis else x.T.copy(), labels, **kwargs)
            bad = x.copy()
            bad[0, n // 2], bad[4, 0], bad[5] = np.nan, np.inf, -np.inf
            bad[0, 0] = 1e300
            got, gradient = cross_entropy_with_grad(bad if axis else bad.T.copy(), labels, **kwargs)
            assert_array_equal(got, want)
            assert_array_equal(gradient, want_gradient)
            assert not got[[0, 4, 5]].any()
            assert not (gradient if axis else gradient.T)[[0, 4, 5]].any()


@pytest.mark.parametrize("n", [3, 70, 1000, 9000])
def test_a_target_of_zero_at_minus_infinity_adds_nothing(n, isa):
    x = np.random.default_rng(n).normal(size=(5, n))
    x[:, n // 2 :] = -np.inf  # whole pieces of a long row
    x[:, 0] = 1
    labels = np.zeros(5, int)
    q = np.eye(n)[labels]
    want = -softmax_ext.log_softmax(x)[:, 0]
    for kind in (labels, q):
        loss, gradient = cross_entropy_with_grad(x, kind, reduction="none")
        assert_allclose(loss, want, rtol=8 * U)
        assert_allclose(gradient, softmax_ext.softmax(x) - q, atol=8 * U)
    # A class without weight likewise; a target there that is not 0 is infinitely far off.
    weight = np.ones(n)
    weight[-1] = 0
    assert_array_equal(cross_entropy(x, labels + n - 1, weight=weight, reduction="none"), np.zeros(5))
    last = np.eye(n)[labels + n - 1]
    for kind in (labels + n - 1, last):
        loss, gradient = cross_entropy_with_grad(x, kind, reduction="none")
        assert_array_equal(loss, np.full(5, np.inf))
        assert_allclose(gradient, softmax_ext.softmax(x) - last, atol=8 * U)


def test_rows_without_a_softmax_are_nan(isa):
    for row in ([0, np.nan, 1], [0, np.inf, 1], [-np.inf] * 3):
        x = np.array([[1.0, 2, 3], row])
        for labels in ([0, 1], [[1.0, 0, 0], [0, 1, 0]]):
            for smoothing in (0, 0.5):
                loss, gradient = cross_entropy_with_grad(
                    x, labels, reduction="none", label_smoothing=smoothing
                )
                assert np.isfinite(loss[0])
                assert np.isfinite(gradient[0]).all()
                assert np.isnan(loss[1])
                assert np.isnan(gradient[1]).all()


@pytest.mark.parametrize("dtype", TYPES)
def test_confident_rows_keep_their_digits(dtype, isa):
    gap = np.arange(20.0, 700 if dtype is np.float64 else 87)
    x = np.stack([0 * gap, -gap, -gap], axis=1).astype(dtype)
    want = np.log1p(2 * np.exp(-gap))
    for labels in (np.zeros(len(gap), int), np.eye(3)[np.zeros(len(gap), int)]):
        assert_allclose(cross_entropy(x, labels, reduction="none"), want, rtol=4 * np.finfo(dtype).eps)


def test_no_warning_and_no_change_of_the_arguments():
    x, labels = np.array([[1e300, -1e300], [np.nan, 0]]), np.array([1, 9])
    kept = x.copy(), labels.copy()
    with np.errstate(all="raise"):
        cross_entropy_with_grad(x, labels, ignore_index=9)
        cross_entropy_with_grad(np.float32([[3e38, -3e38]] * 9), [1] * 9, reduction="sum")
    assert_array_equal(x, kept[0])
    assert_array_equal(labels, kept[1])


# Types ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", ">i4", ">u8"])
def test_labels_of_any_integer_type(kind):
    labels = np.array([2, 0, 1, 2]).astype(kind)
    x = np.random.default_rng(0).normal(size=(4, 3))
    want = cross_entropy_with_grad(x, labels.astype(np.int64))
    for same in (labels, np.repeat(labels, 2)[::2], labels[::-1].copy()[::-1]):
        got = cross_entropy_with_grad(x, same)
        assert got[0] == want[0]
        assert_array_equal(got[1], want[1])
    if "u" in kind:
        largest = np.iinfo(labels.dtype).max
        labels[1] = largest
        assert np.isfinite(cross_entropy(x, labels, ignore_index=int(largest)))


@pytest.mark.parametrize(
    ("dtype", "result"),
    [("f4", "f4"), ("f8", "f8"), (">f4", "f4"), (">f8", "f8"), ("i2", "f8"), ("?", "f8"), ("u8", "f8")],
)
def test_result_type(dtype, result):
    x = np.array([[0, 1], [1, 0]]).astype(dtype)
    for labels in ([0, 1], np.eye(2), np.eye(2, dtype="f4"), np.eye(2, dtype=">f4")):
        loss, gradient = cross_entropy_with_grad(x, labels)
        assert loss.dtype == gradient.dtype == np.dtype(result)
        assert isinstance(loss, np.generic)
        assert cross_entropy(x, labels, reduction="none").dtype == np.dtype(result)


# Errors --------------------------------------------------------------------------------------------

X = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("error", "message", "args", "kwargs"),
    [
        (ValueError, r"labels: got 3 at position 1, expected a class from 0 to 2", (X, [0, 3]), {}),
        (ValueError, r"labels: got -1 at position 0, expected", (X, [-1, 3]), {}),
        (ValueError, r"labels: got 255 at position 1", (X, np.array([0, 255], np.uint8)), {}),
        (ValueError, r"got 18446744073709551615 at position 0", (X, np.array([2**64 - 1, 0], "u8")), {}),
        (ValueError, r"got 9 at position 1, .* or -100, the ignore_index", (X, [-100, 9]), {"ignore_index": -100}),
        (ValueError, r"labels: got 5 at position \(0, 1\)", (np.zeros((1, 3, 2)), [[0, 5]], 1), {}),
        (ValueError, r"labels: got int64 of shape \(3,\), expected \(2,\)", (X, [0, 1, 2]), {}),
        (ValueError, r"labels: got int64 of shape \(2, 3\), expected \(2,\)", (X, np.eye(3, dtype=int)[:2]), {}),
        (ValueError, r"labels: got float64 of shape \(2,\), .* shape \(2, 3\)", (X, [0.0, 1.0]), {}),
        (ValueError, "labels: expected an array or sequences of one shape", (X, [[1], [1, 2]]), {}),
        (TypeError, "labels: got bool, expected integers", (X, [True, False]), {}),
        (TypeError, "labels: got <U1", (X, ["a", "b"]), {}),
        (TypeError, "labels: got MaskedArray", (X, np.ma.array([0, 1], mask=[0, 1])), {}),
        (TypeError, "labels: got complex128", (X, [1j, 0]), {}),
        (TypeError, "labels: got float128|labels: got longdouble", (X, X.astype(np.longdouble)), {}),
        (TypeError, "logits: got complex128", (X + 1j, [0, 1]), {}),
        (TypeError, "logits: got MaskedArray", (np.ma.array(X), [0, 1]), {}),
        (np.exceptions.AxisError, "axis: axis 2 is out of bounds", (X, [0, 1], 2), {}),
        (np.exceptions.AxisError, "axis: axis -1 is out of bounds", (1.0, 0), {}),
        (TypeError, "axis: got tuple, expected an integer", (X, [0, 1], (0, 1)), {}),
        (TypeError, "axis: got NoneType", (X, [0, 1], None), {}),
        (ValueError, "reduction: got 'avg', expected", (X, [0, 1]), {"reduction": "avg"}),
        (ValueError, "reduction: got None, expected", (X, [0, 1]), {"reduction": None}),
        (ValueError, r"weight: got shape \(2,\), expected \(3,\)", (X, [0, 1]), {"weight": [1, 2]}),
        (ValueError, r"weight: got shape \(\), expected \(3,\)", (X, [0, 1]), {"weight": 1.0}),
        (ValueError, "weight: got -1.0 at position 1", (X, [0, 1]), {"weight": [1, -1, 2]}),
        (ValueError, "weight: got nan at position 2", (X, [0, 1]), {"weight": [1, 1, np.nan]}),
        (ValueError, "weight: got 1e[+]?300 at position 0, expected finite float32",
         (np.float32(X), [0, 1]), {"weight": [1e300, 1, 1]}),
        (TypeError, "weight: got <U1", (X, [0, 1]), {"weight": ["a", "b", "c"]}),
        (TypeError, "ignore_index: got float", (X, [0, 1]), {"ignore_index": 1.0}),
        (TypeError, "ignore_index: got True", (X, [0, 1]), {"ignore_index": True}),
        (ValueError, "ignore_index: got 1 with probabilities", (X, X), {"ignore_index": 1}),
        (ValueError, "label_smoothing: got 1.5, expected", (X, [0, 1]), {"label_smoothing": 1.5}),
        (ValueError, "label_smoothing: got -0.1, expected", (X, [0, 1]), {"label_smoothing": -0.1}),
        (ValueError, "label_smoothing: got nan, expected", (X, [0, 1]), {"label_smoothing": float("nan")}),
        (TypeError, "label_smoothing: got 'much', expected", (X, [0, 1]), {"label_smoothing": "much"}),
        (TypeError, "label_smoothing: got NoneType", (X, [0, 1]), {"label_smoothing": None}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("function", [cross_entropy, cross_entropy_with_grad])
def test_errors(function, error, message, args, kwargs):
    with pytest.raises(error, match=message):
        function(*args, **kwargs)


def test_labels_of_no_class():
    """Of no class, any label is out of range; ignored ones are fine."""
    with pytest.raises(ValueError, match="labels: got 0 at position 0"):
        cross_entropy(np.zeros((2, 0)), [0, 0])
    assert cross_entropy(np.zeros((2, 0)), [5, 5], ignore_index=5) == 0
    assert cross_entropy(np.zeros((2, 0)), np.zeros((2, 0))) == 0
    assert cross_entropy(np.zeros((0, 3)), np.zeros(0, int)) == 0
    assert cross_entropy_with_grad(np.zeros((0, 3)), np.zeros((0, 3)))[1].shape == (0, 3)


# Derivatives ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", _loss_arguments.REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", ["labels", "probabilities"])
def test_gradient_by_finite_differences(kind, weighted, smoothing, reduction):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(3, 4, 2)) * 2
    labels = rng.integers(4, size=(3, 2))
    kwargs = {"axis": 1, "reduction": reduction, "label_smoothing": smoothing}
    if weighted:
        kwargs["weight"] = rng.uniform(0.1, 2, size=4)
    if kind == "labels":
        labels[0, 1] = -7
        kwargs["ignore_index"] = -7
    else:
        labels = rng.dirichlet(np.ones(4), size=(3, 2)).swapaxes(1, 2)
    _, gradient = cross_entropy_with_grad(x, labels, **kwargs)
    h = 1e-5
    for i in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[i] = h
        above, below = (np.sum(cross_entropy(x + s, labels, **kwargs)) for s in (step, -step))
        # h²/6 times a third derivative, at most 2 here, and the rounding of losses below 30, over h.
        assert gradient[i] == pytest.approx((above - below) / (2 * h), abs=2e-9)


def test_gradient_is_that_of_log_softmax():
    rng = np.random.default_rng(6)
    x, q = rng.normal(size=(5, 40)), rng.dirichlet(np.ones(40), size=5)
    _, gradient = cross_entropy_with_grad(x, q, reduction="sum")
    assert_allclose(gradient, softmax_ext.log_softmax_vjp(softmax_ext.log_softmax(x), -q), atol=8 * U)


# Against the reference -----------------------------------------------------------------------------

several = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
shapes = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9)
long_shapes = st.tuples(st.integers(1, 3), st.integers(60, 300)) | st.tuples(
    st.integers(60, 300), st.integers(1, 40)
)
SPECIAL = [0.0, -0.0, np.inf, -np.inf, -np.inf, np.nan, 88.7, -103.9, 1e30, -1e30]


def scales(x, targets, axis):
    """Natural scales of losses and gradient: Σ t |log p|, and p Σ t + t."""
    log_p = _reference.log_softmax(x.astype(float), axis)
    with np.errstate(all="ignore"):
        terms = np.where(targets == 0, 0, targets * np.abs(log_p))
    return terms.sum(axis=axis), np.exp(log_p) * targets.sum(axis=axis, keepdims=True) + targets


@several
@given(st.data(), shapes | long_shapes, st.sampled_from(["f4", "f8", ">f4", ">f8"]))
def test_against_the_reference(data, shape, dtype):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    classes, others = shape[axis], tuple(np.delete(shape, axis))
    x = rng.normal(size=shape) * data.draw(st.sampled_from([0, 1e-3, 1, 30, 1e4])) + data.draw(
        st.sampled_from([0, 0, 5.5, -1000, 1e7])
    )
    hidden = rng.random(shape) < data.draw(st.sampled_from([0, 0, 0.05, 0.5]))
    with np.errstate(all="ignore"):
        x = np.where(hidden, rng.choice(SPECIAL, size=shape), x).astype(dtype)
    if x.size:
        x = data.draw(st.sampled_from(list(LAYOUTS.values())))(x)
    kwargs = {
        "reduction": data.draw(st.sampled_from(_loss_arguments.REDUCTIONS)),
        "label_smoothing": data.draw(st.sampled_from([0, 0, 0.1, 0.5, 1])),
    }
    w = np.ones(classes)
    if data.draw(st.booleans()):
        w = np.where(rng.random(classes) < 0.2, 0, rng.uniform(0, 3, size=classes)).astype("f4")
        kwargs["weight"] = w
    if data.draw(st.booleans()):
        q = np.where(rng.random(shape) < 0.3, 0, rng.random(shape))
        labels = data.draw(st.sampled_from(list(LAYOUTS.values())))(q.astype(dtype)) if q.size else q
        counts = np.ones(others, bool)
    else:
        if not classes:
            return
        labels = rng.integers(classes, size=others)
        if data.draw(st.booleans()):
            kwargs["ignore_index"] = ignored = data.draw(st.sampled_from([-100, 0, classes]))
            labels = np.where(rng.random(others) < 0.3, ignored, labels)
        counts = labels != kwargs.get("ignore_index")
        q = np.moveaxis(np.eye(classes)[np.where(counts, labels, 0)], -1, axis)
        labels = labels.astype(data.draw(st.sampled_from(["i4", "i8", ">i2"])))
    want, want_gradient = _reference.cross_entropy_with_grad(x, labels, axis, **kwargs)
    got, gradient = cross_entropy_with_grad(x, labels, axis, **kwargs)
    assert np.asarray(cross_entropy(x, labels, axis, **kwargs)).tobytes() == np.asarray(got).tobytes()
    assert got.dtype == want.dtype
    assert gradient.dtype == want_gradient.dtype
    assert got.shape == want.shape
    assert gradient.shape == shape

    w = np.moveaxis(np.broadcast_to(w, (*others, classes)), -1, axis)
    s = kwargs["label_smoothing"]
    targets = w * ((1 - s) * q + s / max(classes, 1)) * np.expand_dims(counts, axis)
    loss_scale, gradient_scale = scales(x, targets, axis)
    if kwargs["reduction"] == "mean":
        divisor = (counts.size if labels.dtype.kind == "f" else (w * q).sum(axis=axis)[counts].sum()) or 1
        loss_scale, gradient_scale = loss_scale / divisor, gradient_scale / divisor
    if kwargs["reduction"] != "none":
        loss_scale = loss_scale.sum()
    for a, b, scale in ((got, want, loss_scale), (gradient, want_gradient, gradient_scale)):
        info = np.finfo(a.dtype)
        with np.errstate(all="ignore"):
            near = np.abs(np.subtract(a, b, dtype=float)) <= 8 * (info.eps * scale + info.smallest_subnormal)
        assert_array_equal(np.isnan(a), np.isnan(b))
        assert np.all(near | (a == b) | np.isnan(b)), (a, b)


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(8)
    x = rng.normal(size=(6, 5, 7)) * 3
    labels = rng.integers(5, size=(6, 7))
    q = rng.dirichlet(np.ones(5), size=(6, 7)).swapaxes(1, 2)
    weight = rng.uniform(0.1, 3, size=5)
    for kind in (labels, q):
        for reduction in _loss_arguments.REDUCTIONS:
            for w in (None, weight):
                for s in (0.0, 0.3):
                    for ignored in (None, 2) if kind is labels else (None,):
                        leaf = torch.tensor(x, requires_grad=True)
                        want = torch.nn.functional.cross_entropy(
                            leaf, torch.tensor(kind), reduction=reduction, label_smoothing=s,
                            weight=None if w is None else torch.tensor(w),
                            ignore_index=-100 if ignored is None else ignored,
                        )  # fmt: skip
                        want.sum().backward()
                        got, gradient = cross_entropy_with_grad(
                            x, kind, 1, reduction=reduction, label_smoothing=s, weight=w, ignore_index=ignored
                        )
                        assert_allclose(got, want.detach().numpy(), rtol=1e-13)
                        assert_allclose(gradient, leaf.grad.numpy(), atol=1e-14)


# The same bits -------------------------------------------------------------------------------------


def cases(rows, n, dtype, seed=0):
    """Yield (x, labels, options) of every kernel, on rows of every kind."""
    rng = np.random.default_rng([rows, n, seed])
    x = rng.normal(size=(rows, n)) * 10.0 ** rng.uniform(-2, 2.5, size=(rows, 1))
    x[rng.random((rows, n)) < 0.05] = -np.inf
    x[:, 0] += np.where(rng.random(rows) < 0.2, 1e7, 0)
    x[1::7, n // 2] = np.nan
    x[2::7, n // 3] = 100
    x[3::11, n // 2] = np.inf
    labels = rng.integers(n, size=rows)
    labels[4::5] = -100
    q = np.where(rng.random((rows, n)) < 0.5, 0, rng.random((rows, n))).astype(dtype)
    w = rng.random(n).astype(dtype)
    x = x.astype(dtype)
    yield x, labels, {"ignore_index": -100}
    yield x, labels, {"ignore_index": -100, "label_smoothing": 0.1, "weight": w}
    yield x, q, {"label_smoothing": 0.1, "weight": w}


def bits(x, labels, axis, kwargs):
    loss, gradient = cross_entropy_with_grad(x, labels, axis, reduction="none", **kwargs)
    return np.asarray(loss).tobytes(), np.moveaxis(gradient, axis, -1).tobytes()


LENGTHS = [1, 2, 3, 7, 10, 16, 17, 33, 64, 80, 81, 100, 127, 300, 1000, 4096, 4097, 8193, 12_289]


@pytest.mark.parametrize("dtype", TYPES)
def test_same_bits_at_every_level_axis_and_batch(dtype):
    levels = softmax_ext.show_config(mode="dicts")["isa_available"]
    former = softmax_ext._core._set_isa(levels[0])
    try:
        for n in LENGTHS:
            for x, labels, kwargs in cases(28, n, dtype):
                softmax_ext._core._set_isa(levels[0])
                want = bits(x, labels, -1, kwargs)
                turned = (
                    np.ascontiguousarray(x.T),
                    labels if labels.ndim == 1 else np.asfortranarray(labels.T),
                )
                for level in levels:
                    softmax_ext._core._set_isa(level)
                    assert bits(x, labels, -1, kwargs) == want, (level, n)
                    assert bits(*turned, 0, kwargs) == want, (level, n, "side by side")
                    some = slice(3, 9)
                    kept = (
                        want[0][3 * x.itemsize : 9 * x.itemsize],
                        want[1][3 * x[0].nbytes : 9 * x[0].nbytes],
                    )
                    assert bits(x[some], labels[some], -1, kwargs) == kept, (level, n, "some")
    finally:
        softmax_ext._core._set_isa(former)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bits_in_every_layout(layout, dtype, isa):
    for shape in [(1, 1), (5, 3), (40, 10), (33, 64), (20, 130), (2, 4097)]:
        for x, labels, kwargs in cases(*shape, dtype):
            want = bits(x, labels, -1, kwargs)
            strange = LAYOUTS[layout](labels)
            assert bits(LAYOUTS[layout](x), strange, -1, kwargs) == want, shape
            assert bits(x, strange, -1, kwargs) == want, shape
            # As a middle axis, among broadcast neighbours.
            cube = np.broadcast_to(LAYOUTS[layout](x.T)[None], (3, *x.T.shape))
            cube_labels = np.broadcast_to(labels.T, (3, *labels.T.shape))
            loss, gradient = bits(cube, cube_labels, 1, kwargs)
            assert loss == 3 * want[0], shape
            assert gradient == 3 * want[1], shape


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    "shape", [(1, 400_003), (3, 100_001), (50, 8193), (2000, 101), (100_003, 3), (40, 5000)]
)
def test_same_bits_with_any_number_of_threads(shape, dtype, threads):
    for x, labels, kwargs in cases(*shape, dtype):
        threads(1)
        want = bits(x, labels, -1, kwargs), cross_entropy(x, labels, **kwargs)
        for count in (2, 3):
            threads(count)
            assert bits(x, labels, -1, kwargs) == want[0]
            assert_array_equal(cross_entropy(x, labels, **kwargs), want[1])
            assert bits(np.asfortranarray(x), labels, -1, kwargs) == want[0]


def test_the_sum_over_rows_is_accurate():
    """One large loss among a million small ones: in float32 they would be lost beside it."""
    x = np.zeros((1_000_001, 2), np.float32)
    x[:, 1] = -9
    labels = np.zeros(len(x), np.int8)
    x[0], labels[0] = [3e4, 0], 1
    want = 3e4 + 1_000_000 * np.log1p(np.exp(-9.0))
    assert cross_entropy(x, labels, reduction="sum") == pytest.approx(want, rel=2.0**-22)


# Masks, temperatures, weights of rows, and where the gradient is written ----------------------------

OUTS = {
    "none": lambda x: (x, None),
    "new": lambda x: (x, np.full(x.shape, 7, x.dtype.newbyteorder("="))),
    "logits": lambda x: (x, x),
    "other order": lambda x: (x, np.full(x.shape, 7, x.dtype.newbyteorder("S"))),
    "strided": lambda x: (x, np.full((*x.shape[:-1], 2 * x.shape[-1]), 7, x.dtype)[..., ::2]),
    "reversed logits": lambda x: (x, x[..., ::-1]),
    "wider": lambda x: (x, np.full(x.shape, 7, np.float64)),
}


def sizes_of_terms(
    x, labels, axis, *, reduction, label_smoothing, temperature, weight=1.0, sample_weight=1.0, where=True,
    ignore_index=None,
):  # fmt: skip
    """Return the natural scale of each element of the gradient: T p + t over all that it is divided by."""
    seen = np.moveaxis(np.broadcast_to(where, x.shape), axis, -1)
    p = _reference.softmax(np.moveaxis(x, axis, -1).astype(float), where=seen, temperature=temperature)
    samples = np.broadcast_to(sample_weight, p.shape[:-1])
    counts = samples > 0
    if labels.dtype.kind == "f":
        q, row_weight = np.moveaxis(labels, axis, -1) * seen, samples
    else:
        q = np.equal(labels[..., None], np.arange(p.shape[-1]))
        counts = counts if ignore_index is None else counts & (labels != ignore_index)
        row_weight = samples * (weight * q).sum(axis=-1)
    spread = label_smoothing * seen / np.maximum(seen.sum(axis=-1, keepdims=True), 1)
    targets = weight * ((1 - label_smoothing) * q + spread)
    scale = (targets.sum(axis=-1, keepdims=True) * p + targets) * (samples * counts)[..., None] / temperature
    if reduction == "mean":
        scale = scale / ((row_weight * counts).sum() or 1)
    return np.moveaxis(scale, -1, axis)


@several
@given(
    st.data(),
    hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9) | st.just((3, 130)) | st.just((130, 3)),
    st.sampled_from(["f4", "f8", ">f8", "f2"]),
)
def test_keywords_together(data, shape, dtype):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    classes, others = shape[axis], tuple(np.delete(shape, axis))
    x = (rng.normal(size=shape) * data.draw(st.sampled_from([1, 1, 30]))).astype(dtype)
    kwargs = {
        "reduction": data.draw(st.sampled_from(_loss_arguments.REDUCTIONS)),
        "label_smoothing": data.draw(st.sampled_from([0, 0.1, 1])),
        "temperature": data.draw(st.sampled_from([1, 1, 0.5, 2.7])),
    }
    if data.draw(st.booleans()):
        kwargs["weight"] = rng.uniform(0.5, 2, size=classes)
    if data.draw(st.booleans()):
        kwargs["sample_weight"] = np.where(rng.random(others) < 0.2, 0, rng.uniform(0.5, 2, size=others))
    if data.draw(st.booleans()):
        mask_shape = tuple(data.draw(st.sampled_from([1, n])) for n in shape)
        kwargs["where"] = rng.random(mask_shape) < data.draw(st.sampled_from([0.3, 0.9, 1]))
    if data.draw(st.booleans()):
        labels = np.where(rng.random(shape) < 0.3, 0, rng.random(shape))
    else:
        labels = rng.integers(classes, size=others)
        if data.draw(st.booleans()):
            kwargs["ignore_index"] = int(data.draw(st.sampled_from([0, -100])))
            labels = np.where(rng.random(others) < 0.3, kwargs["ignore_index"], labels)
    want, want_gradient = _reference.cross_entropy_with_grad(x, labels, axis, **kwargs)
    scale = sizes_of_terms(x, labels, axis, **kwargs)
    alone = cross_entropy(x, labels, axis, **kwargs)
    x, out = OUTS[data.draw(st.sampled_from(sorted(OUTS)))](x)
    hidden = np.broadcast_to(~kwargs.get("where", np.array(True)), shape)
    if out is not x:
        x = np.where(hidden, x.dtype.type(np.nan), x).astype(x.dtype)  # hidden logits are not looked at
        out = None if out is not None and np.may_share_memory(out, x) else out
    loss, gradient = cross_entropy_with_grad(x, labels, axis, out=out, **kwargs)
    assert out is None or gradient is out
    assert np.asarray(alone).tobytes() == np.asarray(loss).tobytes()
    assert not np.any(gradient[hidden])
    eps = np.finfo(loss.dtype).eps
    assert_allclose(loss, want, rtol=16 * eps, atol=16 * eps)
    # Contract 1.4: 4 u, and a rounding each for the weight of a class, the smoothing, the temperature and the
    # weight of a row. The worst example found has all four, and is off by 6.1 u. The last results of a type are
    # half a spacing off.
    units = 4 + sum(name in kwargs for name in ("weight", "sample_weight"))
    units += (kwargs["label_smoothing"] != 0) + (kwargs["temperature"] != 1)
    info = np.finfo(loss.dtype)
    off = np.abs(gradient.astype(float) - want_gradient)
    assert np.all(off <= units * info.eps / 2 * scale + info.smallest_subnormal)


def test_what_is_hidden():
    x = np.array([[1.0, 2, np.nan, 0], [0.5, np.inf, 0, 0]])
    where = np.array([[True, True, False, True], [True, False, True, True]])
    loss, gradient = cross_entropy_with_grad(x, [1, 0], where=where, reduction="none", label_smoothing=0.3)
    for row, label in ((0, 1), (1, 0)):
        seen = where[row]
        label = np.flatnonzero(seen).tolist().index(label)
        want = cross_entropy_with_grad(x[row, seen], label, label_smoothing=0.3, reduction="none")
        assert loss[row] == pytest.approx(want[0], rel=1e-15)
        assert_allclose(gradient[row, seen], want[1], atol=1e-16)
        assert gradient[row, ~seen] == 0
    # A hidden label is infinitely far off; nothing else is.
    assert_array_equal(cross_entropy(x, [2, 0], where=where, reduction="none") == np.inf, [True, False])
    nothing = np.zeros((2, 4), bool)
    assert_array_equal(cross_entropy(x, [1, 0], where=nothing, reduction="none"), [np.inf, np.inf])
    assert_array_equal(cross_entropy(x, np.ones((2, 4)), where=nothing, reduction="none"), [0, 0])
    assert not cross_entropy_with_grad(x, [1, 0], where=nothing)[1].any()


def test_rows_of_weight_0_are_as_ignored():
    rng = np.random.default_rng(1)
    x, labels = rng.normal(size=(6, 5)), rng.integers(5, size=6)
    samples = np.array([1, 0, 2, 0.5, 0, 1])
    bad = np.where(samples[:, None] == 0, np.nan, x)
    for kind in (labels, np.eye(5)[labels]):
        loss, gradient = cross_entropy_with_grad(bad, kind, sample_weight=samples)
        each = cross_entropy(x, kind, reduction="none")
        assert loss == pytest.approx((each * samples).sum() / samples.sum(), rel=1e-15)
        assert not gradient[samples == 0].any()
    ones = cross_entropy_with_grad(x, labels, sample_weight=np.ones(6))
    assert_array_equal(ones[1], cross_entropy_with_grad(x, labels)[1])
    assert cross_entropy(x, labels, sample_weight=np.zeros(6)) == 0


def test_temperature_is_what_logits_are_divided_by():
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(6, 5)), rng.integers(5, size=6)
    for kind in (labels, np.eye(5)[labels]):
        loss, gradient = cross_entropy_with_grad(x, kind, temperature=4.0)
        want, want_gradient = cross_entropy_with_grad(x / 4, kind)
        assert loss == pytest.approx(want, rel=1e-15)
        assert_allclose(gradient, want_gradient / 4, atol=1e-17)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("temperature", [2.0, 3, 2.0**-16, 2.0**-17, 2.0**16, 70000.0])
def test_temperature_and_out_have_the_same_bits_on_the_fast_path(dtype, temperature):
    """A NumPy scalar as the temperature leads off the fast path. So does a row that is out of range."""
    rng = np.random.default_rng(9)
    for size in (1.0, 1e30 if dtype == np.float32 else 1e200, np.finfo(dtype).max):
        x = (rng.uniform(-1, 1, (70, 12)) * size).astype(dtype)
        labels = rng.integers(12, size=70)
        for reduction in ("mean", "none"):
            want, want_gradient = cross_entropy_with_grad(
                x, labels, reduction=reduction, temperature=np.float64(temperature)
            )
            into = x.copy()
            loss, gradient = cross_entropy_with_grad(x, labels, reduction=reduction, temperature=temperature)
            again, _ = cross_entropy_with_grad(
                into, labels, reduction=reduction, temperature=temperature, out=into
            )
            alone = cross_entropy(x, labels, reduction=reduction, temperature=temperature)
            for got in (loss, again, alone):
                assert np.asarray(got).tobytes() == np.asarray(want).tobytes()
            assert gradient.tobytes() == into.tobytes() == want_gradient.tobytes()


@pytest.mark.parametrize(
    ("error", "message", "kwargs"),
    [
        (TypeError, "where: got float64, expected bool", {"where": np.ones((2, 3))}),
        (ValueError, r"where: got shape \(4,\), expected one that broadcasts to logits's", {"where": [True] * 4}),
        (ValueError, "temperature: got 0, expected a positive", {"temperature": 0}),
        (TypeError, "temperature: got str|temperature: got '1'", {"temperature": "1"}),
        (ValueError, r"sample_weight: got shape \(3,\), expected \(2,\), a", {"sample_weight": [1] * 3}),
        (ValueError, "sample_weight: got -1.0 at position 1", {"sample_weight": [1, -1]}),
        (ValueError, "sample_weight: got inf at position 0", {"sample_weight": [np.inf, 1]}),
    ],
)  # fmt: skip
def test_errors_of_keywords(error, message, kwargs):
    for function in (cross_entropy, cross_entropy_with_grad):
        with pytest.raises(error, match=message):
            function(X, [0, 1], **kwargs)


def test_errors_of_out():
    for out, error in (
        (np.zeros((3, 2)), ValueError),
        ([0] * 6, TypeError),
        (np.zeros((2, 3), int), TypeError),
    ):
        with pytest.raises(error, match="out: got"):
            cross_entropy_with_grad(X, [0, 1], out=out)
    frozen = np.zeros((2, 3))
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="out: got a read-only array"):
        cross_entropy_with_grad(X, [0, 1], out=frozen)
