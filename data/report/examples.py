"""Examples for the report: chosen in SQL by id first, so that text is read for those few records only.

nearest_dropped(con), nearest_kept(con, rules), duplicate_groups(con), failures(con), edit_examples(con, parts)
"""

from collections.abc import Iterable
from typing import NamedTuple

import duckdb

from catalog.store import quoted
from data.report.numbers import JUDGED, has_files
from data.rules import Rule

NEAREST = 5
EXCERPT_CHARS = 300
AT_ONCE = 16
"""Measures that are laid out at once: about 200 bytes a kept record."""
CONTEXT_CHARS = 70
REMOVED_CHARS = 200


class Example(NamedTuple):
    """A record beside a threshold."""

    doc_id: str
    value: float
    evidence: str = ""


class Page(NamedTuple):
    """What is shown of a record."""

    url: str
    title: str
    lang: str
    domain: str
    excerpt: str
    """The first characters of its text."""
    n_chars: int
    verdict: str
    reason: str


class Group(NamedTuple):
    """Records that were dropped as duplicates of one record."""

    stage: str
    keeper: str
    dropped: int
    members: list[str]
    """A few of the dropped ones."""
    of: str
    """The earlier corpus or intake that has the one they were dropped for; none where this build has it."""


class Failures(NamedTuple):
    """Records that could not be read, for one reason."""

    stage: str
    reason: str
    records: int
    examples: list[Example]


class EditExample(NamedTuple):
    """An edit in its context."""

    rule: str
    doc_id: str
    url: str
    lang: str
    before: str
    removed: str
    replacement: str
    after: str


def nearest_dropped(con: duckdb.DuckDBPyConnection) -> dict[str, list[Example]]:
    """By rule, the dropped records nearest to its threshold."""
    rows = con.execute(
        "SELECT reason, min({distance: abs(value - threshold), id: doc_id, value: value, evidence: evidence}, "
        f"{NEAREST}) FROM ledger WHERE verdict = 'dropped' AND stage = 'rules' GROUP BY reason"
    ).fetchall()
    return {reason: [_example(case) for case in cases] for reason, cases in rows}


def nearest_kept(con: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...]) -> dict[str, list[Example]]:
    """By rule, the kept records nearest to its threshold, of those that the rule looked at.

    The measures of kept records are laid out in a table, a few at a time so that it stays small; each rule takes its
    nearest from there. One aggregate for all rules would build a struct for every record and rule: three times slower.
    """
    rules = tuple(rule for rule in rules if rule.enabled)
    measures = list(dict.fromkeys(rule.measure for rule in rules))
    found: dict[str, list[Example]] = {}
    for first in range(0, len(measures), AT_ONCE):
        here = {measure: f"m{at}" for at, measure in enumerate(measures[first : first + AT_ONCE])}
        columns = ", ".join(f"({measure})::DOUBLE AS {name}" for measure, name in here.items())
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE kept_measures AS SELECT doc_id, lang, domain, {columns} FROM {JUDGED} "
            "WHERE verdict = 'kept'"
        )
        for rule in (rule for rule in rules if rule.measure in here):
            name = here[rule.measure]
            rows = con.execute(
                f"SELECT doc_id, {name} FROM kept_measures WHERE {rule.applies()} "
                f"ORDER BY abs({name} - ({rule.threshold!r})::DOUBLE), doc_id LIMIT {NEAREST}"
            ).fetchall()
            found[rule.name] = [Example(doc_id, value) for doc_id, value in rows]
    con.execute("DROP TABLE IF EXISTS kept_measures")
    return found


def _example(case: dict) -> Example:
    return Example(case["id"], case["value"], case["evidence"] or "")


def duplicate_groups(con: duckdb.DuckDBPyConnection, groups: int = 4, members: int = 4) -> list[Group]:
    """The largest groups of each stage that drops in favour of another record."""
    rows = con.execute(
        f"SELECT stage, other_doc_id, count(*) AS dropped, min(doc_id, {members}), coalesce(any_value(CASE WHEN "
        "suffix(reason, '_earlier') THEN evidence ->> 'of' END), '') FROM ledger "
        "WHERE verdict = 'dropped' AND other_doc_id IS NOT NULL GROUP BY stage, other_doc_id "
        f"QUALIFY row_number() OVER (PARTITION BY stage ORDER BY dropped DESC, other_doc_id) <= {groups} "
        "ORDER BY stage, dropped DESC, other_doc_id"
    ).fetchall()
    return [Group(*row) for row in rows]


def duplicate_counts(con: duckdb.DuckDBPyConnection) -> dict[str, tuple[int, int]]:
    """By stage: records dropped as duplicates, and groups that they were in."""
    rows = con.execute(
        "SELECT stage, count(*), count(DISTINCT other_doc_id) FROM ledger "
        "WHERE verdict = 'dropped' AND other_doc_id IS NOT NULL GROUP BY stage ORDER BY stage"
    ).fetchall()
    return {stage: (records, groups) for stage, records, groups in rows}


def failures(con: duckdb.DuckDBPyConnection, examples: int = 3) -> list[Failures]:
    """Failed records by reason, most first, with a few of each."""
    rows = con.execute(
        f"SELECT stage, reason, count(*), min({{id: doc_id, value: value, evidence: evidence}}, {examples}) "
        "FROM ledger WHERE verdict = 'failed' GROUP BY stage, reason ORDER BY 3 DESC, 1, 2"
    ).fetchall()
    return [Failures(stage, reason, count, [_example(case) for case in cases]) for stage, reason, count, cases in rows]


def pages(con: duckdb.DuckDBPyConnection, doc_ids: Iterable[str]) -> dict[str, Page]:
    """What is shown of these records. Sources and ordinals let DuckDB pass over all other files and row groups."""
    wanted = sorted(set(doc_ids))
    if not wanted:
        return {}
    rows = con.execute(
        "SELECT doc_id, url, title, intake.lang, intake.domain, left(text, $chars), intake.n_chars::BIGINT, "
        "verdict, reason FROM intake JOIN (SELECT doc_id, verdict, reason FROM ledger WHERE doc_id IN "
        f"(SELECT unnest($ids))) USING (doc_id) WHERE {where(con, wanted)}",
        {"ids": wanted, "chars": EXCERPT_CHARS},
    ).fetchall()
    return {doc_id: Page(*page) for doc_id, *page in rows}


def where(con: duckdb.DuckDBPyConnection, doc_ids: list[str]) -> str:
    """SQL: the sources and ordinals of these records, as literals to compare with the statistics of row groups."""
    rows = con.execute(
        "SELECT source_id, ordinal FROM ledger WHERE doc_id IN (SELECT unnest(?)) ORDER BY ALL", [doc_ids]
    ).fetchall()
    sources = sorted({source_id for source_id, _ in rows})
    ordinals = sorted({ordinal for _, ordinal in rows})
    if not rows:
        return "false"
    return f"source_id IN ({', '.join(map(quoted, sources))}) AND ordinal IN ({', '.join(map(str, ordinals))})"


def edit_examples(con: duckdb.DuckDBPyConnection, parts: str, each: int = 4) -> list[EditExample]:
    """Some edits of every rule, each of another document; positions count code points, as DuckDB's `substr` does."""
    if not has_files(con, parts):
        return []
    con.execute(
        "CREATE OR REPLACE TEMP TABLE shown_edits AS SELECT rule, unnest(min({k: md5(doc_id), doc_id: doc_id, "
        f"start: start, length: length, replacement: replacement}}, {each})) AS edit FROM (SELECT rule, doc_id, "
        "min(start) AS start, arg_min(length, start) AS length, arg_min(replacement, start) AS replacement "
        "FROM read_parquet($parts) GROUP BY rule, doc_id) GROUP BY rule",
        {"parts": parts},
    )
    ids = [doc_id for (doc_id,) in con.execute("SELECT DISTINCT edit.doc_id FROM shown_edits").fetchall()]
    rows = con.execute(
        "SELECT rule, doc_id, url, lang, "
        f"substr(text, greatest(start - {CONTEXT_CHARS}, 0) + 1, least(start, {CONTEXT_CHARS})), "
        f"substr(text, start + 1, least(length, {REMOVED_CHARS})) || if(length > {REMOVED_CHARS}, ' …', ''), "
        f"left(replacement, {REMOVED_CHARS}), substr(text, start + length + 1, {CONTEXT_CHARS}) "
        "FROM intake JOIN (SELECT rule, edit.* FROM shown_edits) USING (doc_id) "
        f"WHERE {where(con, ids)} ORDER BY rule, k"
    ).fetchall()
    con.execute("DROP TABLE shown_edits")
    return [EditExample(*row) for row in rows]
