"""Sections of the report that show records: each rule at its threshold, duplicates, failures, edits.

rule_section(rule, "rule-3", dropped, kept, pages, row, is_open=False)
"""

from catalog.html import Column, Html, address, count, el, join, language, measured, table
from data.decide import STAGES
from data.report.examples import EditExample, Example, Failures, Group, Page
from data.report.funnel import FunnelRow, percent
from data.report.histograms import scope
from data.report.numbers import EditCount
from data.report.sections import asked, titled
from data.rules import Rule

Pages = dict[str, Page]


def rule_section(
    rule: Rule,
    anchor: str,
    dropped: list[Example],
    kept: list[Example],
    pages: Pages,
    row: FunnelRow,
    is_open: bool,
) -> Html:
    """One rule: what it asks, what it dropped, and the records on either side of its threshold."""
    head = el(
        "summary",
        el("b", rule.name),
        el("code", asked(rule)),
        el("span", scope(rule), cls="scope"),
        el("span", f"{count(row.records)} · {percent(row.share)}", cls="number"),
        cls="" if row.records else "silent",
    )
    note = el("p", provenance(rule), cls="note") if rule.source else ""
    sides = el(
        "div",
        _side("Dropped, nearest to the threshold", dropped, pages, rule, "cut", "It dropped nothing."),
        _side("Kept, nearest to the threshold", kept, pages, rule, "kept", "Nothing that it looks at was kept."),
        cls="sides",
    )
    return el("details", head, el("div", note, sides, id=anchor), open=is_open)


def provenance(rule: Rule) -> str:
    """Where the rule comes from, and whether the threshold does too."""
    if rule.published is None or rule.published == rule.threshold:
        return f"Published in {rule.source}."
    return f"Published in {rule.source} with {rule.published:g}; this recipe asks for {rule.threshold:g}."


def _side(title: str, examples: list[Example], pages: Pages, rule: Rule, cls: str, none: str) -> Html:
    cards = [card(example, pages.get(example.doc_id), _value(example, rule, cls)) for example in examples]
    return el("div", el("h4", title), *(cards or [el("p", none, cls="muted")]), cls=f"side {cls}")


def _value(example: Example, rule: Rule, cls: str) -> Html:
    sign = rule.op if cls == "cut" else _OPPOSITE[rule.op]
    # a value that would be shown like the threshold is shown with all its digits
    value, threshold = measured(example.value), measured(rule.threshold)
    if value == threshold and example.value != rule.threshold:
        value = repr(example.value)
    return el("p", el("b", value), f" {sign} {threshold}", cls="value")


_OPPOSITE = {"<": "≥", "<=": ">", ">": "≤", ">=": "<", "=": "≠", "!=": "="}


def card(example: Example, page: Page | None, value: Html | None = None) -> Html:
    """One record: measured value, address, title, the first characters of its text."""
    if page is None:
        return el("article", value or "", _ids(example.doc_id), cls="case")
    title = el("p", page.title, cls="title", dir="auto", lang=language(page.lang)) if page.title.strip() else ""
    evidence = el("p", example.evidence, cls="evidence") if example.evidence else ""
    ids = _ids(example.doc_id, page.lang, page.domain, f"{count(page.n_chars)} characters")
    return el("article", value or "", el("p", address(page.url)), title, _excerpt(page), evidence, ids, cls="case")


def _excerpt(page: Page) -> Html:
    """The start of a text on one line, its line breaks as a sign."""
    if not page.excerpt.strip():
        return el("p", "(no text)", cls="muted")
    lines = [line for line in page.excerpt.splitlines() if line.strip()]
    shown = [join(el("s", " ↵ ") if at else "", line) for at, line in enumerate(lines)]
    more = " …" if page.n_chars > len(page.excerpt) else ""
    return el("p", *shown, more, cls="text", dir="auto", lang=language(page.lang))


def _ids(doc_id: str, *words: str) -> Html:
    return el("p", el("code", doc_id), " ", " · ".join(word for word in words if word), cls="ids")


def duplicates(groups: list[Group], counts: dict[str, tuple[int, int]], pages: Pages) -> Html:
    """The largest groups of each stage, the kept record first."""
    blocks = []
    for stage in (stage for stage in STAGES if stage in counts):
        records, number = counts[stage]
        blocks.append(el("h3", titled(stage)))
        said = f"{_many(records, 'record')} dropped in favour of {_many(number, 'other')}."
        blocks.append(el("p", said, " The largest groups:" if number > 1 else ""))
        shown = [_group(group, pages) for group in groups if group.stage == stage]
        blocks.append(el("div", *shown, cls="groups"))
    return join(*blocks) if blocks else el("p", "No record was dropped in favour of another.", cls="muted")


def _many(number: int, what: str) -> str:
    return f"{count(number)} {what}{'s' if number != 1 else ''}"


def _group(group: Group, pages: Pages) -> Html:
    keeper = pages.get(group.keeper)
    fate = f"is of an earlier corpus, {group.of}"
    if keeper:
        fate = "kept" if keeper.verdict == "kept" else f"later dropped: {keeper.reason}"
    best = el("div", el("p", el("b", "1"), f" of {count(group.dropped + 1)} {fate}", cls="value"),
              card(Example(group.keeper, 1.0), keeper), cls="side kept")  # fmt: skip
    rows = [
        el("li", address(pages[member].url) if member in pages else "", " ", el("code", member))
        for member in group.members
    ]
    if group.dropped > len(rows):
        rows.append(el("li", f"{count(group.dropped - len(rows))} more", cls="muted"))
    return el("div", best, el("div", el("h4", "Dropped"), el("ul", *rows), cls="side dropped"), cls="sides group")


def failed(found: list[Failures], pages: Pages) -> Html:
    """Failures by reason, each with a few records and what went wrong with them."""
    if not found:
        return el("p", "Every record could be read.", cls="muted")
    columns = [Column("Reason"), Column("Records", "number"), Column("Examples")]
    rows: list[list[str]] = []
    for failures in found:
        cases = [
            el("li", el("span", example.evidence or "(no detail)"), el("br"), _where(example.doc_id, pages))
            for example in failures.examples
        ]
        rows.append([el("b", failures.reason), count(failures.records), el("ul", *cases, cls="plain")])
    return table(columns, rows, "Failures")


def _where(doc_id: str, pages: Pages) -> Html:
    page = pages.get(doc_id)
    return join(address(page.url) if page else "", " ", el("code", doc_id))


def edits(counts: list[EditCount], examples: list[EditExample], names: list[str]) -> Html:
    """Edits by rule, then some of them in their context."""
    if not counts:
        return el("p", "No text was changed.", cls="muted")
    columns = [Column("Rule"), Column("Edits", "number"), Column("Documents", "number")]
    columns += [Column("Characters out", "number"), Column("Characters in", "number")]
    rows: list[list[str]] = [
        [each.rule, count(each.edits), count(each.documents), count(each.removed_chars), count(each.added_chars)]
        for each in counts
    ]
    silent = [name for name in names if name not in {each.rule for each in counts}]
    note = el("p", "Changed nothing: ", ", ".join(silent), cls="note") if silent else ""
    blocks = []
    for each in counts:
        shown = [_edit(example) for example in examples if example.rule == each.rule]
        blocks.append(join(el("h3", each.rule), el("div", *shown, cls="groups")))
    return join(table(columns, rows, "Edits"), note, *blocks)


def _edit(example: EditExample) -> Html:
    inserted = el("ins", example.replacement) if example.replacement else ""
    text = el("p", "…", example.before, el("del", example.removed), inserted, example.after, "…",
              cls="text", dir="auto", lang=language(example.lang))  # fmt: skip
    return el("article", text, el("p", address(example.url), " ", el("code", example.doc_id), cls="ids"), cls="case")
