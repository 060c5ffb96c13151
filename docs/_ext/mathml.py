"""Formulas as MathML, which browsers draw by themselves: pages need no script and no network.

Docutils translates TeX. `SPELLINGS` has what it does not know and the pages use.
"""

import re

from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

SPELLINGS = [
    (r"\\([td]?frac)(\d)\s*(\d)", r"\\\1{\2}{\3}"),
    (r"\\dots\b", r"\\ldots"),
    (r"\{\\rm ([^}]*)\}", r"\\mathrm{\1}"),
]


def translated(tex, as_block):
    for pattern, replacement in SPELLINGS:
        tex = re.sub(pattern, replacement, tex)
    try:
        return tex2mathml(tex, as_block=as_block)
    except MathError as error:
        raise ExtensionError(f"docs/_ext/mathml.py: {error} in the formula {tex!r}") from error


def inline(writer, node):
    writer.body.append(translated(node.astext(), as_block=False))
    raise SkipNode


def block(writer, node):
    writer.body.append(f'<div class="formula">{translated(node.astext(), as_block=True)}</div>')
    raise SkipNode


def setup(app):
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
