"""The page and the table of a comparison of two corpora.

>>> write_page(path, "docs-against-raw", ("docs@1", "raw@1"), tables, facts)
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from catalog.home import written
from catalog.html import Column, Html, el, join, page, section
from catalog.html import table as html_table
from catalog.tables import table
from eval.paired import LEVEL, Difference

Tables = Mapping[str, Mapping[str, Difference]]
"""By slice of the documents, by domain."""


def said(one: Difference, names: tuple[str, str]) -> str:
    """What a difference says: the better corpus, or that none is."""
    return {"a": f"{names[0]} is better", "b": f"{names[1]} is better"}.get(one.verdict, one.verdict)


def printed(tables: Tables, names: tuple[str, str]) -> str:
    """The tables for a terminal."""
    columns = ["text", "domain", "documents", *names, "difference", f"{LEVEL:.0%} interval", ""]
    rows = [[title, *_cells(one), said(one, names)] for title, groups in tables.items() for one in groups.values()]
    return table(columns, rows)


def write_page(path: Path, name: str, names: tuple[str, str], tables: Tables, facts: Sequence[tuple[str, str]]) -> None:
    """One HTML file without a script."""
    contents = {"summary": "Summary", "result": "Bits a byte", "how": "How it was measured"}
    first = next(iter(tables.values()))
    whole = first.get("all") or next(iter(first.values()))
    head = el(
        "section",
        el("p", "Does the data help?", cls="eyebrow"),
        el("h1", names[0], el("span", f" against {names[1]}")),
        el("p", f"{said(whole, names)}: {whole.difference:+.4f} bits a byte ({_interval(whole)}).", cls="lead"),
        id="summary",
    )
    lead = (
        f"On text that no model of either has trained on; a difference below 0 speaks for {names[0]}. "
        f"Where the {LEVEL:.0%} interval holds 0, there is no difference to be seen."
    )
    shown = [join(el("h3", title), _table(groups, names)) for title, groups in tables.items()]
    how = html_table([Column("What"), Column("")], [list(fact) for fact in facts], "How it was measured")
    sections = [
        head,
        section("result", contents["result"], lead, *shown),
        section("how", contents["how"], "Everything that both arms share, and what differs.", how),
    ]
    with written(path) as partial:
        partial.write_text(page(name, "ablation", contents, sections), encoding="utf-8")


def _table(groups: Mapping[str, Difference], names: tuple[str, str]) -> Html:
    numbers = ("Documents", *names, "Difference", "Interval", "What it says")
    rows = [[*map(str, _cells(one)), said(one, names)] for one in groups.values()]
    return html_table([Column("Domain"), *(Column(title, "number") for title in numbers)], rows, "Bits a byte")


def _interval(one: Difference) -> str:
    return f"{one.low:+.4f} to {one.high:+.4f}"


def _cells(one: Difference) -> list[str | int]:
    return [one.group, one.documents, f"{one.a:.4f}", f"{one.b:.4f}", f"{one.difference:+.4f}", _interval(one)]
