"""`python -m softmax_ext`: what this build is, and whether each level that this machine can run gets its sums right.

Exit status 1 if one does not. With `--explain CALL` it says instead which way a call takes through the C side.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import softmax_ext
import softmax_ext._core as _core
from softmax_ext import _reference, show_config
from softmax_ext._explain import USAGE, explain

reference: Any = _reference

# Far looser than the claims, which the tests hold to: this is to find a broken build, not the last bit. In units in the
# last place: of PROBABILITIES their own, else of a number as large as the largest that enters the result.
TOLERANCE = 8

# Rows that are short and long, of one piece and of several, along the last axis and across it.
SHAPES = [(3, 1), (40, 10), (5, 100), (2, 1000), (1, 10_000)]


def _labels(x: Any) -> Any:
    return np.arange(len(x)) % x.shape[1]


def _segments(x: Any) -> Any:
    return np.sort([0, len(x), 1, len(x) // 2, len(x) // 2])


# Each is called with the package, or the reference, as `of`; a derivative with the y of ROWS in the place of x.
CHECKS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "softmax": lambda of, x, g: of.softmax(x),
    "softmax masked": lambda of, x, g: of.softmax(x, where=g > 0),
    "segment_softmax": lambda of, x, g: of.segment_softmax(x, _segments(x)),
    "segment_logsumexp": lambda of, x, g: of.segment_logsumexp(x, _segments(x), where=g > -2),
    "log_softmax": lambda of, x, g: of.log_softmax(x),
    "logsumexp": lambda of, x, g: of.logsumexp(x),
    "logsumexp weighted": lambda of, x, g: of.logsumexp(x, b=np.abs(g)),
    "softmax_entropy": lambda of, x, g: of.softmax_entropy(x),
    "cross_entropy": lambda of, x, g: of.cross_entropy(x, _labels(x), reduction="none"),
    "softmax_vjp": lambda of, y, g: of.softmax_vjp(y, g),
    "log_softmax_vjp": lambda of, y, g: of.log_softmax_vjp(y, g),
    "log_softmax_jvp": lambda of, y, g: of.log_softmax_jvp(y, g),
}
ROWS: dict[str, Callable[[Any], Any]] = {
    "softmax_vjp": reference.softmax,
    "log_softmax_vjp": reference.log_softmax,
    "log_softmax_jvp": reference.log_softmax,
}
PROBABILITIES = ("softmax", "softmax masked", "segment_softmax")


def largest_error(name: str, dtype: Any) -> float:
    """Largest error of a check over the shapes, in the ULP of TOLERANCE."""
    rng = np.random.default_rng(1)
    worst = np.float64(0)
    for shape in SHAPES:
        x, g = ((scale * rng.normal(size=shape)).astype(dtype) for scale in (3, 1))
        x = ROWS[name](x) if name in ROWS else x
        # The reference gives what it computes in, unrounded, if it gets that.
        want = CHECKS[name](reference, x.astype(np.longdouble), g.astype(np.longdouble))
        largest = np.abs(g if name in ROWS else x).max()
        scale = np.maximum(np.abs(want), 0 if name in PROBABILITIES else largest).astype(dtype)
        for turned in (False, True):
            # In Fortran order the same rows lie, and are computed, side by side.
            got = CHECKS[name](softmax_ext, *(np.asfortranarray(a) if turned else a for a in (x, g)))
            with np.errstate(invalid="ignore"):  # both are -inf where a segment is empty
                error = np.where(got == want, 0, np.abs(got - want) / np.spacing(scale))
            worst = np.maximum(worst, np.max(error))  # a NaN stays
    return float(worst)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the configuration and the self-check, or explain a call; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m softmax_ext", description="Configuration and self-check."
    )
    parser.add_argument("--explain", metavar="CALL", help=f"print which way a call takes instead; {USAGE}")
    asked = parser.parse_args(arguments)
    if asked.explain is not None:
        try:
            print(explain(asked.explain))
        except ValueError as error:
            parser.error(str(error))
        return 0
    show_config()
    failed = 0
    chosen = _core._set_isa(_core._isa_available()[0])
    print("\nself-check (largest error in ULP, against the reference):")
    for level in _core._isa_available():
        _core._set_isa(level)
        for dtype in (np.float32, np.float64):
            errors = {name: largest_error(name, dtype) for name in CHECKS}
            passed = all(error <= TOLERANCE for error in errors.values())  # a NaN does not pass
            failed += not passed
            listed = "  ".join(f"{name} {error:.2f}" for name, error in errors.items())
            print(f"  {'ok    ' if passed else 'FAILED'}  {level:7} {np.dtype(dtype)}  {listed}")
    _core._set_isa(chosen)
    print(f"\n{'all levels are right' if not failed else f'{failed} FAILED'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
