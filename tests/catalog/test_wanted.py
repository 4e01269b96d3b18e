"""An artifact that is wanted: found or made, under its lock; another one of its version is a conflict."""

from dataclasses import replace

import pytest
from toys import dead_pid

from catalog.errors import Busy, Conflict
from catalog.home import Home
from catalog.ids import Ref
from catalog.records import Record, find, now
from catalog.store import Catalog
from catalog.wanted import Wanted

PARENT = Record(kind="models", name="base", version="1", fingerprint="p", created=now())


def wanted(home: Home, version: str = "", **identity) -> Wanted:
    return Wanted.of(home, "models", Ref("small", version), [PARENT], identity, {"run": "", **identity})


def made(one: Wanted) -> Record:
    with one.making() as found:
        assert not found
        one.folder.mkdir(parents=True)
        (one.folder / "weights").write_text("w")
        return one.publish({"layers": 2})


def test_it_is_made_once_and_found_then(tmp_path):
    home = Home(tmp_path)
    record = made(wanted(home, bits=8))
    assert (str(record.ref), record.inputs, record.config) == ("small@1", ("models/base@1",), {"run": "", "bits": 8})
    assert [(file.path, file.bytes) for file in record.files] == [("weights", 1)]
    assert find(home, "models", "small") == record == wanted(home, bits=8).found()
    with wanted(home, bits=8).making() as found:
        assert found == record
    assert made(wanted(home, bits=4)).version == "2"
    with Catalog.open(home) as catalog:
        assert catalog.sql("SELECT count(*) FROM artifacts WHERE name = 'small'").fetchall() == [(2,)]


def test_another_one_of_its_version_is_a_conflict(tmp_path):
    made(wanted(Home(tmp_path), bits=8))
    with pytest.raises(Conflict, match="bits was 8, now 4"):
        wanted(Home(tmp_path), version="1", bits=4).found()
    with pytest.raises(Conflict, match="bits was 8, now 4"), wanted(Home(tmp_path), version="1", bits=4).making():
        pass


def test_one_process_makes_it_and_nothing_of_a_dead_one_is_left(tmp_path):
    one = wanted(Home(tmp_path), bits=8)
    one.folder.mkdir(parents=True)
    (one.folder / "half").write_text("of a killed process")
    with one.making(), pytest.raises(Busy), one.making():
        pass
    record = made(one)
    (one.folder / f".record.json.{dead_pid()}.partial").write_text("{")
    with one.making() as found:
        assert found == record
    assert sorted(path.name for path in one.folder.iterdir()) == ["record.json", "weights"]
    assert replace(one, version="2").found() is None
