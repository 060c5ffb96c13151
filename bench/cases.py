"""What is measured: operations, types, shapes and data.

A case is one operation on one array, and has a name such as ``softmax:float32:128x1000:axis=-1``.
The sets at the end are lists of cases. Nothing here knows of peers or of time.
"""

import math
import os
import zlib
from dataclasses import dataclass

import numpy as np

from bench import plain

OPERATIONS = (
    "softmax",
    "log_softmax",
    "softmax_vjp",
    "log_softmax_vjp",
    "logsumexp",
    "cross_entropy",
)
DTYPES = ("float32", "float64")
HALF_DTYPES = ("float16", "bfloat16")  # only in cases that are asked for by name
# Standard deviation of the logits. "wide" reaches results that are subnormal or zero.
DATA = {
    "ordinary": dict.fromkeys((*DTYPES, *HALF_DTYPES), 3.0),
    "wide": {"float32": 40.0, "float64": 300.0, "float16": 8.0, "bfloat16": 40.0},
}
# Numbers that a peer has in memory at once, as multiples of the logits: inputs, results, the answer in float64.
COPIES = 8
CHECKED_ROWS = 64


@dataclass(frozen=True)
class Case:
    """One operation on one array.

    Parameters
    ----------
    op : str
        A name of `OPERATIONS`. ``cross_entropy`` means the mean loss over integer labels and its
        gradient, both.
    dtype : str
        A name of `DTYPES`.
    shape : tuple of int
        Shape of the logits.
    axis : int
        Axis that sums to one.
    data : str
        A name of `DATA`.
    """

    op: str
    dtype: str
    shape: tuple
    axis: int = -1
    data: str = "ordinary"

    @property
    def name(self):
        """The name that `parse` reads back."""
        return f"{self.op}:{self.dtype}:{self.label}"

    @property
    def label(self):
        """The name without operation and type."""
        shape = "x".join(map(str, self.shape))
        return f"{shape}:axis={self.axis}" + ("" if self.data == "ordinary" else f":{self.data}")

    @property
    def size(self):
        """Number of logits."""
        return int(np.prod(self.shape))


def parse(name):
    """Read a case from its name.

    Parameters
    ----------
    name : str
        ``op:dtype:shape``, then any of ``axis=k`` (-1 if left out) and a name of `DATA`.

    Returns
    -------
    Case

    Raises
    ------
    ValueError
        If a part is not known; the message lists what is.
    """
    parts = name.split(":")
    if len(parts) < 3:
        raise ValueError(f"{name!r} is no case; write it like softmax:float32:128x1000:axis=-1")
    op, dtype, shape, *rest = parts
    _known("operation", op, OPERATIONS, name)
    _known("type", dtype, (*DTYPES, *HALF_DTYPES), name)
    try:
        lengths = tuple(int(length) for length in shape.split("x"))
    except ValueError:
        lengths = ()
    if not lengths or min(lengths) < 1:
        raise ValueError(f"bad shape {shape!r} in {name!r}; write it like 128x1000")
    needed, memory = math.prod(lengths) * 8 * COPIES, _memory()
    if needed > memory:
        raise ValueError(
            f"{name!r} would take some {needed / 2**30:,.0f} GiB; there are {memory / 2**30:,.0f}"
        )
    axis, data = -1, "ordinary"
    for part in rest:
        if part.startswith("axis="):
            try:
                axis = int(part[5:])
            except ValueError:
                raise ValueError(f"bad axis {part!r} in {name!r}; write it like axis=-1") from None
        else:
            _known("data", part, DATA, name)
            data = part
    if not -len(lengths) <= axis < len(lengths):
        raise ValueError(f"axis {axis} is out of range for shape {shape} in {name!r}")
    if op == "cross_entropy" and (len(lengths) != 2 or axis not in (-1, 1)):
        raise ValueError(f"cross_entropy is measured on two axes, over the last, not {name!r}")
    if axis == len(lengths) - 1:
        axis = -1
    return Case(op, dtype, lengths, axis, data)


def _memory():
    """Bytes of memory; where the system does not tell, as many as most machines have."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return 8 * 2**30


def _known(what, word, words, name):
    if word not in words:
        raise ValueError(f"unknown {what} {word!r} in {name!r}; known: {', '.join(words)}")


def make(case):
    """Make a case's arrays, the same for every peer and every run.

    Parameters
    ----------
    case : Case

    Returns
    -------
    dict of str to ndarray
        ``x`` (logits), or ``y`` and ``g`` for a vector-Jacobian product; ``labels`` for
        cross-entropy.
    """
    # The operation is not in the seed: softmax and log_softmax see the same logits.
    rng = np.random.default_rng(zlib.crc32(f"{case.dtype}:{case.label}".encode()))
    drawn = case.dtype if case.dtype in DTYPES else "float32"
    if case.dtype == "bfloat16":
        import ml_dtypes  # noqa: F401 (NumPy knows the type by its name then)
    x = rng.standard_normal(case.shape, dtype=drawn)
    x *= DATA[case.data][case.dtype]
    x = x.astype(case.dtype, copy=False)
    if case.op.endswith("_vjp"):
        forward = getattr(plain, case.op.removesuffix("_vjp"))
        y = forward(x.astype(np.float64), axis=case.axis)
        g = rng.standard_normal(case.shape, dtype=drawn)
        return {"y": y.astype(case.dtype), "g": g.astype(case.dtype, copy=False)}
    if case.op == "cross_entropy":
        return {"x": x, "labels": rng.integers(case.shape[-1], size=case.shape[0])}
    return {"x": x}


def expected(case, arrays):
    """Compute the right answer for the first rows, in float64.

    Parameters
    ----------
    case : Case
    arrays : dict of str to ndarray
        From `make`.

    Returns
    -------
    ndarray
        What `first_rows` of a right result is close to.
    """
    if case.op == "cross_entropy":
        gradient = plain.cross_entropy(arrays["x"].astype(np.float64), arrays["labels"])[1]
        return first_rows(gradient, case.axis)
    rows = [first_rows(array, case.axis).astype(np.float64) for array in arrays.values()]
    right = getattr(plain, case.op)(*rows)
    return right[:, np.newaxis] if case.op == "logsumexp" else right


def first_rows(array, axis):
    """Take the first few rows along `axis`, as a matrix.

    Parameters
    ----------
    array : ndarray
    axis : int

    Returns
    -------
    ndarray
        At most `CHECKED_ROWS` rows.
    """
    rows = np.atleast_2d(np.moveaxis(array, axis, -1))
    while rows.ndim > 2:
        rows = rows[0]
    return rows[:CHECKED_ROWS]


def _cells():
    last = ["1x10", "64x10", "1x1000", "128x1000", "1x128256", "32x128256"]
    last += ["100000x10", "1000000x3", "4096x4096"]
    others = ["1000x4096:axis=0", "2x21x512x512:axis=1", "64x1000x10:axis=1", "10x100000:axis=0"]
    few = ["64x10", "128x1000", "32x128256", "100000x10"]
    wide = ["128x1000:wide"]
    shapes = {
        "softmax": last + others + wide,
        "log_softmax": last + others + wide,
        "softmax_vjp": last + others,
        "log_softmax_vjp": last,
        "cross_entropy": few,
        "logsumexp": few + wide,
    }
    return [parse(f"{op}:{dtype}:{shape}") for op in shapes for dtype in DTYPES for shape in shapes[op]]


# 10 and 3 classes, ImageNet's 1000, a vocabulary of 128,256, attention over 4096 positions,
# segmentation over axis 1.
CELLS = _cells()


def begin_with(prefixes):
    """Choose cells by the beginnings of their names.

    Parameters
    ----------
    prefixes : list of str
        None of them means all cells.

    Returns
    -------
    list of Case
    """
    for prefix in prefixes:
        if not any(cell.name.startswith(prefix) for cell in CELLS):
            names = "\n  ".join(cell.name for cell in CELLS)
            raise ValueError(f"no cell begins with {prefix!r}; the cells are\n  {names}")
    return [cell for cell in CELLS if cell.name.startswith(tuple(prefixes) or "")]


QUICK = [
    parse(name)
    for name in (
        "softmax:float32:1x10",
        "softmax:float32:64x10",
        "softmax:float32:128x1000",
        "softmax:float32:128x1000:wide",
        "softmax:float32:32x128256",
        "softmax:float32:100000x10",
        "softmax:float32:64x1000x10:axis=1",
        "softmax:float64:128x1000",
        "log_softmax:float32:128x1000",
        "softmax_vjp:float32:128x1000",
        "log_softmax_vjp:float32:128x1000",
        "logsumexp:float32:128x1000",
    )
]

# One element: what remains is the price of the call.
OVERHEAD = [parse(f"{op}:float32:1x1") for op in OPERATIONS]

# Fifty row lengths from 1 to 8192: powers of two, their neighbours (a vector too full or too
# empty by one), and points between.
SWEEP_LENGTHS = sorted(
    ({2**k + d for k in range(14) for d in (-1, 0, 1)} | {3 * 2**k for k in range(2, 12)} | {10, 100, 1000})
    - {0, 8193}
)
SWEEP_SIZE = 2**17


def sweep(name):
    """Cases of equal size and growing row length.

    Parameters
    ----------
    name : str
        Operation and type, such as ``softmax:float32``.

    Returns
    -------
    list of Case
        About `SWEEP_SIZE` logits each.
    """
    return [parse(f"{name}:{max(1, SWEEP_SIZE // n)}x{n}") for n in SWEEP_LENGTHS]
