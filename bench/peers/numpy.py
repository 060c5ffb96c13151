"""NumPy: the formulas of `bench.plain`. One thread."""

import numpy as np

from bench import plain
from bench.peers import as_argument, call


class Peer:
    """See `bench.peers.load`."""

    version = np.__version__
    functions = plain
    knows_masks = True

    def __init__(self, threads):
        pass

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        names = ", ".join(map(as_argument, arrays))
        return {"own": [call(f"{op}({names}, axis=axis)", axis=axis, **arrays, **{op: getattr(plain, op)})]}

    def as_numpy(self, result):
        """A result is an array already."""
        return result
