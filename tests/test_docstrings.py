"""Docstrings of all that is public are in numpydoc's form, by numpydoc's own checker.

Ruff's rules see only Python; this sees the compiled functions, too.
"""

import inspect

import pytest

import softmax_ext

pytest.importorskip("numpydoc", reason="numpydoc is in the extra `coverage`")

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
