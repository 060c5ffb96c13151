"""Pages as GitHub shows them, made into pages of the site before Sphinx parses them.

- Some pages stand elsewhere in the repository (`ELSEWHERE`). The file of that name in docs/ only says where; here it is
  replaced by the page.
- A link to a file becomes a link to its page. A file that is no page of the site is linked on GitHub if the environment
  names the repository, as GitHub's workflows do; else the site gets a copy of it.
- `<picture>`, which chooses by the system's theme, becomes two images, of which the theme of the site shows one.
- A comment `<!-- site ... -->` is for the site alone: tables of contents, the reference.
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1]
ROOT = DOCS.parent
#: Pages of the site, and the files that they are.
ELSEWHERE = {
    "inside": "csrc/README.md",
    "benchmarks": "bench/README.md",
    "contributing": "CONTRIBUTING.md",
    "changelog": "CHANGELOG.md",
}
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)")
PICTURE = re.compile(
    r'<picture>\s*<source[^>]*srcset="([^"]+)">\s*<img alt="([^"]*)" src="([^"]+)">\s*</picture>'
)
FOR_THE_SITE = re.compile(r"^<!-- site\n(.*?)^-->$", re.MULTILINE | re.DOTALL)


def site_text(app, docname, source):
    """Change the text of a Markdown page (the event `source-read`)."""
    file = Path(app.env.doc2path(docname))
    if file.suffix != ".md":
        return
    text = source[0]
    origin = file
    if docname in ELSEWHERE:
        origin = ROOT / ELSEWHERE[docname]
        text = origin.read_text(encoding="utf-8")
        app.env.note_dependency(str(origin))

    def link(found):
        return f"]({target(found[1], origin, file)}"

    def images(found):
        dark, alt, light = found.groups()
        return image(dark, "dark", alt) + image(light, "light", alt)

    def image(name, theme, alt):
        path = Path(os.path.relpath(origin.parent / name, file.parent)).as_posix()
        return f"```{{image}} {path}\n:alt: {alt}\n:class: only-{theme}\n```\n"

    parts = FENCED.split(text)
    parts[::2] = [PICTURE.sub(images, LINK.sub(link, part)) for part in parts[::2]]
    source[0] = FOR_THE_SITE.sub(r"\1", "".join(parts))


def target(name, origin, file):
    """Return what the site links where a page that stands at `origin` links a file of that name."""
    path = Path(os.path.normpath(origin.parent / name))
    inside = path.relative_to(ROOT).as_posix()
    for docname, other in ELSEWHERE.items():
        if inside == other:
            path = DOCS / f"{docname}.md"
    if inside == "README.md":
        path = DOCS / "index.md"
    shown = path.is_relative_to(DOCS) and path.suffix in (".md", ".svg", ".png")
    if not shown and path.is_file() and (repository := os.environ.get("GITHUB_REPOSITORY")):
        server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
        return f"{server}/{repository}/blob/{os.environ.get('GITHUB_SHA', 'HEAD')}/{inside}"
    return Path(os.path.relpath(path, file.parent)).as_posix()


def setup(app):
    app.connect("source-read", site_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
