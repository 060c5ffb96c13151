"""``np.exp`` on the same array: what NumPy users take for the price of such a function."""

import numpy as np

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = np.__version__
    knows_masks = True  # it looks at the logits alone

    def __init__(self, threads):
        pass

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        x = next(iter(arrays.values()))
        return {
            "own": [call("exp(x)", exp=np.exp, x=x)],
            "out": [call("exp(x, out=out)", exp=np.exp, x=x, out=np.empty_like(x))],
        }
