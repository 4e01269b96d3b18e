"""The main text, title and links of a page.

    >>> extract("<title>News</title><nav><a href=/>Home</a></nav><article><p>It rained …</article>", url="http://a.org/x")
    Extracted(text='It rained …', title='News', links=['http://a.org/'], failure='', detail='')

The extractors: `blocks`, our own, one pass of compiled code over the bytes (`data/page/`); `resiliparse`, less choosy;
`trafilatura`, slow. Before one of these two, a page is held against the bounds of their parsers (`bounds.py`). What
comes out depends on the page alone: trafilatura runs without its memory of other pages. `just bench engine --only text`
compares them.
"""

import re
from collections.abc import Callable
from functools import partial
from html import unescape
from typing import Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from catalog.errors import BadInput, near
from data.sources.records import ReadBounds
from data.text.bounds import ATTRIBUTES, exceeded

Markup = Literal["plain", "markdown"]
PLAIN = (
    "text/plain",
    "text/markdown",
    "text/x-rst",
    "text/csv",
    "text/css",
    "text/javascript",
    "application/javascript",
    "application/json",
)
"""Media types whose text is taken as it stands."""
_MARKUP = re.compile(r"<[a-zA-Z!?]")
# cases are spelt out: re looks for a first `<` ten times as fast without IGNORECASE
_SCRIPT, _STYLE = "[sS][cC][rR][iI][pP][tT]", "[sS][tT][yY][lL][eE]"
_UNSEEN = re.compile(rf"<(?:!--|({_SCRIPT}|{_STYLE})(?=[\s/>]))")
_CLOSING = {"script": re.compile(rf"</{_SCRIPT}\b[^>]*>"), "style": re.compile(rf"</{_STYLE}\b[^>]*>")}
_HREF = re.compile(r'<a\b[^>]*?\shref="([^"]*)"')
_BASE = re.compile(r'<base\b[^>]*?\shref="([^"]*)"')
_NAME = r"[A-Za-z0-9_~%+,@=-][A-Za-z0-9_~%+,@=.-]*"
_PLAIN_PATH = re.compile(rf"(?:/{_NAME})*/?")
_PLAIN_HREF = re.compile(rf"(/|(?:\.\./)*)((?:{_NAME}/)*(?:{_NAME})?)(?:#.*)?")
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:")


class Extracted(NamedTuple):
    """What a page says. `failure` is empty, or the name of the bound that it exceeds; `detail` is a line on it."""

    text: str = ""
    title: str = ""
    links: list[str] = []
    """Absolute http and https addresses without fragments, in order, each once."""
    failure: str = ""
    detail: str = ""


def extract(
    page: str,
    bounds: ReadBounds | None = None,
    extractor: str = "blocks",
    url: str = "",
    media_type: str = "text/html",
    markup: Markup = "plain",
    utf8: bytes = b"",
) -> Extracted:
    """Extract from one page; with an empty media type, a page without a tag near its start is plain text.

    `utf8` is the page as UTF-8 where that is at hand: `blocks` reads bytes, and then need not write them first.
    `markup` is for `blocks` and `trafilatura`: Markdown, or text with the dashes of lists and the bars of tables only.
    Raises BadInput for an unknown extractor; a page over its bounds is a result with a `failure`.
    """
    bounds = bounds or ReadBounds()
    if extractor not in EXTRACTORS:
        raise BadInput(f"no extractor {extractor!r}. {near(extractor, EXTRACTORS)}")
    if media_type in PLAIN or (not media_type and not _MARKUP.search(page[:4096])):
        return _bounded(Extracted(text=page), bounds)
    run = partial(_blocks, utf8=utf8) if extractor == "blocks" else EXTRACTORS[extractor]
    return _bounded(run(page, bounds, url, markup), bounds)


def without_scripts(page: str) -> str:
    """The page without its scripts, styles and comments, most of many a page; formulas in scripts stay.

    What a parser does with them, in a pass that costs less than the parsing that it saves.
    """
    kept, start = [], 0
    for opening in _UNSEEN.finditer(page):
        at = opening.start()
        if at < start:
            continue
        if opening[0] == "<!--":
            closed = page.find("-->", at + 2)
            stop = closed + 3 if closed >= 0 else 0
        else:
            if "math/tex" in page[at : page.find(">", at)]:
                continue
            closing = _CLOSING[opening[1].lower()].search(page, at)
            stop = closing.end() if closing else 0
        kept.append(page[start:at])
        start = stop if stop > at else len(page)
    return "".join(kept) + page[start:]


def _bounded(found: Extracted, bounds: ReadBounds) -> Extracted:
    if len(found.text) <= bounds.text_chars:
        return found
    return Extracted(
        failure="text_chars", detail=f"{len(found.text)} characters of text, of at most {bounds.text_chars}"
    )


def _blocks(page: str, bounds: ReadBounds, url: str, markup: Markup, utf8: bytes = b"") -> Extracted:
    from data.page.main_text import read_page  # brings the compiler's run time

    found = read_page(utf8 or page, bounds.depth, bounds.nodes, markup == "markdown")
    if found.failure:
        most = {"depth": bounds.depth, "nodes": bounds.nodes}.get(found.failure, ATTRIBUTES)
        return Extracted(failure=found.failure, detail=f"{found.counted} {_COUNTED[found.failure]}, of at most {most}")
    return Extracted(found.text, found.title, resolved(found.links, found.base, url))


_COUNTED = {"depth": "open elements", "nodes": "tags", "attributes": "attributes in one tag"}


def _by_parser(write: Callable[[str, HTMLTree, Markup], str]) -> Callable[[str, ReadBounds, str, Markup], Extracted]:
    """An extractor that works on Resiliparse's tree, or on a page that Resiliparse can take."""

    def run(page: str, bounds: ReadBounds, url: str, markup: Markup) -> Extracted:
        page = without_scripts(page)
        if over := exceeded(page, bounds):
            return Extracted(failure=over[0], detail=over[1])
        tree = HTMLTree.parse(page)
        title, html = " ".join((tree.title or "").split()), str(tree)
        base = _BASE.search(html)
        links = [f"U{unescape(href)}" for href in _HREF.findall(html)]
        return Extracted(write(page, tree, markup), title, resolved(links, unescape(base[1]) if base else "", url))

    return run


def _resiliparse(page: str, tree: HTMLTree, markup: Markup) -> str:
    return extract_plain_text(tree, preserve_formatting=True, main_content=True, alt_texts=False).strip()


def _trafilatura(page: str, tree: HTMLTree, markup: Markup) -> str:
    import trafilatura

    form = "markdown" if markup == "markdown" else "txt"
    # deduplicate=True would remember text from page to page
    settings = {"favor_precision": True, "deduplicate": False, "include_comments": False}
    return trafilatura.extract(page, output_format=form, **settings) or ""


EXTRACTORS: dict[str, Callable[[str, ReadBounds, str, Markup], Extracted]] = {
    "blocks": _blocks,
    "resiliparse": _by_parser(_resiliparse),
    "trafilatura": _by_parser(_trafilatura),
}


def resolved(links: list[str], base: str, url: str) -> list[str]:
    """Addresses of a page at `url` as absolute ones, each once. Each comes after a letter: P for a path on the same
    host, A for an absolute address, U for any other."""
    base_url = _join(url, base) if base else url
    origin = _origin(base_url)
    folders = _folders(base_url, origin)
    absolute = [
        origin + link[1:]
        if link[0] == "P" and origin
        else link[1:]
        if link[0] == "A"
        else _below(link[1:], folders) or _resolve(link[1:], base_url)
        for link in dict.fromkeys(links)
    ]
    return [link for link in dict.fromkeys(absolute) if link]


def _folders(base_url: str, origin: str) -> list[str]:
    """The origin and the folders of an address; none where it is not plain."""
    path = base_url[len(origin) :]
    if not origin or not base_url.startswith(origin) or not _PLAIN_PATH.fullmatch(path):
        return []
    return [origin, *path.split("/")[1:-1]]


def _below(href: str, folders: list[str]) -> str:
    """The address of a plain path from a folder, as _resolve gives it, in a tenth of the time; else nothing."""
    found = _PLAIN_HREF.fullmatch(href) if folders else None
    if not found or not found[1] + found[2]:
        return ""
    kept = 1 if found[1] == "/" else max(1, len(folders) - len(found[1]) // 3)
    return "/".join([*folders[:kept], found[2]])


def _resolve(href: str, base_url: str) -> str:
    """An absolute http(s) address without its fragment, or nothing."""
    href = href.strip()
    if not href or href[0] == "#":
        return ""
    if _SCHEME.match(href):
        return href.partition("#")[0] if href[:8].lower().startswith(("http://", "https://")) else ""
    joined = _join(base_url, href).partition("#")[0]
    return joined if joined.lower().startswith(("http://", "https://")) else ""


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") and parts.netloc else ""


def _join(url: str, href: str) -> str:
    try:
        return urljoin(url, href)
    except ValueError:  # what urllib says of brackets that are no IPv6 address
        return ""
