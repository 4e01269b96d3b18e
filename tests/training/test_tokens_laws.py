"""What must hold of a tokenization: the same bytes for any workers and after any kill, and honest failures."""

import contextlib
import hashlib
import json
import random
import shutil
import subprocess
import sys
import time

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokens_toys import configured, documents, rebuilt, rows_of, write_corpus
from toys import dead_pid

from catalog.errors import BadInput, Busy, Conflict, Damaged
from catalog.home import Home
from catalog.locks import hold, lock_of
from catalog.records import find, write_record
from catalog.store import Catalog
from training import sample_ids
from training.tokens.job import tokenize
from training.tokens.packing import pack
from training.tokens.pieces import PieceTotals, StreamTotal
from training.tokens.reading import check_shards, load_tokens

RUN = """
import sys
from catalog.commands import run
from catalog.home import Home
from training.tokens import inputs
from training.tokens.config import TokensConfig
from training.tokens.job import tokenize

inputs.MIN_UNIT_BYTES = inputs.MAX_UNIT_BYTES = 12_000

def main(words):
    root, config = words
    print(tokenize(TokensConfig.model_validate_json(config), Home.open(root)).record.ref)
    return 0

if __name__ == "__main__":
    run(main)
"""


def digests(root):
    """The SHA-256 of every file of the artifact but its record, which has the time in it, and the record without."""
    folder = root / "tokens" / "toy" / "1"
    found = {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "record.json"
    }
    record = json.loads((folder / "record.json").read_text())
    return found, {name: value for name, value in record.items() if name != "created"}


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "run.py"
    path.write_text(RUN)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A home with a corpus of many small units."""
    home = Home(tmp_path_factory.mktemp("corpus") / "lake")
    write_corpus(home, documents(500), shards=3)
    return home.root


@pytest.fixture
def root(corpus, tmp_path):
    return shutil.copytree(corpus, tmp_path / "lake")


@pytest.fixture
def command(script, tokenizer, root):
    def words(**changes):
        config = configured(tokenizer, shard_mb=0.02, **{"workers": 2, **changes})
        return [sys.executable, str(script), str(root), config.model_dump_json()]

    return words


@pytest.fixture(scope="module")
def expected(corpus, script, tokenizer, tmp_path_factory):
    """The bytes of an undisturbed run with one worker."""
    root = shutil.copytree(corpus, tmp_path_factory.mktemp("expected") / "lake")
    config = configured(tokenizer, shard_mb=0.02)
    subprocess.run([sys.executable, str(script), str(root), config.model_dump_json()], check=True)
    files, record = digests(root)
    assert sum(name.endswith(".mds.zstd") for name in files) > 10
    return files, record


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_the_same_bytes_for_any_number_of_workers(root, command, expected, workers):
    subprocess.run(command(workers=workers), check=True)
    assert digests(root) == expected


@pytest.mark.slow
def test_killed_again_and_again_at_random_it_ends_in_the_same_bytes(root, command, expected):
    chosen, kills, longest_s = random.Random(5), 0, 3.0
    while kills < 6:
        running = subprocess.Popen(command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            running.wait(timeout=chosen.uniform(0.3, longest_s))
            longest_s *= 0.8  # it was through: from its start again, and killed sooner
            shutil.rmtree(root / "tokens")
        except subprocess.TimeoutExpired:
            kills += 1
            running.kill()
            running.wait()
    subprocess.run(command(), check=True)
    assert digests(root) == expected
    assert not list(root.rglob("*.partial"))
    with Catalog.open(Home(root)) as catalog:
        assert catalog.sql("SELECT count(*) FROM samples").fetchall() == [
            (len(rows_of(load_tokens(Home(root), "toy"))),)
        ]


MOMENTS = {
    "encoding": "tokens/toy/1/.work/pieces/*.parquet",
    "cutting": "tokens/toy/1/.work/shards/*.json",
    "the indexes": "tokens/toy/1/streams/*/*/index.json",
    "the record": "tokens/toy/1/record.json",
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_any_stage_it_goes_on_and_does_nothing_again(root, command, expected, moment):
    running = subprocess.Popen(command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not any(root.glob(MOMENTS[moment])) and running.poll() is None:
        time.sleep(0.001)
    running.kill()
    running.wait()
    done = {path: path.stat().st_mtime_ns for path in root.glob("tokens/toy/1/.work/pieces/*.parquet")}
    done |= {path: path.stat().st_mtime_ns for path in root.glob("tokens/toy/1/.work/shards/*.json")}
    seen = {}
    again = subprocess.Popen(command(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while again.poll() is None:
        for path in done:
            with contextlib.suppress(FileNotFoundError):
                seen[path] = path.stat().st_mtime_ns
        time.sleep(0.01)
    assert again.returncode == 0
    assert digests(root) == expected
    assert {path: seen[path] for path in done if path in seen} == {path: done[path] for path in done if path in seen}


@pytest.mark.slow
def test_workers_end_with_their_parent_and_a_killed_worker_is_said(root, command):
    running = subprocess.Popen(command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    workers = wait_for_workers(running)
    running.kill()
    running.communicate()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive
    running = subprocess.Popen(command(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_workers(running)[0].kill()
    _, said = running.communicate()
    assert running.returncode == 2
    assert "a worker was killed" in said.splitlines()[-1]


def wait_for_workers(running):
    """The workers of a run: children of its fork server."""
    while running.poll() is None:
        found = [one for child in psutil.Process(running.pid).children() for one in child.children()]
        if found and any("fork" in " ".join(one.cmdline()) for one in found):
            return found
        time.sleep(0.005)
    raise AssertionError("it was over before it had workers")


@pytest.mark.slow
def test_a_disk_that_fills_is_one_line_and_nothing_is_published(root, command, tmp_path):
    disk = root / "tokens"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs rights that this user has not")
    try:
        done = subprocess.run(command(), capture_output=True, text=True)
        assert done.returncode == 2, done.stderr
        assert "disk is full" in done.stderr.strip().splitlines()[-1]
        assert "Traceback" not in done.stderr
        assert not list(disk.rglob("record.json"))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_second_run_finds_what_is_there_and_another_config_is_another_version(home, tokenizer):
    write_corpus(home, documents(60))
    first = tokenize(configured(tokenizer), home)
    assert first.fresh
    left = home.artifact("tokens", "toy", "1") / "samples" / f".part-00000.parquet.{dead_pid()}.partial"
    left.touch()  # as by a run that was killed behind its record
    again = tokenize(configured(tokenizer, workers=3), home)
    assert (again.fresh, again.record, left.exists()) == (False, first.record, False)
    other = tokenize(configured(tokenizer, sequence_length=32), home)
    assert (other.fresh, str(other.record.ref)) == (True, "toy@2")
    assert tokenize(configured(tokenizer), home).record == first.record
    with pytest.raises(Conflict, match=r"toy@2 exists with another config: sequence_length was 32, now 64\."):
        tokenize(configured(tokenizer, version="2"), home)
    with pytest.raises(BadInput, match="toy@1 holds these very tokens already"):
        tokenize(configured(tokenizer, version="9"), home)


def test_a_key_that_another_artifact_has_is_refused(home, tokenizer):
    write_corpus(home, documents(60))
    record = tokenize(configured(tokenizer), home).record
    twin = tokenize(configured(tokenizer, name="other"), home).record
    assert sample_ids.key_of(twin.fingerprint) != sample_ids.key_of(record.fingerprint)
    shutil.rmtree(home.root / "tokens" / "other")
    first_digits = twin.fingerprint[:8]
    write_record(home, record.variant(fingerprint=first_digits + "0" * 56))  # as if chance had given it that key
    with pytest.raises(
        BadInput, match="the sample ids of other@1 would be those of tokens/toy@1: give it another name"
    ):
        tokenize(configured(tokenizer, name="other"), home)


def test_two_at_once_and_what_is_busy(home, tokenizer):
    write_corpus(home, documents(60))
    with hold(lock_of(home.artifact("tokens", "toy", "1"))), pytest.raises(Busy, match="is being written by process"):
        tokenize(configured(tokenizer), home)


def test_leftovers_of_another_config_are_not_used(home, tokenizer, monkeypatch):
    write_corpus(home, documents(60))
    expected = tokenize(configured(tokenizer), home).record
    files = {entry.path: entry.sha256 for entry in expected.files}
    shutil.rmtree(home.root / "tokens")
    with monkeypatch.context() as patch:
        patch.setattr("training.tokens.job.pack", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tokenize(configured(tokenizer, sequence_length=16), home)
    assert list(home.root.glob("tokens/toy/1/.work/pieces/*.ids"))
    record = tokenize(configured(tokenizer), home).record
    assert {entry.path: entry.sha256 for entry in record.files} == files
    assert not list(home.root.glob("tokens/toy/1/.work"))


def test_a_missing_cut_or_changed_shard_is_named(home, tokenizer):
    write_corpus(home, documents(60))
    tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy")
    path = info.stream_path(info.streams[0]) / "shard.00000.mds.zstd"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    check_shards(info)
    with pytest.raises(Damaged, match=r"streams/code/en/shard.00000.mds.zstd of tokens/toy@1 does not have the hash"):
        check_shards(info, hashes=True)
    path.write_bytes(whole[:-1])
    with pytest.raises(Damaged, match=r"shard.00000.mds.zstd of tokens/toy@1 has [\d,]+ bytes, its record says"):
        check_shards(info)
    path.unlink()
    with pytest.raises(Damaged, match=r"shard.00000.mds.zstd of tokens/toy@1 is missing"):
        check_shards(info)
    record = find(home, "tokens", "toy")
    write_record(home, record.variant(config={**record.config, "streams": None}))
    with pytest.raises(Damaged, match="has no"):
        load_tokens(home, "toy")


def test_waste_is_below_a_thousandth_where_there_is_enough(home, tokenizer):
    write_corpus(home, documents(1500))
    counts = tokenize(configured(tokenizer, sequence_length=32), home).record.counts
    assert counts["samples"] * 32 == counts["tokens"] + counts["padding"]
    assert counts["padding"] <= 31
    assert counts["padding"] / counts["tokens"] < 0.001


@pytest.mark.slow
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    texts=st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["x", "y", "mul"]), st.text(max_size=60)), max_size=30
    ),
    length=st.sampled_from([1, 2, 7, 64]),
    shard_samples=st.integers(1, 5),
)
def test_whatever_the_texts_they_are_there_again(tokenizer, tmp_path_factory, texts, length, shard_samples):
    home = Home(tmp_path_factory.mktemp("law") / "lake")
    rows = [(f"a:{at}", *row) for at, row in enumerate(texts)]
    rows = [(*row[:3], row[3].encode("utf-8", "replace").decode()) for row in rows]
    write_corpus(home, rows, group=3)
    config = configured(tokenizer, sequence_length=length, shard_mb=shard_samples * (2 * length + 64) / 1e6)
    if not any(row[3] for row in rows):
        with pytest.raises(BadInput):
            tokenize(config, home)
        return
    tokenize(config, home)
    from training.tokens.encode import plain_tokenizer

    plain = plain_tokenizer(tokenizer / "tokenizer.json")
    expected = {row[0]: [*plain.encode(row[3]).ids, 0] for row in rows if row[3]}
    assert rebuilt(load_tokens(home, "toy")) == expected


@given(
    st.lists(
        st.dictionaries(
            st.tuples(st.sampled_from(["d", "e", "rest"]), st.sampled_from(["a", "b", "mul"])),
            st.integers(1, 50),
            min_size=1,
        ),
        max_size=6,
    ),
    st.integers(1, 20),
)
def test_packing_takes_every_token_once(pieces, length):
    totals = [
        PieceTotals(
            streams=tuple(
                StreamTotal(domain=domain, lang=lang, documents=1, tokens=n)
                for (domain, lang), n in sorted(piece.items())
            )
        )
        for piece in pieces
    ]
    packing = pack(totals, length)
    assert packing.tokens == sum(sum(piece.values()) for piece in pieces)
    assert packing.padding < length
    taken = []
    for stream in packing.streams:
        for sample in range(stream.samples):
            start = sample * length
            for place in packing.slices(stream, start, min(start + length, stream.tokens)):
                taken += [(place.piece, (place.domain, place.lang), token) for token in range(place.start, place.stop)]
    assert sorted(taken) == sorted(
        (at, k, token) for at, piece in enumerate(pieces) for k, n in piece.items() for token in range(n)
    )
