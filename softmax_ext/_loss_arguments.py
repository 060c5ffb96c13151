"""The arguments of cross-entropy, checked: an error names the argument, what came and what was wanted."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softmax_ext import _core
from softmax_ext._typing import Real

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(reduction: Any) -> None:
    if not (isinstance(reduction, str) and reduction in REDUCTIONS):
        raise ValueError(f'reduction: got {_core._shown(reduction)}, expected "mean", "sum" or "none"')


def smoothing_of(label_smoothing: Real) -> float:
    value = _core._real_number(label_smoothing, "label_smoothing", "a number from 0 to 1")
    if not 0 <= value <= 1:
        raise ValueError(
            f"label_smoothing: got {_core._shown(label_smoothing)}, expected a number from 0 to 1"
        )
    return value


def weights_of(weight: ArrayLike, shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> NDArray[Any]:
    array = _core._real_array(weight, name, "pass {0}.filled(0)")
    if array.shape != shape:
        what = "a weight for each class" if name == "weight" else "a weight for each row"
        raise ValueError(f"{name}: got shape {array.shape}, expected {shape}, {what}")
    weights = np.require(_core._cast(array, dtype), dtype, ["C", "A"])
    bad = ~((weights >= 0) & (weights < np.inf))
    if bad.any():
        place, where = _first_place(bad)
        raise ValueError(f"{name}: got {array[place]} at position {where}, expected finite {dtype} >= 0")
    return weights


def _first_place(found: NDArray[Any]) -> tuple[Any, Any]:
    """Return the first place, as an index and as a message shows it."""
    place = tuple(int(i) for i in np.unravel_index(int(found.argmax()), found.shape))
    return place, place[0] if len(place) == 1 else place


def labels_of(labels: ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    array = _core._as_array(labels, "labels", "pass {0}.filled(-1), and ignore_index=-1")
    if array.size == 0 and array.shape != shape and isinstance(labels, (list, tuple)):
        return np.empty(array.shape, np.intp)  # an empty list holds no floats
    if array.dtype.kind in "iu":
        return array
    if array.dtype.kind == "f" or array.dtype.name == "bfloat16":
        return _core._real_array(array, "labels")
    raise TypeError(
        f"labels: got {_core._described(labels, array)}, expected integers (class labels) or floats (probabilities)"
    )


def check_probabilities(labels: NDArray[Any], shape: tuple[int, ...], ignored: int | None) -> None:
    if labels.shape != shape:
        raise ValueError(
            f"labels: got {labels.dtype} of shape {labels.shape}, expected probabilities of the logits' shape "
            f"{shape} (or integers, which are class labels)"
        )
    if ignored is not None:
        raise ValueError(
            f"ignore_index: got {_core._shown(ignored)} with probabilities as labels, expected None"
        )


def check_labels(
    labels: NDArray[Any],
    shape: tuple[int, ...],
    classes: int,
    ignored: int | None,
) -> NDArray[Any]:
    """Return the labels as int64, -1 where they are ignored."""
    if labels.shape != shape:
        raise ValueError(
            f"labels: got {labels.dtype} of shape {labels.shape}, expected {shape}, a class label for each row (or "
            "floats of the logits' shape, which are probabilities)"
        )
    skipped = None
    if labels.size and not (
        np.minimum.reduce(labels, None) >= 0 and np.maximum.reduce(labels, None) < classes
    ):
        skipped = np.zeros(shape, bool) if ignored is None else np.equal(labels, ignored)
        bad = ~skipped & ((labels < 0) | (labels >= classes))
        if bad.any():
            place, where = _first_place(bad)
            valid = f"a class from 0 to {classes - 1}" if classes else "none, since there are no classes"
            other = "" if ignored is None else f" or {_core._shown(ignored)}, the ignore_index"
            raise ValueError(f"labels: got {labels[place]} at position {where}, expected {valid}{other}")
    elif ignored is not None and 0 <= ignored < classes:
        skipped = np.equal(labels, ignored)
    label = labels.astype(np.int64, copy=skipped is not None)
    if not label.flags.aligned:
        label = label.copy()
    if skipped is not None:
        label[skipped] = -1
    return label
