"""The logarithm: the error of log(1 + z), z = high + low, cell by cell of f in 1 + z = 2^k (1 + f + f_low).

f^2/2 is a pair, h and what its rounding lost. k ln2, f and h are added without loss. Gappa bounds what the roundings
of the rest cost, s (R(s^2) + h) less what h lost, Sollya the distance of the exact polynomial from the logarithm. The
three additions that follow, of f_low / m, of k times the last bits of ln2, and of what f and h lost beside k ln2, each
round by half a last place of a sum that is bounded here. Errors are absolute, in u.
"""

from fractions import Fraction
from typing import NamedTuple

from tools import cells, dyadic, exact, gappa, largest, sollya, ufp, up


class Cell(NamedTuple):
    k: int
    low: Fraction  # of the logarithm
    high: Fraction
    error: Fraction  # absolute, in u


def pieces_of(t):
    """Return (k, f low, f high): all f for k = 1 and 2, positive ones for k = 0, finer where f is small.

    Some are cut where the logarithm is a power of two, since there its last place changes.
    """
    tiny = Fraction(1, 2**14)
    most = t.sqrt2 - 1 + 2 * t.u
    least = t.sqrt2 / 2 - 1 - 2 * t.u
    out = []
    for k, low in ((0, tiny), (1, least), (2, least)):
        if low < 0:
            out += [(k, a, b) for a, b in cells(low, -tiny, 24)]
            out.append((k, -tiny, tiny))
            low = tiny
        edge = low
        while edge * 2 < Fraction(1, 8):
            out += [(k, a, b) for a, b in cells(edge, edge * 2, 2 if k else 8)]
            edge *= 2
        out += [(k, a, b) for a, b in cells(edge, most, 24 if k else 64)]
    powers = sollya("".join(f"print(round(exp(2^(-{e})) - 1, 40, RU));" for e in (2, 3)))
    for cut in powers:
        for i, (k, a, b) in enumerate(out):
            if k == 0 and a < cut < b:
                out[i : i + 1] = [(k, a, cut), (k, cut, b)]
                break
    return out


def bounds(t, pair=True):
    """Return the cells of a type; pair: z has a low part, up to half a last place of its high one."""
    u = t.u
    work = pieces_of(t)
    found = gappa([_script(t, a, b) for _, a, b in work])
    polynomial = " + ".join(f"x^{2 * i + 2} * {exact(c)}" for i, c in enumerate(t.log))
    # I = S (S^2 l(S^2) + f^2/2) - f^2/2 against log(1 + f) - f, S = f / (2 + f): with S the variable this is
    # S (2 + S^2 l) against 2 artanh(S); the rest of both is the same.
    ask = f"R = 2 * x + x * ({polynomial});\n"
    for k, a, b in work:
        sa, sb = a / (2 + a), b / (2 + b)
        sa, sb = up(sa, 70) - Fraction(1, 2**70), up(sb, 70)
        if a < 0 < b:
            ask += "print(0);\n"
        else:
            where = f"[{exact(sa)}; {exact(sb)}]"
            ask += f"s = supnorm(R, log((1 + x) / (1 - x)), {where}, absolute, 2^(-6));\n"
            ask += "print(round(sup(s), 60, RU));\n"
        ask += f"print(round(log(1 + {exact(a)}) + {k} * log(2), 60, RD));\n"
        ask += f"print(round(log(1 + {exact(b)}) + {k} * log(2), 60, RU));\n"
    answers = sollya(ask)
    (ln2,) = sollya("print(round(log(2), 200, RN));")
    out = []
    for i, ((k, a, b), results) in enumerate(zip(work, found, strict=True)):
        approximation, low, high = answers[3 * i : 3 * i + 3]
        if a < 0 < b:
            # |S| < 2^-14: what the polynomial's first coefficient lacks of 2/3, and the next term, times |S|^3
            approximation = (abs(t.log[0] - Fraction(2, 3)) + Fraction(1, 2**27)) * b**3
        size = max(abs(a), abs(b))
        least = min(1 + a, 1 + b)
        # f_low: of k = 0 it is z's; else half a last place of f_high, and of z
        f_low = u * (
            ufp(size) if k == 0 and pair else 0 if k == 0 else ufp(size) + (1 if pair else Fraction(1, 2**30))
        )
        rest = largest(results["rest"])
        share = f_low / least * (1 + 4 * u)
        error = largest(results["rest - I"]) + approximation
        error += f_low * 4 * u / least + f_low**2  # f_low's own rounding, the division, the second order
        sum1 = rest + share
        if share:
            error += u * ufp(sum1)
        most_k = k if k < 2 else 33  # 1 + z is below 2^32
        sum2 = sum1 + most_k * abs(t.ln2_rest)
        if k:
            error += u * ufp(sum2) + most_k * abs(ln2 - t.ln2_top - t.ln2_rest)
        # what f_high lost beside k ln2, and f^2/2 beside both: together they are rounded, and rounded beside the rest
        lost = 2 * u * (ufp(high + size) if k < 2 else 32)
        error += u * ufp(sum2 + lost) + u * lost
        error += u * u * 64
        out.append(Cell(k, low, high, up(error / u)))
    return out


def _script(t, a, b):
    q = [f"l{len(t.log)} = {dyadic(t.log[-1])};", f"m{len(t.log)} = {dyadic(t.log[-1])};"]
    for k in range(len(t.log) - 1, 0, -1):
        q.append(f"l{k} = rnd(l{k + 1} * s2 + {dyadic(t.log[k - 1])});")
        q.append(f"m{k} = m{k + 1} * S2 + {dyadic(t.log[k - 1])};")
    newline = "\n"
    hint = "" if a < 0 < b else "S -> 1 - 2 / B { B <> 0 };"
    return f"""@rnd = {t.gappa};
f = rnd(ff);
B = 2 + f;
S = f / B;
S2 = S * S;
b = rnd(2 + f);
s = rnd(f / b);
s2 = rnd(s * s);
{newline.join(q)}
h = rnd(f * 0.5 * f);
H = f * 0.5 * f;
t = H - h;
a = rnd(s2 * l1 + h);
rest = rnd(s * a - t);
A = S2 * m1 + H;
I = S * A - t;
{{ f in [{dyadic(a)}, {dyadic(b)}] /\\ B in [1, 3] /\\ b in [1, 3] -> rest - I in ? /\\ rest in ? }}
rest - I -> (rest - (s * a - t)) + s * (a - (s2 * l1 + h)) + (s * s2 * l1 - S * S2 * m1) + (s - S) * h
    - S * (H - h);
{hint}
"""
