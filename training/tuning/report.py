"""`report.html` of a tuning run: what moved on held-out rows, curves, the rows that were read.

>>> path = write_report(home, "tiny-sft")
"""

from pathlib import Path

from catalog.home import Home, written
from catalog.html import Column, Html, count, el, join, measured, page, section
from catalog.html import table as html_table
from catalog.progress import duration
from catalog.query import plain_errors
from catalog.records import Record
from catalog.store import Catalog, quoted
from training.runs.curves import Curves, read_curves
from training.runs.folder import RunFolder
from training.runs.report.lines import Line, chart
from training.runs.report.page import checkpoints_section, loss_section, summary_section

SECTIONS = {
    "summary": "Summary",
    "heldout": "Held out, before and after",
    "loss": "Loss",
    "curves": "What else was measured",
    "data": "Data",
    "checkpoints": "Checkpoints and attempts",
    "again": "Ask",
}
SHOWN_ROWS, SHOWN_CHARS = 8, 500
IN_CURVES = ("loss", "learning_rate", "tokens", "seconds")
"""Values of every step that are shown elsewhere."""


def write_report(home: Home, name: str) -> Path:
    """Write the page into the run's folder; gives its path. Raises NotFound for a run, Damaged for rows."""
    seen, run = read_curves(home, name), RunFolder(home, name)
    record = run.record()
    sections = [
        _summary(seen, record),
        _heldout(seen),
        loss_section(
            seen, SECTIONS["loss"], "Training loss by step, as the method has it. Dashed lines are checkpoints."
        ),
        _curves(seen),
        _data(home, seen, record),
        checkpoints_section(seen),
        _again(name),
    ]
    style = Path(__file__).parent.parent / "runs" / "report" / "report.css"
    path = run.path / "report.html"
    with written(path) as partial:
        text = page(name, "tuning run", SECTIONS, sections, style.read_text(encoding="utf-8"))
        partial.write_text(text, encoding="utf-8")
    return path


def _summary(seen: Curves, record: Record) -> Html:
    state, config = seen.state, seen.config
    seconds = sum(value for _, value in seen.series.get("seconds", []))
    tiles = [
        ("Steps", f"{seen.step:,}", f"of {state.steps:,}"),
        ("Rows", count(state.samples), "of datasets and replayed text"),
        ("Loss", measured(seen.last("loss")), "last step"),
        ("Rate", f"{config['learning_rate']:g}", "at its highest"),
        ("Time", duration(seconds), "in steps"),
    ]
    adapter = config["adapter"]["kind"]
    words = [
        f"{state.kind} of {config['parent']}",
        f"dataset {config['dataset']}",
        "all weights" if adapter == "none" else f"adapter {adapter}",
        f"seed {config['seed']}",
        f"begun {record.created[:16].replace('T', ' ')}",
    ]
    return summary_section(seen, "Tuning run", words, tiles)


def _heldout(seen: Curves) -> Html:
    columns = [Column("Held out"), Column("Measure"), *(Column(t, "number") for t in ("Before", "Last", "Change"))]
    rows = []
    for metric, points in seen.series.items():
        group, _, name = metric.removeprefix("heldout/").partition("/")
        if metric.startswith("heldout/") and name not in ("tokens", "rows", "perplexity"):
            first, last = points[0][1], points[-1][1]
            said = "pretraining text, all" if group == "all" else group
            rows.append([said, name, f"{first:.4g}", f"{last:.4g}", f"{last - first:+.4g}" if len(points) > 1 else ""])
    lead = "Rows of the dataset that no step reads, and pretraining text: what is lost there is forgotten."
    shown = html_table(columns, rows, "Held out") if rows else el("p", "Nothing was held out.", cls="muted")
    return section("heldout", SECTIONS["heldout"], lead, shown)


def _curves(seen: Curves) -> Html:
    shown = [
        el("figure", el("h3", name.replace("_", " ")), chart([Line(name, points)], f"{name} by step"))
        for name, points in seen.series.items()
        if len(points) > 1 and name not in IN_CURVES and not name.startswith("heldout/")
    ]
    return section("curves", SECTIONS["curves"], "Of each step on the first process.", el("div", *shown, cls="curves"))


def _data(home: Home, seen: Curves, record: Record) -> Html:
    run = quoted(seen.name)
    with Catalog.open(home) as catalog, plain_errors(catalog):
        by_lang = catalog.con.execute(
            f"SELECT dataset || '@' || version, coalesce(lang, ''), count(*), count(DISTINCT row_id) "
            f"FROM consumed_rows WHERE run = {run} GROUP BY ALL ORDER BY 3 DESC"
        ).fetchall()
        replayed = catalog.con.execute(
            f"SELECT domain, '', count(*), count(DISTINCT sample_id) FROM batches WHERE run = {run} AND sample_id > 0 "
            "GROUP BY 1 ORDER BY 3 DESC"
        ).fetchall()
        first = catalog.con.execute(
            f"SELECT dataset, row_id, url, said FROM batch_rows({run}, 1) WHERE said IS NOT NULL LIMIT {SHOWN_ROWS}"
        ).fetchall()
    columns = [Column("From"), Column("Language"), *(Column(t, "number") for t in ("Read", "Different"))]
    rows = [
        [name, lang, count(read), count(different)]
        for name, lang, read, different in (*by_lang, *((f"pretraining text: {row[0]}", *row[1:]) for row in replayed))
    ]
    left_out = {name: number for name, number in seen.state.remainders.items() if number}
    said = ", ".join(f"{number:,} {name}" for name, number in left_out.items())
    cases = [
        el(
            "div",
            el("p", f"{dataset}, row {row}", cls="value"),
            el("p", url or "", cls="url"),
            el("p", str(text)[:SHOWN_CHARS], cls="text", dir="auto"),
            cls="case",
        )
        for dataset, row, url, text in first
    ]
    lead = f"What the steps have read. Left over or left out: {said or 'nothing'}."
    return section(
        "data",
        SECTIONS["data"],
        lead,
        html_table(columns, rows, "Data"),
        el("h3", "Rows of the first step"),
        join(*cases),
    )


def _again(name: str) -> Html:
    queries = (
        f"FROM batch_rows('{name}', 1)",
        f"SELECT task, metric, value FROM evaluations WHERE model = '{name}'",
        f"SELECT model, parent, kind FROM models WHERE model = '{name}'",
    )
    asks = (el("pre", f'just sql "{query}"') for query in queries)
    lead = "Every number on this page is a query over the catalog."
    return section("again", SECTIONS["again"], lead, el("pre", f"just trace models/{name}"), *asks)
