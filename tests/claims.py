"""The accuracy that the C sources claim, read from the comments beside each algorithm.

A claim is one line (the row may run on over comment lines that follow)::

    claim: softmax float32 <= 2 ulp; found 1.52 at hex: 0x1.8p+1, -0x1p-3

It bounds every element of the function's results on every row, says the largest error found, and
the row on which it was found, in C99 hexadecimal. Where there is a temperature, one line is for a temperature of 1
and another for any::

    claim: softmax float32 at any temperature <= 2 ulp; found 1.52 at T = 0x1.4p+2, hex: 0x1.8p+1, -0x1p-3

 Where the bound is a theorem of ``docs/accuracy.md``, it
says so: ``<= 1.5 ulp, proven; found ...``. For products with a Jacobian and for gradients the unit
is ``u``, half the machine epsilon times the element's natural scale. A function of two arrays has a row
of each, the second after the first.
Claims of other names are of inner steps such as exp, which are not reached from Python.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import operations

SOURCES = Path(__file__).resolve().parents[1] / "csrc" / "kernels"

#: What the contract promises, whatever the sources say.
CONTRACT = {name: result.bound for name, result in operations.RESULTS.items()}

_NUMBER = r"[-+]?0x[0-9a-f.]+p[-+]?\d+"
_CLAIM = re.compile(
    rf"claim: (\w+) (float32|float64)(?: at any temperature)? <= ([\d.]+) (?:ulp|u)(, proven)?; found ([\d.]+) "
    rf"at (?:T = ({_NUMBER}), )?hex:((?:[\s,*/]*{_NUMBER})+)",
    re.IGNORECASE,
)


class Claim(NamedTuple):
    function: str
    dtype: type
    bound: float
    found: float
    rows: tuple  # (x,), or (y, g), each of shape (1, n)
    proven: bool = False
    temperature: float = 1.0

    def __str__(self):
        numbers = ", ".join(_hex(v) for row in self.rows for v in row[0])
        unit = operations.RESULTS[self.function].unit + ", proven" * self.proven
        of, at = "", ""
        if self.temperature != 1:
            of, at = " at any temperature", f"T = {_hex(self.temperature)}, "
        return (
            f"claim: {self.function} {np.dtype(self.dtype)}{of} <= {self.bound:g} {unit}; "
            f"found {self.found:.2f} at {at}hex: {numbers}"
        )

    @property
    def name(self):
        """The claim's name as a test."""
        return f"{self.function}-{np.dtype(self.dtype)}" + "-tempered" * (self.temperature != 1)


def read():
    """Return the claims in the sources; none where only the package is at hand."""
    text = "\n".join(path.read_text() for path in sorted(SOURCES.glob("*.h")))
    found = (match.groups() for match in _CLAIM.finditer(text))
    return [_parse(*groups) for groups in found if groups[0] in CONTRACT]


def _parse(function, dtype, bound, proven, found, temperature, row):
    dtype = getattr(np, dtype)
    row = np.array([float.fromhex(v) for v in re.findall(_NUMBER, row, re.IGNORECASE)], dtype)
    rows = np.split(row, 2) if function in operations.OF_TWO else [row]
    temperature = float.fromhex(temperature) if temperature else 1.0
    rows = tuple(r[None] for r in rows)
    return Claim(function, dtype, float(bound), float(found), rows, bool(proven), temperature)


def _hex(value):
    """Return C99's shortest hexadecimal form."""
    digits, exponent = float(value).hex().split("p")
    return (digits.rstrip("0").rstrip(".") if "." in digits else digits) + "p" + exponent
