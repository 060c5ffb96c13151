"""Every example in docstrings and in README runs, and gives what it says."""

import doctest
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

import softmax_ext
from softmax_ext import _core, _reference

README = Path(__file__).resolve().parents[1] / "README.md"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# What the docstrings of a public function have to have.
SECTIONS = ["Parameters", "Returns", "Examples"]
FUNCTIONS = [name for name in softmax_ext.__all__ if callable(getattr(softmax_ext, name))]


def blocks(language):
    """Return the fenced blocks of README in a language, as (line number, text)."""
    if not README.exists():
        return []
    text = README.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(text[: m.start()].count("\n") + 2, m[1]) for m in found]


needs_readme = pytest.mark.skipif(not README.exists(), reason="README.md is not at hand")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring(name, threads):
    function = getattr(softmax_ext, name)
    finder = doctest.DocTestFinder(recurse=False)
    (test,) = finder.find(function, name, globs={"np": np, "softmax_ext": softmax_ext})
    assert test.examples
    report = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstring_names_every_parameter(name):
    function = getattr(softmax_ext, name)
    doc = inspect.getdoc(function)
    parameters = list(inspect.signature(function).parameters)
    for section in SECTIONS:
        if (section, name) not in {("Parameters", "get_num_threads"), ("Returns", "set_num_threads")}:
            assert re.search(rf"^{section}\n-+$", doc, re.MULTILINE), section
    documented = re.findall(r"^(\w+(?:, \w+)*) : ", doc, re.MULTILINE)
    names = [word for line in documented for word in line.split(", ")]
    assert names[: len(parameters)] == parameters


def test_other_modules():
    """The modules that only developers read have examples too."""
    for module in (_reference, _core):
        result = doctest.testmod(module, optionflags=FLAGS)
        assert result.failed == 0


@needs_readme
@pytest.mark.parametrize(
    ("line", "text"), blocks("python"), ids=lambda v: f"line {v}" if isinstance(v, int) else ""
)
def test_readme_block(line, text, tmp_path, monkeypatch, capsys):
    """A block with prompts is a doctest. Another has to run, and print what the comments after print say."""
    monkeypatch.chdir(tmp_path)
    if ">>> " in text:
        test = doctest.DocTestParser().get_doctest(text, {}, "README.md", str(README), line)
        report = []
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(test, out=report.append)
        assert not runner.failures, "".join(report)
    else:
        # Line numbers in tracebacks are README's.
        exec(compile("\n" * (line - 1) + text, str(README), "exec"), {"__name__": "__main__"})
        promised = re.findall(r"^print\(.*\) +# (.+)$", text, re.MULTILINE)
        assert squeeze(capsys.readouterr().out) == squeeze("".join(promised))


def squeeze(text):
    """Leave out what differs between an array as it is printed and on one line."""
    return re.sub(r"[\s,]+", "", text)


@needs_readme
def test_readme_has_examples():
    assert blocks("python") or blocks("pycon")


@needs_readme
def test_quick_start_is_exactly_two_commands():
    text = README.read_text()
    section = re.search(r"^## Quick start\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)[1]
    found = re.findall(r"^```\w*\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, "the section has one fenced block; other examples go elsewhere"
    assert [line for line in found[0].splitlines() if line.strip()] == [
        'python -m pip install ".[bench]" && python -m bench --quick',
        'python -m pip install ".[test]" && python -m pytest',
    ]
