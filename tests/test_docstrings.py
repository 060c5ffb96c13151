"""Docstrings of all that is public are in numpydoc's form, by numpydoc's own checker.

Ruff's rules see only Python; this sees the compiled functions, too.
"""

import contextlib
import importlib
import inspect
import io

import pytest

import softmax_ext

pytest.importorskip("numpydoc", reason="numpydoc is in the extra `coverage`")

import docutils.core
from numpydoc.docscrape import get_doc_object
from numpydoc.validate import Validator, validate

PUBLIC = [name for name in softmax_ext.__all__ if callable(getattr(softmax_ext, name))]

# Codes of numpydoc that do not apply, and why.
IGNORED = {
    "ES01",  # no extended summary: one line says it
    "SA01",  # no "See Also": where there is a relative worth naming, it is named
    "SA04",  # an entry there without a description: the names are those of this page
}


@pytest.mark.parametrize("name", PUBLIC)
def test_numpydoc(name):
    found = validate(f"softmax_ext.{name}")
    errors = [f"{code}: {text}" for code, text in found["errors"] if code not in IGNORED]
    assert not errors, "\n".join([name, *errors])


def test_the_checker_sees_the_parameters_of_compiled_functions():
    """Without their signatures it would miss one that is not documented."""
    doc = Validator(get_doc_object(softmax_ext.softmax))
    assert doc.signature_parameters == tuple(inspect.signature(softmax_ext.softmax).parameters)
    assert "axis" in doc.signature_parameters


def documented():
    """Yield the name and docstring of every module, function and class that users can reach."""
    modules = [softmax_ext]
    with contextlib.suppress(ImportError):  # without Dask
        modules.append(importlib.import_module("softmax_ext.dask"))
    for module in modules:
        yield module.__name__, module.__doc__
        for name in module.__all__:
            item = getattr(module, name)
            if callable(item):
                yield f"{module.__name__}.{name}", item.__doc__


def complaints(text):
    """Return what docutils finds wrong with a text as reST."""
    stream = io.StringIO()
    docutils.core.publish_doctree(
        inspect.cleandoc(text), settings_overrides={"warning_stream": stream, "report_level": 1}
    )
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "text"), list(documented()), ids=lambda value: value if value.isidentifier() else ""
)
def test_restructured_text(name, text):
    assert not complaints(text), f"{name}: {complaints(text)}"


@pytest.mark.parametrize(
    "text", ["the largest |x|", "an *open star", "`open", "``open", "a_", "Notes\n--\n\nShort."]
)
def test_the_check_of_restructured_text_finds(text):
    assert complaints(text)
