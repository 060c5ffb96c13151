"""The cross-entropy of logits in a Dask array: a loss for each row, from the row or its chunks, then one number.

Arrays of one number a row keep the class axis, with length 1, until the end: so their chunks stand beside the logits'.
"""

from __future__ import annotations

import math
from typing import Any, SupportsIndex

import dask.array as da
import numpy as np
from dask.array.utils import meta_from_array
from numpy.lib.array_utils import normalize_axis_index
from numpy.typing import ArrayLike, NDArray

import softmax_ext
import softmax_ext._core as _core
from softmax_ext import _dask_rows as rows

_FLOAT64 = np.dtype(np.float64)


def cross_entropy(
    logits: da.Array,
    labels: ArrayLike | da.Array,
    axis: SupportsIndex,
    reduction: Any,
    options: dict[str, Any],
    where: Any,
    temperature: Any,
    sample_weight: Any,
) -> da.Array:
    """Return the loss; `options` has weight, ignore_index and label_smoothing."""
    rows.check_is_dask(logits, "logits")
    targets = labels if isinstance(labels, da.Array) else da.asarray(_core._as_array(labels, "labels"))
    number, dtype = _checked(logits, targets, axis, reduction, options, temperature)
    mask = rows.mask_of(where, logits, "logits")
    if targets.dtype.kind in "iu":
        targets = _of_rows(targets, logits, number, "labels")
    else:
        targets = rows.aligned(targets, logits.chunks, "labels", "probabilities of the logits' shape", False)
    samples = None
    if sample_weight is not None:
        given = sample_weight
        if not isinstance(given, da.Array):
            given = da.asarray(_core._real_array(given, "sample_weight"))
        samples = _of_rows(given, logits, number, "sample_weight")

    # Losses of 16 bits would be rounded before they are added up.
    x = logits.astype(np.float32 if dtype.itemsize == 2 else dtype)
    if rows.is_cut(x, (number,)):
        losses = _losses_of_cut_rows(x, targets, mask, number, options, temperature)
    else:
        keywords = {**options, "temperature": temperature}
        losses = rows.on_blocks(
            _losses_of_chunk, [x, targets, mask], _FLOAT64, (number,), axis=number, keywords=keywords
        )
    if samples is not None:
        losses = rows.on_blocks(_times_samples, [losses, samples], _FLOAT64)
    if reduction == "none":
        return rows.without_axes(losses.astype(dtype), (number,))
    divisor = None
    if reduction == "mean":
        labels_of_rows = targets if targets.dtype.kind in "iu" else None
        counted = rows.on_blocks(
            _weight_of_rows,
            [losses, labels_of_rows, samples],
            _FLOAT64,
            weight=options["weight"],
            ignored=options["ignore_index"],
        )
        divisor = counted.sum()
    return da.map_blocks(_quotient, losses.sum(), divisor, result_type=dtype, meta=np.empty((), dtype))


# ---- arguments ---------------------------------------------------------------------------------------------------


def _checked(
    logits: da.Array,
    targets: da.Array,
    axis: SupportsIndex,
    reduction: Any,
    options: dict[str, Any],
    temperature: Any,
) -> tuple[int, np.dtype[Any]]:
    """Return the class axis and the type of the loss; the NumPy function checks all that does not need values."""
    meta = meta_from_array(logits)
    # Probabilities, since a row without classes can have no label.
    dtype = softmax_ext.cross_entropy(meta, np.empty(meta.shape, np.float64), axis, reduction="sum").dtype
    number = normalize_axis_index(axis, logits.ndim)  # type: ignore[arg-type]
    classes = logits.shape[number]
    if math.isnan(classes):
        if rows.is_cut(logits, (number,)):
            raise ValueError(
                "logits: got chunks of unknown sizes along the class axis, expected known ones or one chunk"
            )
        classes = 0 if options["weight"] is None else len(options["weight"])
    no_rows = np.empty((0, classes), meta.dtype)
    shape = (0,) if targets.dtype.kind in "iu" else no_rows.shape
    labels = np.empty(shape, targets.dtype)
    softmax_ext.cross_entropy(no_rows, labels, reduction=reduction, temperature=temperature, **options)
    return number, dtype


def _of_rows(value: da.Array, logits: da.Array, number: int, name: str) -> da.Array:
    """Return an array of one number a row in the logits' chunks, with length 1 along the class axis."""
    if value.ndim != logits.ndim - 1:
        shape = logits.shape[:number] + logits.shape[number + 1 :]
        raise ValueError(f"{name}: got shape {value.shape}, expected {shape}, a number for each row")
    chunks = (*logits.chunks[:number], (1,), *logits.chunks[number + 1 :])
    index = (*(slice(None),) * number, None)
    return rows.aligned(value[index], chunks, name, "a number for each row, with the class axis", False)


# ---- losses of rows ----------------------------------------------------------------------------------------------


def _losses_of_chunk(
    x: NDArray[Any], targets: NDArray[Any], mask: NDArray[Any] | None, axis: int, keywords: dict[str, Any]
) -> NDArray[Any]:
    if targets.dtype.kind in "iu":
        targets = targets.squeeze(axis)
    losses = softmax_ext.cross_entropy(x, targets, axis, reduction="none", where=mask, **keywords)
    return np.expand_dims(np.asarray(losses, np.float64), axis)


# What the chunks of a row add up to: -log p at the targets, -log p of all classes (each times its weight), and the
# number of visible classes.
_PARTS = np.dtype([("target", np.float64), ("all", np.float64), ("visible", np.float64)])


def _losses_of_cut_rows(
    x: da.Array,
    targets: da.Array,
    mask: da.Array | None,
    number: int,
    options: dict[str, Any],
    temperature: Any,
) -> da.Array:
    of_chunk = rows.log_softmax_of_chunk
    log_p = rows.elementwise(softmax_ext.log_softmax, of_chunk, x, number, mask, temperature, None, False)
    index = tuple(slice(None) if d == number else None for d in range(x.ndim))
    classes = da.arange(x.shape[number], chunks=(x.chunks[number],))[index]
    parts = rows.on_blocks(
        _parts_of_chunk,
        [log_p, targets, mask, classes],
        _PARTS,
        (number,),
        axis=number,
        count=x.shape[number],
        options=options,
    )
    parts = rows.reduce_rows(parts, _sum_of_parts, (number,))
    ignored = options["ignore_index"]
    labels = None if ignored is None else targets
    smoothing = float(options["label_smoothing"])
    return rows.on_blocks(_losses_of_parts, [parts, labels], _FLOAT64, smoothing=smoothing, ignored=ignored)


@np.errstate(all="ignore")
def _parts_of_chunk(
    log_p: NDArray[Any],
    targets: NDArray[Any],
    mask: NDArray[Any] | None,
    classes: NDArray[Any],
    axis: int,
    count: int,
    options: dict[str, Any],
) -> NDArray[Any]:
    weight = None if options["weight"] is None else np.asarray(options["weight"], np.float64)
    of_classes = 1.0 if weight is None else weight[classes]
    shown = np.broadcast_to(True if mask is None else mask, log_p.shape)
    parts = np.zeros([1 if d == axis else n for d, n in enumerate(log_p.shape)], _PARTS)
    if targets.dtype.kind in "iu":
        _check_labels(targets, count, options["ignore_index"])
        if classes.size:
            parts["target"] = _losses_of_labels(log_p, targets.astype(np.int64), weight, classes, axis)
    else:
        # A hidden class has an infinite loss, and its probability is not looked at.
        parts["target"] = _weighted(-log_p.astype(np.float64), targets * of_classes).sum(
            axis=axis, keepdims=True, where=shown
        )
    if options["label_smoothing"]:
        losses = _weighted(-log_p.astype(np.float64), of_classes) if weight is not None else -log_p
        parts["all"] = losses.sum(axis=axis, keepdims=True, dtype=np.float64, where=shown)
        parts["visible"] = np.count_nonzero(shown, axis=axis, keepdims=True)
    return parts


def _losses_of_labels(
    log_p: NDArray[Any],
    labels: NDArray[np.int64],
    weight: NDArray[Any] | None,
    classes: NDArray[Any],
    axis: int,
) -> NDArray[Any]:
    """Return the losses of the rows whose label is in this chunk, and 0 for the others."""
    place = labels - classes.flat[0]
    is_here = (place >= 0) & (place < classes.size)
    losses = -np.take_along_axis(log_p, np.where(is_here, place, 0), axis).astype(np.float64)
    if weight is not None:
        losses = _weighted(losses, weight[np.where(is_here, labels, 0)])
    return np.where(is_here, losses, 0)


def _sum_of_parts(parts: NDArray[Any], axis: tuple[int, ...], keepdims: bool = True) -> NDArray[Any]:
    fields = {name: parts[name].sum(axis=axis, keepdims=True) for name in _PARTS.names or ()}
    total = np.empty(fields["target"].shape, _PARTS)
    for name, values in fields.items():
        total[name] = values
    return total


@np.errstate(all="ignore")
def _losses_of_parts(
    parts: NDArray[Any], labels: NDArray[Any] | None, smoothing: float, ignored: int | None
) -> NDArray[Any]:
    losses: NDArray[Any] = parts["target"]
    if smoothing:
        share = smoothing / np.maximum(parts["visible"], 1)
        losses = _weighted(losses, np.float64(1 - smoothing)) + share * parts["all"]
    return losses if labels is None else np.where(labels == ignored, 0, losses)


def _check_labels(labels: NDArray[Any], count: int, ignored: int | None) -> None:
    bad = (labels < 0) | (labels >= count)
    if ignored is not None:
        bad &= labels != ignored
    if bad.any():
        other = "" if ignored is None else f" or {ignored}, the ignore_index"
        raise ValueError(f"labels: got {labels[bad][0]}, expected a class from 0 to {count - 1}{other}")


# ---- weights and sums --------------------------------------------------------------------------------------------


@np.errstate(all="ignore")
def _weighted(losses: NDArray[Any], weights: Any) -> NDArray[Any]:
    """Return losses times weights; a weight of 0 leaves nothing of an infinite loss, but NaN stays."""
    return np.where((weights == 0) & ~np.isnan(losses), 0, losses * weights)


@np.errstate(all="ignore")
def _times_samples(losses: NDArray[Any], samples: NDArray[Any]) -> NDArray[Any]:
    """Return losses times the weights of their rows; a row of weight 0 does not count, whatever its loss is."""
    bad = ~((samples >= 0) & (samples < np.inf))
    if bad.any():
        raise ValueError(f"sample_weight: got {samples[bad][0]}, expected finite numbers >= 0")
    return np.where(samples == 0, 0, losses * samples)


def _weight_of_rows(
    losses: NDArray[Any],
    labels: NDArray[Any] | None,
    samples: NDArray[Any] | None,
    weight: ArrayLike | None,
    ignored: int | None,
) -> NDArray[Any]:
    """Return what each row counts for in the mean."""
    counted = np.ones(losses.shape)
    if labels is not None:
        skipped = np.zeros(labels.shape, bool) if ignored is None else labels == ignored
        if weight is not None:
            counted = np.asarray(weight, np.float64)[np.where(skipped, 0, labels)]
        counted = np.where(skipped, 0, counted)
    return counted if samples is None else counted * samples


@np.errstate(all="ignore")
def _quotient(total: NDArray[Any], divisor: NDArray[Any] | None, result_type: np.dtype[Any]) -> Any:
    if divisor is not None:
        total = np.where(divisor == 0, 0, total / divisor)
    return result_type.type(total)
