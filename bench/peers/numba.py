"""Loops compiled by Numba, with fastmath, over threads: what one writes to have it fast at home.

Rows that are contiguous, and columns taken a block at a time for the other axes.
"""

import numba
import numpy as np
from numba import njit, prange

from bench.peers import call

fast = njit(parallel=True, fastmath=True)
BLOCK = 512


class Peer:
    """See `bench.peers.load`."""

    version = numba.__version__

    def __init__(self, threads):
        numba.set_num_threads(threads)

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        x = next(iter(arrays.values()))
        if axis != -1:
            # (before, axis, after): views, no copies.
            shape = (int(np.prod(x.shape[:axis])), x.shape[axis], -1)
            arrays = {name: array.reshape(shape) for name, array in arrays.items()}
            op = f"{op}_columns"
        elif x.ndim != 2:
            arrays = {name: array.reshape(-1, x.shape[-1]) for name, array in arrays.items()}
        if op not in globals():
            return {}
        self.shape = x.shape
        return {"own": [call(f"{op}({', '.join(arrays)})", **{op: globals()[op]}, **arrays)]}

    def as_numpy(self, result):
        """Give a result the shape that was asked for."""
        same = isinstance(result, np.ndarray) and result.size == np.prod(self.shape)
        return result.reshape(self.shape) if same else result


@fast
def softmax(x):
    out = np.empty_like(x)
    for i in prange(x.shape[0]):
        top = x[i].max()
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            value = np.exp(x[i, j] - top)
            out[i, j] = value
            total += value
        scale = x.dtype.type(1) / total
        for j in range(x.shape[1]):
            out[i, j] *= scale
    return out


@fast
def log_softmax(x):
    out = np.empty_like(x)
    for i in prange(x.shape[0]):
        top = x[i].max()
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - top)
        top += np.log(total)
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] - top
    return out


@fast
def logsumexp(x):
    out = np.empty(x.shape[0], x.dtype)
    for i in prange(x.shape[0]):
        top = x[i].max()
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - top)
        out[i] = top + np.log(total)
    return out


@fast
def softmax_vjp(y, g):
    out = np.empty_like(y)
    for i in prange(y.shape[0]):
        total = y.dtype.type(0)
        for j in range(y.shape[1]):
            total += y[i, j] * g[i, j]
        for j in range(y.shape[1]):
            out[i, j] = y[i, j] * (g[i, j] - total)
    return out


@fast
def log_softmax_vjp(y, g):
    out = np.empty_like(y)
    for i in prange(y.shape[0]):
        total = y.dtype.type(0)
        for j in range(y.shape[1]):
            total += g[i, j]
        for j in range(y.shape[1]):
            out[i, j] = g[i, j] - np.exp(y[i, j]) * total
    return out


@fast
def cross_entropy(x, labels):
    out = np.empty_like(x)
    losses = np.empty(x.shape[0], x.dtype)
    share = x.dtype.type(1) / x.dtype.type(x.shape[0])
    for i in prange(x.shape[0]):
        top = x[i].max()
        total = x.dtype.type(0)
        for j in range(x.shape[1]):
            value = np.exp(x[i, j] - top)
            out[i, j] = value
            total += value
        losses[i] = np.log(total) + top - x[i, labels[i]]
        scale = share / total
        for j in range(x.shape[1]):
            out[i, j] *= scale
        out[i, labels[i]] -= share
    return losses.mean(), out


@fast
def softmax_columns(x):
    out = np.empty_like(x)
    before, length, after = x.shape
    blocks = (after + BLOCK - 1) // BLOCK
    for task in prange(before * blocks):
        i = task // blocks
        low = task % blocks * BLOCK
        high = min(low + BLOCK, after)
        top = x[i, 0, low:high].copy()
        for k in range(1, length):
            for j in range(low, high):
                top[j - low] = max(top[j - low], x[i, k, j])
        total = np.zeros_like(top)
        for k in range(length):
            for j in range(low, high):
                value = np.exp(x[i, k, j] - top[j - low])
                out[i, k, j] = value
                total[j - low] += value
        for j in range(high - low):
            total[j] = x.dtype.type(1) / total[j]
        for k in range(length):
            for j in range(low, high):
                out[i, k, j] *= total[j - low]
    return out


@fast
def log_softmax_columns(x):
    out = np.empty_like(x)
    before, length, after = x.shape
    blocks = (after + BLOCK - 1) // BLOCK
    for task in prange(before * blocks):
        i = task // blocks
        low = task % blocks * BLOCK
        high = min(low + BLOCK, after)
        top = x[i, 0, low:high].copy()
        for k in range(1, length):
            for j in range(low, high):
                top[j - low] = max(top[j - low], x[i, k, j])
        total = np.zeros_like(top)
        for k in range(length):
            for j in range(low, high):
                total[j - low] += np.exp(x[i, k, j] - top[j - low])
        for j in range(high - low):
            top[j] += np.log(total[j])
        for k in range(length):
            for j in range(low, high):
                out[i, k, j] = x[i, k, j] - top[j - low]
    return out


@fast
def softmax_vjp_columns(y, g):
    out = np.empty_like(y)
    before, length, after = y.shape
    blocks = (after + BLOCK - 1) // BLOCK
    for task in prange(before * blocks):
        i = task // blocks
        low = task % blocks * BLOCK
        high = min(low + BLOCK, after)
        total = np.zeros(high - low, y.dtype)
        for k in range(length):
            for j in range(low, high):
                total[j - low] += y[i, k, j] * g[i, k, j]
        for k in range(length):
            for j in range(low, high):
                out[i, k, j] = y[i, k, j] * (g[i, k, j] - total[j - low])
    return out


@fast
def log_softmax_vjp_columns(y, g):
    out = np.empty_like(y)
    before, length, after = y.shape
    blocks = (after + BLOCK - 1) // BLOCK
    for task in prange(before * blocks):
        i = task // blocks
        low = task % blocks * BLOCK
        high = min(low + BLOCK, after)
        total = np.zeros(high - low, y.dtype)
        for k in range(length):
            for j in range(low, high):
                total[j - low] += g[i, k, j]
        for k in range(length):
            for j in range(low, high):
                out[i, k, j] = g[i, k, j] - np.exp(y[i, k, j]) * total[j - low]
    return out
