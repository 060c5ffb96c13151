"""Every example in docstrings, in README and in docs/ runs, and gives what it says."""

import doctest
import inspect
import re
from pathlib import Path

import cython_module
import numpy as np
import pytest

import softmax_ext
from softmax_ext import _core, _reference

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
#: Pages with links; those of a source distribution that is not a checkout may be fewer.
LINKED = [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "csrc/README.md", "bench/README.md"))]
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# What the docstrings of a public function have to have.
SECTIONS = ["Parameters", "Returns", "Examples"]
# what takes nothing or returns nothing
LACKING = {
    (section, f"{verb}_{name}")
    for section, verb in [("Parameters", "get"), ("Returns", "set")]
    for name in ["num_threads", "buffer_limit"]
}
FUNCTIONS = [name for name in softmax_ext.__all__ if callable(getattr(softmax_ext, name))]


#: What blocks import and what the extra `test` need not bring: large, or without a wheel for every Python.
OPTIONAL = ["autograd", "dask", "jax", "numba", "pandas", "scipy", "sklearn", "torch", "xarray"]


def blocks(page, language="python"):
    """Return the fenced blocks of a language in a page, as (page, line number, text)."""
    if not page.exists():
        return []
    text = page.read_text()
    found = re.finditer(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [(page, text[: m.start()].count("\n") + 2, m[1]) for m in found]


def imports(text, module):
    return re.search(rf"^(import|from) {module}\b", text, re.MULTILINE)


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
        if (section, name) not in LACKING:
            assert re.search(rf"^{section}\n-+$", doc, re.MULTILINE), section
    documented = re.findall(r"^(\w+(?:, \w+)*) : ", doc, re.MULTILINE)
    names = [word for line in documented for word in line.split(", ")]
    assert names[: len(parameters)] == parameters


def test_other_modules():
    """The modules that only developers read have examples too."""
    for module in (_reference, _core):
        result = doctest.testmod(module, optionflags=FLAGS)
        assert result.failed == 0


@pytest.mark.parametrize(
    ("page", "line", "text"),
    [pytest.param(*block, id=f"{page.name}, line {block[1]}") for page in PAGES for block in blocks(page)],
)
def test_block(page, line, text, tmp_path, monkeypatch, capsys):
    """A block has to run, and print what the comments after print say."""
    for module in OPTIONAL:
        if imports(text, module):
            pytest.importorskip(module)
    # A block of Cython names its file in its first line; a block of Python may import it.
    for _, _, source in blocks(page, "cython"):
        name = re.match(r"# (\w+)\.pyx\n", source)[1]
        if imports(text, name):
            cython_module.build(tmp_path, name, source)
            monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    # Line numbers in tracebacks are the page's.
    exec(compile("\n" * (line - 1) + text, str(page), "exec"), {"__name__": "__main__"})
    promised = re.findall(r"^print\(.*\) +# (.+)$", text, re.MULTILINE)
    assert squeeze(capsys.readouterr().out) == squeeze("".join(promised))


def squeeze(text):
    """Leave out what differs between an array as it is printed and on one line."""
    return re.sub(r"[\s,]+", "", text)


@needs_readme
@pytest.mark.parametrize("page", [README, ROOT / "docs" / "recipes.md"], ids=lambda page: page.name)
def test_page_has_examples(page):
    assert blocks(page)


@needs_readme
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_that_looks_like_an_example_goes_untested(page):
    assert not re.search(r"^```(py|pycon)$|^>>> ", page.read_text(), re.MULTILINE)


@needs_readme
@pytest.mark.parametrize("page", LINKED, ids=lambda page: f"{page.parent.name}/{page.name}")
def test_links_lead_somewhere(page):
    """To files of the project, and to headings, by the anchors that GitHub gives them."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, anchor


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
