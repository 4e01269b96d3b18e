"""Near-duplicates side by side in the report: where two texts differ, marked, with what stands around.

pairs(con, earlier), pair_section(found)
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import NamedTuple

import duckdb

from catalog.html import Html, address, count, el, join, language
from catalog.store import quoted
from data.report.examples import where
from data.text.han_forms import compared_forms

NEAREST, OTHERS = 3, 3
"""Pairs nearest to the threshold, and pairs from all over."""
MOST_CHARS, MOST_TOKENS = 20_000, 3_000
"""What is read of a text, and what is compared of it between its first and last difference."""
MOST_PLACES, AROUND_TOKENS, SHOWN_CHARS = 3, 8, 240
LEAD = (
    "Jaccard similarity: of all the n-grams of both texts, the share that both have. Containment: of those of the "
    "shorter text, the share that the other has. Alike: documents that proven pairs join, these two counted. The first "
    "pairs are those nearest to the threshold. Marked is what only one of the two says: words, or characters of "
    "Chinese; case, punctuation and traditional or simplified forms do not count."
)

_PIECE = re.compile(r"\W*(?:[^\W㐀-鿿぀-ヿ]+|\w)\W*")
_BETWEEN = re.compile(r"\W+")


class Side(NamedTuple):
    """One of two records."""

    doc_id: str
    url: str
    lang: str
    n_chars: int
    text: str


class Pair(NamedTuple):
    """A removed record and the one that it is like."""

    removed: Side
    kept: Side
    jaccard: float
    threshold: float
    containment: float
    alike: int
    """Documents of its cluster."""
    of: str
    """The earlier corpus or intake of the kept one, as `kind/name@version`; none where it is of this build."""


class Piece(NamedTuple):
    """A stretch of two texts: the same in both, or not."""

    same: bool
    kept: str
    removed: str


def pairs(con: duckdb.DuckDBPyConnection, earlier: Mapping[str, Sequence[Path]]) -> list[Pair]:
    """Some near-duplicates within this crawl, then of earlier corpora: those nearest to the threshold, then others.

    `earlier` has the intake parts of each corpus that the build was matched against, by `kind/name@version`.
    """
    rows = con.execute(
        "WITH near AS (SELECT doc_id, other_doc_id, value, threshold, evidence, reason = 'near_duplicate' AS own, "
        "row_number() OVER (PARTITION BY own ORDER BY value - threshold, doc_id) AS place "
        "FROM ledger WHERE stage = 'dedup_near') "
        "SELECT doc_id, other_doc_id, value, threshold, evidence, own FROM near "
        f"QUALIFY place <= {NEAREST} OR "
        f"row_number() OVER (PARTITION BY own, place <= {NEAREST} ORDER BY md5(doc_id)) <= {OTHERS} "
        "ORDER BY own DESC, value, doc_id"
    ).fetchall()
    sides = _sides(con, sorted({doc_id for row in rows for doc_id in (row[0], row[1])}))
    found = []
    for removed, other, value, threshold, evidence, own in rows:
        said = json.loads(evidence)
        kept = sides.get(other) if own else _earlier_side(con, other, earlier.get(said["of"], ()))
        if kept:
            of = "" if own else said["of"]
            found.append(Pair(sides[removed], kept, value, threshold, said["containment"], said["cluster"], of))
    return found


_SHOWN = f"doc_id, url, lang, n_chars::BIGINT, left(text, {MOST_CHARS})"


def _sides(con: duckdb.DuckDBPyConnection, doc_ids: list[str]) -> dict[str, Side]:
    if not doc_ids:
        return {}
    rows = con.execute(
        f"SELECT {_SHOWN} FROM intake WHERE doc_id IN (SELECT unnest(?)) AND {where(con, doc_ids)}", [doc_ids]
    ).fetchall()
    return {row[0]: Side(*row) for row in rows}


def _earlier_side(con: duckdb.DuckDBPyConnection, doc_id: str, parts: Sequence[Path]) -> Side | None:
    """A record of an earlier intake, from the one part that can have it; None where that is gone meanwhile."""
    source, _, ordinal = doc_id.partition(":")
    begins = {int(part.stem.partition("-")[2]): part for part in parts if part.parents[1].name == source}
    begin = max((first for first in begins if first <= int(ordinal)), default=None)
    if begin is None or not begins[begin].exists():
        return None
    row = con.execute(
        f"SELECT {_SHOWN} FROM read_parquet({quoted(str(begins[begin]))}) WHERE ordinal = {int(ordinal)}"
    ).fetchone()
    return Side(*row) if row else None


def differences(kept: str, removed: str) -> list[list[Piece]]:
    """The first places where two texts differ, word by word (Chinese by characters), with what is around.

    Compared is what similarity looks at: case, width, punctuation, white space and forms of Chinese do not count.
    """
    left, right = (_PIECE.findall(" ".join(text.split())) for text in (kept, removed))
    ours, theirs = [_compared(piece) for piece in left], [_compared(piece) for piece in right]
    same = next((at for at, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(left), len(right)))
    skip = max(0, same - AROUND_TOKENS)
    left, right, ours, theirs = (pieces[skip : skip + MOST_TOKENS] for pieces in (left, right, ours, theirs))
    places = SequenceMatcher(None, ours, theirs, autojunk=False).get_grouped_opcodes(AROUND_TOKENS)
    found = []
    for place in (place for _, place in zip(range(MOST_PLACES), places, strict=False)):
        steps = ((kind == "equal", left[a:b], right[c:d]) for kind, a, b, c, d in place)
        found.append([Piece(equal, "".join(ours), "".join(theirs)) for equal, ours, theirs in steps])
    return found


def _compared(piece: str) -> str:
    return _BETWEEN.sub("", unicodedata.normalize("NFKC", piece)).lower().translate(compared_forms())


def pair_section(found: list[Pair]) -> Html:
    """Each pair as two columns, after what the figures and marks mean."""
    return join(el("p", LEAD, cls="note"), el("div", *map(_pair, found), cls="groups")) if found else Html("")


def _pair(pair: Pair) -> Html:
    said = f" Jaccard (asked for: {pair.threshold:g}) · containment {pair.containment:.3f} · {count(pair.alike)} alike"
    places = differences(pair.kept.text, pair.removed.text)
    kept = [join("…", *(_marked(each.same, each.kept, "ins") for each in place), "…") for place in places]
    removed = [join("…", *(_marked(each.same, each.removed, "del") for each in place), "…") for place in places]
    columns = (_column(f"Earlier, in {pair.of}" if pair.of else "Kept", pair.kept, kept, "kept"),
               _column("Dropped", pair.removed, removed, "dropped"))  # fmt: skip
    figures = el("p", el("b", f"{pair.jaccard:.3f}"), said, cls="value")
    return el("div", figures, el("div", *columns, cls="sides"), cls="group")


def _column(title: str, side: Side, places: list[Html], cls: str) -> Html:
    none = el("p", "What is compared does not differ, or only further on than is shown.", cls="muted")
    shown = [el("p", place, cls="text", dir="auto", lang=language(side.lang)) for place in places] or [none]
    ids = el("p", el("code", side.doc_id), f" {side.lang} · {count(side.n_chars)} characters", cls="ids")
    return el("div", el("h4", title), el("article", el("p", address(side.url)), *shown, ids, cls="case"),
              cls=f"side {cls}")  # fmt: skip


def _marked(same: bool, text: str, tag: str) -> str:
    shown = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} …"
    if same or not text:
        return shown
    return join(el(tag, shown.rstrip()), shown[len(shown.rstrip()) :])
