"""Sections of the report that show numbers: summary, funnel, composition, signals, sources.

composition("Hosts", "host", splits(con, "host"))

Each takes numbers and gives markup; what reads the connection is in report_numbers.py and report_signals.py.
"""

from collections.abc import Iterable

from catalog.html import Column, Html, bar, compact, count, el, join, measured, size, table
from data.report.charts import chart
from data.report.funnel import FunnelRow, percent
from data.report.histograms import Histogram, only
from data.report.numbers import Loss, Split, Totals
from data.rules import Rule

SHOWN_SOURCES = 100


_TITLES = {"dedup_url": "Same URL", "dedup_text": "Same text", "dedup_near": "Near-duplicates"}

DUPLICATES = {
    "same_url": "another record of this build has its URL",
    "same_url_as_earlier": "an earlier corpus has its URL, and by url_keep that one stays",
    "same_text": "another record has its text, up to case and white space",
    "same_text_as_earlier": "an earlier corpus has its text, up to case and white space",
    "near_duplicate": "a kept document shares its n-grams, by the similarity asked for or more",
    "near_duplicate_of_earlier": "a document of an earlier corpus shares its n-grams, by that similarity or more",
    "nothing_left": "edits took the whole text",
}
"""What reasons that are no rules ask."""


def titled(stage: str) -> str:
    """A stage as a heading: Same URL, Read, Rules."""
    return _TITLES.get(stage) or stage[:1].upper() + stage[1:].replace("_", " ")


def asked(rule: Rule) -> str:
    """What a rule asks, in words: `n_words < 50`."""
    return f"{rule.measure} {rule.op} {measured(rule.threshold)}"


FATES = {"kept": "kept", "cut": "dropped", "failed": "failed"}
"""Classes of the parts of a bar, and what they say."""


def legend(words: dict[str, str]) -> Html:
    """What the colours of bars mean, by class."""
    return el("ul", *(el("li", el("i", cls=cls), word) for cls, word in words.items()), cls="legend")


def figures(totals: Totals, corpus_chars: int) -> Html:
    """The headline numbers, and the fate of every record as one bar."""

    def tile(number: float, word: str, note: str, cls: str = "") -> Html:
        value = count(number) if number < 10_000_000 else compact(number)
        return el(
            "div", el("dt", word), el("dd", value, title=count(number)), el("dd", note, cls="note"), cls=f"tile {cls}"
        )

    ruled = totals.dropped - totals.duplicates
    whole = totals.records or 1
    parts = {"kept": totals.kept, "cut": ruled, "dropped": totals.duplicates, "failed": totals.failed}
    words = {**FATES, "cut": "dropped by rules", "dropped": "dropped as duplicates"}
    said = {cls: f"{words[cls]} {percent(part / whole)}" for cls, part in parts.items() if part}
    tiles = (
        tile(totals.records, "Records read", f"{compact(totals.chars)} characters of text"),
        tile(totals.kept, "Documents kept", f"{percent(totals.kept / whole)} of records", "kept"),
        tile(corpus_chars, "Characters kept", f"{percent(corpus_chars / (totals.chars or 1))} of those read", "kept"),
        tile(totals.dropped, "Dropped", f"{count(totals.duplicates)} of them duplicates", "cut"),
        tile(totals.failed, "Failed", f"{percent(totals.failed / whole)} of records", "failed"),
    )
    fate = bar(*((cls, part / whole) for cls, part in parts.items()))
    return join(el("dl", *tiles, cls="tiles"), el("div", fate, legend(said), cls="fate"))


def funnel(rows: list[FunnelRow], rules: dict[str, Rule], anchors: dict[str, str]) -> Html:
    """The funnel as a table whose bars step down from all records to those kept."""
    total = rows[0].records or 1
    columns = [Column("Stage and reason"), Column("Asks"), Column("Records", "number"), Column("Share", "number")]
    columns += [Column("Left", "number"), Column("", "wide")]
    body: list[list[str]] = []
    emphasis: dict[int, str] = {}
    stage = ""
    for row in rows:
        if row.is_rule and not row.records:
            continue
        if row.verdict in ("read", "kept"):
            word, cls = ("Records read", "total") if row.verdict == "read" else ("Documents kept", "total kept")
            emphasis[len(body)] = cls
            strip = bar(("kept", row.records / total))
            body.append([word, "", count(row.records), percent(row.share), count(row.left), strip])
            continue
        if row.stage != stage:
            stage, emphasis[len(body)] = row.stage, "stage"
            lost = sum(other.records for other in rows if other.stage == stage and other.verdict != "read")
            body.append([titled(stage), "", count(lost), percent(lost / total), "", ""])
        if row.reason:
            anchor = anchors.get(row.reason) or ("duplicates" if stage in _TITLES else None)
            body.append(_funnel_cells(row, rules.get(row.reason), anchor, total))
    silent = [row.reason for row in rows if row.is_rule and not row.records]
    return join(table(columns, body, "Funnel", emphasis), _silent(silent))


def _funnel_cells(row: FunnelRow, rule: Rule | None, anchor: str | None, total: int) -> list[str]:
    name = el("a", row.reason, href=f"#{anchor}") if anchor else el("span", row.reason)
    asks = join(el("code", asked(rule)), " ", el("span", only(rule), cls="scope")) if rule else Html("")
    asks = asks or el("span", DUPLICATES.get(row.reason, ""), cls="scope")
    cls = "failed" if row.verdict == "failed" else "cut" if rule else "dropped"
    strip = bar(("left", row.left / total), (cls, row.records / total))
    return [name, asks, count(row.records), percent(row.share), count(row.left), strip]


def _silent(names: list[str]) -> Html:
    if not names:
        return Html("")
    listed = join(*(join(el("code", name), " ") for name in names))
    return el("p", f"{len(names)} more {'rules' if len(names) > 1 else 'rule'} dropped nothing: ", listed, cls="note")


def composition(title: str, one: str, found: list[Split], many: str) -> Html:
    """Kept and dropped records by language, host or domain."""
    most = max((split.records for split in found if split.values == 1), default=1) or 1
    columns = [Column(one), Column("Records", "number"), Column("Kept", "number"), Column("Share kept", "number")]
    columns += [Column("Characters kept", "number"), Column("", "wide")]
    rows, emphasis = [], {}
    for at, split in enumerate(found):
        name = split.name or el("span", "(none)", cls="muted")
        strip = bar(
            *(
                (cls, part / most)
                for cls, part in (("kept", split.kept), ("cut", split.dropped), ("failed", split.failed))
            )
        )
        if split.values > 1:
            name, strip, emphasis[at] = f"{count(split.values)} more {many}", Html(""), "rest"
        share = percent(split.kept / split.records)
        rows.append([name, count(split.records), count(split.kept), share, compact(split.kept_chars), strip])
    return join(el("h3", title), el("div", table(columns, rows, title, emphasis), cls="split"))


def losses(found: list[Loss], anchors: dict[str, str]) -> Html:
    """By language, the reasons that took most, shaded by their share of the language's records."""
    columns = [Column("Language"), Column("Records", "number"), Column("Kept", "number"), Column("Lost to, most first")]
    rows: list[list[str]] = []
    for loss in found:
        chips = [_chip(reason, records / loss.records, anchors.get(reason)) for reason, records in loss.reasons]
        rows.append([loss.lang, count(loss.records), percent(loss.kept / loss.records), el("div", *chips, cls="chips")])
    return join(el("h3", "What each language loses most of its records to"), table(columns, rows, "Losses by language"))


def _chip(reason: str, share: float, anchor: str | None) -> Html:
    depth = round(min(share, 1.0) ** 0.5 * 60)
    name = el("a", reason, href=f"#{anchor}") if anchor else el("span", reason)
    return el("span", name, " ", percent(share), cls="chip", style=f"--depth:{depth}%")


def signals(found: Iterable[Histogram], anchors: dict[str, str]) -> Html:
    """A grid of histograms with the thresholds of rules drawn in."""
    cards = []
    for histogram in found:
        marks = [
            el("li", el("a", mark.rule, href=f"#{anchors[mark.rule]}"), f" {mark.op} {measured(mark.threshold)} ",
               el("span", mark.scope, cls="scope"))
            for mark in histogram.marks
        ]  # fmt: skip
        plain = histogram.measure.isidentifier()
        title = histogram.measure if plain else ", ".join(mark.rule for mark in histogram.marks)
        head = el("h3", el("code", title))
        meaning = histogram.meaning if plain else el("code", histogram.measure)
        note = el("p", meaning, " · log scale" if histogram.log else "")
        cards.append(el("figure", head, note, chart(histogram), el("ul", *marks, cls="marks") if marks else ""))
    words = {"kept": "kept", "cut": "dropped by a rule on this measure", "dropped": "dropped for another reason"}
    words["threshold"] = "threshold: what meets it is dropped"
    return join(legend(words), el("div", *cards, cls="charts"))


def sources(found: Iterable[tuple[str, str, int, int, dict[str, int]]]) -> Html:
    """Uri, kind, bytes, records, and records skipped by type, of each source."""
    lines = list(found)
    columns = [Column("Source"), Column("Kind"), Column("Size", "number"), Column("Records", "number")]
    columns += [Column("Skipped", "number"), Column("Skipped types")]
    rows = [
        [
            el("span", uri, cls="url"),
            kind,
            size(size_bytes),
            count(records),
            count(sum(skipped.values())),
            types(skipped),
        ]
        for uri, kind, size_bytes, records, skipped in lines[:SHOWN_SOURCES]
    ]
    skipped = {kind: 0 for line in lines for kind in line[4]}
    for line in lines:
        for kind, number in line[4].items():
            skipped[kind] += number
    emphasis = {len(rows): "total"}
    label = f"All {count(len(lines))} sources"
    if len(lines) > SHOWN_SOURCES:
        label += f", {count(len(lines) - SHOWN_SOURCES)} of them not listed"
    total = [size(sum(line[2] for line in lines)), count(sum(line[3] for line in lines))]
    rows.append([label, "", *total, count(sum(skipped.values())), types(skipped)])
    return table(columns, rows, "Sources", emphasis)


def types(skipped: dict[str, int]) -> str:
    """`metadata 12, request 24`"""
    return ", ".join(f"{kind} {count(number)}" for kind, number in sorted(skipped.items()))
