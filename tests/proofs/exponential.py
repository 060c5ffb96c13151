"""The exponential: the errors of p, of M p, and of sums of them, cell by cell.

A cell is a value of j and a short interval of the reduced argument before the table's correction.
For each, Gappa bounds the roundings of the reduction and of the polynomial, Sollya the distance of the exact
polynomial from exp(r) - 1; what remains is exact arithmetic here. With d for the reduced argument, R = d + REST_j
(true), r and p as computed, P the polynomial:

    (1 + p) / exp(R) - 1  =  [(p - P(r)) + (P(r) - expm1(r))] / exp(R)  +  (exp(r - R) - 1)
"""

import os
import subprocess
import tempfile
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tools import KERNELS, Failed, cells, dyadic, exact, gappa, largest, pattern, sollya, ufp, up

CELLS = 32
HALF = Fraction(1, 2)
NEAR = 1024  # the largest |x / T| of terms that count beside a maximum near 0


class Cell(NamedTuple):
    j: int
    d: tuple  # the interval of the reduced argument
    low: Fraction  # of R
    error: Fraction  # of 1 + p, relative, in u
    product: Fraction  # half a last place of M p, relative to M exp(R), in u
    inner: Fraction  # half a last place of p (1 + e) + e, relative to exp(R), in u
    share: Fraction  # |p| / exp(R); half of it is what rounding 1 + e costs, in u
    p: Fraction  # the largest |p|


def reach(t, tempered, most=None):
    """Return the largest |x / T - n ln2 / 8| there may be, as a fraction of ln2 / 8; for |x / T| <= most, if given.

    The integer is the nearest to held * steps, exactly. What `steps` lacks of 8 / (T ln2) is known without a
    temperature; with one it is u of it at most in float, 2 u in double (log2 e is rounded, and the quotient).
    |held / T| is at most LARGE, or not further below the floor than the floor is below LARGE.
    """
    (ln2,) = sollya("print(round(log(2), 200, RD));")
    most = most or t.large + (t.reach + 2) * ln2
    off = (t.u if t.bits == 32 else 2 * t.u) if tempered else abs(t.log2e * ln2 - 1) + t.u**3
    return Fraction(1, 2) + up(8 * most / ln2 * off) + t.u


@cache
def bounds(t, tempered, most=None):
    """Return the cells of a type, without or with a temperature that is not 1; of |x / T| <= most, if given."""
    u = t.u
    ln2, *rests = sollya(
        "print(round(log(2), 200, RU));"
        + "".join(
            f"print(round(log(2) * {j} / 8 - log((1 + {j} / 8) * {exact(t.centre)}), 230, RN));"
            for j in range(8)
        )
    )
    half = up(reach(t, tempered, most) * ln2 / 8, 60)
    # n times what the pair of a step lacks: known without a temperature, else roundings of its second part.
    steps = 8 * (t.large + (t.reach + 2)) / ln2
    of_step = abs((t.ln2_high + t.ln2_low) / ln2 - 1) + Fraction(1, 2**150)
    if tempered:
        of_step = 4 * u * Fraction(1, 2**53) if t.bits == 64 else 2 * u * u
    lacks = up(steps * ln2 / 8 * of_step)
    work = [(j, a, b) for j in range(8) for a, b in cells(-half, half, CELLS)]
    scripts = [_script(t, tempered, t.rest[j], a, b) for j, a, b in work]
    found = gappa(scripts)
    # r lies in the cell plus the correction; a hair more for its roundings
    hair = Fraction(1, 2**20) if t.bits == 32 else Fraction(1, 2**45)
    lows = [t.rest[j] + a - hair for j, a, b in work]
    highs = [t.rest[j] + b + hair for j, a, b in work]
    polynomial = "x"
    for k, c in enumerate(t.exp):
        polynomial += f" + x^{k + 2} * {exact(c)}"
    ask = f"P = {polynomial};\n" + "".join(
        f"print(round(sup(supnorm(P, expm1(x), [{exact(a)}; {exact(b)}], absolute, 2^(-8))), 60, RU));"
        f"print(round(exp({exact(a)}), 60, RD));\n"
        for a, b in zip(lows, highs, strict=True)
    )
    answers = sollya(ask)
    factor_error = inverse_rest(t)
    out = []
    for (j, a, b), results, approximation, least in zip(
        work, found, answers[::2], answers[1::2], strict=True
    ):
        roundings, shift, p = results["p - P"], results["r - R"], results["p"]
        d = largest(shift) + abs(t.rest[j] - rests[j]) + lacks + Fraction(1, 2**220)
        error = (largest(roundings) + approximation) / least + d * (1 + d)
        size = largest(p)
        m = 1 + Fraction(j, 8)
        out.append(
            Cell(
                j=j,
                d=(a, b),
                low=t.rest[j] + a,
                error=up(error / u),
                product=up(ufp(m * size) / (m * least)),
                inner=up(ufp(size + factor_error * (1 + size)) / least),
                share=up(size / least),
                p=size,
            )
        )
    return out


def error_between(t, tempered, low, high):
    """Return the largest E of exp(x / T) for x / T in [low, high], of [-1/2, 0]."""
    (ln2,) = sollya("print(round(log(2), 200, RN));")
    if low < -HALF:
        return max(c.error for c in bounds(t, tempered))
    worst = Fraction(0)
    for c in bounds(t, tempered, NEAR):
        for n in range(c.j - 8, 1, 8):  # x / T >= -1/2: n >= -6
            at = n * ln2 / 8
            if c.d[0] + at <= high and c.d[1] + at >= low:
                worst = max(worst, c.error)
    return worst


def exhausted():
    """Return the largest E, N, D, E + 4 c_1 and c of float's arguments without a temperature, by trying them all."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "exhaust")
        options = [
            "-O3",
            "-march=native",
            "-std=gnu11",
            "-ffp-contract=off",
            "-fno-math-errno",
            "-fopenmp",
            "-w",
        ]
        options += [f"-I{KERNELS}", f"-I{KERNELS.parent}", str(Path(__file__).with_name("exhaust.c")), "-lm"]
        subprocess.run([os.environ.get("CC", "gcc"), *options, "-o", program], check=True)
        done = subprocess.run([program], capture_output=True, text=True)
    *found, bad = done.stdout.split()
    if done.returncode or int(bad):
        raise Failed(f"exhaustion: {done.stdout}{done.stderr}")
    return [
        Fraction(x) + Fraction(1, 2**18) for x in found
    ]  # its reference is good to 2^-50, that is 2^-26 u


def inverse_rest(t):
    """Return the largest -e in 1 / sum = s (1 + e), e <= 0.

    s is exp_factor of a quotient made larger by the factor SLIGHTLY_ABOVE_1. The quotient, its product and the low part
    of the sum are each off by u at most. If together they and exp_factor take off less than was put on, e is negative.
    """
    above = 2 * pattern(r"#define SLIGHTLY_ABOVE_1 \(1 \+ (\d+) \* REAL_EPSILON", "SLIGHTLY_ABOVE_1") * t.u
    off = factor_rest(t) + 3 * t.u * (1 + 64 * t.u)
    if off * (1 + above) >= above:
        raise Failed(f"{t.name}: 1 + rest may be above 1")
    return (above + off) * (1 + 64 * t.u)


def factor_rest(t):
    """Return how far exp_factor may be off, relative to its argument: it leaves so many bits less than there are."""
    times = pattern(r"v_mul\(a, v_set1\((\d+)\)\)", "exp_factor's multiplier")
    dropped_bits = (times - 1).numerator.bit_length() - 1  # 2^4 + 1: four bits
    if times != 2**dropped_bits + 1 or dropped_bits < 4:
        raise AssertionError(times)
    return (2**dropped_bits + 2) * t.u * (1 + 8 * t.u)


def _script(t, tempered, rest, a, b):
    """p of a reduced argument d in [a, b]; with a temperature, d is T times as large before it is multiplied."""
    q = [f"q{len(t.exp)} = {dyadic(t.exp[-1])};"]
    exact_q = dyadic(t.exp[-1])
    for k in range(len(t.exp) - 1, 0, -1):
        q.append(f"q{k} = rnd(q{k + 1} * r + {dyadic(t.exp[k - 1])});")
        exact_q = f"({exact_q}) * r + {dyadic(t.exp[k - 1])}"
    hint = ""
    if tempered:
        # r2 / T: two relative errors, of the rounding of r2 and of 1 / T, both within u; the product is not rounded
        off = up((2 * t.u + t.u * t.u) * max(abs(a), abs(b)), 120)
        reduced = f"s = d + e;\nr = rnd(s + {dyadic(rest)});"
        known = f"/\\ e in [-{dyadic(off)}, {dyadic(off)}]"
        hint = f"r - R -> (r - (s + {dyadic(rest)})) + e;\n"
    else:
        reduced, known = f"s = rnd(d);\nr = rnd(s + {dyadic(rest)});", ""
    newline = "\n"
    return f"""@rnd = {t.gappa};
{reduced}
square = rnd(r * r);
{newline.join(q)}
p = rnd(square * q1 + r);
P = r * r * ({exact_q}) + r;
R = d + {dyadic(rest)};
{{ d in [{dyadic(a)}, {dyadic(b)}] {known} -> p - P in ? /\\ r - R in ? /\\ p in ? }}
{hint}"""
