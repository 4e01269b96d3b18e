"""Band keys on the disk: found whatever they were merged from, the same bytes in any order, whole or not there."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_toys import corpus, edited, find, prose, signed, write_part

from catalog.home import Home
from catalog.lineage import collect, garbage
from catalog.locks import hold, lock_of
from data.dedup import segments
from data.dedup.bands import Bands
from data.dedup.config import NearConfig
from data.dedup.history import EarlierFile
from data.dedup.segments import Segment, cover, index_path, write_keys

BANDS = Bands(2, 1)


def shelf(folder: Path, files: list[np.ndarray]) -> list[Path]:
    """Files with these keys (uint32[bands, rows]), as a store has them."""
    paths = []
    for number, keys in enumerate(files):
        paths.append(folder / "intake" / f"{number:012x}" / "reading" / "signatures" / "key" / "part-0.arrow")
        write_keys(paths[-1], BANDS, keys)
    return paths


def looked_up(pieces: list[Segment], band: int, wanted: np.ndarray) -> set[tuple[int, str, int]]:
    """(key, member, row within it) of all that is found."""
    found = set()
    for piece in pieces:
        names = list(piece.members)
        for which, row in zip(*piece.find(band, wanted), strict=True):
            owner = int(np.searchsorted(piece.starts, row, side="right")) - 1
            found.add((int(wanted[which]), names[owner], int(row - piece.starts[owner])))
    return found


@given(st.integers(0, 10_000), st.sampled_from([3, 40, 2**32 - 1]), st.sampled_from([0, 5, 700]))
@settings(max_examples=6, deadline=None)
def test_every_key_is_found_and_no_other(tmp_path_factory: pytest.TempPathFactory, seed: int, most: int, rows: int):
    chosen = np.random.default_rng(seed)
    files = [chosen.integers(0, most, (2, rows + at), dtype=np.uint32, endpoint=True) for at in range(9)]
    paths = shelf(tmp_path_factory.mktemp("shelf"), files)
    wanted = np.unique(np.concatenate([files[0][1][:50], chosen.integers(0, 2**32 - 1, 20, dtype=np.uint32)]))
    for merge, pieces in ((False, 9), (True, 1)):
        there = cover(paths, BANDS, merge)
        assert len(there) == pieces
        assert looked_up(there, 1, wanted) == {
            (int(key), f"{number:012x}/reading/part-0", row)
            for number, keys in enumerate(files)
            for row, key in enumerate(keys[1].tolist())
            if key in wanted
        }


def test_a_merge_is_the_same_bytes_in_any_order_and_of_any_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chosen = np.random.default_rng(1)
    files = [chosen.integers(0, 90, (2, 5 + at), dtype=np.uint32) for at in range(16)]
    made = set()
    for name, fan, order in (("a", 16, range(16)), ("b", 16, range(15, -1, -1)), ("c", 4, range(16))):
        monkeypatch.setattr(segments, "FAN", fan)
        paths = shelf(tmp_path / name, files)
        for stop in (8, 16):  # history grows: merges of four first, where four are enough
            (*_, piece) = cover([paths[at] for at in list(order)[:stop]], BANDS, merge=True)
        made.add((piece.path.name, piece.path.read_bytes()))
    assert len(made) == 1


def test_a_merge_is_used_again_and_leaves_what_it_merged(tmp_path: Path):
    paths = shelf(tmp_path, [np.full((2, 3), at, np.uint32) for at in range(10)])
    before = {path: index_path(path, BANDS).read_bytes() for path in paths}
    (merged,) = cover(paths[:8], BANDS, merge=True)
    stamp = merged.path.stat().st_mtime_ns
    pieces = cover(paths, BANDS, merge=True)
    assert [len(piece.members) for piece in pieces] == [8, 1, 1]
    assert merged.path.stat().st_mtime_ns == stamp
    assert len(cover(paths[1:8], BANDS, merge=True)) == 7, "a merge with a file that was not named is left alone"
    assert {path: index_path(path, BANDS).read_bytes() for path in paths} == before


def test_history_answers_the_same_merged_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = NearConfig()
    old = [[prose(100 * file + at, 60) for at in range(4)] for file in range(9)]
    history = [
        EarlierFile("corpora/web@1", signed(write_part(tmp_path, texts, source=f"{10 + at:012x}"), config))
        for at, texts in enumerate(old)
    ]
    new = [edited(old[file][2], 0.01, file) for file in range(9)] + [prose(7777)]
    answers = []
    for fan in (100, 8):
        monkeypatch.setattr(segments, "FAN", fan)
        found, texts = find(tmp_path, [new], config, history=history)
        rows = zip(found.document, found.earlier, found.jaccard, strict=True)
        answers.append(sorted((texts[at], earlier.doc_id, value) for at, earlier, value in rows))
    assert list(tmp_path.rglob(".merged/*.keys"))
    assert answers[0] == answers[1]
    assert len(answers[0]) == 9


def test_of_many_copies_in_history_the_kept_one_is_found(tmp_path: Path):
    """An earlier crawl had the page 200 times and kept the last: the others in its buckets do not hide it."""
    config, page = NearConfig(), prose(1)
    path = signed(write_part(tmp_path, [page] * 200, source="a" * 12), config)
    found, _ = find(tmp_path, [[page]], config, history=[EarlierFile("corpora/web@1", path, np.array([199]))])
    assert [earlier.doc_id for earlier in found.earlier] == [f"{'a' * 12}:199"]


KILLED = """
import os, signal, sys
from pathlib import Path
from catalog.home import Home
from catalog.lineage import collect, garbage
from catalog.locks import hold, lock_of
from data.dedup import segments
from data.dedup.bands import Bands
honest, calls = segments._high_of, []
def dying(keys, bits):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return honest(keys, bits)
segments._high_of = dying
segments.cover([Path(word) for word in sys.argv[1:]], Bands(2, 1), merge=True)
"""


def test_a_merge_that_is_killed_leaves_the_store_as_it_was(tmp_path: Path):
    paths = shelf(tmp_path, [np.arange(6, dtype=np.uint32).reshape(2, 3) + at for at in range(8)])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.keys")}
    done = subprocess.run([sys.executable, "-c", KILLED, *map(str, paths)], env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGKILL
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.keys")} == before
    assert len(list(tmp_path.rglob("*.partial"))) == 1
    assert len(cover(paths, BANDS, merge=True)) == 1
    assert not list(tmp_path.rglob("*.partial"))


def test_gc_takes_merged_keys_that_newer_ones_have_replaced_but_none_during_a_build(tmp_path: Path):
    home = Home(tmp_path)
    paths = shelf(tmp_path, [np.full((2, 3), at, np.uint32) for at in range(64)])
    for stop in range(8, 65, 8):
        pieces = cover(paths[:stop], BANDS, merge=True)
    assert [len(piece.members) for piece in pieces] == [64]
    merged = set((tmp_path / "intake" / ".merged").iterdir())
    assert len(merged) == 8
    with hold(lock_of(home.artifact("corpora", "web", "1"))):
        assert garbage(home) == []
    found = garbage(home)
    assert {removal.path for removal in found} == merged - {pieces[0].path}
    with hold(lock_of(home.artifact("corpora", "web", "1"))):  # begun between looking and collecting
        assert collect(home, found) == []
    old = Segment(found[0].path)
    assert collect(home, found) == found
    assert len(old.find(0, np.arange(64, dtype=np.uint32))[1]) == old.rows, "who reads it reads on"
    assert garbage(home) == []
    assert [piece.path for piece in cover(paths, BANDS, merge=True)] == [pieces[0].path]
    shutil.rmtree(tmp_path / "intake" / f"{5:012x}")
    assert [removal.path for removal in garbage(home)] == [pieces[0].path], "an intake that it holds is gone"


def test_gc_takes_signatures_that_older_code_made_but_none_during_a_build(home: Home, tmp_path: Path):
    corpus(tmp_path, "a", {"one": prose(1), "two": prose(2)}, home)
    (now,) = (folder for folder in home.root.glob("intake/*/*/signatures/*"))
    assert now.name == NearConfig().signature_key
    assert garbage(home) == []
    old = [now.with_name(name) for name in ("1-0123456789ab", "0123456789ab")]
    for folder in old:
        shutil.copytree(now, folder)
    merged = home.root / "intake" / ".merged" / "1-0123456789ab.21x6.0123.keys"
    merged.parent.mkdir(exist_ok=True)
    shutil.copy(next(now.glob("*.keys")), merged)
    with hold(lock_of(home.artifact("corpora", "web", "1"))):
        assert garbage(home) == []
    found = garbage(home)
    assert {removal.path for removal in found} == {*old, merged}
    assert {removal.why for removal in found} == {"signatures that older code made"}
    with hold(lock_of(home.artifact("corpora", "web", "1"))):
        assert collect(home, found) == []
    assert collect(home, found) == found
    assert (garbage(home), now.is_dir()) == ([], True)
