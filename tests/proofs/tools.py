"""What the proofs share: the constants of the C sources, Gappa, Sollya, and numbers that are rounded outward.

Every constant comes from the text of `csrc/kernels`, none is written down here a second time.
"""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

KERNELS = Path(os.environ.get("SMX_KERNELS", Path(__file__).resolve().parents[2] / "csrc" / "kernels"))
SOLLYA_BITS = 240


class Failed(Exception):
    """A statement that could not be proven."""


def _source():
    return {path.name: path.read_text() for path in sorted(KERNELS.parent.rglob("*.h"))}


SOURCE = _source()


def number(text):
    """Return a C literal as a fraction, exactly."""
    text = text.strip().rstrip("fFuU")
    return Fraction(*float.fromhex(text).as_integer_ratio()) if "x" in text else Fraction(text)


def defined(name, section=None):
    """Return the value of a #define, or of an enumerator; of REAL_BITS 32 or 64, if that is asked for."""
    found = []
    for text in SOURCE.values():
        found += re.findall(rf"#define {name} +(-?[0-9][\w.+-]*)", text)
        found += re.findall(rf"\b{name} = (-?[0-9][\w.+-]*)[, ]", text)
    if section is not None and len(found) == 2:
        return number(found[section == 64])
    if len(found) != 1:
        raise Failed(f"{name}: found {len(found)} definitions in {KERNELS}")
    return number(found[0])


def pattern(regex, what):
    """Return the only match of a pattern in the sources, as a number."""
    found = [match for text in SOURCE.values() for match in re.findall(regex, text)]
    if len(found) != 1:
        raise Failed(f"{what}: found {len(found)} times in {KERNELS}")
    return number(found[0])


class Type:
    """All that the sources say of float or double."""

    def __init__(self, bits):
        name = f"F{bits}"
        self.bits, self.name = bits, f"float{bits}"
        self.digits = int(defined("FRACTION_BITS", bits)) + 1
        self.u = Fraction(1, 2**self.digits)
        self.gappa = f"float<ieee_{bits}, ne>"
        self.bias, self.headroom = int(defined("BIAS", bits)), int(defined("HEADROOM", bits))
        self.reach = int(defined("REACH", bits))
        self.large, self.negligible = defined("LARGE", bits), defined("NEGLIGIBLE", bits)
        self.rounder = defined("ROUNDER", bits)
        self.sqrt2 = defined("REAL_SQRT2", bits)
        self.sums = int(defined("SUMS", bits))
        names = ("LOG2E", "LN2_HIGH", "LN2_LOW", "LN2_TOP", "LN2_REST")
        self.log2e, self.ln2_high, self.ln2_low, self.ln2_top, self.ln2_rest = (
            defined(f"{name}_{n}") for n in names
        )
        self.centre = defined(f"{name}_CENTRE")
        self.rest = [defined(f"{name}_REST_{j}") for j in range(8)]
        self.exp = [defined(f"{name}_EXP_{k}") for k in range(2, 5 if bits == 32 else 9)]
        self.log = [defined(f"{name}_LOG_{k}") for k in range(1, 5 if bits == 32 else 8)]


def ufp(x):
    """Return the largest power of two that is not above x: half a last place of numbers like x is u times it."""
    x = Fraction(x)
    if x <= 0:
        return Fraction(0)
    e = x.numerator.bit_length() - x.denominator.bit_length()
    power = Fraction(2) ** e
    return power if power <= x else power / 2


def up(x, digits=80):
    """Return a simple fraction a hair above x."""
    scale = 2**digits
    return Fraction(-(-Fraction(x) * scale // 1), scale)


def dyadic(x):
    """Return a fraction whose denominator is a power of two as Gappa and Sollya both write numbers."""
    x = Fraction(x)
    e = x.denominator.bit_length() - 1
    if x.denominator != 1 << e:
        raise ValueError(x)
    return f"{x.numerator}b-{e}"


def sollya(script):
    """Run a Sollya script and return the lines that it prints, as fractions where they are numbers."""
    head = f"verbosity=0!; prec={SOLLYA_BITS}!; display=powers!;\n"
    done = subprocess.run(
        ["sollya"], input=head + script + "\nquit;\n", capture_output=True, text=True, timeout=600
    )
    lines = [line for line in done.stdout.split("\n") if line.strip()]
    if done.returncode or any("error" in line.lower() for line in lines):
        raise Failed(f"Sollya: {done.stdout}{done.stderr}")
    return [_power(line) for line in lines]


def _power(line):
    match = re.fullmatch(r"\s*(-?\d+)(?: \* 2\^\((-?\d+)\))?\s*", line)
    if not match:
        raise Failed(f"Sollya printed {line!r}")
    return int(match[1]) * Fraction(2) ** int(match[2] or 0)


def exact(x):
    """Return a dyadic fraction as Sollya reads it."""
    x = Fraction(x)
    return f"({x.numerator} * 2^(-{x.denominator.bit_length() - 1}))"


def _gappa(script):
    done = subprocess.run(
        ["gappa", "-Eprecision=160"], input=script, capture_output=True, text=True, timeout=300
    )
    return done.returncode, done.stdout + done.stderr


def gappa(scripts):
    """Run Gappa scripts, several at once. Return what each found for the expressions in question."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(_gappa, scripts))
    answers = []
    for script, (code, text) in zip(scripts, results, strict=True):
        # Every enclosure in question has to be there. A rule that may not hold is warned of as "not trivially equal".
        if code or len(_RESULT.findall(text)) != script.count(" in ?") or "trivially" in text:
            raise Failed(f"Gappa could not prove\n{script}\nand said\n{text}")
        answers.append({m[0]: (_bound(m[1]), _bound(m[2])) for m in _RESULT.findall(text)})
    return answers


_RESULT = re.compile(r"^  (.+) in \[(\S+?)(?: \{[^}]*\})?, (\S+?)(?: \{[^}]*\})?\]$", re.M)


def _bound(text):
    match = re.fullmatch(r"(-?\d+)(?:b(-?\d+))?", text)
    if not match:
        raise Failed(f"Gappa printed {text!r}")
    return int(match[1]) * Fraction(2) ** int(match[2] or 0)


def largest(interval):
    low, high = interval
    return max(abs(low), abs(high))


def cells(low, high, count):
    """Cut an interval into so many, by numbers of a few bits; the outer ones reach a hair beyond."""
    step = Fraction(high - low) / count
    at = [Fraction(round((low + step * k) * 2**40), 2**40) for k in range(count + 1)]
    at[0] -= Fraction(1, 2**40)
    at[-1] += Fraction(1, 2**40)
    return list(pairwise(at))
