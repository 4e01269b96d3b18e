"""trace, verify and gc: one walk over the inputs of records."""

import os
import shutil
import time

import pytest
from toys import dead_pid

from catalog.errors import BadInput, NotFound
from catalog.lineage import collect, garbage, resolve, trace, used_by, verify
from catalog.locks import hold, lock_of
from catalog.records import Record, file_entry, find, readable, walk, write_record


def with_crawl(home, make):
    """A crawl, an intake of it, and a corpus web@1 of that."""
    folder = home.artifact("crawls", "docs", "1")
    folder.mkdir(parents=True)
    (folder / "docs.warc.gz").write_bytes(b"warc")
    files = (file_entry(folder, folder / "docs.warc.gz"),)
    write_record(
        home, Record(kind="crawls", name="docs", version="1", files=files, created="2026-01-01T00:00:00+00:00")
    )
    intake = make.intake(home, "1" * 64, inputs=("crawls/docs@1",))
    return make.corpus(home, "web", "1", [intake], extra=("crawls/docs@1",))


def test_a_tree_of_everything_that_went_in(home, make):
    tree = trace(home, with_crawl(home, make))
    assert tree.name == "corpora/web@1"
    intake, crawl = tree.inputs
    assert intake.name == f"intake/{'1' * 12}@{'a' * 12}"
    assert [node.name for node in intake.inputs] == ["crawls/docs@1"]
    assert crawl.record
    assert used_by(home, crawl.record) == [f"intake/{'1' * 12}@{'a' * 12}", "corpora/web@1"]


def test_an_input_that_is_gone_is_named(home, make):
    record = with_crawl(home, make)
    shutil.rmtree(home.root / "crawls")
    assert trace(home, record).inputs[1].record is None


def test_names_are_resolved_or_the_near_ones_listed(home, make):
    with_crawl(home, make)
    assert resolve(home, "web").kind == resolve(home, "web@1").kind == resolve(home, "corpora/web").kind == "corpora"
    with pytest.raises(NotFound, match="Did you mean: web"):
        resolve(home, "webb")
    with pytest.raises(NotFound, match="There are: 1"):
        resolve(home, "web@2")
    (home.root / "intake" / ".known" / "1").mkdir(parents=True)
    with pytest.raises(NotFound, match=r"Known: 111111111111, docs, web\."):
        resolve(home, "zzzzzz")
    with pytest.raises(NotFound, match=r"Known: 111111111111\."):
        resolve(home, "intake/zzzzzz")


def test_of_several_kinds_a_corpus_is_meant_or_none(home, make):
    with_crawl(home, make)
    write_record(home, Record(kind="crawls", name="web", version="1"))
    write_record(home, Record(kind="crawls", name="web", version="2"))
    assert resolve(home, "web").kind == resolve(home, "web@1").kind == "corpora"
    assert resolve(home, "web@2").kind == "crawls"
    for kind in ("tokens", "models"):
        write_record(home, Record(kind=kind, name="small", version="1"))
    with pytest.raises(BadInput, match="tokens/small or models/small"):
        resolve(home, "small")


def test_verify_finds_what_is_damaged_cut_and_missing(toy):
    assert list(verify(toy, walk(toy))) == []
    folder = toy.artifact("corpora", "web", "1")
    flipped, cut, gone = (
        folder / "shards/00000.parquet",
        folder / "ledger/00000.parquet",
        folder / "edits/00001.parquet",
    )
    content = bytearray(flipped.read_bytes())
    content[20] ^= 1
    flipped.write_bytes(content)
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    problems = {problem.path: problem.what for problem in verify(toy, walk(toy))}
    assert problems.keys() == {flipped, cut, gone}
    assert "other content" in problems[flipped]
    assert "its record says" in problems[cut]
    assert problems[gone] == "is missing"


def test_a_record_that_cannot_be_read_is_said_and_the_rest_is_still_read(toy):
    (toy.artifact("corpora", "web", "1") / "record.json").write_text("{")
    records, bad = readable(toy)
    assert [record.kind for record in records] == ["intake", "intake"]
    assert "not a record" in str(bad[0])


def make_old(folder, hours=48):
    past = time.time() - hours * 3600
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, (past, past))


def test_gc_takes_what_is_dead_and_leaves_what_lives_or_is_young(toy):
    def unfinished(name: str, hours: float):
        folder = toy.artifact("corpora", name, "1")
        folder.mkdir(parents=True)
        (folder / "part").write_text("xyz")
        make_old(folder, hours)
        return folder

    abandoned, young, locked, written = (
        unfinished(name, hours) for name, hours in [("old", 48), ("young", 1), ("locked", 48), ("written", 48)]
    )
    mine = written / f".part-1.{os.getpid()}.partial"
    mine.write_text("x")
    make_old(written)
    os.utime(mine)
    leftover = toy.artifact("corpora", "web", "1") / f".shard.{dead_pid()}.partial"
    leftover.write_text("half")
    before = {path: path.stat().st_mtime for path in toy.root.rglob("*") if path.is_file()}
    with hold(lock_of(locked)):
        found = garbage(toy)
        assert {removal.path for removal in found} == {abandoned, leftover}
        assert sum(removal.bytes for removal in found) == 7
        assert {path for path in before if path.exists()} == before.keys()  # only looking removes nothing
        assert collect(toy, found) == found
        assert garbage(toy) == []
    assert not abandoned.parent.exists()
    assert young.exists()
    assert locked.exists()
    assert mine.exists()
    assert list(verify(toy, walk(toy))) == []


def test_gc_of_unused_intakes_only_when_asked_and_not_during_a_build(toy, make):
    spare = toy.artifact("intake", "3" * 12, "a" * 12)
    make.intake(toy, "3" * 64)
    make_old(spare)
    assert garbage(toy) == []
    with hold(lock_of(toy.artifact("corpora", "web", "2"))):
        assert garbage(toy, unused=True) == []
    assert [removal.path for removal in garbage(toy, unused=True)] == [spare]
    collect(toy, garbage(toy, unused=True))
    assert [record.name for record in walk(toy, ["intake"])] == ["1" * 12, "2" * 12]
    assert find(toy, "corpora", "web@1")


def test_what_comes_alive_between_looking_and_collecting_stays(toy):
    folder = toy.artifact("corpora", "old", "1")
    folder.mkdir(parents=True)
    make_old(folder)
    found = garbage(toy)
    assert [removal.path for removal in found] == [folder]
    with hold(lock_of(folder)):
        assert collect(toy, found) == []
    assert folder.exists()
