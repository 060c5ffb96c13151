"""Puts the docstrings of the compiled functions into their stub, where editors look for what they show.

    python tests/typing/docstrings.py

rewrites softmax_ext/_core.pyi; tests/test_typing.py checks that nothing would change. The first overload of a function
has the docstring.
"""

import ast
import inspect
import textwrap
from pathlib import Path

import softmax_ext

STUB = Path(__file__).resolve().parents[2] / "softmax_ext" / "_core.pyi"


def compiled_docstrings():
    """Return the docstring of each public function that the compiled module has, without its indentation."""
    return {
        name: inspect.cleandoc(getattr(softmax_ext, name).__doc__)
        for name in softmax_ext.__all__
        if hasattr(softmax_ext._core, name)
    }


def with_docstrings(stub, docstrings):
    """Return the text of the stub with these docstrings, and none that it had."""
    lines = stub.splitlines(keepends=True)
    first = {}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.FunctionDef) and node.name in docstrings:
            first.setdefault(node.name, node)
    for name, node in reversed(first.items()):
        text = docstrings[name]
        raw = "r" if "\\" in text else ""
        body = textwrap.indent(f'{raw}"""{text}\n"""' if "\n" in text else f'{raw}"""{text}"""', "    ")
        start = node.body[0]
        signature = lines[start.lineno - 1][: start.col_offset].rstrip()
        if not signature:  # a docstring was there, in lines of its own
            lines[start.lineno - 1 : node.end_lineno] = [body + "\n"]
        else:
            lines[start.lineno - 1 : node.end_lineno] = [f"{signature}\n{body}\n"]
    return "".join(lines)


if __name__ == "__main__":
    STUB.write_text(with_docstrings(STUB.read_text(), compiled_docstrings()))
