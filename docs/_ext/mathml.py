"""Formulas as MathML, which browsers draw by themselves: pages need no script and no network.

Docutils translates TeX. `SPELLINGS` has what it does not know and the pages use; `spaced` adds the spaces that TeX puts
around names of functions, and takes those around bars away. Indices and exponents stand where a font for mathematics
says; few systems have one, so the site brings STIX Two Math along, from the package ziamath.
"""

import logging
import re
from importlib.resources import files
from pathlib import Path
from xml.etree import ElementTree

import fontTools.subset
from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

SPELLINGS = [
    (r"\\([td]?frac)(\d)\s*(\d)", r"\\\1{\2}{\3}"),
    (r"\\dots\b", r"\\ldots"),
    (r"\{\\rm ([^}]*)\}", r"\\mathrm{\1}"),
]
NAMESPACE = "http://www.w3.org/1998/Math/MathML"
#: What pages may use: letters, dashes, arrows, operators, brackets; Latin in italics, as code, and Greek in italics.
CHARACTERS = [
    (0x20, 0xFF),
    (0x391, 0x3F5),
    (0x2010, 0x2044),
    (0x2061, 0x2064),
    (0x2190, 0x2194),
    (0x2200, 0x22FF),
]
CHARACTERS += [(0x2308, 0x230B), (0x27E8, 0x27E9), (0x1D434, 0x1D467), (0x1D670, 0x1D6A5), (0x1D6E2, 0x1D71B)]
#: Signs that TeX puts no space around, and fences that keep their size.
TIGHT, FENCES = "|/", "⌈⌉⌊⌋"


def translated(tex, as_block):
    for pattern, replacement in SPELLINGS:
        tex = re.sub(pattern, replacement, tex)
    try:
        text = tex2mathml(tex, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"docs/_ext/mathml.py: {error} in the formula {tex!r}") from error
    ElementTree.register_namespace("", NAMESPACE)
    root = ElementTree.fromstring(text.replace("&ApplyFunction;", "\u2061"))
    for element in list(root.iter()):
        if tag(element) in ("math", "mrow", "mstyle", "mtd", "mpadded"):
            element[:] = spaced(list(element))
        if tag(element) == "mo" and element.text in TIGHT:
            element.set("lspace", "0")
            element.set("rspace", "0")
        if tag(element) == "mo" and element.text in FENCES:
            element.set("stretchy", "false")
        if tag(element) == "mi" and re.fullmatch("[Α-Ω]", element.text or ""):
            element.set("mathvariant", "normal")  # as TeX has it
        element.tail = (element.tail or "").strip()
    return ElementTree.tostring(root, encoding="unicode")


def tag(element):
    return element.tag.removeprefix(f"{{{NAMESPACE}}}")


def spaced(children):
    """Return the elements of a row, with a space on each side of a function's name where an operand follows."""
    children = [child for child in children if child.text != "\u2061"]
    row = []
    for child, following in zip(children, [*children[1:], None], strict=True):
        if is_name(child) and row and (tag(row[-1]) != "mo" or row[-1].text in (")", "]")):
            row.append(space())
        row.append(child)
        if is_name(child) and following is not None and tag(following) not in ("mo", "mspace"):
            row.append(space())
    return row


def is_name(element):
    while tag(element) in ("msub", "msup", "msubsup", "munder"):
        element = element[0]
    return tag(element) == "mi" and len(element.text or "") > 1


def space():
    return ElementTree.Element(f"{{{NAMESPACE}}}mspace", width="0.17em")


def inline(writer, node):
    writer.body.append(translated(node.astext(), as_block=False))
    raise SkipNode


def block(writer, node):
    writer.body.append(f'<div class="formula">{translated(node.astext(), as_block=True)}</div>')
    raise SkipNode


def write_font(app, exception):
    """Write the part of the font that pages may use, for _static/site.css."""
    if exception or app.builder.format != "html":
        return
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    options = fontTools.subset.Options(flavor="woff", layout_features=["*"], notdef_outline=True)
    options.name_IDs = ["*"]  # its licence is among them
    with fontTools.subset.load_font(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf", options) as font:
        subsetter = fontTools.subset.Subsetter(options)
        subsetter.populate(unicodes=[c for first, last in CHARACTERS for c in range(first, last + 1)])
        subsetter.subset(font)
        fontTools.subset.save_font(font, Path(app.outdir) / "_static" / "math.woff", options)


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.connect("build-finished", write_font)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
