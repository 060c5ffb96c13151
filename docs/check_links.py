"""Say which links of a built site lead nowhere: python docs/check_links.py build/site."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The places of a page that links may name, and what it links or shows."""

    def __init__(self, file):
        super().__init__()
        self.places, self.links = set(), []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.places.add(value)
            elif name in ("href", "src") and value is not None:
                self.links.append(value)


def complaints(site):
    pages = {file.resolve(): Page(file) for file in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site}: no pages"
    for file, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            other = (file.parent / unquote(parts.path)).resolve() if parts.path else file
            place = unquote(parts.fragment)
            if not other.exists():
                yield f"{file.relative_to(site.resolve())}: no file {link}"
            elif place and other in pages and place not in pages[other].places:
                yield f"{file.relative_to(site.resolve())}: no place {link}"


if __name__ == "__main__":
    found = list(complaints(Path(sys.argv[1])))
    print(*found, sep="\n", end="\n" if found else "")
    print(f"links that lead nowhere: {len(found)}")
    sys.exit(bool(found))
