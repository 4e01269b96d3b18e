"""`report.html`: what a build did, in one page for people. One file, no script, nothing loaded from anywhere.

    write_report(folder / "report.html", con, ReportInput(corpus="web", version="1", stages=stages, rules=config.rules))

The same input gives the same bytes. Numbers come from set-wise SQL; text is read for the examples only.
"""

from pathlib import Path
from typing import NamedTuple

import duckdb

from catalog.config import Config
from catalog.html import Html, count, el, join, page, section
from data.dedup.repeats import RepeatRule
from data.edits import EditRule
from data.ledger import StageCounts
from data.report import cases as report_cases
from data.report import examples as report_examples
from data.report import numbers as report_numbers
from data.report import pairs as report_pairs
from data.report import sections as report_sections
from data.report.funnel import FunnelRow, funnel_rows
from data.report.histograms import Histogram, histograms
from data.rules import Rule


class SourceLine(Config):
    """A source, as the report shows it."""

    uri: str
    kind: str
    size_bytes: int
    records: int
    """Records that became rows."""
    skipped: dict[str, int] = {}
    """Records of other types, by type."""


class ReportInput(Config):
    """What the report shows beside the intake and the ledger."""

    corpus: str
    version: str
    created: str = ""
    """The only time in the report, as it is given."""
    command: str = ""
    """The command line that builds this again."""
    fingerprint: str = ""
    sources: tuple[SourceLine, ...] = ()
    stages: tuple[StageCounts, ...]
    rules: tuple[Rule, ...] = ()
    edit_rules: tuple[EditRule | RepeatRule, ...] = ()
    edits: str = ""
    """A glob of Parquet files of edits."""
    earlier: dict[str, tuple[Path, ...]] = {}
    """Intake parts of what the build was matched against, by `kind/name@version`."""


SECTIONS = {
    "summary": "Summary",
    "funnel": "Funnel",
    "composition": "Composition",
    "signals": "Signals",
    "rules": "Rules at their thresholds",
    "duplicates": "Duplicates",
    "failures": "Failures",
    "edits": "Edits",
    "sources": "Sources",
    "again": "Ask and build again",
}


def write_report(path: Path, con: duckdb.DuckDBPyConnection, report: ReportInput) -> None:
    """Write the page. `con` has the view `intake` and the table `ledger`."""
    rows = funnel_rows(con, list(report.stages), report.rules)
    rules = {rule.name: rule for rule in report.rules if rule.enabled}
    anchors = {name: f"rule-{at}" for at, name in enumerate(rules)}
    cases, edits = _cases(con, report.rules), report_numbers.edit_counts(con, report.edits)
    sections = [
        _summary(con, report, edits),
        _funnel(rows, rules, anchors),
        _composition(con, anchors),
        _signals(histograms(con, report.rules), anchors),
        _rules(rules, rows, anchors, cases),
        _duplicates(con, cases, report),
        _failures(cases),
        _edits(con, report, edits),
        _sources(report),
        _again(report),
    ]
    name = f"{report.corpus}@{report.version}"
    path.write_text(page(name, "corpus report", SECTIONS, sections), encoding="utf-8")


def _summary(con: duckdb.DuckDBPyConnection, report: ReportInput, edits: list[report_numbers.EditCount]) -> Html:
    totals = report_numbers.totals(con)
    chars = totals.kept_chars + sum(each.added_chars - each.removed_chars for each in edits)
    words = [f"{count(len(report.sources))} source{'s' if len(report.sources) != 1 else ''}"]
    words += [f"built {report.created}"] if report.created else []
    words += [f"fingerprint {report.fingerprint[:12]}"] if report.fingerprint else []
    return el(
        "section",
        el("p", "Corpus report", cls="eyebrow"),
        el("h1", report.corpus, el("span", f"@{report.version}")),
        el("p", " · ".join(words), cls="lead"),
        report_sections.figures(totals, chars),
        id="summary",
    )


def _funnel(rows: list[FunnelRow], rules: dict[str, Rule], anchors: dict[str, str]) -> Html:
    lead = (
        "Every record, in the order in which stages and rules see it. The first rule that drops a record "
        "is its reason; shares are of all records read."
    )
    return section("funnel", SECTIONS["funnel"], lead, report_sections.funnel(rows, rules, anchors))


def _composition(con: duckdb.DuckDBPyConnection, anchors: dict[str, str]) -> Html:
    def part(title: str, one: str, many: str) -> Html:
        column = one.lower() if one != "Language" else "lang"
        return report_sections.composition(title, one, report_numbers.splits(con, column), many)

    return section(
        "composition",
        SECTIONS["composition"],
        "What was read, and how much of it was kept. Characters are those of the text as it was read.",
        report_sections.legend(report_sections.FATES),
        part("Languages", "Language", "languages"),
        report_sections.losses(report_numbers.losses(con), anchors),
        part("Domains", "Domain", "domains"),
        part("Hosts", "Host", "hosts"),
    )


def _signals(found: list[Histogram], anchors: dict[str, str]) -> Html:
    lead = (
        "Every record that could be read, by the measures that rules look at. Bars far above the rest are cut off "
        "and carry their count; the outermost bars hold what lies beyond the axis."
    )
    return section("signals", SECTIONS["signals"], lead, report_sections.signals(found, anchors))


class _Cases(NamedTuple):
    """The records that are shown as examples."""

    dropped: dict[str, list[report_examples.Example]]
    kept: dict[str, list[report_examples.Example]]
    groups: list[report_examples.Group]
    failures: list[report_examples.Failures]
    pages: report_cases.Pages


def _cases(con: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...]) -> _Cases:
    """All examples are chosen first, then their texts are read at once."""
    dropped, kept = report_examples.nearest_dropped(con), report_examples.nearest_kept(con, rules)
    groups, failures = report_examples.duplicate_groups(con), report_examples.failures(con)
    near = [example.doc_id for found in (dropped, kept) for examples in found.values() for example in examples]
    alike = [doc_id for group in groups for doc_id in (group.keeper, *group.members)]
    broken = [example.doc_id for failure in failures for example in failure.examples]
    return _Cases(dropped, kept, groups, failures, report_examples.pages(con, [*near, *alike, *broken]))


def _rules(rules: dict[str, Rule], rows: list[FunnelRow], anchors: dict[str, str], cases: _Cases) -> Html:
    numbers = {row.reason: row for row in rows if row.is_rule}
    largest = max(numbers.values(), key=lambda row: row.records, default=None)
    found = []
    for name, rule in rules.items():
        sides = cases.dropped.get(name, []), cases.kept.get(name, [])
        is_open = numbers[name] is largest
        found.append(report_cases.rule_section(rule, anchors[name], *sides, cases.pages, numbers[name], is_open))
    shown = el("div", *found, cls="rules") if found else el("p", "This corpus has no rules.", cls="muted")
    return section("rules", SECTIONS["rules"], RULES_LEAD, shown)


def _duplicates(con: duckdb.DuckDBPyConnection, cases: _Cases, report: ReportInput) -> Html:
    shown = report_cases.duplicates(cases.groups, report_examples.duplicate_counts(con), cases.pages)
    if near := report_pairs.pairs(con, report.earlier):
        shown = join(shown, el("h3", "Near-duplicates side by side"), report_pairs.pair_section(near))
    return section("duplicates", SECTIONS["duplicates"], "Each names the record that was kept in its place.", shown)


def _failures(cases: _Cases) -> Html:
    lead = "Records that could not be read. They are in the ledger; the rest of their file was read."
    return section("failures", SECTIONS["failures"], lead, report_cases.failed(cases.failures, cases.pages))


def _edits(con: duckdb.DuckDBPyConnection, report: ReportInput, counts: list[report_numbers.EditCount]) -> Html:
    examples = report_examples.edit_examples(con, report.edits)
    shown = report_cases.edits(counts, examples, [rule.name for rule in report.edit_rules])
    return section("edits", SECTIONS["edits"], "What rules changed in the text of kept documents.", shown)


RULES_LEAD = (
    "For each rule the records just on either side of its threshold: the ones to look at before moving it. "
    "Kept records are those that the rule looked at and every other rule let pass."
)


def _sources(report: ReportInput) -> Html:
    lines = ((line.uri, line.kind, line.size_bytes, line.records, line.skipped) for line in report.sources)
    lead = "Raw inputs, and records of types that hold no document (requests, metadata), which are counted here only."
    return section("sources", SECTIONS["sources"], lead, report_sections.sources(lines))


def _again(report: ReportInput) -> Html:
    where = f"corpus = '{report.corpus}' AND version = '{report.version}'"
    queries = (
        f"FROM funnel('{report.corpus}', '{report.version}')",
        f"SELECT reason, count(*) FROM decisions WHERE {where} GROUP BY 1 ORDER BY 2 DESC",
        f"FROM decisions WHERE {where} AND reason = '…' ORDER BY abs(value - threshold) LIMIT 20",
        "FROM why('https://…')",
    )
    build = el("pre", report.command) if report.command else ""
    asks = join(*(el("pre", f'just sql "{query}"') for query in queries))
    lead = "Every number on this page is a query over the catalog; moving a threshold never reads the crawl again."
    return section("again", SECTIONS["again"], lead, build, asks, el("p", report.fingerprint, cls="ids"))
