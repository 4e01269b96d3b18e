"""`report.html` of a run: curves, mixture, sources and the worst batches, in one file without a script.

>>> path = write_report(home, "zh-small")
"""

from pathlib import Path

from catalog.config import Config
from catalog.errors import NotFound
from catalog.home import Home, written
from catalog.html import Column, Html, address, bar, compact, count, el, join, language, measured, page, section, size
from catalog.html import table as html_table
from catalog.progress import duration
from catalog.query import plain_errors
from catalog.store import Catalog
from training.mixtures.reading import Mixture, load_mixture
from training.models.estimate import GPUS
from training.runs.curves import Curves, Points, read_curves
from training.runs.folder import RunFolder
from training.runs.report import numbers
from training.runs.report.lines import Line, chart, legend
from training.runs.report.numbers import Bad, Span
from training.tokenizers.load import load_tokenizer

SECTIONS = {
    "summary": "Summary",
    "loss": "Loss",
    "heldout": "Held-out text",
    "speed": "Speed",
    "mixture": "Mixture",
    "sources": "Where the tokens come from",
    "worst": "Largest losses",
    "checkpoints": "Checkpoints and attempts",
    "again": "Ask",
}
SHOWN_CHARS = 700
"""Characters of a document's piece that are shown."""
SHOWN_SPANS = 6
"""Documents of a batch that are shown as text; the others are listed."""


class Facts(Config):
    """What the page needs beside the curves."""

    consumed: tuple[numbers.Consumed, ...]
    hosts: tuple[numbers.Host, ...]
    worst: tuple[tuple[Bad, tuple[Span, ...]], ...]
    texts: dict[Span, str]
    """Of the pieces that are shown."""


def write_report(home: Home, name: str) -> Path:
    """Write the page into the run's folder; gives its path. Raises NotFound for an unknown run."""
    seen = read_curves(home, name)
    mixture = load_mixture(home, str(seen.config["mixture"]))
    facts = _facts(home, seen, mixture)
    run = RunFolder(home, name)
    sections = [
        _summary(seen, run.record().created),
        loss_section(seen, SECTIONS["loss"], "Training loss in nats a token. Dashed lines are checkpoints."),
        _heldout(seen),
        _speed(seen),
        _mixture(mixture, facts),
        _sources(facts),
        _worst(facts),
        checkpoints_section(seen),
        _again(name),
    ]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
    path = run.path / "report.html"
    with written(path) as partial:
        partial.write_text(page(name, "training run", SECTIONS, sections, style), encoding="utf-8")
    return path


def _facts(home: Home, seen: Curves, mixture: Mixture) -> Facts:
    with Catalog.open(home) as catalog, plain_errors(catalog):
        rows = numbers.worst_rows(catalog, seen.name)
        closed = [point for point in seen.series.get("loss", []) if point[0] <= seen.state.step]
        bad = rows or numbers.worst_steps(closed)
        worst = [(one, _spans_of(one, numbers.spans(catalog, seen.name, one.step))) for one in bad]
        consumed, hosts = numbers.consumed(catalog, seen.name), numbers.hosts(catalog, seen.name)
    texts = _texts(home, seen, mixture, [span for _, spans in worst for span in spans[:SHOWN_SPANS]])
    return Facts(consumed=tuple(consumed), hosts=tuple(hosts), worst=tuple(worst), texts=texts)


def _spans_of(bad: Bad, spans: list[Span]) -> tuple[Span, ...]:
    """The pieces of the row that stands out, or of the whole batch."""
    return tuple(span for span in spans if not bad.samples or span.sample_id in bad.samples)


def _texts(home: Home, seen: Curves, mixture: Mixture, spans: list[Span]) -> dict[Span, str]:
    if not spans:
        return {}
    from training.runs.report.samples import ids_of

    try:
        tokenizer = load_tokenizer(home, mixture.tokens[0].tokenizer).tokenizer
    except NotFound:  # made with a tokenizer that is not in the home
        return {}
    ids = ids_of(home, mixture, int(seen.config["batch_tokens"]), sorted({span.sample_id for span in spans}))
    ranges = {span: ids[span.sample_id][span.sample_start :][: span.length] for span in spans}
    return {span: tokenizer.decode(found.tolist()) for span, found in ranges.items()}


# ── sections ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _summary(seen: Curves, created: str) -> Html:
    state, rates = seen.state, seen.domains()
    bits = seen.last(f"heldout/{rates[-1]}/bits_per_byte") if rates else None
    seconds = sum(value for _, value in seen.series.get("seconds", []))
    model = seen.config["model"]
    tiles = [
        ("Steps", f"{seen.step:,}", f"of {state.steps:,}"),
        ("Tokens", compact(seen.last("tokens") or 0), f"{seen.config['batch_tokens']:,} a step"),
        ("Loss", measured(seen.last("loss")), "nats a token, last step"),
        ("Held out", measured(bits), "bits a byte, all domains"),
        ("Time", duration(seconds), "in steps"),
    ]
    words = [
        f"{model['family']}, {model['layers']} layers of {model['hidden_size']}",
        f"mixture {seen.config['mixture']}",
        f"seed {seen.config['seed']}",
        f"begun {created[:16].replace('T', ' ')}",
    ]
    return summary_section(seen, "Training run", words, tiles)


def summary_section(seen: Curves, kind: str, words: list[str], tiles: list[tuple[str, str, str]]) -> Html:
    """The head of a run's page: what it is in a line, and tiles of a title, a value and a note."""
    state = seen.state
    return el(
        "section",
        el("p", kind, cls="eyebrow"),
        el("h1", seen.name, el("span", f" {state.status}")),
        el("p", " · ".join(words), cls="lead"),
        el(
            "dl",
            *(el("div", el("dt", a), el("dd", b), el("dd", c, cls="note"), cls="tile") for a, b, c in tiles),
            cls="tiles",
        ),
        el("p", state.detail) if state.detail else "",
        id="summary",
    )


def _smoothed(points: Points) -> Points:
    """A moving average over a fiftieth of the run (bias-corrected, exponential)."""
    weight, total, mean, found = min(0.98, 1 - 1 / max(2, len(points) / 50)), 0.0, 0.0, []
    for step, value in points:
        total, mean = weight * total + 1, weight * mean + value
        found.append((step, mean / total))
    return found


def loss_section(seen: Curves, title: str, lead: str) -> Html:
    """The training loss and the learning rate by step."""
    points = seen.series.get("loss", [])
    lines = [Line("each step", points, "s0", faint=True), Line("smoothed", _smoothed(points), "s0")]
    rate = chart([Line("learning rate", seen.series.get("learning_rate", []))], "learning rate by step", from_zero=True)
    marks = [one.step for one in seen.state.checkpoints]
    shown = chart(lines, "training loss by step", marks)
    return section("loss", title, lead, legend(lines), shown, el("h3", "Learning rate"), rate)


def _heldout(seen: Curves) -> Html:
    domains = seen.domains()
    if not domains:
        return section("heldout", SECTIONS["heldout"], "No text was held out of this run.")

    def part(title: str, metric: str) -> Html:
        lines = [
            Line(domain, seen.series.get(f"heldout/{domain}/{metric}", []), f"s{7 if domain == 'all' else at % 7}")
            for at, domain in enumerate(domains)
        ]
        return el("figure", el("h3", title), legend(lines), chart(lines, f"held-out {title} by domain"))

    figures = el("div", part("Loss, nats a token", "loss"), part("Bits a byte", "bits_per_byte"), cls="curves")
    columns = [
        Column("Domain"),
        *(Column(title, "number") for title in ("First", "Lowest", "Last", "Bits a byte", "Tokens")),
    ]
    rows = []
    for domain in domains:
        values = [value for _, value in seen.series[f"heldout/{domain}/loss"]]
        bits, tokens = seen.last(f"heldout/{domain}/bits_per_byte"), seen.last(f"heldout/{domain}/tokens")
        rows.append(
            [domain, *(f"{v:.3f}" for v in (values[0], min(values), values[-1])), measured(bits), count(tokens or 0)]
        )
    lead = "Samples that no phase of the mixture reads. Bits a byte compare models with different tokenizers."
    return section("heldout", SECTIONS["heldout"], lead, figures, html_table(columns, rows, "Held-out loss"))


def _speed(seen: Curves) -> Html:
    seconds, waits = dict(seen.series.get("seconds", [])), seen.series.get("data_wait_seconds", [])
    share = [(step, 100 * value / seconds[step]) for step, value in waits if seconds.get(step)]
    flops = [(step, value / 1e9) for step, value in seen.series.get("flops_per_second", [])]
    figures = [
        ("Tokens a second", seen.series.get("tokens_per_second", [])),
        ("Waiting for data, % of the step", share),
        ("Model GFLOP/s, all processes", flops),
        ("GPU memory, GB at the peak", [(step, value / 1e9) for step, value in seen.series.get("memory_bytes", [])]),
    ]
    shown = [
        el("figure", el("h3", title), chart([Line(title, points)], title, from_zero=True))
        for title, points in figures
        if points
    ]
    lead = "Of each step on the first process." + _mfu(seen)
    return section("speed", SECTIONS["speed"], lead, el("div", *shown, cls="curves"))


def _mfu(seen: Curves) -> str:
    """MFU against the peak of one H200 a process, where the run was on GPUs: the only chip that it is measured on."""
    points = [value for _, value in seen.series.get("flops_per_second", [])]
    if not points or "memory_bytes" not in seen.series or not seen.state.attempts:
        return " On a CPU there is no peak to hold FLOP/s against, so no MFU is given."
    peak = GPUS["h200"].tflops * 1e12 * seen.state.attempts[-1].processes
    middle = sorted(points)[len(points) // 2]
    return f" Median MFU {middle / peak:.1%} of an H100's or H200's dense bf16 peak (989 TFLOP/s)."


def _mixture(mixture: Mixture, facts: Facts) -> Html:
    planned: dict[str, list[float]] = {}
    for row in mixture.plan.rows():
        entry = planned.setdefault(row.domain, [0, 0])
        entry[0] += row.budget_tokens
        entry[1] += row.epochs * row.budget_tokens
    read = {one.domain: one for one in facts.consumed}
    total = sum(one.tokens for one in facts.consumed) or 1
    columns = [Column("Domain"), *(Column(t, "number") for t in ("Planned", "Share", "Consumed", "Share", "Documents"))]
    rows = []
    for domain, (tokens, _) in sorted(planned.items(), key=lambda item: -item[1][0]):
        got = read.get(domain, numbers.Consumed(domain, 0, 0))
        shares = (tokens / mixture.plan.tokens, got.tokens / total)
        planned_cell = [compact(tokens), f"{shares[0]:.1%}"]
        consumed_cell = [compact(got.tokens), f"{shares[1]:.1%}", count(got.documents)]
        rows.append([domain, *planned_cell, *consumed_cell, bar(("kept", shares[1]))])
    lead = f"{mixture.ref}: planned for its whole order, and what this run has consumed of it (padding left out)."
    shown = html_table([*columns, Column("", "wide")], rows, "Mixture")
    return section("mixture", SECTIONS["mixture"], lead, shown)


def _sources(facts: Facts) -> Html:
    by_host: dict[str, list[int]] = {}
    for one in facts.hosts:
        entry = by_host.setdefault(one.host or "(no host)", [0, 0])
        entry[0], entry[1] = entry[0] + one.documents, entry[1] + one.tokens
    total = sum(tokens for _, tokens in by_host.values()) or 1
    ranked = sorted(by_host.items(), key=lambda item: -item[1][1])
    columns = [Column("Host"), *(Column(t, "number") for t in ("Documents", "Tokens", "Share")), Column("", "wide")]
    rows = [
        [host, count(documents), compact(tokens), f"{tokens / total:.1%}", bar(("kept", tokens / ranked[0][1][1]))]
        for host, (documents, tokens) in ranked[: numbers.SHOWN_HOSTS]
    ]
    rest = ranked[numbers.SHOWN_HOSTS :]
    if rest:
        documents, tokens = sum(d for _, (d, _) in rest), sum(t for _, (_, t) in rest)
        rows.append([f"{len(rest):,} more hosts", count(documents), compact(tokens), f"{tokens / total:.1%}", ""])
    files = sorted({one.source for one in facts.hosts if one.source})
    listed = el("ul", *(el("li", el("span", file, cls="url")) for file in files[: numbers.SHOWN_HOSTS]), cls="plain")
    more = f"{len(files):,} crawl file{'s' if len(files) > 1 else ''}" + (
        " (the first of them)" if len(files) > numbers.SHOWN_HOSTS else ""
    )
    lead = "Tokens consumed, by the host that served the page."
    return section("sources", SECTIONS["sources"], lead, html_table(columns, rows, "Hosts"), el("h3", more), listed)


def _worst(facts: Facts) -> Html:
    lead = (
        "What stood furthest above the median of the steps before and after it, as the text that the model was given."
    )
    cases = [_case(bad, spans, facts) for bad, spans in facts.worst]
    return section("worst", SECTIONS["worst"], lead, *(cases or [el("p", "No step is on record yet.", cls="muted")]))


def _case(bad: Bad, spans: tuple[Span, ...], facts: Facts) -> Html:
    what = "one row of its batch" if bad.samples else f"{len(spans)} pieces of documents"
    head = el(
        "summary",
        el("b", f"Step {bad.step:,}"),
        el("span", f"loss {bad.loss:.3f}, beside it {bad.usual:.3f}"),
        el("span", what, cls="number"),
    )
    shown = [_piece(span, facts.texts.get(span, "")) for span in spans[:SHOWN_SPANS]]
    rest = [el("li", address(span.url), f" {span.length:,} tokens") for span in spans[SHOWN_SPANS:]]
    more = join(el("h4", f"{len(rest)} more pieces"), el("ul", *rest, cls="plain")) if rest else ""
    return el("details", head, el("div", *shown, more), open=bad is facts.worst[0][0])


def _piece(span: Span, text: str) -> Html:
    shown = text[:SHOWN_CHARS] + (" …" if len(text) > SHOWN_CHARS else "")
    where = f"{span.domain}, {span.lang or 'und'}, {span.length:,} tokens, document {span.doc_id}"
    title = el("p", span.title, cls="title") if span.title else ""
    body = el("p", shown or "(the text is not at hand)", cls="text", lang=language(span.lang), dir="auto")
    return el("div", title, el("p", address(span.url)), el("p", where, cls="value"), body, cls="case")


def checkpoints_section(seen: Curves) -> Html:
    """States that were saved, and starts of the run."""
    columns = [Column("Step"), *(Column(t, "number") for t in ("Tokens", "Size", "Held-out loss"))]
    rows = [
        [
            f"{one.step:,}",
            compact(one.tokens),
            size(one.bytes),
            "" if one.heldout_loss is None else f"{one.heldout_loss:.3f}",
        ]
        for one in seen.state.checkpoints
    ]
    attempts = [
        [f"{one.number}", f"{one.first_step:,}", f"{one.processes}", one.device, one.started[:19].replace("T", " ")]
        for one in seen.state.attempts
    ]
    names = [
        Column("Attempt"),
        Column("First step", "number"),
        Column("Processes", "number"),
        Column("On"),
        Column("Started"),
    ]
    lead = "Every state that was saved; the last and the best are still there."
    left_out = [batch for reading in seen.state.readings for batch in reading.skipped]
    skipped = el("p", f"Batches left out of the plan: {', '.join(map(str, left_out))}.") if left_out else ""
    saved = html_table(columns, rows, "Checkpoints") if rows else el("p", "None yet.", cls="muted")
    return section(
        "checkpoints",
        SECTIONS["checkpoints"],
        lead,
        saved,
        el("h3", "Attempts"),
        html_table(names, attempts, "Attempts"),
        skipped,
    )


def _again(name: str) -> Html:
    queries = (
        f"FROM batch_documents('{name}', 1)",
        f"FROM run_sources('{name}')",
        f"SELECT step, value FROM metrics WHERE run = '{name}' AND name = 'heldout/all/loss' ORDER BY step",
    )
    asks = (el("pre", f'just sql "{query}"') for query in queries)
    lead = "Every number on this page is a query over the catalog."
    return section("again", SECTIONS["again"], lead, el("pre", f"just trace run {name}"), *asks)
