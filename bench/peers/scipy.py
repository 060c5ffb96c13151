"""SciPy's ``softmax``, ``log_softmax`` and ``logsumexp``. One thread; it has no gradients."""

import scipy
from scipy import special

from bench.peers import call


class Peer:
    """See `bench.peers.load`."""

    version = scipy.__version__

    def __init__(self, threads):
        pass

    def calls(self, op, axis, arrays):
        """Statements for an operation."""
        if op not in ("softmax", "log_softmax", "logsumexp"):
            return {}
        names = {op: getattr(special, op), "axis": axis}
        return {"own": [call(f"{op}(x, axis=axis)", **names, **arrays)]}

    def as_numpy(self, result):
        """A result is an array already."""
        return result
