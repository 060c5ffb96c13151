"""The theorems of docs/accuracy.md, put together from the steps: exact arithmetic on proven bounds.

Bounds are in u relative to a number, or in ULP of the true result. With T the row's temperature:

    E   a factor 1 + p of an exponential          N   softmax's numerator, its inner rounding and F = 1 + e included
    D   the exponential in two parts, M + M p     S   a sum of exponentials but for `low`
    low(n)   what the roundings of the low halves of sums may add, by length
"""

from fractions import Fraction
from functools import cache
from itertools import pairwise
from math import ceil

import exponential
import logarithm
import reduction
from tools import Failed, defined, pattern, sollya, ufp, up

HALF = Fraction(1, 2)
SMALL = Fraction(1, 2**16)  # terms of second order: products of errors, e^2 in 1 / sum, the quotient of pairs
START = reduction.start_of_sum()
LENGTHS = (80, 512, 4096, 2**31)


@cache
def steps(t, tempered):
    """Return E, N, D, S, the rounding's part of S, and the bound of a subnormal softmax (without low)."""
    c = exponential.bounds(t, tempered)
    e = max(x.error for x in c)
    # F = 1 + e is rounded by u / 2 at most, as e is negative, and multiplies p
    n = max(x.error + x.inner + x.share / 2 for x in c)
    d = max(x.error + x.product for x in c)
    # Lemma 3 of docs/accuracy.md: four small parts are added by four roundings of ufp(s_i) u. Either none is above
    # the first, of the first term's own product; or the sum of all is at most (1/2 + 1 + 1 + 1) of the largest.
    rounding = max(max(4 * x.product for x in c), Fraction(7, 2) * max(x.share for x in c))
    four, share = max(x.error + 4 * x.product for x in c), max(x.share for x in c)
    if (
        t.bits == 32 and not tempered
    ):  # the proof holds for all that is in a cell, exhaustion for what there is
        found = exponential.exhausted()
        for proven, largest in zip((e, n, d, four, share), found, strict=True):
            if largest > proven:
                raise Failed(f"exhaustion found {float(largest)} where {float(proven)} was proven")
        e, n, d, four, share = found
    s = max(four, e + Fraction(7, 2) * share)
    # subnormal: s M may be rounded by half a spacing, and the result is; the rest counts half, as y is not normal
    return e, n, d, s, rounding, 1 + (n + s) / 2 + SMALL


def low(t, n, others=False):
    """Return what the low halves of a row's sum may add, in u of the sum.

    A partial sum takes m powers and ceil(m / 4) small parts between two times that it is settled. What step i loses is
    at most u ufp(high), so the low half is at most (i + 1) u h after it (it begins with what settling has left), and
    is rounded by u ufp((i + 1) u h). The start is 2 where the largest term is 1/2 at least, but for a hair: so the
    L partial sums' h add up to (2 L + sum), which is (4.1 L + 1) sum at most.
    """
    piece, short, settle = (int(defined(name)) for name in ("SMX_PIECE", "SMX_SHORT", "EXP_SETTLE"))
    sums = 1 if n <= short else t.sums
    within = min(n, piece)
    m = ceil(min(within, settle) / sums)
    count = m + ceil(m / 4) + 1
    h = START * Fraction(205, 100) * sums + 1
    total = sum(ufp(i + 1) for i in range(1, count + 1)) * h * ceil(Fraction(within, settle))
    total += 2 * (sums.bit_length() - 1) * count * h  # the partial sums, pairwise
    pieces, at_once = ceil(n / piece), int(defined("PIECES_AT_ONCE"))
    if pieces > 1:
        total += (7 if others else 3) * (
            min(pieces, at_once) + ceil(Fraction(pieces, at_once))
        ) + 4 * count * h
    return up(total * t.u)


def rounded(error):
    """Return the bound of a result that is wrong by `error` ULP before its own rounding, in ULP of the true value.

    Lemma 5 of docs/accuracy.md: half an ULP, but beyond a power of two numbers are twice as far apart.
    """
    return error + HALF if error <= 1 else error + 1


@cache
def log_cells(t):
    """Return the cells of the logarithm, cut at powers of two, where its last place changes."""
    out = []
    for c in logarithm.bounds(t):
        cut = 2 * ufp(c.low)
        out += [c._replace(high=cut), c._replace(low=cut)] if 0 < c.low < cut < c.high else [c]
    return out


@cache
def log_powers(t):
    """Return exp(-L), rounded down, at the upper end of each cell."""
    ask = "print(round(exp(-({} / {})), 60, RD));\n"
    return sollya("".join(ask.format(c.high.numerator, c.high.denominator) for c in log_cells(t)))


def of_quotient(c, power, ez, tied):
    """Return the error of L in a cell that comes from z, in u: z is off by ez. power: exp(-L) at its upper end."""
    of_z = ez * (1 - power)
    if c.high > Fraction(69, 100):  # the maximum may be tied: z counts it, less one
        share = min(Fraction(1), 2 * power)
        of_z = max(of_z, ez - share * (ez - tied))
    return of_z


def over_logs(t, ez, tied, unit, least=0, most=2**40):
    """Return the largest error of L = log(1 + z), z being off by ez, in units of unit(low, high) of its cell.

    L is at least `least`, and below `most`.
    """
    worst = Fraction(0)
    for c, power in zip(log_cells(t), log_powers(t), strict=True):
        if c.high <= least or c.low >= most:
            continue
        worst = max(worst, (c.error + of_quotient(c, power, ez, tied)) / unit(c.low, c.high))
    if not least:
        worst = max(worst, ez + SMALL)  # of a small z the logarithm is z
    return worst + SMALL


def cancelled(t, tempered, lost, tied):
    """Return the bound of logsumexp before its last rounding where m / T and it are below ufp(L) in size.

    The ULP is then half of that of L. m / T is between -ufp(L) and ufp(L) - L, and the terms that count are near it:
    what the roundings of their reduction lose is small. lost: low(n).
    """
    near = exponential.bounds(t, tempered, exponential.NEAR)
    rest = max(c.error for c in near) + Fraction(7, 2) * max(c.share for c in near)
    s = min(max(rest, max(c.error + 4 * c.product for c in near)), steps(t, tempered)[3])
    worst = Fraction(0)
    for c, power in zip(log_cells(t), log_powers(t), strict=True):
        half = ufp(c.low)
        # an initial term that leads is not divided by T
        e = max(exponential.error_between(t, kind, -half, min(half - c.low, 0)) for kind in (False, tempered))
        of_z = of_quotient(c, power, s + e + lost, tied)
        worst = max(worst, (c.error + of_z) / half)
    least = log_cells(t)[0].low
    small = 2 * (s + max(exponential.error_between(t, kind, -least, 0) for kind in (False, tempered)) + lost)
    return max(worst, small) + SMALL


def rounded_at_powers(error):
    """Return the bound of a result that is wrong by `error` before `rounded_at_powers` of the kernels (lemma 9)."""
    # by how much more than an ULP a number may be off, and still be rounded to the power of two
    more = 2 / pattern(
        r"v_fnma\(v\.high, v_set1\(REAL_EPSILON / (\d+)\), v\.low\)", "rounded_at_powers' shift"
    )
    if error > 1 + more or error / 2 + (1 + more) / 2 > error + HALF:
        raise Failed(f"lemma 9 is not for errors of {float(error)}")
    return error + HALF


def gap_roundings(j):
    """Return what a gap's rounding and that of its product with M = 1 + j / 8 cost at most, in u relative.

    A relative rounding is largest just above a power of two. M = 1 rounds nothing; else the gap or the product is
    there, and the other one is M or 2 / M times a power of two.
    """
    m = 1 + Fraction(j, 8)
    return Fraction(1) if j == 0 else 1 + max(1 / m, m / 2)


def entropy(t, tempered, length):
    """Return the bound of softmax_entropy in u of the result (theorem 7)."""
    _, _, d, s, _, _ = steps(t, tempered)
    cells = exponential.bounds(t, tempered)
    # lemma 3 for terms times gaps, whose first factors have all bits
    of_gaps = max(gap_roundings(c.j) + c.error + 4 * c.share for c in cells)
    of_gaps = max(
        of_gaps,
        max(gap_roundings(c.j) + c.error for c in cells) + Fraction(7, 2) * max(c.share for c in cells),
    )
    lost = low(t, length, others=True)
    # The start of the sum of gaps is so much larger beside its largest term. If the smallest gap is less than a unit,
    # from T / 2 to T, it is that beside the terms themselves, whose sum is z / (1 + z), less than L.
    above = reduction.gaps_start_above(t)
    of_gaps += above * lost + SMALL
    ez = s + max(c.error for c in cells) + lost + SMALL
    relative = over_logs(t, ez, ez, lambda a, b: a) + (2 if tempered else 1) * above * lost
    (log_n,) = sollya(f"print(round(log({length}), 40, RU));")
    worst = Fraction(0)
    # z from 0 on, in cells: the sum's own error is that of the maximum's term and of the others, weighted
    z, edge = Fraction(0), Fraction(1, 64)
    while z < length:
        of_sum = s if edge > 1 else (d + s * edge) / (1 + edge)
        of_mean = of_gaps + of_sum + lost + SMALL
        share = Fraction(1)
        if z:
            # L is at least log(1 + z), the mean gap at most log(n / z) (theorem 7): of both, 1 / share is the mean's
            log_1, log_z = floors_of_logs(z)
            share = 1 / (1 + log_1 / (edge / (1 + edge) * (log_n - log_z)))
        worst = max(worst, share * of_mean + (1 - share) * relative, relative)
        z, edge = edge, edge * Fraction(9, 8)
    return worst + 1


@cache
def floors_of_logs(z):
    """Return log(1 + z) and log(z), rounded down."""
    return sollya(
        f"print(round(log(1 + {z.numerator} / {z.denominator}), 40, RD));"
        f"print(round(log({z.numerator} / {z.denominator}), 40, RD));"
    )


def error_at_0(t):
    """Return E of the exponential of 0, the maximum of a row that has been shifted: its reduced argument is 0."""
    cells = [c for c in exponential.bounds(t, False) if c.j == 0]
    width = max(b.low - a.low for a, b in pairwise(cells))
    return max(c.error for c in cells if c.low <= t.rest[0] <= c.low + width)


def plain_log_softmax(t, ez, tied, in_ulp):
    """Return the bound of log_softmax without a temperature before its last rounding (theorem 2)."""
    ulp = lambda a, b: 2 * ufp(a)  # noqa: E731
    # x - high is exact; or it is rounded, and then L is more than 1 or the result has twice the last place of L
    inexact = HALF + max(in_ulp / 2, over_logs(t, ez, tied, ulp, least=1))
    # lemma 6: the low part is rounded by a quarter of an ULP, where L is one to two last places of the maximum
    of_shifted = ez - steps(t, False)[0] + error_at_0(t)
    quarter = max(
        over_logs(t, ez, tied, ulp, most=8 * t.u * t.large), over_logs(t, of_shifted, tied, ulp)
    ) + Fraction(1, 4)
    eighth = in_ulp + Fraction(1, 8)
    return max(inexact, quarter, eighth) + Fraction(1, 2**9)


def of_targets(t, length):
    """Return what the pairs of a sum of targets lose, in u: t (m - x), rounded once, is added to a pair.

    A product and its addition each lose u h at most, so low is at most 2 i u h after i of them, and two of its
    roundings follow each. Partial sums are added pairwise, pieces as those of exponentials are, with a product more.
    """
    piece = int(defined("SMX_PIECE"))
    count = ceil(Fraction(min(length, piece), 1 if length <= defined("SMX_SHORT") else t.sums))
    total = sum(2 * ufp(2 * i) + 2 for i in range(1, count + 1)) + 2 * (t.sums.bit_length() - 1) * 2 * count
    pieces, at_once = ceil(Fraction(length, piece)), int(defined("PIECES_AT_ONCE"))
    if pieces > 1:
        total += 16 * (min(pieces, at_once) + ceil(Fraction(pieces, at_once)))
    return up(total * t.u) + SMALL


def table_of_steps(t):
    """Return {(step, tempered, 0): bound} of the exponential and its sum, in u."""
    out = {}
    for tempered in (False, True):
        names = ("E", "N", "exp", "S")
        out |= {(name, tempered, 0): bound for name, bound in zip(names, steps(t, tempered), strict=False)}
    return out


def table(t):
    """Return {(function, tempered, length): bound}, in ULP; of logarithms and parts in u."""
    out = table_of_steps(t)
    ulp = lambda a, b: 2 * ufp(a)  # noqa: E731
    for tempered in (False, True):
        e, n, _, s, rounding, below = steps(t, tempered)
        for length in LENGTHS:
            out["softmax", tempered, length] = rounded(n + s + low(t, length) + SMALL)
            out["softmax, subnormal", tempered, length] = below + low(t, length) / 2
            ez = s + e + low(t, length, others=True) + SMALL
            tied = rounding + low(t, length, others=True) + SMALL
            in_ulp = over_logs(t, ez, tied, ulp)
            relative = over_logs(t, ez, tied, lambda a, b: a)
            out["log_softmax", tempered, length] = rounded(
                in_ulp if tempered else plain_log_softmax(t, ez, tied, in_ulp)
            )
            halved = cancelled(t, tempered, low(t, length, others=True) + SMALL, tied)
            out["logsumexp", tempered, length] = rounded_at_powers(max(halved, in_ulp))
            of_gaps = max(Fraction(1), relative)
            out["label_loss", tempered, length] = rounded_at_powers(of_gaps + SMALL)
            out["target_loss", tempered, length] = rounded_at_powers(of_gaps + of_targets(t, length))
            out["softmax_entropy", tempered, length] = entropy(t, tempered, length)
    out["log_of_1_plus", False, 0] = max(c.error / c.low for c in logarithm.bounds(t, pair=False))
    out["log_of_1_plus_pair", False, 0] = max(c.error / c.low for c in log_cells(t))
    e = steps(t, False)[0]
    out["exp_alone", False, 0] = HALF + Fraction(1, 4) + e / 2 + HALF / 2**10
    return out
