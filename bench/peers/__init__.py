"""The libraries that are compared, one file each.

A file here holds a class `Peer` with the library's best way to do each operation. To add one,
write the file and name it in `PEERS`. A library is imported only in its own process.
"""

import importlib
from dataclasses import dataclass

# Name on the command line and in tables -> module here. softmax_ext and the yardsticks are always
# measured; the others are what `--peers` chooses from.
PEERS = {
    "numpy": "numpy",
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "torch": "torch",
    "jax": "jax",
    "onnxruntime": "onnxruntime",
    "tensorflow": "tensorflow",
    "numba": "numba",
}
OURS = "softmax_ext"
# No peers, but measures to hold peers against.
YARDSTICKS = {"np.exp": "exp", "roof": "roof"}

# Ways to call a peer: on its own tensors with a fresh result; from NumPy arrays and back to them,
# where that differs; into a result that exists.
FORMS = ("own", "numpy", "out")


@dataclass
class Call:
    """What is timed: a statement, as a user writes it, and the values of its names.

    A statement rather than a function, because calling a wrapper would cost a tenth of the
    smallest cases. `names` must hold all that the statement needs.
    """

    statement: str
    names: dict


def call(statement, **names):
    """Make a `Call` out of keywords."""
    return Call(statement, names)


def as_argument(name):
    """Write an array of a case as an argument: a mask has a keyword."""
    return f"{name}={name}" if name == "where" else name


def load(name, threads):
    """Import a peer's library, for a number of threads.

    Parameters
    ----------
    name : str
        A name of `PEERS` or `YARDSTICKS`, or `OURS`.
    threads : int

    Returns
    -------
    Peer
        With ``version``; ``calls(op, axis, arrays)``, a dict from the names of `FORMS` to a list of
        `Call`, of which the fastest counts (no list: the peer does not offer it); and
        ``as_numpy(result)``. ``knows_masks`` is true if it may be given ``where``, and ``is_bound`` if it
        is what a time is held against, not a contestant.

    Raises
    ------
    ImportError
        If the library is not installed.
    """
    module = {OURS: "softmax_ext", **PEERS, **YARDSTICKS}[name]
    return importlib.import_module(f"bench.peers.{module}").Peer(threads)
