"""The operations in plain NumPy: stable, vectorised, as a careful user writes them.

They are the peer ``numpy``, the second column of the training on digits, and the rough check that
a peer computes the right thing at all. They are not the accuracy's reference: `accuracy` is.
"""

import numpy as np

MASKED = ("softmax", "log_softmax")  # what takes a mask here


def softmax(x, axis=-1, where=None):
    """exp(x) / sum(exp(x)) along `axis`, over what `where` leaves."""
    x = x if where is None else np.where(where, x, -np.inf)
    y = np.exp(x - x.max(axis=axis, keepdims=True))
    y /= y.sum(axis=axis, keepdims=True)
    return y


def log_softmax(x, axis=-1, where=None):
    """The logarithm of `softmax`."""
    x = x if where is None else np.where(where, x, -np.inf)
    y = x - x.max(axis=axis, keepdims=True)
    y -= np.log(np.exp(y).sum(axis=axis, keepdims=True))
    return y


def logsumexp(x, axis=-1):
    """log(sum(exp(x))) along `axis`."""
    top = x.max(axis=axis, keepdims=True)
    total = np.exp(x - top).sum(axis=axis)
    return np.log(total) + top.squeeze(axis)


def softmax_vjp(y, g, axis=-1):
    """Gradient through `softmax`, whose output was `y`."""
    return y * (g - (y * g).sum(axis=axis, keepdims=True))


def log_softmax_vjp(y, g, axis=-1):
    """Gradient through `log_softmax`, whose output was `y`."""
    return g - np.exp(y) * g.sum(axis=axis, keepdims=True)


def cross_entropy(x, labels, axis=-1):
    """Mean loss of integer labels over the last axis, and its gradient."""
    rows = np.arange(len(x))
    top = x.max(axis=axis, keepdims=True)
    gradient = np.exp(x - top)
    total = gradient.sum(axis=axis, keepdims=True)
    loss = (np.log(total) + top).mean() - x[rows, labels].mean()
    gradient /= total
    gradient[rows, labels] -= 1
    gradient /= len(x)
    return loss, gradient
