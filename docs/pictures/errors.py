"""The largest error of softmax by the range of the logits: this package, the textbook's formula, SciPy, PyTorch.

Rows of 1000 logits, uniform over an interval around 0, with all the digits that the type has. Errors are in units in
the last place (ULP) of the true value, over all elements whose true value is a normal number. Truth: of float32, the
formula in float64, whose own error is below 2^-46; of float64, mpmath with 40 digits.
"""

import mpmath
import numpy as np
import scipy.special
from draw import WIDTH
from matplotlib import pyplot

import softmax_ext

#: Type: the ranges, and how many rows of each.
RANGES = {
    "float32": ([1, 2, 4, 8, 16, 32, 64, 87], 40),
    "float64": ([1, 4, 16, 64, 256, 700], 3),
}
STYLES = {
    "softmax_ext": ("#d55e00", "o"),
    "NumPy, by the textbook": ("#3a8fd0", "s"),
    "SciPy": ("#009e73", "^"),
    "PyTorch": ("#e69f00", "D"),
}


def textbook(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def libraries():
    yield "softmax_ext", softmax_ext.softmax
    yield "NumPy, by the textbook", textbook
    yield "SciPy", lambda x: scipy.special.softmax(x, axis=-1)
    try:
        import torch
    except ImportError:
        return
    yield "PyTorch", lambda x: torch.softmax(torch.from_numpy(x), -1).numpy()


def truth(x):
    """Return the true softmax of a row as two numbers of float64, high and low."""
    if x.dtype == np.float32:
        return textbook(x.astype(np.float64)), 0
    with mpmath.workdps(40):
        terms = [mpmath.exp(mpmath.mpf(value)) for value in x.tolist()]
        total = mpmath.fsum(terms)
        exact = [term / total for term in terms]
        high = [float(value) for value in exact]
        low = [float(value - top) for value, top in zip(exact, high, strict=True)]
    return np.array(high), np.array(low)


def ulps(result, high, low):
    """Return the errors of a row in ULP of the true value; 0 where that is no normal number."""
    unit = np.spacing(high.astype(result.dtype)).astype(np.float64)
    normal = high >= np.finfo(result.dtype).tiny
    return np.where(normal, np.abs((result.astype(np.float64) - high) - low) / unit, 0)


def measure():
    saved = {}
    for dtype, (ranges, count) in RANGES.items():
        found = {}
        for size in ranges:
            rng = np.random.default_rng(size)
            x = rng.uniform(-size / 2, size / 2, (count, 1000))
            # Small ones would else be multiples of the same number as large ones, and no difference be rounded.
            x = (x + rng.uniform(0, size * 2**-40, x.shape)).astype(dtype)
            truths = [truth(row) for row in x]
            for name, function in libraries():
                results = function(x)
                worst = max(ulps(y, *t).max() for y, t in zip(results, truths, strict=True))
                found.setdefault(name, []).append(round(float(worst), 3))
        saved[dtype] = {"range": ranges, **found}
    return saved


def differences(saved, measured):
    """Yield what has moved: ours but for the last digit; others' by more than a half, as exp depends on the machine."""
    for dtype, lines in measured.items():
        for name, values in lines.items():
            for old, new in zip(saved[dtype][name], values, strict=True):
                if abs(old - new) > (0.0011 if name in ("range", "softmax_ext") else old / 2):
                    yield f"{dtype}, {name}: was {old}, is {new}"


def draw(saved, colours):
    figure, panels = pyplot.subplots(2, figsize=(WIDTH, 5.6))
    for panel, (dtype, lines) in zip(panels, saved.items(), strict=True):
        for name, values in lines.items():
            if name != "range":
                colour, marker = STYLES[name]
                width = 2.4 if name == "softmax_ext" else 1.2
                panel.plot(
                    lines["range"],
                    values,
                    color=colour,
                    marker=marker,
                    ms=4,
                    lw=width,
                    label=name,
                    zorder=width,
                )
        panel.axhline(1.5, color=colours["soft"], ls="--", lw=1)
        panel.text(lines["range"][-1], 1.02, "1.5 ULP: proven", ha="right", color=colours["soft"], fontsize=8)
        panel.set_xscale("log", base=2)
        panel.set_yscale("log")
        panel.set_xticks(lines["range"], [str(size) for size in lines["range"]])
        panel.set_ylim(0.4, 1000)
        panel.set_yticks([1, 10, 100, 1000], ["1", "10", "100", "1000"])
        panel.minorticks_off()
        panel.set_title(f"softmax, {dtype}")
        panel.set_ylabel("largest error, ULP")
    panels[1].set_xlabel("range of the logits: largest minus smallest")
    panels[0].legend(loc="upper left", fontsize=8)
    return figure
