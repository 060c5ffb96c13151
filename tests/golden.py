"""The golden answer: digests of results, one per function, type and family of inputs.

Every machine, level and compiler has to give these bytes. They may change only where the arithmetic
is meant to change, in a commit that says so in a line of CHANGELOG.md and runs::

    python tests/golden.py --write

**Inputs**, simple enough to write down again in any language. Number k (from 0) of stream s (1 for
x or y, 2 for the vector) comes from splitmix64 at position c = s·2^40 + k + 1, modulo 2^64::

    z = c · 0x9E3779B97F4A7C15
    z = (z ^ z >> 30) · 0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) · 0x94D049BB133111EB
    z = z ^ z >> 31
    m = (z >> 40) - 2^23            a signed integer of 24 bits: exact in float32, as is all below

An array takes its numbers in C order, from k = 0; `FAMILIES` makes m into x, `PAIRS` makes it into y
and the vector. ``>>`` of a signed integer rounds down. Of a cross-entropy, probabilities are
(n + 2^23 + 1)·2^-30, the weights of classes (abs(n) + 1)·2^-22 for the n of the first row, the label of
row r is (7 r + 3) mod the row's length, but every fifth row (r mod 5 = 4) is ignored; see `LOSSES`. The
initial term of a row of `WITH_LOGSUMEXP` is its middle element, number n // 2, but 0 in every fifth row.

**Digest**: SHA-256 over the results on the arrays of each of `SHAPES` in turn, along the last axis,
as little-endian bytes in C order; its first 32 hexadecimal digits. Of two results, that of the row follows
those of its elements. No result is NaN, whose bits are the processor's affair.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
import operations

import softmax_ext

TABLE = Path(__file__).with_name("golden.json")

TYPES = ("float32", "float64")
# Short rows, a vector and one more, several blocks and one more; few rows and many.
SHAPES = [(70, 1), (70, 3), (70, 10), (19, 33), (19, 64), (19, 65), (17, 130), (5, 1000)]
SHAPES += [(3, 4096), (2, 4097), (3, 12_289), (1, 100_000)]

# x from the integer m and its place j in the row
FAMILIES = {
    "unit": lambda m, j: m * 2.0**-21,  # within ±4
    "wide": lambda m, j: m * 2.0**-16,  # within ±128
    "steep": lambda m, j: m * 2.0**-13,  # within ±1024
    "flat": lambda m, j: m * 2.0**-40,
    "ties": lambda m, j: (m >> 20) * 1.0,  # -8, -7, ..., 7
    "offset": lambda m, j: (m >> 10) * 2.0**-9 + 1000,  # within 1000 ± 16
    "far": lambda m, j: (m >> 17) * 1.0 + 2.0**20,  # within 2^20 ± 64
    "huge": lambda m, j: m * 2.0**100,
    "confident": lambda m, j: (m >> 4) * 2.0**-17 + np.where(j == 2, 64, 0),
    "masked": lambda m, j: np.where(j % 5 == 3, -np.inf, m * 2.0**-20),
}

# (y, vector) from the integers m and n, y being like a result of that function
PAIRS = {
    "softmax": {
        "probabilities": lambda m, n: ((m + 2**23 + 1) * 2.0**-30, n * 2.0**-21),
        "tiny": lambda m, n: ((m + 2**23 + 1) * 2.0**-149, n * 2.0**-10),
    },
    "log_softmax": {
        "moderate": lambda m, n: ((m - 2**23) * 2.0**-20, n * 2.0**-21),  # y within -16...0
        "steep": lambda m, n: ((m - 2**23) * 2.0**-17, n * 2.0**-10),  # y within -128...0
    },
}

# the options of cross-entropy, and the families of its logits
LOSSES = {
    "label_loss": {"ignore_index": -1},
    "smooth_loss": {"ignore_index": -1, "label_smoothing": 0.125},
    "target_loss": {"label_smoothing": 0.125},
}
# functions that return the sums, too; here with initial terms
WITH_LOGSUMEXP = {"softmax_logsumexp": "softmax", "log_softmax_logsumexp": "log_softmax"}
# functions of weights; and whether they return signs
WEIGHTED = {"weighted_logsumexp": False, "signed_logsumexp": True}
LOGITS = ("unit", "wide", "huge", "confident", "masked")


def integers(stream, shape):
    """Return m for the first numbers of a stream, as int64."""
    with np.errstate(over="ignore"):
        z = np.arange(1, np.prod(shape) + 1, dtype=np.uint64) + np.uint64(stream << 40)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.int64) - 2**23).reshape(shape)


def cases():
    """Yield (function, type, family)."""
    for dtype in TYPES:
        for function in operations.DISTINCT:
            for family in PAIRS.get(operations.OPERATIONS[function].forward, FAMILIES):
                yield function, dtype, family
        for function in (*WITH_LOGSUMEXP, *WEIGHTED):
            for family in FAMILIES:
                yield function, dtype, family
        for function in LOSSES:
            for family in LOGITS:
                yield function, dtype, family
                yield f"{function}_grad", dtype, family


def inputs(function, dtype, family, shape):
    """Return the function's arrays, exact in either type."""
    if function.removesuffix("_grad") in LOSSES:
        n = integers(2, shape)
        x = FAMILIES[family](integers(1, shape), np.arange(shape[1]))
        arrays = (x, (np.abs(n[0]) + 1) * 2.0**-22, (n + 2**23 + 1) * 2.0**-30)
    elif function in WEIGHTED:
        j = np.arange(shape[1])
        b = integers(2, shape) * 2.0 ** ((7 * j) % 41 - 42)
        b = b if WEIGHTED[function] else np.abs(b)  # the logarithm of a negative sum is NaN
        arrays = (FAMILIES[family](integers(1, shape), j), np.where(j % 9 == 4, 0, b))
    elif function not in WITH_LOGSUMEXP and (forward := operations.OPERATIONS[function].forward):
        arrays = PAIRS[forward][family](integers(1, shape), integers(2, shape))
    else:
        arrays = (FAMILIES[family](integers(1, shape), np.arange(shape[1])),)
    return [a.astype(dtype) for a in arrays]


def results(function, dtype, family, shape):
    arrays = inputs(function, dtype, family, shape)
    if function in WITH_LOGSUMEXP:
        (x,) = arrays
        initial = np.where(np.arange(len(x)) % 5 == 4, 0, x[:, x.shape[1] // 2]).astype(dtype)
        call = getattr(softmax_ext, WITH_LOGSUMEXP[function])
        y, sums = call(x, initial=initial[:, None], return_logsumexp=True)
        return np.concatenate([y, sums[:, None]], axis=1)
    if function in WEIGHTED:
        x, b = arrays
        result = softmax_ext.logsumexp(x, b=b, return_sign=WEIGHTED[function])
        return np.stack(result, axis=1) if WEIGHTED[function] else result
    loss = function.removesuffix("_grad")
    if loss not in LOSSES:
        return getattr(softmax_ext, function)(*arrays)
    x, weight, labels = arrays
    options = {"reduction": "none", **LOSSES[loss]}
    if loss != "label_loss":
        options["weight"] = weight
    if loss != "target_loss":
        row = np.arange(len(x))
        labels = np.where(row % 5 == 4, -1, (7 * row + 3) % x.shape[1])
    if function == loss:
        return softmax_ext.cross_entropy(x, labels, **options)
    losses, gradient = softmax_ext.cross_entropy_with_grad(x, labels, **options)
    return np.concatenate([gradient, losses[:, None]], axis=1)


def digest(function, dtype, family):
    sha = hashlib.sha256()
    for shape in SHAPES:
        result = results(function, dtype, family, shape)
        sha.update(result.astype(result.dtype.newbyteorder("<")).tobytes())
    return sha.hexdigest()[:32]


def read():
    return json.loads(TABLE.read_text())["digests"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--write", action="store_true", required=True, help=f"write {TABLE.name}")
    parser.parse_args()
    about = "Digests of results; see golden.py. A change here needs a line in CHANGELOG.md that says why."
    digests = {" ".join(case): digest(*case) for case in cases()}
    TABLE.write_text(json.dumps({"about": about, "digests": digests}, indent=1) + "\n")


if __name__ == "__main__":
    main()
