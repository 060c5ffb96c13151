"""Pictures of a run: speed by case, throughput by row length, error by range.

One figure with a panel for each thing that was measured. Every library keeps its colour (Okabe and
Ito's, told apart by the colour-blind) and its marker in all of them.
"""

import matplotlib

matplotlib.use("Agg")  # Draws to files, with or without a screen.

from matplotlib import pyplot
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.cases import SWEEP_SIZE, parse
from bench.figures import Contest, group, largest, median
from bench.peers import OURS
from bench.report import micro, plural, short, warn_of_others

THEMES = {
    "light": {"ink": "#1a1a1a", "soft": "#8a8a8a", "faint": "#dddddd", "paper": "#ffffff"},
    "dark": {"ink": "#eeeeee", "soft": "#9a9a9a", "faint": "#3d3d3d", "paper": "#14171a"},
}
STYLES = {
    OURS: ("#d55e00", "o"),
    "numpy": ("#3a8fd0", "s"),
    "scipy": ("#56b4e9", "^"),
    "scikit-learn": ("#cc79a7", "v"),
    "torch": ("#e69f00", "D"),
    "jax": ("#009e73", "P"),
    "onnxruntime": ("#b8a800", "X"),
    "tensorflow": ("#a07050", "<"),
    "numba": ("#9070c8", ">"),
}
NAMES = {"roof": "memory roof"}
MANY = 30  # Bars that one panel holds.
WIDTH = 10  # inches
PROMISE = 2  # ULP


def draw(results, path, theme):
    """Draw all that was measured into one file.

    Parameters
    ----------
    results : dict
        As `bench.__main__` collects and saves them.
    path : pathlib.Path
        Its suffix tells the format.
    theme : str
        A name of `THEMES`.

    Returns
    -------
    bool
        False if nothing was measured that can be drawn.
    """
    panels = []
    own = [r for r in results["speed"] if r["form"] == "own" and r["seconds"]]
    threads = max((record["threads"] for record in own), default=0)
    own = [record for record in own if record["threads"] == threads]
    bars = group([r for r in own if r["set"] != "sweep"], "case")
    contests = {case: Contest(of_case) for (case,), of_case in bars.items()}
    panels += [(1.5 + 0.4 * len(part), draw_bars, part) for part in by_operation(contests)]
    sweeps = group([r for r in own if r["set"] == "sweep"], "peer")
    if sweeps:
        panels.append((4.5, draw_sweep, sweeps))
    errors = [r for r in results["accuracy"] if r["op"] in ("softmax", "log_softmax")]
    if errors:
        panels.append((6.5, draw_errors, errors))
    if not panels:
        return False

    colours = THEMES[theme]
    with pyplot.rc_context(settings(colours)):
        heights = [height for height, _, _ in panels]
        figure = pyplot.figure(figsize=(WIDTH, sum(heights) + 0.6), layout="constrained")
        machine = results["environment"]["cpu"]
        title = f"{machine}, {plural(threads)}" if threads else machine
        if warning := warn_of_others(results["environment"]):
            title += f"\n{warning}"
        figure.suptitle(title, fontsize=10)
        parts = figure.subfigures(len(panels), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (_, panel, data) in zip(parts, panels, strict=True):
            panel(part, data, colours)
        figure.savefig(path, dpi=150)
        pyplot.close(figure)
    return True


def settings(colours):
    """Matplotlib's settings for a theme."""
    ink, faint = colours["ink"], colours["faint"]
    return {
        "figure.facecolor": colours["paper"],
        "axes.facecolor": colours["paper"],
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": colours["soft"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "xtick.color": ink,
        "ytick.color": ink,
        "grid.color": faint,
        "font.size": 9,
        "legend.frameon": False,
    }


def by_operation(contests):
    """Divide cases into those of each operation, if they are too many for one panel."""
    parts = {}
    for case, contest in contests.items():
        if contest.peers:
            op = parse(case).op if len(contests) > MANY else None
            parts.setdefault(op, {})[case] = contest
    return parts.values()


def draw_bars(figure, contests, colours):
    """Speed in each case, as a multiple of the fastest peer's."""
    axes = figure.subplots()
    for row, contest in enumerate(contests.values()):
        unit = median(contest.peers[0])
        if contest.ours:
            ours = contest.ratio(contest.peers[0])
            axes.barh(row, ours - 1, left=1, height=0.6, color=STYLES[OURS][0], zorder=2)
            beside = axes.get_yaxis_transform()
            axes.text(1.01, row, f"{ours:.2g}×", transform=beside, va="center", weight="bold")
        for peer in contest.peers:
            colour, marker = STYLES[peer["peer"]]
            look = {"ms": 6, "color": colour, "mec": colours["paper"], "mew": 0.5, "zorder": 4}
            axes.plot(unit / median(peer), row, marker, **look)
        for record, line in ((contest.exp, ":"), (contest.roof, "-")):
            if record:
                x = unit / median(record)
                axes.plot([x, x], [row - 0.4, row + 0.4], line, color=colours["ink"], zorder=5)

    axes.axvline(1, color=colours["soft"], linewidth=1, zorder=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}×" if x >= 1 else f"1/{1 / x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="x", linewidth=0.6)
    axes.set_ylim(len(contests) - 0.4, -0.6)
    axes.set_yticks(range(len(contests)), [bar_label(*item) for item in contests.items()])
    axes.tick_params(axis="y", length=0)
    axes.set_title("Speed against the fastest peer", loc="left", fontsize=10)
    axes.set_xlabel("speed as a multiple of the fastest peer's (to the right is faster)")
    present = {peer["peer"] for contest in contests.values() for peer in contest.peers}
    handles = [Patch(color=STYLES[OURS][0], label=OURS)]
    for name in STYLES:
        if name in present:
            colour, marker = STYLES[name]
            handles.append(Line2D([], [], color=colour, marker=marker, ls="none", label=name))
    for name, line in (("np.exp", ":"), ("memory roof", "-")):
        handles.append(Line2D([], [], color=colours["ink"], linestyle=line, label=name))
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=8)


def bar_label(case, contest):
    """Name a case, and its fastest peer's time."""
    fastest = contest.peers[0]
    return f"{short(case)}\n{fastest['peer']} {micro(median(fastest))} µs"


def draw_sweep(figure, sweeps, colours):
    """Throughput against the length of a row."""
    axes = figure.subplots()
    for (name,), records in sweeps.items():
        cases = [parse(record["case"]) for record in records]
        lengths = [case.shape[-1] for case in cases]
        speeds = [case.size / median(record) / 1e9 for case, record in zip(cases, records, strict=True)]
        if name in STYLES:
            colour, marker = STYLES[name]
            wide = 2.6 if name == OURS else 1.1
            look = {"color": colour, "marker": marker, "ms": 3.5, "linewidth": wide}
        else:
            look = {"color": colours["ink"], "linestyle": "-" if name == "roof" else ":"}
        axes.plot(lengths, speeds, label=NAMES.get(name, name), zorder=3, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    axes.grid(linewidth=0.6)
    axes.set_xlabel(f"row length (about {SWEEP_SIZE:,} elements in all)")
    axes.set_ylabel("billion elements a second")
    first = parse(next(iter(sweeps.values()))[0]["case"])
    axes.set_title(f"{first.op}, {first.dtype}, against row length", loc="left", fontsize=10)
    figure.legend(loc="outside right center", fontsize=8)


def draw_errors(figure, records, colours):
    """Largest error against the range of the logits."""
    grid = group(records, "op", "dtype")
    rows = list(dict.fromkeys(op for op, _ in grid))
    columns = list(dict.fromkeys(dtype for _, dtype in grid))
    all_axes = figure.subplots(len(rows), len(columns), sharex=True, squeeze=False)
    handles = {}
    for (op, dtype), of_panel in grid.items():
        axes = all_axes[rows.index(op), columns.index(dtype)]
        for (name,), of_peer in group(of_panel, "peer").items():
            found = {scale: error for (scale, offset), error in largest(of_peer).items() if not offset}
            if not found:
                continue
            colour, marker = STYLES[name]
            wide, top = (2.6, 4) if name == OURS else (1.1, 3)
            look = {"color": colour, "marker": marker, "ms": 4, "linewidth": wide, "zorder": top}
            # An error without end is drawn at the top.
            errors = [min(error, 2e16) for error in found.values()]
            (handles[name],) = axes.plot(list(found), errors, label=name, **look)
        axes.axhline(PROMISE, color=colours["ink"], linestyle="--", linewidth=1, zorder=2)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axes.grid(linewidth=0.6)
        axes.set_title(f"{op}, {dtype}", loc="left", fontsize=10)
        axes.set_ylabel("largest error, ULP")
    for axes in all_axes[-1]:
        axes.set_xlabel("standard deviation of the logits")
    promise = Line2D([], [], color=colours["ink"], linestyle="--", label=f"{PROMISE} ULP")
    ordered = [handles[name] for name in STYLES if name in handles]
    figure.legend(handles=[*ordered, promise], loc="outside right center", fontsize=8)
