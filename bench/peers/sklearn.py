"""scikit-learn's ``softmax``, and the loss and gradient of its logistic regression.

Both take a matrix, over its last axis. The loss is compiled (Cython, OpenMP) and has the work of
`cross_entropy`, save that it leaves the losses of the rows unsummed.
"""

import sklearn
from sklearn._loss import HalfMultinomialLoss
from sklearn.utils.extmath import softmax

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = sklearn.__version__

    def __init__(self, threads):
        self.threads = threads

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        x = next(iter(arrays.values()))
        if x.ndim != 2 or axis != -1:
            return {}
        if op == "softmax":
            return {"own": [call("softmax(x)", softmax=softmax, x=x)]}
        if op == "cross_entropy":
            loss = HalfMultinomialLoss(n_classes=x.shape[1])
            return {
                "own": [
                    call(
                        "loss_gradient(labels, x, n_threads=threads)",
                        loss_gradient=loss.loss_gradient,
                        labels=arrays["labels"].astype(x.dtype),
                        x=x,
                        threads=self.threads,
                    )
                ]
            }
        return {}

    def as_numpy(self, result):
        """Scale the summed loss's gradient to that of the mean."""
        if isinstance(result, tuple):
            loss, gradient = result
            return loss.mean(), gradient / len(loss)
        return result
