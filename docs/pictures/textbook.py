"""Where the textbook's error comes from: the error of elements by their distance from the maximum of their row.

Rows of float32 logits over intervals of 80, at various places; no result is subnormal. Errors are relative, in
u = 2^-24. The stairs are the largest error that rounding x - max alone brings: the difference d is rounded by up to
ufp(d) u, ufp(d) being the largest power of two in d, and exp turns that into a relative error of the same size. Truth:
the formula in float64.
"""

import numpy as np
from draw import WIDTH
from errors import textbook, truth
from matplotlib import pyplot

import softmax_ext

ROWS, LENGTH = 100, 500
SHOWN = 350  # points of each; the largest errors are among them


def errors_of(function, x):
    high, _ = truth(x)
    assert high.min() > np.finfo(np.float32).tiny
    return np.abs(function(x).astype(np.float64) / high - 1).ravel() * 2**24


def measure():
    rng = np.random.default_rng(0)
    x = (rng.uniform(-40, 40, (ROWS, LENGTH)) + rng.uniform(-40, 40, (ROWS, 1))).astype(np.float32)
    distance = (x.max(axis=1, keepdims=True).astype(np.float64) - x).ravel()
    saved = {}
    for name, function in [("textbook", textbook), ("softmax_ext", softmax_ext.softmax)]:
        errors = errors_of(function, x)
        # The largest of each stretch and a random one, so that the cloud has its edge and its body.
        stretches = np.array_split(np.argsort(distance, kind="stable"), SHOWN // 2)
        chosen = sorted(
            {int(i) for s in stretches for i in (s[errors[s].argmax()], s[0])}, key=lambda i: distance[i]
        )
        saved[name] = {
            "distance": [round(float(distance[i]), 2) for i in chosen],
            "error": [round(float(errors[i]), 2) for i in chosen],
            "largest": round(float(errors.max()), 2),
        }
    return saved


def differences(saved, measured):
    # Ours but for the last digit: the truth comes from NumPy's exp of doubles, which depends on the machine.
    pairs = zip(*(sorted(x["softmax_ext"]["error"]) for x in (saved, measured)), strict=False)
    if any(abs(old - new) > 0.011 for old, new in pairs):
        yield "softmax_ext's errors are others"
    old, new = saved["textbook"]["largest"], measured["textbook"]["largest"]
    if abs(old - new) > 5:
        yield f"the textbook's largest error was {old} u, is {new} u"


def draw(saved, colours):
    figure, panel = pyplot.subplots(figsize=(WIDTH, 3.8))
    edges = [0, 1, 2, 4, 8, 16, 32, 64, 80]
    heights = [low / 2 if low <= 1 else low for low in edges[:-1]]
    panel.stairs(heights, edges, color=colours["ink"], lw=1.2, label="what rounding x − max may bring")
    for name, colour, label in [
        ("textbook", "#3a8fd0", "textbook: exp(x − max) / Σ"),
        ("softmax_ext", "#d55e00", "softmax_ext"),
    ]:
        points = saved[name]
        panel.scatter(points["distance"], points["error"], s=6, color=colour, lw=0, label=label)
    panel.set_xlim(0, 82)
    panel.set_ylim(0, 75)
    panel.set_xticks([0, 16, 32, 48, 64, 80])
    panel.set_yticks([0, 16, 32, 48, 64])
    panel.set_xlabel("distance of the element from the maximum of its row")
    panel.set_ylabel("error of its softmax, in u")
    panel.set_title("Rows of float32 logits over a range of 80")
    panel.legend(loc="upper left", fontsize=8, markerscale=2)
    return figure
