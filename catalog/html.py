"""Markup for reports: every string is escaped unless it is `Html` already, so a hostile page stays text.

>>> el("p", "<script>", cls="note")
'<p class="note">&lt;script&gt;</p>'
>>> page("docs@1", "corpus report", {"summary": "Summary"}, [section("summary", "Summary", "What it is.")])
"""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SHOWN_AS_IS = "\u200c\u200d"  # joiners, which Persian, Indic scripts and emoji need
VOID = {"meta", "br", "wbr"}

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Whatever a crawled page brought with it, the browser runs no script and loads nothing."""


class Html(str):
    """Markup that is safe to put into a page."""


def clean(text: str) -> str:
    """Text on one line: white space as single spaces, control, bidirectional and other invisible marks as U+FFFD."""
    return re.sub(r"\s+", " ", "".join(_visible(char) for char in text))


def _visible(char: str) -> str:
    if char.isspace() or char.isprintable() or char in SHOWN_AS_IS:
        return char
    return "" if char == "\u00ad" else "\ufffd"


def escape(text: str) -> Html:
    """Any text as markup."""
    return text if isinstance(text, Html) else Html(html.escape(clean(text)))


def join(*children: str) -> Html:
    """Children one after another."""
    return Html("".join(escape(child) for child in children))


def el(tag: str, *children: str, **attributes: str | float | bool | None) -> Html:
    """An element. `cls` is class, underscores are hyphens, None and False leave an attribute out."""
    said = []
    for name, value in attributes.items():
        name = "class" if name == "cls" else name.replace("_", "-")
        if value is True:
            said.append(f" {name}")
        elif value is not None and value is not False:
            said.append(f' {name}="{escape(str(value))}"')
    body = "" if tag in VOID else f"{join(*children)}</{tag}>"
    return Html(f"<{tag}{''.join(said)}>{body}")


class Column(NamedTuple):
    """A column of a table; `kind` is text, number or wide (bars)."""

    title: str
    kind: str = "text"


def table(columns: list[Column], rows: list[list[str]], label: str, emphasis: dict[int, str] | None = None) -> Html:
    """A table that scrolls inside its box; `emphasis` gives rows a class by position."""
    head = el("tr", *(el("th", column.title, cls=column.kind, scope="col") for column in columns))
    body = [
        el(
            "tr",
            *(_cell(column, at, cell) for at, (column, cell) in enumerate(zip(columns, row, strict=True))),
            cls=cls,
        )
        for row, cls in zip(rows, [(emphasis or {}).get(at) for at in range(len(rows))], strict=True)
    ]
    inner = el("table", el("thead", head), el("tbody", *body))
    return el("div", inner, cls="scroll", role="region", aria_label=label, tabindex=0)


def _cell(column: Column, at: int, cell: str) -> Html:
    return el("th" if at == 0 else "td", cell, cls=column.kind, scope="row" if at == 0 else None)


def count(number: float) -> str:
    """12,345"""
    return f"{number:,.0f}"


def compact(number: float) -> str:
    """1,234 as it is; larger numbers as 12.3 k, 4.56 M, 7.89 G (three digits)."""
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= bound:
            scaled = number / (1e3 if unit == "k" else bound)
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f} {unit}"
    return count(number)


def size(size_bytes: float) -> str:
    """A size as 12.3 MB, in powers of ten."""
    return f"{compact(size_bytes)}B" if size_bytes >= 1e4 else f"{size_bytes:,.0f} B"


def measured(value: float | None) -> str:
    """A measured value: whole numbers whole, others with four digits."""
    if value is None:
        return "–"
    whole = value == value and abs(value) < 1e15 and value == int(value)
    return f"{int(value):,}" if whole else f"{value:.4g}"


def bar(*parts: tuple[str, float], title: str = "") -> Html:
    """A horizontal bar of (class, share of the full width); what shares leave over stays empty."""
    pieces = [el("i", cls=cls, style=f"width:{share * 100:.3f}%") for cls, share in parts if share > 0]
    return el("span", *pieces, cls="bar", title=title or None)


def address(url: str) -> Html:
    """A URL that wraps; a link where it is http(s)."""
    if not url:
        return el("span", "(no URL)", cls="muted")
    shown = clean(url)
    shown = shown if len(shown) <= 300 else f"{shown[:299]}…"
    if not re.match(r"https?://", url, re.IGNORECASE):
        return el("span", shown, cls="url", dir="ltr")
    return el("a", shown, cls="url", dir="ltr", href=clean(url), rel="noopener noreferrer nofollow")


def language(code: str) -> str | None:
    """A language code fit for a `lang` attribute, which picks the right glyphs of Han characters."""
    return code if re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", code) and code != "und" else None


def section(anchor: str, title: str, lead: str, *children: str) -> Html:
    """A section with its heading and a line on how to read it."""
    return el("section", el("h2", title), el("p", lead, cls="lead"), *children, id=anchor)


def page(name: str, kind: str, contents: Mapping[str, str], sections: Sequence[Html], style: str = "") -> str:
    """A whole page in one file: no script, nothing loaded; `contents` are anchors with their titles.

    `style` goes after the sheet that all reports share (page.css: light and dark, wide and narrow).
    """
    sheet = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{name}: {kind}"),
        el("style", Html(sheet + style)),
    )
    links = (el("li", el("a", title, href=f"#{anchor}")) for anchor, title in contents.items())
    nav = el(
        "nav", el("a", name, cls="brand", href=f"#{next(iter(contents))}"), el("ol", *links), aria_label="Contents"
    )
    whole = el("html", head, el("body", nav, el("main", *sections)), lang="en")
    return f"<!doctype html>\n{whole}\n"
