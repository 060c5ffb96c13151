"""JAX, compiled, on its own arrays."""

import jax
import numpy as np

from bench.peers import call

jax.config.update("jax_enable_x64", True)


class Peer:
    """See `bench.peers.load`."""

    version = jax.__version__

    # The process may use only as many CPUs as it has threads, and JAX takes what it may use.
    def __init__(self, threads):
        pass

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        names = {op: jax.jit(FUNCTIONS[op](axis)), "ready": jax.block_until_ready}
        names |= {"array": np.asarray, "get": jax.device_get}
        own = {name: jax.numpy.asarray(array) for name, array in arrays.items()}
        run = f"{op}({', '.join(arrays)})"
        # A pair needs the general functions, which cost more than an array's own.
        pair = op == "cross_entropy"
        return {
            "own": [call(f"ready({run})" if pair else f"{run}.block_until_ready()", **names, **own)],
            "numpy": [call(f"get({run})" if pair else f"array({run})", **names, **arrays)],
        }

    def as_numpy(self, result):
        """Convert an array, or each of a tuple."""
        return jax.tree.map(np.asarray, result)


def _softmax_vjp(axis):
    return lambda y, g: y * (g - (y * g).sum(axis, keepdims=True))


def _log_softmax_vjp(axis):
    return lambda y, g: g - jax.numpy.exp(y) * g.sum(axis, keepdims=True)


def _cross_entropy(axis):
    def loss(x, labels):
        picked = jax.numpy.take_along_axis(x, labels[:, None], axis)[:, 0]
        return (jax.nn.logsumexp(x, axis) - picked).mean()

    return jax.value_and_grad(loss)


FUNCTIONS = {
    "softmax": lambda axis: lambda x: jax.nn.softmax(x, axis),
    "log_softmax": lambda axis: lambda x: jax.nn.log_softmax(x, axis),
    "logsumexp": lambda axis: lambda x: jax.nn.logsumexp(x, axis),
    "softmax_vjp": _softmax_vjp,
    "log_softmax_vjp": _log_softmax_vjp,
    "cross_entropy": _cross_entropy,
}
