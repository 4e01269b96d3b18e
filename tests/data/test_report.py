"""The report and the funnel: numbers that agree with the ledger, a page that nothing can break out of."""

import io
import json
import math
import re
from bisect import bisect_right
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from catalog.html import address, clean, compact, el, measured
from data.decide import STAGES, DedupConfig, decide, decider
from data.edits import EditRule, find_edits
from data.intake import SCHEMA, text_key
from data.ledger import StageCounts, stage_counts
from data.report.examples import duplicate_groups, edit_examples, failures, nearest_dropped, nearest_kept, pages
from data.report.funnel import funnel_rows, percent, print_funnel
from data.report.histograms import axis, histograms
from data.report.numbers import edit_counts, losses, splits, totals
from data.report.page import ReportInput, SourceLine, write_report
from data.rule_sets import BOILERPLATE_LINES, CHINESE, ENGLISH, FORM, LANGUAGES
from data.rules import Rule
from data.shards import EDITS
from data.signals.measures import measure
from data.text.langid import identify

SOURCE = "ab" * 32
RULES = (
    Rule(name="min_words", measure="n_words", op="<", threshold=20, languages=("en",), source="Gopher"),
    Rule(name="zh_min_chars", measure="n_chars", op="<", threshold=10, languages=("zh",)),
    Rule(name="max_words", measure="n_words", op=">", threshold=100_000),
    Rule(name="off", measure="n_words", op=">", threshold=0, enabled=False),
)
EDIT_RULES = (
    EditRule(name="mail", pattern=r"\S+@\S+", scope="span", replacement="<mail>"),
    EditRule(name="never", pattern="ZZZ"),
)
CRAWL = SourceLine(uri="crawl/<a>.warc.gz", kind="warc", size_bytes=12_345_678, records=70, skipped={"request": 9})
HOSTILE = "</title><script>alert(1)</script><img src=x onerror=alert(2)>"
HOSTILE_URL = 'javascript:alert(3)//"onmouseover="alert(4)'


def row(ordinal: int, text: str, lang: str = "en", **more) -> dict:
    url = more.pop("url", f"https://h{ordinal % 3}.example/{ordinal}")
    host = more.pop("host", f"h{ordinal % 3}.example")
    empty = {"intake": "x@1", "record_offset": 0, "record_type": "response", "http_status": 200, "fetched_at": None}
    empty |= {"media_type": "text/html", "charset": "utf-8", "title": f"Page {ordinal}", "lang_score": 0.9, "langs": []}
    empty |= {"links": [], "refers_to": "", "failure": "", "detail": "", "steps": [], "domain": "web"}
    address = {"doc_id": f"{SOURCE[:12]}:{ordinal}", "source_id": SOURCE, "ordinal": ordinal}
    own = {"url": url, "url_key": url, "host": host, "lang": lang, "text": text, "text_key": text_key(text)}
    return empty | address | own | more


def toy_rows() -> list[dict]:
    rows = [row(n, f"number {n} " + "word " * n) for n in range(40)]
    rows += [row(40 + n, "汉" * (n + 1) + f"{n}", "zh") for n in range(20)]
    rows += [row(60 + n, "the same text " * 20) for n in range(6)]
    rows += [row(66, "", failure="too_deep", detail="2,341 levels", lang="und"), row(67, "", failure="<b>", lang="und")]
    hostile = f"{HOSTILE}\u202egnp.exe\x07 {'some words of a page ' * 10} 😀 write to 漢 a@b.example now"
    rows += [row(68, hostile, url=HOSTILE_URL, host=HOSTILE, title=HOSTILE, domain=HOSTILE)]
    rows += [row(69, "long address " * 20, url=f"https://long.example/{'x' * 900}")]
    return rows


def intake_file(path: Path, rows: list[dict]) -> Path:
    columns = {
        name: values.tolist()
        for name, values in measure(*zip(*((r["text"], r["lang"]) for r in rows), strict=True)).items()
    }
    columns = {field.name: columns.get(field.name) or [r[field.name] for r in rows] for field in SCHEMA}
    pq.write_table(pa.table(columns, schema=SCHEMA), path, row_group_size=16)
    return path


def edits_file(path: Path, rows: list[dict], kept: set[str], rules: tuple[EditRule, ...]) -> Path:
    found = [
        {"corpus": "toy", "version": "1", "doc_id": r["doc_id"]} | edit._asdict()
        for r in rows if r["doc_id"] in kept
        for edit in find_edits(r["text"], r["lang"], r["domain"], rules)
    ]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(found, schema=EDITS), path)
    return path


class Build:
    """A decided intake with its report."""

    def __init__(self, folder: Path, rows: list[dict], rules: tuple[Rule, ...], edit_rules: tuple[EditRule, ...] = ()):
        self.folder, self.rows, self.rules, self.edit_rules = folder, rows, rules, edit_rules
        self.part = intake_file(folder / "part.parquet", rows)

    def run(self, threads: int = 1) -> str:
        with decider([self.part], threads, 1.0, self.folder / "spill") as con:
            decide(con, self.rules, DedupConfig())
            return self.report(con)

    def report(self, con: duckdb.DuckDBPyConnection) -> str:
        kept = {doc_id for (doc_id,) in con.execute("SELECT doc_id FROM ledger WHERE verdict = 'kept'").fetchall()}
        edits = edits_file(self.folder / "edits.parquet", self.rows, kept, self.edit_rules)
        report = ReportInput(
            corpus="toy",
            version="1",
            created="2026-01-02T03:04:05+00:00",
            command="just build-corpus toy input='crawl/*.warc.gz'",
            fingerprint="0123456789abcdef",
            sources=(CRAWL,),
            stages=tuple(stage_counts(con, STAGES, len(self.rows))),
            rules=self.rules,
            edit_rules=self.edit_rules,
            edits=str(edits),
        )
        write_report(self.folder / "report.html", con, report)
        return (self.folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Build:
    return Build(tmp_path_factory.mktemp("toy"), toy_rows(), RULES, EDIT_RULES)


@pytest.fixture(scope="module")
def page(toy) -> str:
    return toy.run()


@pytest.fixture
def con(toy, tmp_path):
    with decider([toy.part], 1, 1.0, tmp_path / "spill") as con:
        decide(con, RULES, DedupConfig())
        yield con


def counts(con) -> list[StageCounts]:
    (rows,) = con.execute("SELECT count(*) FROM ledger").fetchone()
    return stage_counts(con, STAGES, rows)


class Page(HTMLParser):
    """Every element with its attributes, every text; raises where elements do not nest."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


# the funnel


def test_the_funnel_is_in_the_order_of_the_pipeline_and_adds_up(con):
    rows = funnel_rows(con, counts(con), RULES)
    assert [(r.stage, r.reason, r.verdict, r.records) for r in rows] == [
        ("read", "", "read", 70),
        ("read", "<b>", "failed", 1),
        ("read", "too_deep", "failed", 1),
        ("rules", "min_words", "dropped", 18),
        ("rules", "zh_min_chars", "dropped", 8),
        ("rules", "max_words", "dropped", 0),
        ("dedup_url", "", "dropped", 0),
        ("dedup_text", "same_text", "dropped", 5),
        ("dedup_near", "", "dropped", 0),
        ("edits", "", "dropped", 0),
        ("kept", "", "kept", 37),
    ]
    assert [r.left for r in rows] == [70, 69, 68, 50, 42, 42, 42, 37, 37, 37, 37]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                ("read", "failed", "a"),
                ("rules", "dropped", "min_words"),
                ("rules", "dropped", "other"),
                ("dedup_text", "dropped", "same_text"),
                ("write", "kept", ""),
            ]
        ),
        max_size=60,
    )
)
def test_what_is_left_steps_down_by_what_each_row_takes(fates):
    con = duckdb.connect()
    columns = {"doc_id": [str(n) for n in range(len(fates))]}
    columns |= {name: [fate[at] for fate in fates] for at, name in enumerate(("stage", "verdict", "reason"))}
    ledger = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    con.register("ledger", ledger)
    rows = funnel_rows(con, counts(con), RULES)
    assert (rows[0].records, rows[-1].records) == (len(fates), sum(fate[1] == "kept" for fate in fates))
    for above, here in pairwise(rows[:-1]):
        assert here.left == above.left - here.records
    assert rows[-2].left == rows[-1].records


def test_the_printed_funnel_is_plain_where_it_is_no_terminal(con):
    out = io.StringIO()
    print_funnel(funnel_rows(con, counts(con), RULES), Console(file=out, width=80))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert "\x1b" not in out.getvalue()
    assert ["rules", "min_words", "18", "25.7", "%", "50"] in lines
    assert ["kept", "(documents)", "37", "52.9", "%", "37"] in lines
    assert lines[-1] == ["1", "more", "rule", "dropped", "nothing."]
    assert not any("max_words" in line for line in lines)


def test_the_printed_funnel_is_ascii_where_the_encoding_is(con):
    con.execute("UPDATE ledger SET reason = '太短[red]' WHERE reason = 'same_text'")
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_funnel(funnel_rows(con, counts(con), RULES), Console(file=stream, width=80))
    stream.flush()
    assert r"\u592a\u77ed[red]" in raw.getvalue().decode("ascii")


def test_a_share_that_would_round_away_is_still_seen():
    assert [percent(share) for share in (0, 0.0001, 0.5, 0.99999, 1)] == [
        "0.0 %",
        "<0.1 %",
        "50.0 %",
        "99.9 %",
        "100.0 %",
    ]


# numbers


def test_totals_and_splits_agree_with_the_ledger(con):
    found = totals(con)
    assert found[:5] == (70, 37, 31, 5, 2)
    assert found.kept_chars == con.execute("SELECT sum(n_chars) FROM ledger WHERE verdict = 'kept'").fetchone()[0]
    by_lang = {split.name: (split.records, split.kept, split.dropped, split.failed) for split in splits(con, "lang")}
    assert by_lang == {"en": (48, 25, 23, 0), "zh": (20, 12, 8, 0), "und": (2, 0, 0, 2)}
    hosts = splits(con, "host", top=2)
    assert [(split.name, split.values) for split in hosts] == [("h0.example", 1), ("h1.example", 1), ("", 2)]
    assert sum(split.records for split in hosts) == 70


def test_losses_name_the_reasons_of_each_language(con):
    found = {loss.lang: loss for loss in losses(con)}
    assert found["en"].reasons == [("min_words", 18), ("same_text", 5)]
    assert found["zh"].reasons == [("zh_min_chars", 8)]
    assert found["und"].reasons == [("<b>", 1), ("too_deep", 1)]


def test_examples_are_the_nearest_to_the_threshold_on_either_side(con):
    dropped, kept = nearest_dropped(con), nearest_kept(con, RULES)
    assert [example.value for example in dropped["min_words"]] == [19, 18, 17, 16, 15]
    assert [example.value for example in kept["min_words"]] == [20, 21, 22, 23, 24]
    assert [example.value for example in kept["zh_min_chars"]] == [10, 11, 13, 14, 15]
    assert "off" not in kept
    shown = pages(con, [example.doc_id for example in kept["zh_min_chars"]])
    assert {found.lang for found in shown.values()} == {"zh"}  # others are not looked at by that rule


def test_text_is_read_for_the_examples_alone(toy, tmp_path, page):
    shown = sorted(set(re.findall(rf"<code>{SOURCE[:12]}:(\d+)</code>", page)))
    assert 20 < len(shown) < len(toy.rows)
    with decider([toy.part], 2, 1.0, tmp_path / "spill") as con:
        decide(con, RULES, DedupConfig())
        con.execute(
            "CREATE OR REPLACE VIEW intake AS SELECT * REPLACE (CASE WHEN ordinal IN "
            f"({', '.join(shown)}) THEN text ELSE error('text was read of ' || ordinal) END AS text) "
            f"FROM read_parquet('{toy.part}')"
        )
        assert toy.report(con) == page


def test_duplicate_groups_name_the_one_that_is_kept(con):
    (group,) = duplicate_groups(con)
    assert (group.stage, group.keeper, group.dropped) == ("dedup_text", f"{SOURCE[:12]}:60", 5)
    assert group.members == [f"{SOURCE[:12]}:{n}" for n in (61, 62, 63, 64)]


def test_failures_come_with_their_detail(con):
    assert [(f.reason, f.records, f.examples[0].evidence) for f in failures(con)] == [
        ("<b>", 1, ""),
        ("too_deep", 1, "2,341 levels"),
    ]


def test_edits_are_shown_in_their_context(con, toy, page):
    parts = str(toy.folder / "edits.parquet")
    (counted,) = edit_counts(con, parts)
    assert counted == ("mail", 1, 1, len("a@b.example"), len("<mail>"))
    (example,) = edit_examples(con, parts)
    assert example.before.endswith("😀 write to 漢 ")
    assert (example.removed, example.replacement, example.after) == ("a@b.example", "<mail>", " now")
    assert "<del>a@b.example</del><ins>&lt;mail&gt;</ins> now" in page
    assert "Changed nothing: never" in page


# histograms


def test_bins_hold_what_they_say(con):
    found = {histogram.measure: histogram for histogram in histograms(con, RULES)}
    assert list(found) == ["n_chars", "n_words", "lang_score"]
    words = found["n_words"]
    rows = con.execute(
        "SELECT intake.n_words, verdict, reason FROM intake JOIN ledger USING (doc_id) WHERE verdict <> 'failed'"
    ).fetchall()
    expected = {"kept": Counter(), "cut": Counter(), "dropped": Counter()}
    for value, verdict, reason in rows:
        cls = "kept" if verdict == "kept" else "cut" if reason == "min_words" else "dropped"
        expected[cls][min(bisect_right(words.edges, value) - 1, len(words.edges) - 2)] += 1
    for cls, bins in (("kept", words.kept), ("cut", words.cut), ("dropped", words.dropped)):
        assert {at: records for at, records in enumerate(bins) if records} == dict(expected[cls])
    assert sum(words.cut) == 18
    assert [mark.rule for mark in words.marks] == ["min_words", "max_words"]


def coarse(values: list[float]) -> dict[int, int]:
    """The first pass, as SQL makes it: eighths of octaves."""
    return Counter(
        0 if value == 0 else int(math.copysign(math.floor(8 * math.log2(abs(value))) + 10_000, value))
        for value in values
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e9, allow_nan=False) | st.integers(0, 10_000).map(float), min_size=1, max_size=30),
    st.lists(st.floats(0, 1e5), max_size=3),
    st.booleans(),
)
def test_an_axis_rises_and_has_a_bearable_number_of_bins(values, thresholds, whole):
    values = [float(round(value)) for value in values] if whole else values
    edges = axis(coarse(values), min(values), max(values), whole, thresholds).edges
    assert all(left < right for left, right in pairwise(edges))
    assert 2 <= len(edges) <= 160


def test_thresholds_are_edges_of_a_linear_axis():
    edges = axis(coarse([n / 100 for n in range(101)]), 0.0, 1.0, False, [0.3]).edges
    assert 0.3 in edges
    assert (edges[0], edges[-1] > 1.0) == (0.0, True)


def test_a_far_outlier_does_not_crush_the_rest():
    found = axis(coarse([4 + n / 1000 for n in range(2000)] + [5000.0]), 4.0, 5000.0, False, [3, 10])
    assert found.edges[-1] < 20


# the page


def test_nothing_of_a_hostile_page_gets_out_of_its_text(page):
    parsed = Page(page)
    assert {tag for tag, _ in parsed.tags}.isdisjoint({"script", "img", "iframe", "object", "link", "base", "form"})
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")]
        href = attributes.get("href", "#")
        assert href.startswith(("#", "https://h", "https://long.example/"))
    assert any(HOSTILE in text for text in parsed.texts)  # shown, as text
    assert any(HOSTILE_URL in text for text in parsed.texts)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x09\x0b-\x1f\x7f-\x9f]", page)


def test_the_page_loads_nothing(page):
    policies = [a["content"] for tag, a in Page(page).tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0].startswith("default-src 'none'; style-src 'unsafe-inline'")
    style = page[page.index("<style>") : page.index("</style>")]
    assert not re.search(r"url\(|@import|@font-face", style)


def test_every_link_on_the_page_leads_somewhere(page):
    tags = Page(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = {attributes["href"][1:] for _, attributes in tags if attributes.get("href", "").startswith("#")}
    assert wanted <= set(ids)
    assert {"funnel", "signals", "rules", "duplicates", "failures", "edits", "sources", "rule-0"} <= wanted


def test_the_same_build_gives_the_same_page(toy, page):
    assert toy.run(threads=2) == page


def test_the_headline_and_the_sources_are_on_the_page(page):
    text = " ".join(Page(page).texts)
    for words in (
        "37",
        "52.9 % of records",
        "crawl/<a>.warc.gz",
        "12.3 MB",
        "request 9",
        "just build-corpus toy input=",
    ):
        assert words in text
    assert "2026-01-02T03:04:05+00:00" in text


def test_a_build_of_nothing_has_a_report_too(tmp_path):
    empty = Build(tmp_path, [row(0, "")], (), ())
    pq.write_table(pq.read_table(empty.part).slice(0, 0), empty.part)
    empty.rows = []
    assert "This corpus has no rules." in empty.run()


def test_values_that_are_no_numbers_do_not_break_it(tmp_path):
    odd = "CASE ordinal % 3 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 'inf'::DOUBLE ELSE n_chars END"
    rules = (Rule(name="odd", measure=odd, op=">", threshold=1e300),)
    page = Build(tmp_path, [row(n, "text " * n) for n in range(60)], rules).run()
    (label,) = (a["aria-label"] for tag, a in Page(page).tags if tag == "svg" and "ordinal" in a["aria-label"])
    assert label.endswith(": 20 kept, 0 dropped")  # the finite third


def test_clean_keeps_scripts_and_shows_what_is_hidden():
    assert clean("a\u202eb\x00\n c\u200dd 汉 مرحبا\u00ad\U000e0041") == "a�b� c\u200dd 汉 مرحبا�"
    assert el("p", "<&\"'>", cls="a b", hidden=True) == '<p class="a b" hidden>&lt;&amp;&quot;&#x27;&gt;</p>'
    assert "href" not in address("data:text/html,x")
    assert 'href="HTTP://x.example/&quot;"' in address('HTTP://x.example/"')


def test_numbers_are_as_people_read_them():
    assert [compact(n) for n in (999, 9_999, 12_345, 123_456, 1_234_567, 7.89e9)] == [
        "999", "9,999", "12.3 k", "123 k", "1.23 M", "7.89 G",
    ]  # fmt: skip
    assert [measured(n) for n in (None, 50.0, 100_000, 0.123456)] == ["–", "50", "100,000", "0.1235"]


def test_real_text_under_the_published_rules(shared_data, tmp_path):
    rows = []
    for lang, name in (("en", "web-c4"), ("zh", "web-commoncrawl-2021-43"), ("zh", "news-headlines")):
        with (shared_data / "text" / lang / f"{name}.jsonl").open(encoding="utf-8") as lines:
            texts = [json.loads(line)["text"] for _, line in zip(range(60), lines, strict=False)]
        for text, langs in zip(texts, identify(texts), strict=True):
            rows.append(row(len(rows), text, langs[0][0], lang_score=langs[0][1], charset="utf-8"))
    build = Build(tmp_path, rows, (*FORM, *LANGUAGES, *ENGLISH, *CHINESE), BOILERPLATE_LINES)
    found = Page(build.run())
    charts = [attributes["aria-label"] for tag, attributes in found.tags if tag == "svg"]
    assert len(charts) > 20
    kept = {re.search(r": (\d+) kept", label).group(1) for label in charts}
    assert len(kept) == 1  # every histogram holds every record
    assert any("汉" <= char <= "龥" for text in found.texts for char in text)
