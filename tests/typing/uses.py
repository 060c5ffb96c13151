"""Typical uses with the types that a checker has to find: for mypy and pyright; run by tests/test_typing.py, too."""

from fractions import Fraction
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import softmax_ext
from softmax_ext import (
    cross_entropy,
    cross_entropy_with_grad,
    log_softmax,
    log_softmax_jvp,
    log_softmax_vjp,
    logsumexp,
    segment_log_softmax,
    segment_log_softmax_jvp,
    segment_log_softmax_vjp,
    segment_logsumexp,
    segment_softmax,
    segment_softmax_jvp,
    segment_softmax_vjp,
    softmax,
    softmax_jacobian,
    softmax_jvp,
    softmax_vjp,
)

half: NDArray[np.float16] = np.ones((2, 3), np.float16)
single: NDArray[np.float32] = np.ones((2, 3), np.float32)
double: NDArray[np.float64] = np.ones((2, 3), np.float64)
integers: NDArray[np.int64] = np.ones((2, 3), np.int64)
labels: NDArray[np.intp] = np.zeros(2, np.intp)
mask: NDArray[np.bool] = np.ones((2, 3), np.bool)
# Whatever type a file holds.
unknown: NDArray[Any] = np.ones((2, 3), np.float32)

# Results keep the type of floats; integers, bool and Python's numbers give float64.
assert_type(softmax(half), NDArray[np.float16])
assert_type(softmax(single), NDArray[np.float32])
assert_type(softmax(double), NDArray[np.float64])
assert_type(softmax(integers), NDArray[np.float64])
assert_type(softmax(mask), NDArray[np.float64])
assert_type(softmax([1.0, 2.0]), NDArray[np.float64])
assert_type(softmax([1, 2]), NDArray[np.float64])
assert_type(softmax([[1.0, 2.0], [3.0, 4.0]], axis=0), NDArray[np.float64])
assert_type(log_softmax(single, axis=(0, 1)), NDArray[np.float32])
assert_type(log_softmax(integers, axis=None), NDArray[np.float64])

# 0-d input gives a scalar.
assert_type(softmax(1.0), np.float64)
assert_type(softmax(np.float32(1)), np.float32)
assert_type(log_softmax(np.int8(1)), np.float64)

# What a call says about the result.
assert_type(softmax(single, dtype=np.float64), NDArray[np.float64])
assert_type(softmax(integers, dtype=np.float32), NDArray[np.float32])
assert_type(softmax(double, dtype=np.dtype(np.float16)), NDArray[np.float16])
assert_type(softmax(single, out=double), NDArray[np.float64])
assert_type(log_softmax(double, out=single), NDArray[np.float32])

# Terms beside the elements, and the sums beside the results.
assert_type(softmax(single, initial=0.0), NDArray[np.float32])
assert_type(logsumexp(single, None, initial=np.float32(1), temperature=2), np.float32)
assert_type(softmax(single, return_logsumexp=True), tuple[NDArray[np.float32], Any])
assert_type(log_softmax([1.0, 2.0], return_logsumexp=True)[0], NDArray[np.float64])

# What scalars and axes may be.
softmax(single, axis=np.int64(1), temperature=np.float32(0.5))
softmax(single, np.intp(0), temperature=2, where=mask)
log_softmax(single, (np.int8(0), 1), temperature=Fraction(1, 2), where=[True, False, True])
softmax(single, dtype="f8")
softmax(unknown)

# Sums along axes: a scalar where every axis goes, an array where they stay.
assert_type(logsumexp(single, keepdims=True), NDArray[np.float32])
assert_type(logsumexp(integers, keepdims=True), NDArray[np.float64])
assert_type(logsumexp(single, axis=None), np.float32)
assert_type(logsumexp(integers, axis=None), np.float64)
assert_type(logsumexp([1.0, 2.0]), np.float64)
assert_type(logsumexp(single, axis=None, dtype=np.float64), np.float64)
assert_type(logsumexp(single, keepdims=True, dtype=np.float64), NDArray[np.float64])
column: NDArray[np.float32] = np.ones((2, 1), np.float32)
assert_type(logsumexp(single, keepdims=True, out=column), NDArray[np.float32])
assert_type(logsumexp(single, keepdims=True, b=single), NDArray[np.float32])
assert_type(logsumexp(single, None, b=-1), np.float32)
assert_type(logsumexp([1.0, 2.0], b=[1, -1]), np.float64)
assert_type(
    logsumexp(single, keepdims=True, b=single, return_sign=True),
    tuple[NDArray[np.float32], NDArray[np.float32]],
)
assert_type(logsumexp([1.0, 2.0], b=[1, -1], return_sign=True), tuple[np.float64, np.float64])
assert_type(logsumexp(single, keepdims=True, return_sign=True, out=column), tuple[NDArray[np.float32], Any])
float(logsumexp(single)[0])

# Derivatives have the wider type.
assert_type(softmax_vjp(single, single), NDArray[np.float32])
assert_type(softmax_vjp(double, single), NDArray[np.float64])
assert_type(log_softmax_vjp(single, double, axis=0), NDArray[np.float64])
assert_type(softmax_jvp(half, half, where=mask), NDArray[np.float16])
assert_type(log_softmax_jvp(double, 1.0), NDArray[np.float64])
assert_type(log_softmax_jvp([0.5, 0.5], [1.0, 2.0]), NDArray[np.float64])
assert_type(softmax_vjp(single, double, out=single.copy()), NDArray[np.float32])
assert_type(softmax_vjp(single, single, temperature=np.float32(2)), NDArray[np.float32])
assert_type(log_softmax_jvp(double, 1.0, temperature=3), NDArray[np.float64])
assert_type(softmax_jacobian(single), NDArray[np.float32])
assert_type(softmax_jacobian(single, temperature=0.5), NDArray[np.float32])
assert_type(softmax_jacobian([0.5, 0.5], axis=np.int8(0)), NDArray[np.float64])

# Losses: a scalar, or one a row.
assert_type(cross_entropy(single, labels), np.float32)
assert_type(cross_entropy(single, labels, reduction="sum"), np.float32)
assert_type(cross_entropy(single, labels, reduction="none"), NDArray[np.float32])
assert_type(cross_entropy([[1.0, 2.0]], [0]), np.float64)
assert_type(cross_entropy(integers, labels, reduction="none"), NDArray[np.float64])
assert_type(cross_entropy_with_grad(single, labels), tuple[np.float32, NDArray[np.float32]])
assert_type(
    cross_entropy_with_grad(double, labels, reduction="none"), tuple[NDArray[np.float64], NDArray[np.float64]]
)
cross_entropy(single, labels, axis=np.int64(1), ignore_index=np.int64(-1), label_smoothing=np.float32(0.1))
cross_entropy(single, labels, where=[True, False, True], temperature=np.float32(2), sample_weight=[0.5, 1])
assert_type(cross_entropy_with_grad(single, labels, out=single), tuple[np.float32, NDArray[np.float32]])

# Segments.
assert_type(segment_softmax(single, [0, 2]), NDArray[np.float32])
assert_type(segment_log_softmax([1.0, 2.0], [0, 2]), NDArray[np.float64])
assert_type(segment_softmax(single, [0, 2], out=double), NDArray[np.float64])
assert_type(segment_softmax_vjp(single, single, [0, 2]), NDArray[np.float32])
assert_type(segment_log_softmax_vjp(double, single, [0, 2]), NDArray[np.float64])
assert_type(segment_logsumexp(single, [0, 2], where=[True, False, True], temperature=2), NDArray[np.float32])
assert_type(segment_logsumexp(single, [0, 2], out=double[:1]), NDArray[np.float64])
assert_type(segment_softmax_jvp(single, single, [0, 2], temperature=np.float32(2)), NDArray[np.float32])
assert_type(segment_log_softmax_jvp([0.0, 1.0], single[:, 0], [0, 2], where=None), NDArray[np.float64])

# Settings.
assert_type(softmax_ext.show_config(mode="dicts"), dict[str, Any])
assert_type(softmax_ext.get_num_threads(), int)
softmax_ext.set_num_threads(np.int64(softmax_ext.get_num_threads()))
softmax_ext.set_buffer_limit(softmax_ext.get_buffer_limit())
