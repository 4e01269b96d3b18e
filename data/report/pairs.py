"""Near-duplicates side by side in the report: where two texts differ, marked, with what stands around.

pairs(con), pair_section(found)
"""

import json
import re
from difflib import SequenceMatcher
from typing import NamedTuple

import duckdb

from catalog.html import Html, address, count, el, join, language
from data.report.examples import where

NEAREST, OTHERS = 3, 3
"""Pairs nearest to the threshold, and pairs from all over."""
MOST_CHARS, MOST_TOKENS = 20_000, 3_000
"""What is read of a text, and what is compared of it between its first and last difference."""
MOST_PLACES, AROUND_TOKENS, SHOWN_CHARS = 3, 16, 240

_TOKEN = re.compile(r"\s+|[^\W㐀-鿿぀-ヿ]+|.", re.S)


class Side(NamedTuple):
    """One of two records."""

    doc_id: str
    url: str
    lang: str
    n_chars: int
    text: str


class Pair(NamedTuple):
    """A removed record and the one that was kept for it."""

    removed: Side
    kept: Side
    jaccard: float
    threshold: float
    evidence: dict[str, float]


class Piece(NamedTuple):
    """A stretch of two texts: the same in both, or not."""

    same: bool
    kept: str
    removed: str


def pairs(con: duckdb.DuckDBPyConnection) -> list[Pair]:
    """Some near-duplicates of this crawl: those nearest to the threshold, then others, by their ids' hash."""
    rows = con.execute(
        "WITH near AS (SELECT doc_id, other_doc_id, value, threshold, evidence FROM ledger "
        "WHERE stage = 'dedup_near' AND other_doc_id IN (SELECT doc_id FROM ledger)), "
        f"nearest AS (FROM near ORDER BY value - threshold, doc_id LIMIT {NEAREST}), "
        f"others AS (FROM near ANTI JOIN nearest USING (doc_id) ORDER BY md5(near.doc_id) LIMIT {OTHERS}) "
        "SELECT * FROM (FROM nearest UNION ALL FROM others) ORDER BY value, doc_id"
    ).fetchall()
    sides = _sides(con, sorted({doc_id for row in rows for doc_id in row[:2]}))
    return [
        Pair(sides[removed], sides[kept], value, threshold, json.loads(evidence))
        for removed, kept, value, threshold, evidence in rows
    ]


def _sides(con: duckdb.DuckDBPyConnection, doc_ids: list[str]) -> dict[str, Side]:
    if not doc_ids:
        return {}
    rows = con.execute(
        f"SELECT doc_id, url, lang, n_chars::BIGINT, left(text, {MOST_CHARS}) FROM intake "
        f"WHERE doc_id IN (SELECT unnest(?)) AND {where(con, doc_ids)}",
        [doc_ids],
    ).fetchall()
    return {row[0]: Side(*row) for row in rows}


def differences(kept: str, removed: str) -> list[list[Piece]]:
    """The first places where two texts differ, word by word (Chinese by characters), with what is around."""
    left, right = (_TOKEN.findall(" ".join(text.split())) for text in (kept, removed))
    same = next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))
    skip = max(0, same - AROUND_TOKENS)
    left, right = left[skip : skip + MOST_TOKENS], right[skip : skip + MOST_TOKENS]
    places = SequenceMatcher(None, left, right, autojunk=False).get_grouped_opcodes(AROUND_TOKENS)
    found = []
    for place in (place for _, place in zip(range(MOST_PLACES), places, strict=False)):
        steps = ((kind == "equal", left[a:b], right[c:d]) for kind, a, b, c, d in place)
        found.append([Piece(equal, "".join(ours), "".join(theirs)) for equal, ours, theirs in steps])
    return found


def pair_section(found: list[Pair]) -> Html:
    """Each pair as two columns."""
    return el("div", *(_pair(pair) for pair in found), cls="groups") if found else Html("")


def _pair(pair: Pair) -> Html:
    said = f"Jaccard {pair.jaccard:.3f} ≥ {pair.threshold:g}, containment {pair.evidence['containment']:.3f}, "
    said += f"{count(int(pair.evidence['cluster']))} alike"
    places = differences(pair.kept.text, pair.removed.text)
    kept = [join("…", *(_marked(each.same, each.kept, "ins") for each in place), "…") for place in places]
    removed = [join("…", *(_marked(each.same, each.removed, "del") for each in place), "…") for place in places]
    return el("div", _column("Kept", pair.kept, kept, said, "kept"),
              _column("Dropped", pair.removed, removed, said, "dropped"), cls="sides group")  # fmt: skip


def _column(title: str, side: Side, places: list[Html], said: str, cls: str) -> Html:
    none = el("p", "No difference in what is compared: case, punctuation or white space, or further on.", cls="muted")
    shown = [el("p", place, cls="text", dir="auto", lang=language(side.lang)) for place in places] or [none]
    ids = el("p", el("code", side.doc_id), f" {side.lang} · {count(side.n_chars)} characters", cls="ids")
    return el("div", el("h4", title), el("article", el("p", said, cls="value"), el("p", address(side.url)), *shown, ids,
              cls="case"), cls=f"side {cls}")  # fmt: skip


def _marked(same: bool, text: str, tag: str) -> str:
    shown = text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]} …"
    return shown if same or not text else el(tag, shown)
