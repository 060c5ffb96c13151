"""`python -m softmax_ext`: what this build is, and whether each level that this machine can run gets its sums right.

Exit status 1 if one does not.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from softmax_ext import _core, _reference, show_config

# Far looser than the claims, which the tests hold to: this is to find a broken build, not the last bit. In units in the
# last place of a number as large as the largest that enters the result.
TOLERANCE = 8

# Rows that are short and long, of one piece and of several, along the last axis and across it.
SHAPES = [(3, 1), (40, 10), (5, 100), (2, 1000), (1, 10_000)]
FUNCTIONS = ["softmax", "log_softmax", "logsumexp"]
DERIVATIVES = ["softmax_vjp", "log_softmax_vjp", "log_softmax_jvp"]


def largest_error(function: str, dtype: Any) -> float:
    """Largest error of a function over the shapes, in ULP of the largest number that enters a row's results."""
    rng = np.random.default_rng(1)
    worst = np.float64(0)
    for shape in SHAPES:
        x = (3 * rng.normal(size=shape)).astype(dtype)
        arrays = [x]
        if function in DERIVATIVES:
            forward: Any = _reference.log_softmax if function.startswith("log") else _reference.softmax
            arrays = [forward(x), rng.normal(size=shape).astype(dtype)]
        want = getattr(_reference, function)(*arrays, axis=-1)
        scale = np.maximum(np.abs(want), 0 if function == "softmax" else np.abs(arrays[-1]).max())
        for turned in (False, True):
            # In Fortran order the same rows lie, and are computed, side by side.
            rows = [np.asfortranarray(a) if turned else a for a in arrays]
            got = getattr(_core, function)(*rows, axis=-1)
            worst = np.maximum(worst, np.max(np.abs(got - want) / np.spacing(scale)))  # a NaN stays
    return float(worst)


def main() -> int:
    """Print the configuration and the self-check; return the exit status."""
    show_config()
    failed = 0
    chosen = _core._set_isa(_core._isa_available()[0])
    print("\nself-check (largest error in ULP, against the reference):")
    for level in _core._isa_available():
        _core._set_isa(level)
        for dtype in (np.float32, np.float64):
            errors = {name: largest_error(name, dtype) for name in FUNCTIONS + DERIVATIVES}
            passed = all(error <= TOLERANCE for error in errors.values())  # a NaN does not pass
            failed += not passed
            listed = "  ".join(f"{name} {error:.2f}" for name, error in errors.items())
            print(f"  {'ok    ' if passed else 'FAILED'}  {level:7} {np.dtype(dtype)}  {listed}")
    _core._set_isa(chosen)
    print(f"\n{'all levels are right' if not failed else f'{failed} FAILED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
