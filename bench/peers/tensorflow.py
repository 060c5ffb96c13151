"""TensorFlow on its own tensors: eager, or compiled by XLA where that is faster."""

import numpy as np
import tensorflow as tf

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = tf.__version__

    def __init__(self, threads):
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        eager = FUNCTIONS[op]
        compiled = tf.function(lambda *args: eager(*args, axis), jit_compile=True)
        tensors = {name: tf.constant(array) for name, array in arrays.items()}
        names = ", ".join(arrays)
        forms = {
            "own": [
                call(f"{op}({names}, axis)", axis=axis, **{op: eager}, **tensors),
                call(f"compiled({names})", compiled=compiled, **tensors),
            ]
        }
        if op != "cross_entropy":
            statement = f"{op}({names}, axis).numpy()"
            forms["numpy"] = [call(statement, axis=axis, **{op: eager}, **arrays)]
        return forms

    def as_numpy(self, result):
        """Convert a tensor, or each of a tuple."""
        return tf.nest.map_structure(np.asarray, result)


def _softmax_vjp(y, g, axis):
    return y * (g - tf.reduce_sum(y * g, axis, keepdims=True))


def _log_softmax_vjp(y, g, axis):
    return g - tf.exp(y) * tf.reduce_sum(g, axis, keepdims=True)


def _cross_entropy(x, labels, axis):
    # One kernel gives the losses of the rows and their gradients.
    loss, gradient = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=x, labels=labels)
    return tf.reduce_mean(loss), gradient / x.shape[0]


FUNCTIONS = {
    "softmax": tf.nn.softmax,
    "log_softmax": tf.nn.log_softmax,
    "logsumexp": tf.reduce_logsumexp,
    "softmax_vjp": _softmax_vjp,
    "log_softmax_vjp": _log_softmax_vjp,
    "cross_entropy": _cross_entropy,
}
