"""Near-duplicates in a build: the ledger names the kept one with evidence; earlier corpora are left alone."""

import json
import random
from pathlib import Path

import pytest
from near_toys import corpus, edited, prose

from catalog.errors import BadInput, NotFound
from catalog.home import Home
from catalog.store import Catalog
from data.build import build
from data.corpus import CorpusConfig
from data.dedup.config import DedupConfig, NearConfig
from data.run.executors import Execution

LONG = f"{prose(1, 200)} and a few more words"


def fates(home: Home, version: str) -> dict[str, dict]:
    """By the last part of the URL, what the ledger says, with the kept one by its URL."""
    with Catalog.open(home) as catalog:
        rows = catalog.sql(
            "SELECT split_part(d.url, '/', 5) AS page, stage, verdict, reason, value, threshold, evidence, "
            "split_part(o.url, '/', 5) AS other FROM decisions JOIN documents d USING (doc_id) "
            f"LEFT JOIN documents o ON o.doc_id = other_doc_id WHERE version = '{version}'"
        ).fetchall()
    names = ("stage", "verdict", "reason", "value", "threshold", "evidence", "other")
    return {page: dict(zip(names, rest, strict=True)) for page, *rest in rows}


def test_a_near_duplicate_is_dropped_with_its_proof(home: Home, tmp_path: Path):
    texts = {"long": LONG, "short": prose(1, 200), "copy": edited(LONG, 0.01), "other": prose(2), "same": LONG.upper()}
    built = corpus(tmp_path, "a", texts, home)
    found = fates(home, "1")
    assert {page: (fate["stage"], fate["reason"], fate["other"]) for page, fate in found.items()} == {
        "long": ("write", "", None),
        "other": ("write", "", None),
        "same": ("dedup_text", "same_text", "long"),
        "short": ("dedup_near", "near_duplicate", "long"),
        "copy": ("dedup_near", "near_duplicate", "long"),
    }
    evidence = json.loads(found["short"]["evidence"])
    assert (found["short"]["threshold"], evidence["cluster"], evidence["containment"]) == (0.8, 3, 1.0)
    assert found["short"]["value"] == pytest.approx(196 / 201, abs=0.001)
    assert evidence["jaccard"] == pytest.approx(found["short"]["value"], abs=0.0001)
    stages = {stage["stage"]: stage for stage in built.record.counts["stages"]}
    assert (stages["dedup_near"]["docs_in"], stages["dedup_near"]["docs_dropped"]) == (4, 2)
    assert built.record.counts["near"] == {"pairs": 2, "cut_buckets": 0, "removed": 2}


@pytest.mark.slow
def test_every_decision_on_the_reference_articles_is_right(shared_data: Path, home: Home):
    """The whole build: of 1,000 articles with 10 true pairs, 990 stay, and 10 name the one of their pair that stays."""
    folder = shared_data / "neardup"
    build(CorpusConfig(name="toy", input=(str(folder / "news-articles.jsonl"),)), home)
    pairs = [json.loads(line) for line in (folder / "duplicate-pairs.jsonl").read_text().splitlines()]
    ids = [json.loads(line)["id"] for line in (folder / "news-articles.jsonl").read_text().splitlines()]
    with Catalog.open(home) as catalog:
        rows = catalog.sql("SELECT doc_id, verdict, reason, other_doc_id FROM decisions").fetchall()
    assert len(rows) == 1000
    assert [row[2] for row in rows if row[1] != "kept"] == ["near_duplicate"] * 10
    found = {frozenset(ids[int(at.split(":")[1])] for at in (row[0], row[3])) for row in rows if row[1] != "kept"}
    assert found == {frozenset((pair["a"], pair["b"])) for pair in pairs}


@pytest.mark.slow
def test_the_rank_says_which_one_is_kept(home: Home, tmp_path: Path):
    texts = {"long": LONG, "short": prose(1, 200)}
    corpus(tmp_path, "a", texts, home, dedup=DedupConfig(rank=("n_chars",)))
    assert fates(home, "1")["long"]["other"] == "short"


@pytest.mark.slow
def test_another_similarity_signs_nothing_again(home: Home, tmp_path: Path):
    texts = {"long": LONG, "copy": edited(LONG, 0.02)}
    corpus(tmp_path, "a", texts, home, dedup=DedupConfig(near=NearConfig(similarity=0.95)))
    (signed,) = home.root.rglob("signatures/*/*.arrow")
    before = signed.stat().st_mtime_ns
    corpus(tmp_path, "a", texts, home, dedup=DedupConfig(near=NearConfig(similarity=0.6)))
    assert signed.stat().st_mtime_ns == before
    assert [fates(home, version)["copy"]["verdict"] for version in "12"] == ["kept", "dropped"]


@pytest.mark.slow
def test_near_deduplication_can_be_left_out(home: Home, tmp_path: Path):
    built = corpus(
        tmp_path, "a", {"a": LONG, "b": edited(LONG, 0.01)}, home, dedup=DedupConfig(near=NearConfig(enabled=False))
    )
    assert built.record.counts["documents"] == 2
    assert "dedup_near" not in [stage["stage"] for stage in built.record.counts["stages"]]
    assert not list(home.root.rglob("signatures"))


def test_a_build_against_an_earlier_corpus_removes_the_new_and_names_the_old(home: Home, tmp_path: Path):
    corpus(tmp_path, "old", {"kept": LONG, "gone": edited(LONG, 0.01), "quiet": prose(5)}, home)
    before = {path: path.read_bytes() for path in (home.root / "corpora" / "toy" / "1").rglob("*") if path.is_file()}
    against = DedupConfig(against=("toy@1",))
    fresh = f"{prose(6)} and a few more words of its own"
    texts = {"like": edited(LONG, 0.015, 3), "exact": f"{prose(5)}!", "fresh": fresh, "twin": prose(6)}
    built = corpus(tmp_path, "new", texts, home, dedup=against)
    found = fates(home, "2")
    assert {page: (fate["reason"], fate["other"]) for page, fate in found.items()} == {
        "like": ("near_duplicate_of_earlier", "kept"),
        "exact": ("near_duplicate_of_earlier", "quiet"),
        "fresh": ("", None),
        "twin": ("near_duplicate", "fresh"),
    }
    assert json.loads(found["like"]["evidence"])["of"] == "corpora/toy@1"
    assert "corpora/toy@1" in built.record.inputs
    assert {path: path.read_bytes() for path in before} == before
    again = corpus(tmp_path, "new", texts, home, dedup=against)
    assert (again.fresh, again.record.version) == (False, "2")


@pytest.mark.slow
def test_exact_copies_of_earlier_ones_are_found_without_signatures(home: Home, tmp_path: Path):
    """Also of texts in which no token is, which near-deduplication does not look at."""
    corpus(tmp_path, "old", {"text": LONG, "dots": "!!! ...", "url": prose(2)}, home)
    dedup = DedupConfig(near=NearConfig(enabled=False), against=("toy@1",))
    corpus(tmp_path, "new", {"copy": LONG.title(), "dots": "!!!  ...", "fresh": prose(3)}, home, dedup=dedup)
    found = fates(home, "2")
    assert {page: (fate["reason"], fate["other"]) for page, fate in found.items()} == {
        "copy": ("same_text_as_earlier", "text"),
        "dots": ("same_text_as_earlier", "dots"),
        "fresh": ("", None),
    }


def test_a_page_that_history_drops_by_its_url_takes_no_other_page_with_it(home: Home, tmp_path: Path):
    """Its text is that of another page, which history does not have."""
    corpus(tmp_path, "a", {"page": prose(1)}, home)
    old = home.artifact("corpora", "toy", "1")
    corpus(tmp_path, "a", {"page": prose(2), "other": prose(2)}, home, dedup=DedupConfig(against=("toy@1",)))
    assert old.exists()
    found = {page: (fate["verdict"], fate["reason"]) for page, fate in fates(home, "2").items()}
    assert found == {"page": ("dropped", "same_url_as_earlier"), "other": ("kept", "")}


@pytest.mark.slow
def test_of_exact_copies_the_best_ranked_stays_in_whatever_file(home: Home, tmp_path: Path):
    """The longest of the same text, then by URL; of the same URL the first or the last that was fetched."""
    texts = {"b": prose(1), "c": prose(1).replace(" ", "  ", 3), "a": prose(2).upper(), "d": prose(2)}
    lines = [{"text": text, "url": f"https://example.org/a/{page}"} for page, text in texts.items()]
    lines += [
        {"text": prose(3 + at), "url": "https://example.org/a/u", "date": f"2026-0{at + 1}-01"} for at in range(3)
    ]
    for which, keep in enumerate(("first", "newest", "newest")):
        files = [lines[which::2], lines[1 - which :: 2]] if which < 2 else [lines]
        for at, rows in enumerate(files):
            (tmp_path / f"{which}-{at}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        paths = tuple(str(tmp_path / f"{which}-{at}.jsonl") for at in range(len(files)))
        dedup = DedupConfig(url_keep=keep, near=NearConfig(enabled=False))
        build(CorpusConfig(name="toy", input=paths, dedup=dedup), home)
        with Catalog.open(home) as catalog:
            rows = catalog.sql(
                "SELECT split_part(url, '/', 5), text FROM corpus_documents JOIN documents USING (doc_id) "
                f"WHERE version = '{which + 1}' ORDER BY 1"
            ).fetchall()
        assert rows == [("a", texts["a"]), ("c", texts["c"]), ("u", prose(3 if keep == "first" else 5))]


def test_a_url_of_history_stays_out_unless_the_page_is_newer(home: Home, tmp_path: Path):
    dates = {  # page: (earlier, new, whether the new one stays with url_keep=newest)
        "newer": ("2026-01-01", "2026-02-01", True),
        "older": ("2026-02-01", "2026-01-01", False),
        "same": ("2026-02-01", "2026-02-01", False),
        "dated": (None, "2026-01-01", True),
        "undated": ("2026-01-01", None, False),
    }
    for which, (version, keep) in enumerate((("1", "newest"), ("2", "newest"), ("3", "first"))):
        crawl = min(which, 1)
        rows = [
            {"url": f"https://example.org/a/{page}", "text": prose(10 * at + crawl), "date": row[crawl]}
            for at, (page, row) in enumerate(dates.items())
        ]
        rows.append({"url": f"https://example.org/a/only{crawl}", "text": prose(70 + crawl)})
        path = tmp_path / f"crawl{crawl}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        dedup = DedupConfig(against=("toy@1",) if crawl else (), url_keep=keep)
        build(CorpusConfig(name="toy", version=version, input=(str(path),), dedup=dedup), home)
    found = fates(home, "2")
    assert {page: found[page]["verdict"] == "kept" for page in dates} == {page: row[2] for page, row in dates.items()}
    gone = found["older"]
    assert (gone["stage"], gone["reason"], gone["other"]) == ("dedup_url", "same_url_as_earlier", "older")
    assert json.loads(gone["evidence"]) == {"of": "corpora/toy@1"}
    assert [page for page, fate in fates(home, "3").items() if fate["verdict"] == "kept"] == ["only1"]


@pytest.mark.slow
def test_an_earlier_intake_can_be_named(home: Home, tmp_path: Path):
    built = corpus(tmp_path, "old", {"kept": LONG}, home)
    corpus(tmp_path, "new", {"like": edited(LONG, 0.01)}, home, dedup=DedupConfig(against=built.record.inputs))
    assert fates(home, "2")["like"]["reason"] == "near_duplicate_of_earlier"


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"against": ("toy",)}, BadInput, "with its version"),
        ({"against": ("models/toy@1",)}, BadInput, "with its version"),
        ({"against": ("toy@7",)}, NotFound, "toy"),
        ({"rank": ("qualty DESC",)}, BadInput, "rank 'qualty DESC'"),
    ],
)
def test_what_cannot_be_is_one_clear_error(home: Home, tmp_path: Path, fields: dict, error: type, words: str):
    with pytest.raises(error, match=words):
        corpus(tmp_path, "a", {"a": LONG}, home, dedup=DedupConfig(**fields))
    assert not list(home.root.rglob("corpora/*/*/record.json"))


@pytest.mark.slow
def test_files_and_workers_do_not_change_what_is_kept(tmp_path: Path):
    texts = [edited(prose(family, 150), share, family) for family in range(12) for share in (0.0, 0.005, 0.01, 0.3)]
    kept = set()
    for number, workers in enumerate((1, 2, 3)):
        home, paths, shuffled = Home(tmp_path / f"lake{number}"), [], texts[:]
        random.Random(number).shuffle(shuffled)
        for file in range(3):
            paths.append(tmp_path / f"{number}-{file}.jsonl")
            paths[-1].write_text("".join(json.dumps({"text": text}) + "\n" for text in shuffled[file::3]))
        build(CorpusConfig(name="toy", input=tuple(map(str, paths)), execution=Execution(workers=workers)), home)
        with Catalog.open(home) as catalog:
            rows = catalog.sql("SELECT text FROM documents JOIN corpus_documents USING (doc_id) ORDER BY 1").fetchall()
        kept.add(tuple(row[0] for row in rows))
    assert len(kept) == 1
    assert 12 <= len(next(iter(kept))) < len(texts)


def test_the_catalog_knows_how_many_copies_a_document_stands_for(home: Home, tmp_path: Path):
    texts = {"long": LONG, "short": prose(1, 200), "copy": edited(LONG, 0.01), "other": prose(2), "same": LONG.upper()}
    corpus(tmp_path, "a", texts, home)
    with Catalog.open(home) as catalog:
        sizes = catalog.sql(
            "SELECT url, copies, near_copies FROM cluster_sizes JOIN documents USING (doc_id)"
        ).fetchall()
        (long,) = catalog.sql("SELECT doc_id FROM documents WHERE url LIKE '%/long'").fetchone()
        copies = catalog.sql(f"SELECT kind, url FROM duplicates_of('{long}')").fetchall()
    assert sizes == [("https://example.org/a/long", 4, 2)]
    assert [(kind, url.rpartition("/")[2]) for kind, url in copies] == [
        ("same_text", "same"),
        ("near_duplicate", "short"),
        ("near_duplicate", "copy"),
    ]
