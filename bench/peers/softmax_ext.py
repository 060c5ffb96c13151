"""softmax_ext, called as its users call it."""

import numpy as np

import softmax_ext
from bench.peers import as_argument, call


class Peer:
    """See `bench.peers.load`."""

    version = softmax_ext.__version__
    functions = softmax_ext
    knows_masks = True

    def __init__(self, threads):
        softmax_ext.set_num_threads(threads)
        self.config = softmax_ext.show_config(mode="dicts")

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        function = "cross_entropy_with_grad" if op == "cross_entropy" else op
        if not hasattr(softmax_ext, function):
            return {}
        names = {function: getattr(softmax_ext, function), "axis": axis, **arrays}
        # The last axis is the default, and left out by those who want it.
        words = ", ".join([as_argument(name) for name in arrays] + ([] if axis == -1 else ["axis=axis"]))
        forms = {"own": [call(f"{function}({words})", **names)]}
        if op != "cross_entropy":
            x = next(iter(arrays.values()))
            out = np.empty_like(x.sum(axis) if op == "logsumexp" else x)
            forms["out"] = [call(f"{function}({words}, out=out)", out=out, **names)]
        return forms

    def as_numpy(self, result):
        """A result is an array already."""
        return result
