"""Dask arrays: masks, temperatures, derivatives and losses, held to the functions of NumPy arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from test_temperature import ulps

import softmax_ext

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

import dask_helpers  # noqa: E402

from softmax_ext import dask as softmax_dask  # noqa: E402

INF, NAN = np.inf, np.nan
TYPES = [np.float32, np.float64]
MAPS = ["softmax", "log_softmax", "logsumexp"]
DERIVATIVES = ["softmax_vjp", "log_softmax_vjp", "softmax_jvp", "log_softmax_jvp"]
EPS = np.finfo(np.float64).eps

# Chunks of rows that are whole, and of rows that are cut.
CHUNKS = [(2, 9), (2, 4), (6, 1)]


@pytest.fixture(autouse=True)
def scheduler():
    """Run graphs in this thread: quicker, where graphs are small."""
    with dask.config.set(scheduler="synchronous"):
        yield


def masks(x):
    """Return masks that broadcast to x in various ways; one hides a whole row, which holds NaN."""
    mask = np.random.default_rng(1).random(x.shape) < 0.7
    mask[2] = False
    return [mask, mask[0], mask[:, :1], np.array(True), da.from_array(mask, 4), da.from_array(mask[:1], 5)]


def plain(value):
    return value.compute() if isinstance(value, da.Array) else value


# Masks and temperatures ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", MAPS)
def test_masks(name, chunks, dtype):
    x = (np.random.default_rng(0).normal(size=(6, 9)) * 3).astype(dtype)
    for where in masks(x):
        hidden = ~np.broadcast_to(plain(where), x.shape)
        for value in (NAN, INF, 1e30):  # what is hidden is not looked at
            filled = np.where(hidden, dtype(value), x)
            got = getattr(softmax_dask, name)(da.from_array(filled, chunks), where=where)
            want = getattr(softmax_ext, name)(x, where=plain(where))
            assert got.dtype == want.dtype
            if chunks[1] == 9:
                assert_array_equal(got.compute(), want)
            else:
                np.testing.assert_allclose(got.compute(), want, rtol=12 * np.finfo(dtype).eps)


@pytest.mark.parametrize("chunks", [(3, 8), (3, 3)])
@pytest.mark.parametrize("name", MAPS)
def test_masks_beside_infinities(name, chunks):
    x = np.zeros((3, 8))
    x[0], x[1, 3], x[2, :4] = -INF, INF, -INF
    where = np.ones((3, 8), bool)
    where[:, 3] = False
    got = getattr(softmax_dask, name)(da.from_array(x, chunks), where=where).compute()
    np.testing.assert_allclose(got, getattr(softmax_ext, name)(x, where=where), rtol=8 * EPS)


@pytest.mark.parametrize("temperature", [0.3, 1, 7, np.float32(2.5), 2.0**-600, 2.0**600])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", MAPS)
def test_temperatures(name, chunks, temperature):
    x = np.random.default_rng(0).normal(size=(6, 9)) * 3 * float(temperature)
    got = getattr(softmax_dask, name)(da.from_array(x, chunks), temperature=temperature)
    want = getattr(softmax_ext, name)(x, temperature=temperature)
    if chunks[1] == 9:
        assert_array_equal(got.compute(), want)
    else:
        np.testing.assert_allclose(got.compute(), want, rtol=12 * EPS)


@pytest.mark.parametrize(("dtype", "bound"), [(np.float32, 0.51), (np.float64, 8)])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_temperatures_are_exact_quotients_in_cut_rows(name, dtype, bound):
    """The docstrings' bound, also where (x - max) / T is some hundreds and a rounding of it would be 2^9 of the result.

    The worst of 8,000 random rows of float64 was 3.7 ULP (softmax) and 3.3 (log_softmax).
    """
    rng = np.random.default_rng(3)
    for scale in (3, 30, 300):
        for temperature in (1 / 3, 1.7, 1e5 / 3):
            x = (rng.normal(size=7) * scale * temperature).astype(dtype)
            for chunks in (1, 3, (6, 1)):
                y = getattr(softmax_dask, name)(
                    da.from_array(x, (chunks,)), temperature=temperature
                ).compute()
                assert max(ulps(name, x, y, temperature)) <= bound, (scale, temperature, chunks)


def test_temperatures_of_logsumexp():
    x = np.random.default_rng(0).normal(size=(6, 9)) * 3
    for chunks in CHUNKS:
        for temperature in (0.25, 8):  # x / T is exact
            got = softmax_dask.logsumexp(da.from_array(x, chunks), keepdims=True, temperature=temperature)
            want = softmax_ext.logsumexp(x / temperature, keepdims=True)
            np.testing.assert_allclose(got.compute(), want, rtol=8 * EPS)


def test_a_difference_beyond_the_range_that_the_temperature_brings_back():
    x, temperature = np.array([1.5e308, -1.5e308, 1.5e308]), 2.0**900
    got = softmax_dask.log_softmax(da.from_array(x, 1), temperature=temperature).compute()
    np.testing.assert_allclose(got, [-np.log(2), 2 * (-1.5e308 / temperature), -np.log(2)], rtol=1e-14)


@pytest.mark.parametrize("name", MAPS)
def test_arguments_that_cannot_be_used(name):
    function, x = getattr(softmax_dask, name), da.ones((4, 6), chunks=(2, 3))
    for where, error in [
        (np.ones((4, 5), bool), ValueError),
        (np.ones((2, 4, 6), bool), ValueError),
        (np.ones((4, 6)), TypeError),
        (da.ones((4, 6)), TypeError),
        (np.ma.array(np.ones((4, 6), bool), mask=True), TypeError),
    ]:
        with pytest.raises(error, match=r"^where: got "):
            function(x, where=where)
    for temperature, error in [(0, ValueError), (-1.0, ValueError), (NAN, ValueError), ("1", TypeError)]:
        with pytest.raises(error, match=r"^temperature: got "):
            function(x, temperature=temperature)


def test_unknown_sizes_of_chunks_with_a_mask():
    x = np.random.default_rng(0).normal(size=(5, 6))
    mask = np.random.default_rng(1).random((5, 6)) < 0.7
    for chunks in ((2, 6), (2, 4)):
        cut, where = da.from_array(x, chunks), da.from_array(mask, chunks)
        every = cut[:, 0].map_blocks(lambda block: block < 9)  # all, but Dask can't know
        got = softmax_dask.softmax(cut[every], where=where[every]).compute()
        np.testing.assert_allclose(got, softmax_ext.softmax(x, where=mask), rtol=12 * EPS)


# Derivatives --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives(name, chunks, dtype):
    rng = np.random.default_rng(0)
    forward = softmax_ext.log_softmax if name.startswith("log") else softmax_ext.softmax
    y = forward(rng.normal(size=(6, 9)) * 3).astype(dtype)
    g = rng.normal(size=(6, 9)).astype(dtype)
    eps = np.finfo(dtype).eps
    vectors = [g, g[0], g[:, :1], da.from_array(g, 4), da.from_array(g, (6, 2))]
    for vector, where in [*((vector, None) for vector in vectors), *((g, where) for where in masks(y))]:
        got = getattr(softmax_dask, name)(da.from_array(y, chunks), vector, where=where)
        want = getattr(softmax_ext, name)(y, plain(vector), where=plain(where))
        assert got.dtype == got._meta.dtype == want.dtype
        assert got.chunks == da.from_array(y, chunks).chunks
        if chunks[1] == 9:
            assert_array_equal(got.compute(), want)
        else:
            np.testing.assert_allclose(got.compute(), want, rtol=4 * eps, atol=8 * eps)


@pytest.mark.parametrize("name", ["softmax_vjp", "log_softmax_vjp", "log_softmax_jvp"])
def test_accuracy_of_derivatives_in_long_cut_rows(name):
    """In u of the natural scale; 1,300 random rows of 3 to 60,000 numbers had 6.2 u at most."""
    if np.finfo(np.longdouble).nmant < 63:
        pytest.skip("no wider type for the truth")
    rng = np.random.default_rng(0)
    for length in (100, 5000, 60_000):
        x, g = rng.normal(size=(2, 2, length)) * [[[5.0]], [[1.0]]]
        y = softmax_ext.softmax(x) if name == "softmax_vjp" else softmax_ext.log_softmax(x)
        got = getattr(softmax_dask, name)(da.from_array(y, (2, length // 3)), g).compute()
        wide, v = y.astype(np.longdouble), g.astype(np.longdouble)
        p = wide if name == "softmax_vjp" else np.exp(wide)
        sums = [
            (terms if name == "log_softmax_vjp" else p * terms).sum(axis=1, keepdims=True)
            for terms in (v, abs(v))
        ]
        if name == "softmax_vjp":
            truth, scale = p * (v - sums[0]), p * (abs(v) + sums[1])
        elif name == "log_softmax_vjp":
            truth, scale = v - p * sums[0], abs(v) + p * sums[1]
        else:
            truth, scale = v - sums[0], abs(v) + sums[1]
        assert (np.abs(got - truth) <= 12 * EPS / 2 * scale).all()


@pytest.mark.parametrize("axis", [0, (0, 2), None])
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_along_any_axes(name, axis):
    rng = np.random.default_rng(0)
    forward = softmax_ext.log_softmax if name.startswith("log") else softmax_ext.softmax
    y, g = forward(rng.normal(size=(4, 3, 5)), axis=axis), rng.normal(size=(4, 3, 5))
    want = getattr(softmax_ext, name)(y, g, axis)
    for chunks in ((2, 2, 2), (4, 1, 5), (1, 3, 5)):
        got = getattr(softmax_dask, name)(da.from_array(y, chunks), g, axis).compute()
        np.testing.assert_allclose(got, want, rtol=8 * EPS, atol=8 * EPS)


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_at_a_temperature(name, chunks):
    rng = np.random.default_rng(0)
    forward = softmax_ext.log_softmax if name.startswith("log") else softmax_ext.softmax
    y, g = forward(rng.normal(size=(6, 9)), temperature=0.3), rng.normal(size=(6, 9))
    want = getattr(softmax_ext, name)(y, g, temperature=0.3)
    got = getattr(softmax_dask, name)(da.from_array(y, chunks), g, temperature=0.3).compute()
    np.testing.assert_allclose(got, want, rtol=8 * EPS, atol=30 * EPS)


@pytest.mark.parametrize("chunks", [(3, 4), (3, 2)])
def test_nan_spreads_over_its_row_alone(chunks):
    y = softmax_ext.softmax(np.ones((3, 4)))
    g = np.ones((3, 4))
    g[1, 2] = NAN
    got = softmax_dask.softmax_vjp(da.from_array(y, chunks), da.from_array(g, chunks)).compute()
    assert_array_equal(np.isnan(got), [[False] * 4, [True] * 4, [False] * 4])


@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_refuse(name):
    function, y = getattr(softmax_dask, name), da.ones((4, 6), chunks=(2, 3))
    vector = "v" if name.endswith("_jvp") else "g"
    with pytest.raises(TypeError, match=r"^y: got ndarray, expected a Dask array"):
        function(np.ones((4, 6)), np.ones((4, 6)))
    with pytest.raises(ValueError, match=rf"^{vector}: got shape \(5,\), expected one that broadcasts"):
        function(y, np.ones(5))
    with pytest.raises(np.exceptions.AxisError):
        function(y, y, axis=2)
    with pytest.raises(TypeError, match="complex"):
        function(y, y.astype(complex))


# Losses -------------------------------------------------------------------------------------------

KEYWORDS = [
    {},
    {"weight": np.linspace(0, 2, 9)},
    {"label_smoothing": 0.1},
    {"weight": np.linspace(0, 2, 9), "label_smoothing": 0.1},
    {"ignore_index": -1},
    {"ignore_index": 3, "weight": np.linspace(0, 2, 9), "label_smoothing": 1},
]


def logits_and_targets(dtype=np.float64):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(6, 9)) * 3).astype(dtype)
    x[1, 4] = -INF
    return x, np.array([3, 5, -1, 8, 0, 3]), softmax_ext.softmax(rng.normal(size=(6, 9)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("keywords", KEYWORDS, ids=lambda keywords: "+".join(keywords) or "none")
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("chunks", CHUNKS)
def test_cross_entropy(chunks, reduction, keywords, dtype):
    x, labels, q = logits_and_targets(dtype)
    if keywords.get("ignore_index") != -1:
        labels = np.abs(labels)
    for targets in (labels, da.from_array(labels, 4), q, da.from_array(q, 5)):
        if targets.ndim == 2 and "ignore_index" in keywords:
            continue
        got = softmax_dask.cross_entropy(da.from_array(x, chunks), targets, reduction=reduction, **keywords)
        want = softmax_ext.cross_entropy(x, plain(targets), reduction=reduction, **keywords)
        assert isinstance(got, da.Array)
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        np.testing.assert_allclose(got.compute(), want, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("chunks", [(2, 2, 5), (1, 4, 3)])
def test_cross_entropy_along_another_axis(chunks):
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(3, 4, 5)), rng.integers(4, size=(3, 5))
    got = softmax_dask.cross_entropy(da.from_array(x, chunks), labels, 1, reduction="none")
    assert got.chunks == (da.from_array(x, chunks).chunks[0], da.from_array(x, chunks).chunks[2])
    np.testing.assert_allclose(
        got.compute(), softmax_ext.cross_entropy(x, labels, 1, reduction="none"), rtol=1e-14
    )


def test_cross_entropy_of_one_row():
    x = np.random.default_rng(0).normal(size=9)
    for chunks in (9, 4):
        got = softmax_dask.cross_entropy(da.from_array(x, chunks), 5)
        np.testing.assert_allclose(got.compute(), softmax_ext.cross_entropy(x, 5), rtol=1e-14)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_sample_weights(chunks):
    """A row of weight 0 does not count, be it NaN; the mean is divided by what the others weigh."""
    x, labels, _ = logits_and_targets()
    labels, weight = np.abs(labels), np.linspace(1, 2, 9)
    samples = np.array([1.0, 0.5, 2.0, 0.0, 0.25, 1.0])
    x[3] = NAN
    for reduction in ("none", "sum", "mean"):
        want = softmax_ext.cross_entropy(x, labels, reduction=reduction, weight=weight, sample_weight=samples)
        for array in (samples, da.from_array(samples, 4)):
            got = softmax_dask.cross_entropy(
                da.from_array(x, chunks), labels, reduction=reduction, weight=weight, sample_weight=array
            )
            np.testing.assert_allclose(got.compute(), want, rtol=1e-14)
    nothing = softmax_dask.cross_entropy(da.from_array(x, chunks), labels, sample_weight=0 * samples)
    assert nothing.compute() == 0


@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("keywords", KEYWORDS, ids=lambda keywords: "+".join(keywords) or "none")
def test_losses_with_masks_and_temperatures(chunks, keywords):
    """From their definition, and held to the function of NumPy arrays."""
    x, labels, _ = logits_and_targets()
    if keywords.get("ignore_index") != -1:
        labels = np.abs(labels)
    where = np.random.default_rng(1).random((6, 9)) < 0.8
    where[np.arange(6), labels] = True
    where[5, 3] = False  # hides row 5's label
    log_p = softmax_ext.log_softmax(x, where=where, temperature=0.7)
    weight, smoothing = keywords.get("weight", np.ones(9)), keywords.get("label_smoothing", 0)
    t = weight * ((1 - smoothing) * np.eye(9)[labels] + smoothing * where / where.sum(axis=1, keepdims=True))
    with np.errstate(invalid="ignore"):
        want = np.where(t == 0, 0, -t * log_p).sum(axis=1)
    want[labels == keywords.get("ignore_index")] = 0
    keywords = keywords | {"where": where, "temperature": 0.7, "reduction": "none"}
    got = softmax_dask.cross_entropy(da.from_array(x, chunks), labels, **keywords)
    np.testing.assert_allclose(got.compute(), want, rtol=1e-13)
    np.testing.assert_allclose(softmax_ext.cross_entropy(x, labels, **keywords), want, rtol=1e-13)


@pytest.mark.parametrize("chunks", CHUNKS)
def test_rows_of_nan_and_infinity(chunks):
    x, labels, q = logits_and_targets()
    labels = np.abs(labels)
    x[0, 8], x[2, 1], x[3] = NAN, INF, -INF
    for targets in (labels, q, 0 * q):
        got = softmax_dask.cross_entropy(da.from_array(x, chunks), targets, reduction="none").compute()
        np.testing.assert_allclose(got, softmax_ext.cross_entropy(x, targets, reduction="none"), rtol=1e-14)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, np.linspace(0.2, 1.0, 9)])
@pytest.mark.parametrize("row_chunks", [(6, 9), (4, 9), (6, 4), (2, 1)])
def test_probabilities_of_hidden_classes_are_not_looked_at(row_chunks, weight, smoothing):
    rng = np.random.default_rng(2)
    x, where = rng.normal(size=(6, 9)), rng.random((6, 9)) < 0.6
    where[0] = False
    targets = np.where(where, rng.random((6, 9)), np.inf)
    targets[:, 0] = 0.3  # hidden in some rows
    options = {"where": where, "weight": weight, "label_smoothing": smoothing, "reduction": "none"}
    got = softmax_dask.cross_entropy(
        da.from_array(x, row_chunks), da.from_array(targets, row_chunks), **options
    )
    want = softmax_ext.cross_entropy(x, targets, **options)
    assert np.isfinite(want).all()
    np.testing.assert_allclose(got.compute(), want, rtol=1e-13)


@pytest.mark.parametrize("chunks", [(2, 9), (2, 4)])
def test_cross_entropy_refuses(chunks):
    x = da.from_array(np.zeros((6, 9)), chunks)
    labels = np.zeros(6, int)
    function = softmax_dask.cross_entropy
    for arguments, keywords, message in [
        ((x.compute(), labels), {}, "logits: got ndarray, expected a Dask array"),
        ((x, labels[:5]), {}, "labels: got shape"),
        ((x, labels[:, None]), {}, "labels: got shape"),
        ((x, np.zeros((6, 8))), {}, "labels: got shape"),
        ((x, labels.astype(complex)), {}, "labels: got complex"),
        ((x, labels), {"reduction": "max"}, "reduction: got 'max'"),
        ((x, labels), {"weight": np.ones(8)}, "weight: got shape"),
        ((x, labels), {"label_smoothing": 2}, "label_smoothing: got 2"),
        ((x, np.zeros((6, 9))), {"ignore_index": 1}, "ignore_index: got 1"),
        ((x, labels), {"sample_weight": np.ones(5)}, "sample_weight: got shape"),
    ]:
        with pytest.raises((TypeError, ValueError), match=f"^{message}"):
            function(*arguments, **keywords)
    # These take values.
    for bad in (-1, 9):
        with pytest.raises(ValueError, match=f"^labels: got {bad}"):
            function(x, labels + bad).compute()
    with pytest.raises(ValueError, match=r"^sample_weight: got -1"):
        function(x, labels, sample_weight=labels - 1.0).compute()


def test_losses_are_the_same_for_any_chunks_of_labels():
    x, labels, _ = logits_and_targets()
    labels = np.abs(labels)
    for dtype in (np.int8, np.uint8, np.uint64):
        for chunks in CHUNKS:
            results = [
                softmax_dask.cross_entropy(
                    da.from_array(x, chunks), da.from_array(labels.astype(dtype), size), weight=np.arange(9.0)
                ).compute()
                for size in (1, 4, 6)
            ]
            assert len(set(results)) == 1


@st.composite
def losses(draw):
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 7)))
    chunks = draw(st.tuples(st.integers(1, 6), st.integers(1, 7)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.normal(size=shape) * draw(st.sampled_from([0.1, 1, 30]))
    keywords = {"reduction": draw(st.sampled_from(["none", "sum", "mean"]))}
    if draw(st.booleans()):
        keywords["weight"] = rng.integers(0, 3, size=shape[1]).astype(float)
    if draw(st.booleans()):
        keywords["label_smoothing"] = draw(st.sampled_from([0.0, 0.1, 1.0]))
    if draw(st.booleans()):
        return x, chunks, softmax_ext.softmax(rng.normal(size=shape)), keywords
    if draw(st.booleans()):
        keywords["ignore_index"] = draw(st.integers(-1, shape[1]))
    return x, chunks, rng.integers(shape[1], size=shape[0]), keywords


@settings(max_examples=100, deadline=None)
@given(losses())
def test_any_loss(case):
    x, chunks, targets, keywords = case
    got = softmax_dask.cross_entropy(da.from_array(x, chunks), targets, **keywords).compute()
    np.testing.assert_allclose(
        got, softmax_ext.cross_entropy(x, targets, **keywords), rtol=1e-13, atol=1e-300
    )


# Memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "count",
    [144, pytest.param(400, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
    ids=["quick", "long"],
)
def test_a_classifiers_loss_over_more_than_memory(count):
    """Logits that are several times each worker's limit: whole rows, then classes in chunks, with a mask."""
    rows, classes, pieces, limit = 256, 1024, 4, 200

    def block(seed, row, column):
        return np.random.default_rng([seed, row, column]).random((rows, classes), dtype=np.float32) * 20

    def cut_block(seed, block_info=None):
        return block(seed, *block_info[None]["chunk-location"])

    def whole_rows(row):
        return np.hstack([block(7, row, column) for column in range(pieces)])

    def whole_block(block_info=None):
        return whole_rows(block_info[None]["chunk-location"][0])

    meta = np.empty((0, 0), np.float32)
    with dask_helpers.small_cluster(limit) as client:
        x = da.map_blocks(whole_block, chunks=((rows,) * count, (pieces * classes,)), meta=meta)
        chunks = ((rows,) * count, (classes,) * pieces)
        cut, g = (da.map_blocks(cut_block, seed, chunks=chunks, meta=meta) for seed in (7, 8))
        assert x.nbytes > 3 * limit * 10**6
        labels = da.arange(x.shape[0], chunks=3000) % x.shape[1]
        where = da.arange(x.shape[1], chunks=1000) != 5
        results = [
            softmax_dask.cross_entropy(x, labels),
            softmax_dask.cross_entropy(cut, labels, ignore_index=5, where=where, label_smoothing=0.1),
        ]
        if count > 200:
            y = softmax_dask.softmax(cut, temperature=2.0)
            results.append(softmax_dask.softmax_vjp(y, g).sum(dtype=np.float64))
        whole, masked, *gradient = [client.compute(result).result() for result in results]

    # The truth, one chunk at a time.
    shown = np.arange(x.shape[1]) != 5
    sums = np.zeros(3)
    for row in range(count):
        logits = whole_rows(row)
        label = np.arange(row * rows, (row + 1) * rows) % x.shape[1]
        losses = softmax_ext.cross_entropy(logits, label, reduction="none").astype(float)
        log_p = softmax_ext.log_softmax(logits, where=shown)
        smooth = -0.9 * log_p[np.arange(rows), label] - 0.1 * log_p.mean(axis=1, where=shown, dtype=float)
        sums += [losses.sum(), smooth[label != 5].sum(), (label != 5).sum()]
    np.testing.assert_allclose(whole, sums[0] / x.shape[0], rtol=1e-6)
    np.testing.assert_allclose(masked, sums[1] / sums[2], rtol=1e-6)
    # The gradient of each row sums to 0.
    assert np.all(np.abs(gradient) < 1e-2)


# Initial terms, sums and weights ------------------------------------------------------------------


def initial_terms(x, temperature):
    """Return initial terms below, near and above the sums of rows; and special ones."""
    tops = np.where(np.isfinite(x), x, 0).max(axis=1, keepdims=True) / temperature
    special = np.array([[0.0], [-INF], [INF], [NAN], [700.0], [-700.0]])
    near = tops + np.array([[0.0], [-0.5], [40.0], [-40.0], [1.0], [800.0]])
    return [0.0, special, near, da.from_array(near, (4, 1)), np.array(1.5)]


@pytest.mark.parametrize("temperature", [1.0, 0.37, 50.0])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("chunks", CHUNKS)
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_initial_terms_and_sums(name, chunks, dtype, temperature):
    x = (np.random.default_rng(5).normal(size=(6, 9)) * 4).astype(dtype)
    x[1], x[4], x[5] = -INF, x[4] - 300, x[5] + 900
    x[2, 3] = INF
    eps = np.finfo(dtype).eps
    for initial in initial_terms(x, temperature):
        options = {"temperature": temperature, "return_logsumexp": True}
        got = getattr(softmax_dask, name)(da.from_array(x, chunks), initial=initial, **options)
        want = getattr(softmax_ext, name)(x, initial=plain(initial), **options)
        alone = softmax_dask.logsumexp(
            da.from_array(x, chunks), initial=initial, temperature=temperature, keepdims=True
        )
        for lazy, true in zip((*got, alone), (*want, want[1][:, None]), strict=True):
            computed = lazy.compute()
            assert lazy.dtype == computed.dtype == true.dtype
            assert lazy.shape == computed.shape == true.shape
            np.testing.assert_allclose(computed, true, rtol=8 * eps, atol=0)
        if chunks[1] == 9:  # rows that are whole have the very bits
            del options["return_logsumexp"]
            exact = getattr(softmax_ext, name)(x, initial=plain(initial), **options)
            assert_array_equal(got[0].compute(), exact)
            assert_array_equal(got[1].compute(), want[1])


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("chunks", CHUNKS)
def test_weights(chunks, dtype, temperature):
    rng = np.random.default_rng(6)
    x = (rng.normal(size=(6, 9)) * 4).astype(dtype)
    x[1], x[4], x[5] = -INF, x[4] - 300, x[5] + 900
    x[2, 3], x[3, 1] = INF, NAN
    b = rng.normal(size=x.shape).astype(dtype)
    b[3, 1] = b[0, 4] = 0
    mask = rng.random(x.shape) < 0.8
    tolerance = 64 * np.finfo(dtype).eps
    for weights in (None, 2, -1.5, b, b[0], b[:, :1], da.from_array(b, (4, 2)), rng.integers(-2, 3, size=9)):
        for extra in ({}, {"where": mask}, {"initial": np.arange(6.0)[:, None]}, {"axis": 0}, {"axis": None}):
            options = {"temperature": temperature, "return_sign": True, **extra}
            if "initial" in options:
                options["initial"] = options["initial"].astype(dtype)
            lazy = softmax_dask.logsumexp(da.from_array(x, chunks), b=weights, **options)
            want = softmax_ext.logsumexp(x, b=plain(weights), **options)
            got = dask.compute(*lazy)
            for a, found, true in zip(lazy, got, want, strict=True):
                assert a.dtype == found.dtype == true.dtype
                assert a.shape == found.shape == np.shape(true)
            np.testing.assert_allclose(got[0], want[0], rtol=tolerance, atol=tolerance)
            assert_array_equal(got[1], want[1])
            options["return_sign"] = False
            unsigned = softmax_dask.logsumexp(da.from_array(x, chunks), b=weights, **options).compute()
            np.testing.assert_array_equal(np.isnan(unsigned), np.isnan(want[0]) | (want[1] < 0))


def test_weights_broadcast_the_array():
    x, b = np.random.default_rng(7).normal(size=(2, 4, 1, 6))
    b = np.ascontiguousarray(np.broadcast_to(b, (5, 4, 3, 6)))
    got = softmax_dask.logsumexp(da.from_array(x, 2), (0, 3), b=da.from_array(b, 2), keepdims=True)
    want = softmax_ext.logsumexp(x, (0, 3), b=b, keepdims=True)
    np.testing.assert_allclose(got.compute(), want, rtol=1e-13)
    assert got.shape == want.shape


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"initial": [1.0, 2.0]}, ValueError, "initial: got shape"),
        ({"initial": np.array(1j)}, TypeError, "initial: got"),
        ({"b": np.ones(4)}, ValueError, "b: got shape"),
        ({"b": np.array(1j)}, TypeError, "b: got"),
        ({"return_sign": "yes"}, TypeError, "return_sign: got"),
    ],
)
def test_initial_terms_and_weights_that_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        softmax_dask.logsumexp(da.zeros((6, 9), chunks=3), **options)
