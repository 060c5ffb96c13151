"""A model trained on real input: multinomial logistic regression on handwritten digits.

The 1,797 images of 8 x 8 pixels ship inside scikit-learn. Training is plain gradient descent over
the whole set, through log_softmax and its vector-Jacobian product; only these two functions differ
between the libraries that run it.
"""

import time

import numpy as np
from sklearn.datasets import load_digits

STEPS = 1000
RATE = 1.0


def split():
    """Load the digits and hold out a third, the same third always.

    Returns
    -------
    tuple of ndarray
        Images and labels to train on, images and labels to test on.
    """
    images, labels = load_digits(return_X_y=True)
    images = images / 16
    order = np.random.default_rng(0).permutation(len(labels))
    test, training = np.split(order, [len(order) // 3])
    return images[training], labels[training], images[test], labels[test]


def train(library):
    """Train, and test on the held-out third.

    Parameters
    ----------
    library : module
        With ``log_softmax(x)`` and ``log_softmax_vjp(y, g)`` over the last axis.

    Returns
    -------
    dict of str to float
        ``loss`` at the end, ``accuracy`` on the test images, ``seconds`` for all of the training,
        ``inside`` for the part of them spent in the library's two functions.
    """
    images, labels, test_images, test_labels = split()
    rows = np.arange(len(labels))
    weights = np.zeros((images.shape[1], 10))
    bias = np.zeros(10)
    # The loss is the mean of -log p[label]; this is its gradient with respect to log p.
    upstream = np.zeros((len(labels), 10))
    upstream[rows, labels] = -1 / len(labels)

    inside = 0.0
    start = time.perf_counter()
    for _ in range(STEPS):
        logits = images @ weights + bias
        entered = time.perf_counter()
        logp = library.log_softmax(logits)
        gradient = library.log_softmax_vjp(logp, upstream)
        inside += time.perf_counter() - entered
        weights -= RATE * (images.T @ gradient)
        bias -= RATE * gradient.sum(axis=0)
    seconds = time.perf_counter() - start

    logp = library.log_softmax(images @ weights + bias)
    found = (test_images @ weights + bias).argmax(axis=1)
    return {
        "loss": float(-logp[rows, labels].mean()),
        "accuracy": float((found == test_labels).mean()),
        "seconds": seconds,
        "inside": inside,
    }
