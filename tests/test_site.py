"""The site's pages (docs/): each is listed, and so is each public function. `.ci/run docs` builds them."""

import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="docs/ is not at hand")


def listed(page):
    """Return the entries of the lists in a page that are for the site alone, by the module that they are of."""
    entries, module = {}, ""
    for comment in re.findall(r"^<!-- site\n(.*?)^-->$", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in comment.splitlines():
            if found := re.match(r"\.\. currentmodule:: (\S+)", line):
                module = found[1]
            elif re.fullmatch(r" *[\w/-]+", line):
                entries.setdefault(module, []).append(line.strip())
    return entries


@pytest.mark.parametrize("module", ["softmax_ext", "softmax_ext.dask"])
def test_the_reference_has_every_public_function(module):
    if module != "softmax_ext":
        pytest.importorskip("dask")
    public = importlib.import_module(module)
    functions = [name for name in public.__all__ if callable(getattr(public, name))]
    assert sorted(listed(DOCS / "api.md")[module]) == sorted(functions)


def test_the_first_page_has_every_other():
    pages = {page.relative_to(DOCS).with_suffix("").as_posix() for page in DOCS.rglob("*.md")} - {"index"}
    (menu,) = listed(DOCS / "index.md").values()
    links = re.findall(r"\]\(([\w./-]+)\.md\)", (DOCS / "index.md").read_text())
    assert sorted(menu) == sorted(pages)
    # Four stand elsewhere: docs/_ext/repository.py.
    assert {"../csrc/README", "../bench/README", "../CONTRIBUTING", "../CHANGELOG"} <= set(links)
    assert pages - {"inside", "benchmarks", "contributing", "changelog"} <= set(links)


def test_pictures_are_light_and_dark():
    """Each picture of a page has a form for both themes, and the text that stands for it."""
    shown = []
    for page in DOCS.rglob("*.md"):
        for picture in re.findall(r"<picture>.*?</picture>", page.read_text(), re.DOTALL):
            dark, alt, light = re.fullmatch(
                r'<picture>\s*<source media="\(prefers-color-scheme: dark\)" srcset="([^"]+)">\s*'
                r'<img alt="([^"]+)" src="([^"]+)">\s*</picture>',
                picture,
            ).groups()
            assert dark.replace("dark", "light") == light
            assert (page.parent / dark).exists()
            assert (page.parent / light).exists()
            assert len(alt) > 20
            shown.append(light)
    assert shown
