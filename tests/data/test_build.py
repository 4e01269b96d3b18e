"""A small crawl becomes a corpus: every record has its fate, the catalog knows it, the shards hold what was kept."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys import Crawl, chinese, dead_pid, english, page, write_crawl

from catalog.config import set_fields
from catalog.errors import BadInput, Conflict, Damaged, NotFound, Unbalanced
from catalog.home import Home
from catalog.records import load_record
from catalog.store import Catalog
from configs.corpora import web
from configs.trace import main as trace
from data.again import read_again
from data.build import build
from data.corpus import CorpusConfig
from data.edits import EditRule
from data.ledger import StageCounts
from data.read import ReadConfig
from data.rule_sets import FORM

SHORT = (
    "These few words say nothing twice but end far too soon for anybody who wanted a whole story: one mill, some "
    "water, no grain, little hope; come back when more is written here."
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, CorpusConfig]:
    """One of each: kept, short, wrong language, dropped form, duplicates, failures."""
    root = tmp_path_factory.mktemp("built")
    crawl = Crawl(root / "crawl" / "one.warc.gz")
    crawl.response("https://example.org/page", page(english(1) + "<p>This site uses cookies to please you.</p>"))
    crawl.response("https://example.org/page?utm_source=x", page(english(2)), date="2025-01-01T00:00:00Z")
    crawl.response("https://example.org/twin", page(english(1) + "<p>This site uses cookies to please you.</p>"))
    crawl.response("https://example.org/short", page(f"<p>{SHORT}</p>"))
    crawl.response("https://zh.example.org/1", page(chinese(1)))
    crawl.response("https://example.org/gone", page(english(3)), status="404 Not Found")
    crawl.response("https://example.org/logo.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), kind="image/png")
    crawl.response("https://example.org/empty", page(""))
    crawl.revisit("https://example.org/again")
    deep = b"<html><body>" + b"<div>" * 50_000 + english(4).encode() + b"</body></html>"
    crawl.response("https://example.org/deep", deep)
    crawl.close()
    home, config = Home(root / "lake"), web().variant(input=(str(root / "crawl" / "*.warc.gz"),))
    build(config, home)
    return home, config


def fates(home: Home) -> dict[str, tuple]:
    with Catalog.open(home) as catalog:
        rows = catalog.sql(
            "SELECT url, verdict, reason, value, threshold, other_doc_id FROM decisions JOIN documents USING (doc_id)"
        )
        return {row[0]: row[1:] for row in rows.fetchall()}


def test_every_record_has_its_fate_with_reason_value_and_threshold(built):
    home, _ = built
    found = fates(home)
    said = {url.removeprefix("https://"): fate[:2] for url, fate in found.items()}
    assert said == {
        "example.org/page": ("kept", ""),
        "example.org/page?utm_source=x": ("dropped", "same_url"),
        "example.org/twin": ("dropped", "same_text"),
        "example.org/short": ("dropped", "min_words"),
        "zh.example.org/1": ("kept", ""),
        "example.org/gone": ("dropped", "http_status"),
        "example.org/logo.png": ("dropped", "media_type"),
        "example.org/empty": ("dropped", "no_text"),
        "example.org/again": ("dropped", "revisit"),
        "example.org/deep": ("failed", "depth"),
    }
    assert found["https://example.org/gone"][2:4] == (404, 0)
    assert found["https://example.org/short"][2:4] == (33, 50)


def test_a_duplicate_names_the_one_that_was_kept(built):
    home, _ = built
    with Catalog.open(home) as catalog:
        rows = catalog.sql(
            "SELECT d.url, o.url FROM decisions JOIN documents d USING (doc_id) "
            "JOIN documents o ON o.doc_id = other_doc_id"
        ).fetchall()
    kept = "https://example.org/page"
    assert sorted(rows) == [("https://example.org/page?utm_source=x", kept), ("https://example.org/twin", kept)]


def test_other_record_types_are_counted_by_source(built):
    home, _ = built
    with Catalog.open(home) as catalog:
        ((records, skipped),) = catalog.sql("SELECT records, skipped_records::VARCHAR FROM sources").fetchall()
    assert records == 11
    assert "1" in skipped


def test_the_funnel_adds_up_at_every_stage(built):
    home, _ = built
    with Catalog.open(home) as catalog:
        stages = catalog.sql("SELECT stage, docs_in, docs_kept, docs_dropped, docs_failed FROM stages").fetchall()
    by = {stage: counts for stage, *counts in stages}
    assert list(by) == ["read", "rules", "dedup_url", "dedup_text", "dedup_near", "edits", "write"]
    assert by["read"] == [10, 9, 0, 1]
    assert by["write"] == [2, 2, 0, 0]
    assert all(a[1] == b[0] for a, b in zip(by.values(), list(by.values())[1:], strict=False))


def test_a_shard_is_the_text_as_read_plus_its_edits(built):
    home, _ = built
    folder = home.artifact("corpora", "web", "1")
    texts = {row["url"]: row["text"] for row in pq.read_table(folder / "shards").to_pylist()}
    with Catalog.open(home) as catalog:
        ((rule, start, length, text),) = catalog.sql(
            "SELECT rule, start, length, text FROM edits JOIN documents USING (doc_id)"
        ).fetchall()
    assert rule == "policy_line"
    assert "uses cookies" in text[start : start + length]
    assert texts["https://example.org/page"] == text[:start] + text[start + length :]


def test_why_answers_by_url_in_any_form(built):
    home, _ = built
    with Catalog.open(home) as catalog:
        rows = catalog.sql("FROM why('http://example.org/page/#top')").fetchall()
    assert len(rows) == 2


def test_the_record_says_what_it_was_made_from_and_hashes_every_file(built):
    home, _ = built
    folder = home.artifact("corpora", "web", "1")
    record = load_record(folder / "record.json")
    assert [ref.partition("/")[0] for ref in record.inputs] == ["intake"]
    assert {entry.path.partition("/")[0] for entry in record.files} == {
        "shards",
        "ledger",
        "edits",
        "documents",
        "report.html",
    }
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]


def test_the_same_build_again_is_found_and_a_changed_one_is_the_next_version(built):
    home, config = built
    left = home.artifact("corpora", config.name, "1") / "shards" / f".part.parquet.{dead_pid()}.partial"
    left.touch()  # as by a build that was killed behind its record
    again = build(config, home)
    assert (again.fresh, again.record.version, left.exists()) == (False, "1", False)
    stricter = config.variant(
        rules=tuple(rule.variant(threshold=1000) if rule.name == "min_words" else rule for rule in config.rules)
    )
    second = build(stricter, home)
    assert (second.fresh, second.record.version, second.record.counts["documents"]) == (True, "2", 1)
    with pytest.raises(Conflict, match=r"threshold was 50.*now 1000"):
        build(stricter.variant(version="1"), home)


def test_shards_load_as_a_dataset(built):
    home, _ = built
    from datasets import load_dataset

    folder = home.artifact("corpora", "web", "1") / "shards"
    loaded = load_dataset("parquet", data_files=f"{folder}/*.parquet", cache_dir=str(home.root / "hf"), split="train")
    assert sorted(loaded["url"]) == ["https://example.org/page", "https://zh.example.org/1"]


@pytest.mark.parametrize(
    ("source", "error"), [("nowhere.warc.gz", NotFound), ("crawl/*.none", NotFound), ("", BadInput)]
)
def test_input_that_is_not_there_is_one_clear_error(home: Home, tmp_path: Path, source: str, error: type):
    given = (str(tmp_path / source),) if source else ()
    with pytest.raises(error):
        build(web().variant(input=given), home)
    assert not (home.root / "corpora").exists() or not list((home.root / "corpora").rglob("record.json"))


def test_a_row_with_empty_text_has_no_text(home: Home, tmp_path: Path):
    """A text that is empty is no image: the rule on media types says nothing of it."""
    (tmp_path / "rows.jsonl").write_text('{"text": "", "url": "http://a.example/"}\n{"text": "words"}\n')
    config = CorpusConfig(name="empty", input=(str(tmp_path / "rows.jsonl"),), rules=FORM)
    build(config, home)
    assert fates(home)["http://a.example/"][:2] == ("dropped", "no_text")


@pytest.mark.parametrize(
    "field",
    ["extractor=foo", "span_mb=-1", "shard_mb=0", "memory_gb=0", "record_timeout_s=0", "workers=-1", "nodes=0"],
)
def test_values_that_cannot_be_are_refused(field: str):
    with pytest.raises(BadInput, match=f"{field.partition('=')[0]}.*does not fit"):
        set_fields(web(), [field])


@pytest.mark.parametrize("root", ["/proc", "file"])
def test_a_home_that_cannot_be_written_is_named(tmp_path: Path, root: str):
    (tmp_path / "file").write_text("no folder")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "words"}\n')
    home = Home(tmp_path / root)
    with pytest.raises(BadInput, match=f"cannot write to the home {home.root}"):
        build(CorpusConfig(name="t", input=(str(rows),)), home)


def test_a_corpus_of_nothing_is_told_of(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    config = CorpusConfig(name="none", input=(str(tmp_path / "rows.jsonl"),), read=ReadConfig(text_field="nope"))
    build(config, home)
    assert "WARNING: none@1 keeps NO document: 2 no_text (failed)." in " ".join(capsys.readouterr().err.split())


@pytest.fixture
def toy(home: Home, tmp_path: Path) -> CorpusConfig:
    """A corpus that was built once: its intake is there."""
    rows = "".join(json.dumps({"text": f"{number} " + english(number)}) + "\n" for number in range(30))
    (tmp_path / "rows.jsonl").write_text(rows)
    config = CorpusConfig(name="toy", input=(str(tmp_path / "rows.jsonl"),))
    build(config, home)
    return config


@pytest.mark.parametrize("harm", ["delete", "cut"])
def test_an_intake_that_lost_a_part_is_read_again(toy: CorpusConfig, home: Home, harm: str):
    [part] = (home.root / "intake").glob("*/*/part-*.parquet")
    whole = part.read_bytes()
    part.unlink() if harm == "delete" else part.write_bytes(whole[:-100])
    assert build(toy.variant(name="again"), home).record.counts["documents"] == 30
    assert part.read_bytes() == whole


def test_an_intake_with_other_bytes_is_named_with_what_to_do(toy: CorpusConfig, home: Home):
    [part] = (home.root / "intake").glob("*/*/part-*.parquet")
    column = pq.read_metadata(part).row_group(0).column(pq.read_schema(part).get_field_index("text_key"))
    body = bytearray(part.read_bytes())
    body[column.data_page_offset : column.data_page_offset + 4] = b"\xff\xff\xff\xff"
    part.write_bytes(body)
    with pytest.raises(Damaged, match=f"{part.parent}.*just verify.*Delete that folder"):
        build(toy.variant(name="again"), home)
    assert not home.artifact("corpora", "again", "1").joinpath("record.json").exists()
    shutil.rmtree(part.parent)
    assert build(toy.variant(name="again"), home).record.counts["documents"] == 30


def test_a_document_that_edits_would_empty_is_dropped_with_a_reason(home: Home, tmp_path: Path):
    path = tmp_path / "one.jsonl"
    path.write_text("".join(json.dumps({"text": text, "url": f"http://x/{text}"}) + "\n" for text in ("gone", "stays")))
    rule = EditRule(name="all", pattern="gone", except_domains=())
    build(CorpusConfig(name="tiny", input=(str(path),), edits=(rule,)), home)
    assert {url: fate[:2] for url, fate in fates(home).items()} == {
        "http://x/gone": ("dropped", "nothing_left"),
        "http://x/stays": ("kept", ""),
    }


def test_a_stage_that_does_not_add_up_is_refused():
    with pytest.raises(Unbalanced, match="stage rules: 10 in"):
        StageCounts(stage="rules", docs_in=10, docs_kept=8, docs_dropped=1, docs_failed=0).check()


def test_a_ledger_that_lost_a_row_publishes_nothing(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import data.build

    write_crawl(tmp_path / "a.warc.gz", 0, 3)
    honest = data.build.decide

    def losing(con, *asked):
        honest(con, *asked)
        con.execute("DELETE FROM ledger WHERE ordinal = (SELECT max(ordinal) FROM ledger)")

    monkeypatch.setattr(data.build, "decide", losing)
    with pytest.raises(Unbalanced, match="3 records were read, the ledger has 2"):
        build(web().variant(input=(str(tmp_path / "a.warc.gz"),)), home)
    assert not list(home.root.glob("corpora/*/*/record.json"))


def test_shards_are_cut_at_their_size(home: Home, tmp_path: Path):
    write_crawl(tmp_path / "a.warc.gz", 0, 60)
    config = web().variant(input=(str(tmp_path / "a.warc.gz"),))
    record = build(config.variant(shards=config.shards.variant(shard_mb=0.005)), home).record
    sizes = [entry.rows for entry in record.files if entry.path.startswith("shards/")]
    assert len(sizes) > 5
    assert sum(size or 0 for size in sizes) == record.counts["documents"]
    schema = pq.read_schema(home.artifact("corpora", "web", "1") / "shards" / "part-00000.parquet")
    assert schema.field("text").type == pa.string()


@pytest.mark.parametrize("before", [True, False])
def test_a_trace_reads_the_record_again_wherever_the_home_is_said(built, capsys, before: bool):
    home, _ = built
    at, doc_id = f"--home={home.root}", _some_document(home)
    assert trace([at, doc_id] if before else [doc_id, "--home", str(home.root)]) == 0
    assert "the same text and fields as on record" in capsys.readouterr().out


def _some_document(home: Home) -> str:
    with Catalog.open(home) as catalog:
        return catalog.sql("SELECT min(doc_id) FROM documents").fetchall()[0][0]


def test_every_record_is_read_again_where_it_lies(built):
    home, _ = built
    with Catalog.open(home) as catalog:
        rows = catalog.sql("SELECT doc_id, url, record_offset FROM documents ORDER BY ordinal").fetchall()
    assert len(rows) == 10
    for doc_id, url, offset in rows:
        again = read_again(home, doc_id)
        assert (again.url, again.offset, again.differs) == (url, offset, ())
    with pytest.raises(NotFound, match="no document 0123456789ab:4"):
        read_again(home, "0123456789ab:4")


def test_a_record_that_has_changed_is_told(tmp_path):
    """The source is a file of text of the same size: its bytes are not what was read."""
    source = tmp_path / "story.jsonl"
    lines = [json.dumps({"text": english(seed), "url": f"https://example.org/{seed}"}) for seed in range(3)]
    source.write_text("\n".join(lines))
    home = Home(tmp_path / "lake")
    build(web().variant(input=(str(source),)), home)
    with Catalog.open(home) as catalog:
        ids = [row[0] for row in catalog.sql("SELECT doc_id FROM documents ORDER BY ordinal").fetchall()]
    assert [read_again(home, doc_id).differs for doc_id in ids] == [()] * 3
    source.write_text("\n".join(lines).replace("https://example.org/2", "https://example.com/2"))
    assert [read_again(home, doc_id).differs for doc_id in ids] == [(), (), ("url",)]
    source.unlink()
    with pytest.raises(NotFound, match="must stay where it is"):
        read_again(home, ids[0])
