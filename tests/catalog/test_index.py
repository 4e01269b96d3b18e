"""Registering records: what the views then say, and that doing it again changes nothing."""

import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from catalog.errors import Damaged
from catalog.home import Home
from catalog.index import Key, insert_rows, rebuild, register, version_sort
from catalog.records import file_entry, find, version_order, write_record
from catalog.store import Catalog

TABLES = ("artifacts", "files", "sources", "readings", "documents", "decisions", "edits", "corpora", "corpus_documents")


def everything(home: Home) -> dict[str, list]:
    """What the catalog shows, table by table."""
    with Catalog.open(home) as catalog:
        return {name: sorted(catalog.con.execute(f"FROM {name}").fetchall(), key=str) for name in TABLES}


def publish(home: Home, name: str = "web", version: str = "1") -> list[Key]:
    with Catalog.open(home, read_only=False) as catalog:
        return register(catalog, find(home, "corpora", f"{name}@{version}"))


def ask(home: Home, query: str) -> list[tuple]:
    with Catalog.open(home) as catalog:
        return catalog.con.execute(query).fetchall()


def test_a_corpus_brings_its_intakes(toy):
    new = publish(toy)
    assert [key.kind for key in new] == ["intake", "intake", "corpora"]
    with Catalog.open(toy) as catalog:
        sql = catalog.sql
        assert sql("SELECT corpus, version, documents, dropped, failed, latest FROM corpora").fetchall() == [
            ("web", "1", 4, 4, 2, True)
        ]
        assert sql("SELECT count(*), count(DISTINCT doc_id) FROM documents").fetchall() == [(10, 10)]
        verdicts = sql("SELECT verdict, count(*) FROM decisions GROUP BY 1 ORDER BY 1").fetchall()
        assert verdicts == [("dropped", 4), ("failed", 2), ("kept", 4)]
        sources = sql(
            "SELECT kind, records, documents, failed, skipped_records, skipped_by_type FROM sources"
        ).fetchall()
        assert sources == [("warc", 8, 5, 1, 3, {"request": 2, "warcinfo": 1})] * 2
        stages = sql("SELECT stage, docs_dropped FROM stages ORDER BY position").fetchall()
        assert stages == [("read", 0), ("rules", 2), ("exact dedup", 2)]
        assert sql("SELECT count(*) FROM shards WHERE path LIKE 'corpora/web/1/shards/%'").fetchall() == [(2,)]
        assert sql("SELECT count(*) FROM corpus_documents").fetchall() == [(4,)]
        assert sql("SELECT rule, start, length, replacement FROM edits LIMIT 1").fetchall() == [
            ("mask_email", 0, 4, "…")
        ]
        assert sql("SELECT config ->> 'recipe' FROM corpora").fetchall() == [("web",)]
        assert sql("SELECT count(*) FROM corpus_intakes").fetchall() == [(2,)]
        assert str(sql("SELECT created_at FROM corpora").fetchall()[0][0]) == "2026-01-04 00:00:00"


def test_the_same_record_twice_changes_nothing(published):
    before = everything(published)
    assert publish(published) == []
    assert everything(published) == before


def test_a_later_file_brings_new_signals(published, make):
    third = make.intake(published, "3" * 64, signals="0.5::DOUBLE AS stop_word_share, 7.0::DOUBLE AS new_signal")
    make.corpus(published, "web", "2", [third])
    publish(published, version="2")
    counts = ask(published, "SELECT count(*), count(new_signal), count(stop_word_share) FROM documents")
    assert counts == [(15, 5, 15)]


def test_of_two_readings_of_a_source_the_newest_counts(published, make):
    again = make.intake(
        published, "1" * 64, "bbbbbbbbbbbb", "1.5::DOUBLE AS stop_word_share", created="2026-02-01T00:00:00+00:00"
    )
    make.corpus(published, "web", "2", [again])
    publish(published, version="2")
    with Catalog.open(published) as catalog:
        assert catalog.sql("SELECT count(*), count(DISTINCT doc_id) FROM documents").fetchall() == [(10, 10)]
        assert catalog.sql("SELECT count(*) FROM readings").fetchall() == [(15,)]
        read = "SELECT DISTINCT intake, stop_word_share FROM documents WHERE source_id LIKE '1%'"
        assert catalog.sql(read).fetchall() == [("111111111111@bbbbbbbbbbbb", 1.5)]
        assert catalog.sql("SELECT count(*) FROM sources").fetchall() == [(2,)]


def test_files_are_registered_where_they_lie_and_the_home_can_be_moved(published, tmp_path):
    before = everything(published)
    with sqlite3.connect(published.catalog / "millrace.sqlite") as metadata:
        paths = metadata.execute(
            "SELECT path, path_is_relative FROM ducklake_data_file WHERE path LIKE '%/%'"
        ).fetchall()
    assert len(paths) == 2 + 2 * 3
    assert all(relative for _, relative in paths)
    moved = tmp_path / "elsewhere"
    shutil.copytree(published.root, moved)
    for folder in (moved / "catalog" / "data" / "store").iterdir():  # some tools do not copy empty folders
        if not any(folder.iterdir()):
            folder.rmdir()
    shutil.rmtree(published.root)
    assert everything(Home(moved)) == before


def test_rebuild_gives_the_same_catalog_and_keeps_what_users_made(published):
    before = everything(published)
    with Catalog.open(published, read_only=False) as catalog:
        catalog.con.execute("CREATE TABLE mine AS SELECT 42 AS answer")
        assert rebuild(catalog) == 3
        assert rebuild(catalog) == 3
        assert catalog.sql("FROM mine").fetchall() == [(42,)]
    assert everything(published) == before


def test_a_changed_record_makes_the_catalog_anew(published, make):
    shutil.rmtree(published.artifact("corpora", "web", "1"))
    intakes = [find(published, "intake", "1" * 12), find(published, "intake", "2" * 12)]
    make.corpus(published, "web", "1", intakes, min_words=80.0)
    publish(published)
    assert ask(published, "SELECT DISTINCT threshold FROM decisions WHERE reason = 'min_words'") == [(80.0,)]
    assert ask(published, "SELECT count(*) FROM decisions") == [(10,)]


def test_a_missing_file_stops_it_and_nothing_is_registered(toy):
    next(toy.artifact("corpora", "web", "1").glob("ledger/*.parquet")).unlink()
    with pytest.raises(Damaged, match=r"ledger/0000.\.parquet is missing or cut.*build again"):
        publish(toy)
    assert ask(toy, "SELECT count(*) FROM artifacts") == [(0,)]
    assert ask(toy, "SELECT count(*) FROM documents") == [(0,)]


def test_a_column_of_another_type_stops_it(published, make):
    other = make.intake(published, "3" * 64, signals="'much' AS stop_word_share")
    make.corpus(published, "web", "2", [other])
    with pytest.raises(Damaged, match="stop_word_share"):
        publish(published, version="2")


def test_an_input_that_is_gone_does_not_hinder(toy):
    shutil.rmtree(toy.root / "intake" / ("2" * 12))
    assert [key.name for key in publish(toy)] == ["1" * 12, "web"]


def test_an_empty_file_is_no_error(published, make):
    record = make.intake(published, "3" * 64)
    folder = published.artifact("intake", record.name, record.version)
    empty = folder / "part-0000000005.parquet"
    make.parquet(empty, make.documents_query("3" * 64, str(record.ref)) + " WHERE false")
    record = record.model_copy(update={"files": (*record.files, file_entry(folder, empty, rows=0))})
    write_record(published, record)
    with Catalog.open(published, read_only=False) as catalog:
        register(catalog, record)
        assert catalog.sql("SELECT count(*) FROM documents").fetchall() == [(15,)]


def test_versions_sort_in_sql_as_in_python():
    versions = ["10", "9", "2026.11", "2026.9", "1", "1.0", "rc", "1rc", "1rc2", "1rc10", "a.b", "a"]
    assert sorted(versions, key=version_sort) == sorted(versions, key=version_order)


def test_rows_of_a_table_go_into_one_file(published):
    with Catalog.open(published, read_only=False) as catalog:
        rows = [{"run": "r'1", "attempt": 0, "step": n, "name": "loss", "value": 1.0 / (n + 1)} for n in range(50)]
        catalog.transaction(lambda con: insert_rows(con, "metrics", rows))
        assert catalog.sql("SELECT count(*), max(value), min(run) FROM metrics").fetchall() == [(50, 1.0, "r'1")]
    assert len(list((published.catalog / "data" / "store" / "metrics").glob("*.parquet"))) == 1


REGISTER = """
import sys
from catalog.home import Home
from catalog.index import register
from catalog.records import find
from catalog.store import Catalog
home = Home.open(sys.argv[1])
for version in sys.argv[2:]:
    with Catalog.open(home, read_only=False) as catalog:
        print(len(register(catalog, find(home, "corpora", f"web@{version}"))), flush=True)
"""


def registering(home: Home, *versions: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", REGISTER, str(home.root), *versions], stdout=subprocess.PIPE, text=True
    )


def check_two_at_once(home: Home) -> None:
    """Both begin with no catalog at all: one makes it, one of them registers each, the other finds it done."""
    both = [registering(home, "1", "2"), registering(home, "2", "1")]
    printed = [process.communicate(timeout=120)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum(int(number) for numbers in printed for number in numbers) == 4  # two intakes, two corpora
    assert ask(home, "SELECT count(*), count(DISTINCT doc_id) FROM readings") == [(10, 10)]
    assert ask(home, "SELECT count(*) FROM decisions") == [(15,)]
    assert ask(home, "SELECT count(*) FROM artifacts") == [(4,)]


def test_two_processes_that_register_the_same_at_once(toy, make):
    make.corpus(toy, "web", "2", [find(toy, "intake", "1" * 12)])
    check_two_at_once(toy)


@pytest.mark.slow
def test_a_team_on_postgresql(toy, make, monkeypatch, postgres):
    make.corpus(toy, "web", "2", [find(toy, "intake", "1" * 12)])
    monkeypatch.setenv("MILLRACE_CATALOG", postgres)
    check_two_at_once(toy)
    before = everything(toy)
    with Catalog.open(toy, read_only=False) as catalog:
        assert rebuild(catalog) == 4
    assert everything(toy) == before
    assert not (toy.catalog / "millrace.sqlite").exists()


@pytest.mark.slow
def test_a_kill_during_registration_and_the_same_command_again(published):
    """Killed at many moments between the start and the end of one run: afterwards the catalog is as if never killed."""
    wanted = everything(published)
    shutil.rmtree(published.catalog)
    began = time.monotonic()
    shutil.copytree(published.root, spare := published.root.with_name("spare"))
    assert registering(Home(spare), "1").wait(timeout=60) == 0
    whole_s = time.monotonic() - began
    kills = 0
    while kills < 8:
        shutil.rmtree(published.catalog, ignore_errors=True)
        process = registering(published, "1")
        try:
            process.wait(timeout=whole_s * (0.3 + 0.08 * kills))
            whole_s *= 0.8  # this time it took less than the first time
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        assert registering(published, "1").wait(timeout=60) == 0
        assert everything(published) == wanted


def test_reads_during_a_write_see_what_was_there_before(published):
    with Catalog.open(published, read_only=False) as writer, Catalog.open(published) as reader:

        def work(con):
            insert_rows(con, "metrics", [{"run": "r1", "value": 1.0}])
            seen = reader.sql("SELECT count(*) FROM metrics").fetchall()
            with Catalog.open(published) as late:
                return seen, late.sql("SELECT count(*) FROM metrics").fetchall()

        assert writer.transaction(work) == ([(0,)], [(0,)])
        assert reader.sql("SELECT count(*) FROM metrics").fetchall() == [(1,)]
