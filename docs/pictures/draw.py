"""Draws the pictures of the pages, in a light and a dark form: python docs/pictures/draw.py [--check] [NAME...].

A picture is a module of this folder. `measure()` returns what it shows, which is saved as NAME.json, and `draw(saved,
theme)` returns a figure of it. With --check nothing is written: each picture is measured again, `differences(saved,
measured)` has to find none, and the files have to be what the saved numbers give, byte for byte (if this version of
Matplotlib is the one that made them).
"""

import argparse
import importlib
import io
import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draws to files, with or without a screen

from matplotlib import pyplot

HERE = Path(__file__).resolve().parent
PICTURES = ["errors", "textbook", "exponential", "routes"]
#: Okabe and Ito's colours, told apart by the colour-blind.
THEMES = {
    "light": {"ink": "#1a1a1a", "soft": "#767676", "faint": "#dddddd", "paper": "#ffffff"},
    "dark": {"ink": "#eeeeee", "soft": "#9a9a9a", "faint": "#3d3d3d", "paper": "#14171a"},
}
WIDTH = 5.8  # inches: the text is still read on a telephone


def settings(theme):
    """Return Matplotlib's settings: what a theme colours, and what makes files the same each time."""
    colours = THEMES[theme]
    ink = dict.fromkeys(
        ["text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"], colours["ink"]
    )
    return {
        **ink,
        "grid.color": colours["faint"],
        "savefig.transparent": True,  # the page's own background
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "softmax_ext",
        "figure.constrained_layout.use": True,
    }


def svg(picture, saved, theme):
    """Return a picture as the text of an SVG file."""
    with matplotlib.rc_context(settings(theme)):
        figure = picture.draw(saved, THEMES[theme])
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
        pyplot.close(figure)
    # Where DejaVu Sans is missing, Verdana is as wide.
    text = file.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def file_of(name, theme):
    return HERE / f"{name}-{theme}.svg"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; all by default")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if something would change")
    parser.add_argument("--redraw", action="store_true", help="measure nothing; draw what is saved")
    options = parser.parse_args()
    wrong = []
    for name in options.names or PICTURES:
        picture = importlib.import_module(name)
        numbers = HERE / f"{name}.json"
        if options.check:
            saved = json.loads(numbers.read_text())
            wrong += [f"{name}: {text}" for text in picture.differences(saved, picture.measure())]
            wrong += [f"{name}: {text}" for text in changed(picture, name, saved)]
            continue
        if not options.redraw:
            numbers.write_text(json.dumps(picture.measure(), indent=1) + "\n")
        saved = json.loads(numbers.read_text())
        for theme in THEMES:
            file_of(name, theme).write_text(svg(picture, saved, theme), encoding="utf-8")
            print(file_of(name, theme).name, file_of(name, theme).stat().st_size, "bytes")
    if options.check:
        print(*wrong, sep="\n", end="\n" if wrong else "")
        print(f"pictures: {len(wrong)} differences")
    sys.exit(bool(wrong))


def changed(picture, name, saved):
    """Yield what differs between the files and what the saved numbers give."""
    for theme in THEMES:
        there = file_of(name, theme).read_text(encoding="utf-8")
        if f"Matplotlib v{matplotlib.__version__}," not in there:
            print(f"{name}-{theme}.svg: made by another version of Matplotlib; not compared")
        elif svg(picture, saved, theme) != there:
            yield f"{name}-{theme}.svg is not what the script draws"


if __name__ == "__main__":
    main()
