"""What a route does to an array, from what `softmax_ext._core._explain` says of real calls.

The explanation of a call says the route, how many tiles there are and how many rows each has, and if arrays are read
and written in place. How registers run through a tile follows from the route's layout and walk: the table of routes
in csrc/README.md. Registers are drawn with four lanes.
"""

import re
import textwrap

import numpy as np
from draw import WIDTH
from matplotlib import pyplot
from matplotlib.patches import FancyArrowPatch, Rectangle

import softmax_ext
from softmax_ext import _core

CALLS = [
    ("softmax", (128, 1000), -1),
    ("softmax", (1000, 3), -1),
    ("softmax_vjp", (1000, 3), -1),
    ("softmax", (16, 1000, 64), 1),
]
#: How the first registers run through a tile, by the route's layout and walk.
RUNS = {
    "rows": ("along a row", "ROWS"),
    "packed": ("over the ends of rows", "PACKED"),
    "short": ("across rows, side by side in a block", "COLUMNS"),
    "lines": ("across rows, which lie side by side", "COLUMNS"),
}
REGISTERS = ["#d55e00", "#3a8fd0", "#009e73"]
LANES = 4


def measure():
    """Return each call, and its route in words, on one thread."""
    former = softmax_ext.get_num_threads()
    softmax_ext.set_num_threads(1)
    calls = []
    for name, shape, axis in CALLS:
        x = np.zeros(shape, np.float32)
        function = getattr(softmax_ext, name)
        arrays = (x, x) if name.endswith("vjp") else (x,)
        words = _core._explain(function, *arrays, axis=axis)
        calls.append({"function": name, "shape": list(shape), "axis": axis, "route": words})
    softmax_ext.set_num_threads(former)
    return {"calls": calls}


def differences(saved, measured):
    """Yield calls that take another way. What a route adds for a processor (prefetching, say) may differ."""
    for old, new in zip(saved["calls"], measured["calls"], strict=True):
        if facts(old["route"]) != facts(new["route"]):
            yield f"{old['function']} {old['shape']}: was {old['route']!r}, is {new['route']!r}"


def facts(words):
    """Return the route, tiles, rows of a tile, and if results and inputs stay in place."""
    route, tiles, rows = re.match(r"([\w ]+): (\d+) tiles? of (\d+) rows?", words).groups()
    return route, int(tiles), int(rows), "read in place" in words, "results in place" in words


def draw(saved, colours):
    count = len(saved["calls"])
    figure = pyplot.figure(figsize=(WIDTH, 2.35 * count), layout="none")
    for number, call in enumerate(saved["calls"]):
        panel = figure.add_axes((0, 1 - (number + 1) / count, 1, 1 / count))
        panel.set_xlim(0, WIDTH)
        panel.set_ylim(0, 2.35)
        panel.axis("off")
        draw_call(panel, call, colours)
    return figure


def draw_call(panel, call, colours):
    route, tiles, _, reads_in_place, _ = facts(call["route"])
    shape = "×".join(map(str, call["shape"]))
    axis = "" if call["axis"] == -1 else f", axis {call['axis']}"
    panel.text(0.05, 2.08, f"{call['function']} float32 {shape}{axis}", fontsize=10, weight="bold")
    for line, text in enumerate(textwrap.wrap(call["route"], 88)):
        panel.text(0.05, 1.91 - 0.14 * line, text, fontsize=7.5, color=colours["soft"])
    draw_array(panel, call["shape"], tiles, colours)
    runs, walk = RUNS[route]
    cells = memory(walk, call["shape"][-1])
    draw_cells(
        panel, 1.85, cells, walk if reads_in_place else None, colours, "one tile, as it lies in memory"
    )
    panel.add_patch(arrow((1.4, 0.75), (1.78, 0.75), colours))
    if not reads_in_place:
        block = [list(line) for line in zip(*cells, strict=True)]
        draw_cells(panel, 4.25, block, walk, colours, "in its block")
        panel.add_patch(arrow((3.75, 0.75), (4.18, 0.75), colours))
    panel.text(1.85, 0.07, f"Registers run {runs}.", fontsize=8)


def memory(walk, columns):
    """Return the names of a tile's first numbers, in the order of memory: b2 is element 2 of row b."""
    if walk == "COLUMNS" and columns > 10:
        return [[f"{row}{element}" for row in "abcdefgh"] for element in range(3)]
    shown = min(columns, 8)
    return [[f"{row}{element}" for element in range(shown)] for row in ("ab" if shown == 8 else "abcd")]


def draw_array(panel, shape, tiles, colours):
    """Draw the array as a box that is cut into its tiles; the first has the colour of a register."""
    width, height = (1.25, 1.1) if shape[-1] > 10 else (0.35, 1.25)
    left, bottom = 0.05 + (1.25 - width) / 2, 0.22
    for tile in range(tiles):
        box = Rectangle((left, bottom + height * (1 - (tile + 1) / tiles)), width, height / tiles)
        box.set(facecolor=colours["faint"] if tile else REGISTERS[0], edgecolor=colours["soft"], lw=0.3)
        panel.add_patch(box)
    panel.text(0.05 + 1.25 / 2, 0.07, f"{tiles} tiles", fontsize=8, ha="center")


def draw_cells(panel, left, cells, walk, colours, title):
    """Draw numbers in the order of memory; with a walk, those of a register in its colour."""
    side, top = 0.27, 1.36
    panel.text(left, top + 0.08, title, fontsize=8, color=colours["soft"])
    for line, names in enumerate(cells):
        for place, name in enumerate(names):
            register = register_of(walk, line, place, len(names))
            colour = colours["faint"] if register is None else REGISTERS[register]
            corner = left + place * side, top - (line + 1) * side
            panel.add_patch(Rectangle(corner, side, side, facecolor=colour, edgecolor=colours["paper"], lw=1))
            ink = colours["ink"] if register is None else "#ffffff"
            middle = corner[0] + side / 2, corner[1] + 0.47 * side
            panel.text(*middle, name, ha="center", va="center", fontsize=8, color=ink)
    if len(cells[0]) == 8:
        panel.text(left + 8 * side + 0.05, top - len(cells) * side / 2, "…", va="center")


def register_of(walk, line, place, width):
    """Return the number of the register that holds a number of a tile; None if it is not among those that are shown."""
    if walk == "ROWS":
        return place // LANES if line == 0 else None
    if walk == "PACKED":
        return (line * width + place) // LANES
    if walk == "COLUMNS":
        return line if place < LANES else None
    return None


def arrow(start, end, colours):
    return FancyArrowPatch(start, end, arrowstyle="->", mutation_scale=9, color=colours["soft"])
