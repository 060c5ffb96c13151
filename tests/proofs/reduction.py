"""What is exact: the first part of the reduction, M s, Fast2Sum, and taking the start off. And softmax's last step."""

from fractions import Fraction

import exponential
from tools import Failed, defined, dyadic, gappa, pattern, ufp, up


def first_part_is_exact(t):
    """Prove that r1 = x - n STEP_HIGH has no rounding, without a temperature and with any.

    A step of ln2 / 8 is a number of the headers; with a temperature it is any number, [1, 2) after scaling. x is in
    one binade at a time, from the one below the step's: there n is 1, as x >= step / 2 but for a hair (lemma 2 of
    docs/accuracy.md); below it n is 0. A multiple of a power of two that is not 2^digits times as large is
    representable.
    """
    scripts = []
    top = (t.large + t.reach + 2).numerator.bit_length() + 5
    step = t.ln2_high / 8
    reach = exponential.reach(t, True) + 2 * 8 * t.large / Fraction(69, 100) * t.u
    for e in range(top):
        low, high = Fraction(2) ** e * ufp(step), Fraction(2) ** (e + 1) * ufp(step)
        most = up(step * reach, 60)
        scripts.append(_exact_script(t, f"s = {dyadic(step)};", "", low, high, most))
        known = "/\\ s in [1, 2]"
        scripts.append(
            _exact_script(
                t, f"s = {t.gappa}(ss);", known, Fraction(2) ** e, Fraction(2) ** (e + 1), up(2 * reach, 60)
            )
        )
    # one binade below the step's: n = 1, and x - s is at most half a step but for a hair
    scripts.append(
        _exact_script(t, f"s = {t.gappa}(ss);", "/\\ s in [1, 2]", Fraction(1, 2), Fraction(1), Fraction(1))
    )
    gappa(scripts)
    if reach >= 1 - 2 * t.u:
        raise Failed(f"{t.name}: a reduced argument of {float(reach)} steps")
    return f"{len(scripts)} binades"


def _exact_script(t, step, known, low, high, most):
    return f"""@rnd = {t.gappa};
{step}
x = rnd(xx);
n = int<ne>(nn);
r = x - n * s;
{{ x in [{dyadic(low)}, {dyadic(high)}] /\\ @FIX(x, {_exponent(low) - t.digits + 1}) {known}
   /\\ @FIX(s, {_exponent_of_step(t, step)})
   /\\ r in [-{dyadic(most)}, {dyadic(most)}] -> rnd(r) - r in [0, 0] }}
"""


def _exponent(power):
    return power.numerator.bit_length() - power.denominator.bit_length()


def _exponent_of_step(t, step):
    return _exponent(ufp(t.ln2_high / 8)) - t.digits + 1 if "b-" in step else 1 - t.digits


def start_of_sum():
    """Return what a sum of exponentials starts at, in units of the largest term's power of two."""
    return pattern(r"#define EXP_SUM_START \((\d+) \* HEADROOM_POWER\)", "EXP_SUM_START")


def sums_are_exact(t):
    """Prove that no term has a larger exponent than the start, that the start comes off exactly, and that powers stay
    in range.

    Fast2Sum is exact if the first number's exponent is not below the second's.
    """
    start = start_of_sum()
    piece = defined("SMX_PIECE")
    # n of the maximum is within 8 of 8 N, N the nearest even integer, but for the roundings of both products
    steps_above = 8 + 1 + 8 * t.large / Fraction(69, 100) * 2 * t.u
    largest = Fraction(2) ** int(steps_above // 8) * (1 + (steps_above // 1 % 8) / Fraction(8))
    if ufp(largest) > ufp(start) or start != ufp(start):
        raise Failed(f"{t.name}: a term may be {float(largest)}, the start is {start}")
    four = 4 * largest * Fraction(1, 8)
    if four > start:
        raise Failed(f"{t.name}: four small parts may be {float(four)}")
    most = start + piece * largest
    if most >= start * 2**t.digits:  # then the last place of high would be above start
        raise Failed(f"{t.name}: the start does not come off")
    if defined("HEADROOM_POWER", t.bits) != 2**t.headroom:
        raise Failed(f"{t.name}: HEADROOM_POWER is not 2^{t.headroom}")
    # terms with weights are up to twice as large, of either sign; their sum stays in the binade of its start
    few = 2 * largest * defined("FEW_TERMS") * Fraction(9, 8)
    weighted_start = pattern(r"#define WEIGHTED_SUM_START \((\d+) \* HEADROOM_POWER\)", "WEIGHTED_SUM_START")
    if not ufp(weighted_start) <= weighted_start - few < weighted_start + few < 2 * ufp(weighted_start):
        raise Failed(f"{t.name}: terms with weights may take a sum out of the binade of its start")
    if largest * 2**t.headroom * 2**31 >= Fraction(2) ** t.bias:
        raise Failed(f"{t.name}: a sum may overflow")
    # a term of a power of two that is not 0 is so large that M p is normal if p is not below 2^-35, or 2^-64
    least = Fraction(2) ** (t.headroom - t.reach - (35 if t.bits == 32 else 64))
    if least < Fraction(2) ** (1 - t.bias):
        raise Failed(f"{t.name}: a small part may be {float(least)}")
    return f"terms <= {float(largest)}, start {start}, of gaps {gaps_start_above(t)} times as large"


def gaps_start_above(t):
    """Return the start of a sum of terms times gaps over that of terms and the power of two not above the largest gap.

    Prove that no term has a larger exponent than the start. M is at most 1.061 2^(n / 8), and the largest term's is at
    most 2.25 2^H. A term that is v steps below the largest, whose gap is g, is at most 2^H times
    2.25 2^(-v / 8) (g + 0.1 + 0.087 v). For g >= 0.9 that is largest at v = 0; for less it is 2.25 * 1.1 at most.
    """
    k = pattern(r"v_set1\(BIAS - (\d+)\)\)\), v_set1\(EXP_SUM_START\)", "gaps_start")
    above = Fraction(2) ** int(k)
    largest = Fraction(9, 4) * Fraction(11, 10)  # times max(1, g) 2^H
    # 2 ufp(max(1, g)) is more than max(1, g)
    if largest > 2 * start_of_sum() * above / 2:
        raise Failed(f"{t.name}: a term times its gap may be beyond the start of their sum")
    return above


def factor_is_short(t):
    """Prove that exp_factor leaves few enough bits for M s to be exact: float by exhaustion, double by its theorem.

    Veltkamp's splitting with 2^b + 1 leaves digits - b bits (Boldo, 2006: whatever the rounding of ties). M has four.
    """
    times = pattern(r"v_mul\(a, v_set1\((\d+)\)\)", "exp_factor's multiplier")
    b = (times - 1).numerator.bit_length() - 1
    if times != 2**b + 1 or b < 4:
        raise Failed(f"exp_factor multiplies by {times}: it leaves more bits than {t.digits - 4}")
    if t.bits == 64:
        return f"leaves {t.digits - b} bits by Veltkamp's theorem"
    import numpy as np

    a = np.arange(1 << 23, dtype=np.uint32) + np.float32(1).view(np.uint32)
    a = a.view(np.float32)
    more = a * np.float32(times)
    s = more - (more - a)
    if (s.view(np.uint32) & ((1 << b) - 1)).any():
        raise Failed("exp_factor leaves a number of more bits")
    e = np.abs(1 - s.astype(float) / a).max()
    if Fraction(float(e)) > exponential.factor_rest(t):
        raise Failed(f"exp_factor is off by {e}")
    return f"leaves {t.digits - b} bits, all 2^23 arguments"


def last_step(t):
    """Prove what softmax's p (1 + e) + e costs, F = 1 + e rounded: the share of N that is not E, by Gappa."""
    rest = up(exponential.inverse_rest(t), 90)
    low, high = Fraction(-1, 8), Fraction(1, 8)
    script = f"""@rnd = {t.gappa};
e = rnd(ee);
p = rnd(pp);
F = rnd(1 + e);
inner = rnd(p * F + e);
wanted = p * (1 + e) + e;
{{ e in [-{dyadic(rest)}, 0] /\\ p in [{dyadic(low)}, {dyadic(high)}] -> inner - wanted in ? }}
inner - wanted -> (inner - (p * F + e)) + p * (F - (1 + e));
"""
    (found,) = gappa([script])
    size = max(abs(b) for b in found["inner - wanted"])
    claimed = t.u * (Fraction(1, 16) + ufp(Fraction(1, 8) + 2 * rest)) * (1 + Fraction(1, 2**12))
    if size > claimed:
        raise Failed(f"{t.name}: {float(size / t.u)} u")
    return f"{float(size / t.u):.4f} u of |p| <= 1/8"
