"""Sorted runs on the disk: all numbers come back, ascending and once, whatever is in memory at a time."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dedup.bands import Bands
from data.dedup.segments import Segment, index_path, write_keys
from data.dedup.spill import Runs, halves, join_halves


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=40), max_size=6), st.integers(1, 70))
@settings(max_examples=50, deadline=None)
def test_merged_runs_are_what_a_set_is(lists: list[list[int]], at_most: int):
    runs = Runs()
    for values in lists:
        runs.add(np.array(sorted(values), np.uint64))
    assert len(runs) == sum(map(len, lists))
    got = [value for some in runs.merged(at_most) for value in some.tolist()]
    assert got == sorted({value for values in lists for value in values})


def test_a_merge_of_many_numbers_stays_small():
    chosen = np.random.default_rng(1)
    runs = Runs()
    for _ in range(5):
        runs.add(np.sort(chosen.integers(0, 2**40, 20_000, dtype=np.uint64)))
    sizes = [len(some) for some in runs.merged(1000)]
    assert len(sizes) > 90
    assert max(sizes) < 1200


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_groups_are_whole(sizes: list[int], at_most: int):
    bucket = np.repeat(np.arange(len(sizes)), sizes)
    entries, runs = join_halves(bucket, np.arange(len(bucket))), Runs()
    for part in np.array_split(entries, 3):
        runs.add(part)
    stretches = list(runs.groups(at_most))
    assert np.concatenate([entries[:0], *stretches]).tolist() == entries.tolist()
    seen = [set(halves(some)[0].tolist()) for some in stretches]
    assert all(a.isdisjoint(b) for at, a in enumerate(seen) for b in seen[:at])
    assert all(len(some) <= max(at_most, 9) for some in stretches)


def test_its_file_has_no_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for folder in (None, tmp_path / "made"):
        runs = Runs(folder)
        runs.add(np.arange(9, dtype=np.uint64))
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("rows", [0, 3, 5000])
@pytest.mark.parametrize("bits", [0, 2, 9])
def test_a_segment_gives_its_keys_share_by_share(tmp_path: Path, rows: int, bits: int):
    signed, bands = tmp_path / "intake" / "a" / "b" / "signatures" / "key" / "part-0.arrow", Bands(2, 1)
    keys = np.random.default_rng(rows).integers(0, 2**32, (2, rows), dtype=np.uint32)
    write_keys(signed, bands, keys)
    segment = Segment(index_path(signed, bands))
    shares = [segment.tagged(1, np.array([100]), share, bits) for share in range(1 << bits)]
    for share, tagged in enumerate(shares):
        assert (halves(tagged)[0] >> (32 - bits) == share).all()
    assert np.concatenate(shares).tolist() == np.sort(join_halves(keys[1], np.arange(rows) + 100)).tolist()
