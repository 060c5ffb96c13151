"""How exp is cut into a power M and a small part p: exp(x) = C M (1 + p).

Drawn from the definitions at the head of csrc/kernels/exp.inc.h: n = round(8 x / ln 2) = 8 k + j, M = 2^k (1 + j / 8).
C is a constant that all exponentials have, so the code leaves it out. The table of the code,
REST_j = j ln 2 / 8 - log((1 + j / 8) C), is read from csrc/kernels/coefficients.h and has to agree.
"""

import re
from pathlib import Path

import numpy as np
from draw import WIDTH
from matplotlib import pyplot

import softmax_ext

HEADER = Path(__file__).resolve().parents[2] / "csrc" / "kernels" / "coefficients.h"
STEP = np.log(2) / 8


def power(n):
    k, j = np.divmod(n, 8)
    return np.exp2(k) * (1 + j / 8)


def constant(name):
    return float.fromhex(re.search(rf"F64_{name}\s+\(?(-?0x[0-9a-fp.+-]+)", HEADER.read_text())[1])


def measure():
    """Return the constants as the code has them, and the range of p that they lead to."""
    centre = constant("CENTRE")
    x = np.linspace(0, np.log(2), 100_001)
    p = np.exp(x) / (centre * power(np.rint(x / STEP))) - 1
    return {
        "centre": centre,
        "rests": [constant(f"REST_{j}") for j in range(8)],
        "smallest p": round(float(p.min()), 4),
        "largest p": round(float(p.max()), 4),
        "softmax of 0 and ln 2": [float(value) for value in softmax_ext.softmax(np.log([1.0, 2.0]))],
    }


def differences(saved, measured):
    if saved != measured:
        yield f"was {saved}, is {measured}"


def draw(saved, colours):
    figure, (above, below) = pyplot.subplots(2, figsize=(WIDTH, 5.4), sharex=True, height_ratios=[3, 2])
    edges = (np.arange(-1, 17) + 0.5) * STEP
    for n in range(17):
        left, right = max(edges[n], 0), min(edges[n + 1], 2 * np.log(2))
        x = np.linspace(left, right, 30)
        colour = "#d55e00" if n % 8 == 0 else "#3a8fd0"
        step = saved["centre"] * power(n)
        above.plot([left, right], [step] * 2, color=colour, lw=2.5, solid_capstyle="butt")
        p = np.exp(x) / step - 1
        # exp(r) with the table's own entry is the same number.
        assert np.allclose(np.expm1(x - n * STEP + saved["rests"][n % 8]), p, atol=1e-15)
        below.plot(x, p, color=colour, lw=1.6)
    x = np.linspace(0, 2 * np.log(2), 300)
    above.plot(x, np.exp(x), color=colours["ink"], lw=1.2)
    above.annotate("exp(x)", (1.0, np.exp(1.0)), (0.72, 2.75), color=colours["ink"])
    above.annotate("C M, M: eighths of a power of two", (0.62, 1.75), (0.68, 1.28), color="#3a8fd0")
    above.annotate("M a power of two", (0, 1), (0.68, 0.98), color="#d55e00")
    above.set_yticks([1, 1.5, 2, 3, 4])
    above.set_ylabel("exp(x) and C M")
    above.set_title("exp(x) = C M (1 + p): M is exact, four bits, and C = 31/32 cancels")
    below.axhline(0, color=colours["soft"], lw=0.8)
    below.set_ylabel("p")
    below.set_yticks([-0.1, -0.05, 0, 0.05])
    below.set_title(
        f"p lies between {saved['smallest p']:.3f} and {saved['largest p']:.3f}".replace("-", "−")
    )
    ticks = np.arange(5) * 4 * STEP
    below.set_xticks(ticks, ["0", "½ ln 2", "ln 2", "1½ ln 2", "2 ln 2"])
    below.set_xlabel("x")
    return figure
