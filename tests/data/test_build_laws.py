"""What must hold of a build: the same bytes for any workers and after any kill, incremental reads, honest failures.

Everything here runs the real command in processes of its own, and really kills them.
"""

import ctypes
import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from toys import millrace, write_crawl

from catalog.home import Home
from catalog.store import Catalog
from configs.corpora import web
from data.build import build

FILES, PAGES = 20, 12
SMALL_SHARDS = ("shard_mb=0.004",)


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty files of twelve pages, with one document twice."""
    folder = tmp_path_factory.mktemp("crawl")
    for number in range(FILES):
        write_crawl(folder / f"{number:02d}.warc.gz", number * (PAGES - 1), PAGES)
    return folder


def command(crawl: Path, root: Path, *fields: str) -> list[str]:
    return millrace("build-corpus", "web", f"input={crawl}/*.warc.gz", *SMALL_SHARDS, *fields, "--home", str(root))


def run(words: list[str], **more) -> subprocess.CompletedProcess:
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, **more)
    assert done.returncode == 0, done.stderr
    return done


def digests(root: Path, version: str = "1") -> dict[str, str]:
    """The SHA-256 of every Parquet file of a corpus and of its intakes."""
    paths = [*(root / "corpora" / "web" / version).rglob("*.parquet"), *(root / "intake").rglob("*.parquet")]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}


@pytest.fixture(scope="module")
def expected(crawl: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The bytes of an undisturbed build with one worker."""
    root = tmp_path_factory.mktemp("expected")
    run(command(crawl, root, "workers=1"))
    found = digests(root)
    assert sum("/shards/" in path for path in found) > 20
    return found


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_the_same_bytes_for_any_number_of_workers(crawl: Path, expected: dict, tmp_path: Path, workers: int):
    run(command(crawl, tmp_path, f"workers={workers}"))
    assert digests(tmp_path) == expected


MOMENTS: dict[str, Callable[[Path], bool]] = {
    "planning": lambda root: any(root.glob("intake/*/*/plan.json")),
    "reading": lambda root: any(root.glob("intake/*/*/part-*.parquet")),
    "recording the intake": lambda root: any(root.glob("intake/*/*/record.json")),
    "deciding": lambda root: any(root.glob("corpora/web/1/.work/*")),
    "signing": lambda root: any(root.glob("intake/*/*/signatures/*/.*.partial")),
    "indexing": lambda root: any(root.glob("intake/*/*/signatures/*/*.arrow")),
    "counting lines": lambda root: any(root.glob("corpora/web/1/.work/units/*.parquet")),
    "editing": lambda root: any(root.glob("corpora/web/1/edits/*.parquet")),
    "writing": lambda root: any(root.glob("corpora/web/1/shards/*.parquet")),
    "writing the ledger": lambda root: any(root.glob("corpora/web/1/ledger/*")),
    "the record": lambda root: (root / "corpora/web/1/record.json").exists(),
    "publishing": lambda root: any(root.glob("catalog/*")),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_in_any_stage_the_same_command_goes_on_to_the_same_bytes(
    crawl: Path, expected: dict, tmp_path: Path, moment: str
):
    killed = subprocess.Popen(
        command(crawl, tmp_path, "workers=2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not MOMENTS[moment](tmp_path) and killed.poll() is None:
        time.sleep(0.001)
    assert killed.poll() is None, "it was over before the moment came"
    killed.kill()
    killed.wait()
    run(command(crawl, tmp_path, "workers=2"))
    assert digests(tmp_path) == expected
    assert not list(tmp_path.rglob("*.partial"))
    with Catalog.open(Home(tmp_path)) as catalog:
        assert catalog.sql("SELECT count(*) FROM corpora").fetchall() == [(1,)]
        ((rows, documents),) = catalog.sql("SELECT count(*), count(DISTINCT doc_id) FROM decisions").fetchall()
    assert (rows, documents) == (FILES * PAGES, FILES * PAGES)


@pytest.mark.slow
def test_killed_again_and_again_at_random_it_still_ends_in_the_same_bytes(crawl: Path, expected: dict, tmp_path: Path):
    chosen = random.Random(7)
    for _ in range(12):
        building = subprocess.Popen(
            command(crawl, tmp_path, "workers=2"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            building.wait(timeout=chosen.uniform(0.8, 4.0))
            break
        except subprocess.TimeoutExpired:
            building.kill()
            building.wait()
    run(command(crawl, tmp_path, "workers=2"))
    assert digests(tmp_path) == expected


@pytest.mark.slow
def test_a_worker_killed_by_the_system_costs_nothing_but_its_attempt(crawl: Path, expected: dict, tmp_path: Path):
    building = subprocess.Popen(
        command(crawl, tmp_path, "workers=2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    killed = 0
    while building.poll() is None and killed < 3:
        workers = workers_of(building.pid)
        if workers and any(tmp_path.glob("intake/*/*/plan.json")):
            workers[0].kill()
            killed += 1
        time.sleep(0.3)
    assert killed == 3
    assert building.wait(timeout=120) == 0, building.stderr.read()
    assert digests(tmp_path) == expected


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of a build: children of its fork server."""
    try:
        return [worker for child in psutil.Process(pid).children() for worker in child.children()]
    except psutil.NoSuchProcess:
        return []


class Opened:
    """Counts how often the files of a folder are opened, by any process (Linux inotify)."""

    IN_OPEN = 0x20

    def __init__(self, folder: Path) -> None:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.handle = self.libc.inotify_init1(os.O_NONBLOCK)
        assert self.libc.inotify_add_watch(self.handle, str(folder).encode(), self.IN_OPEN) >= 0

    def names(self) -> Counter[str]:
        found: Counter[str] = Counter()
        try:
            while data := os.read(self.handle, 65536):
                at = 0
                while at < len(data):
                    _, _, _, length = struct.unpack_from("iIII", data, at)
                    found[data[at + 16 : at + 16 + length].rstrip(b"\0").decode()] += 1
                    at += 16 + length
        except BlockingIOError:
            pass
        return Counter({name: count for name, count in found.items() if name})


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counting opened files needs inotify")
def test_what_is_read_is_never_read_again(tmp_path: Path):
    folder, home = tmp_path / "crawl", Home(tmp_path / "lake")
    for number in range(3):
        write_crawl(folder / f"{number}.warc.gz", number * 10, 10)
    config = web().variant(input=(f"{folder}/*.warc.gz",))
    time.sleep(2.1)  # a file is remembered once it has stayed as it is for two seconds
    build(config, home)

    opened = Opened(folder)
    assert build(config, home).fresh is False
    assert opened.names() == {}

    stricter = tuple(rule.variant(threshold=150) if rule.name == "min_words" else rule for rule in config.rules)
    assert build(config.variant(rules=stricter), home).record.version == "2"
    assert opened.names() == {}

    write_crawl(folder / "3.warc.gz", 500, 10)
    opened.names()  # the writing
    record = build(config, home).record
    assert (record.version, len(record.inputs)) == ("3", 4)
    assert set(opened.names()) == {"3.warc.gz"}


@pytest.mark.slow
def test_two_builds_at_once_and_queries_meanwhile(crawl: Path, expected: dict, tmp_path: Path):
    run(command(crawl, tmp_path, "workers=1", "name=first", "min_words=60"))
    words = [command(crawl, tmp_path, "workers=1"), command(crawl, tmp_path, "workers=1", "name=other", "min_words=90")]
    builds = [subprocess.Popen(one, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for one in words]
    answers = 0
    while any(one.poll() is None for one in builds):
        with Catalog.open(Home(tmp_path)) as catalog:
            ((count,),) = catalog.sql("SELECT count(*) FROM documents").fetchall()
        assert count == FILES * PAGES
        answers += 1
    assert [one.returncode for one in builds] == [0, 0], [one.stderr.read() for one in builds]
    assert answers > 0
    assert digests(tmp_path) == expected


POISON = """
import os, signal, time
from datatrove.pipeline.filters.base_filter import BaseFilter

class Deadly(BaseFilter):
    name = "deadly"

    def filter(self, doc):
        if "POISON" in doc.text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "TREACLE" in doc.text:
            time.sleep(1000)
        if "STUMBLE" in doc.text:
            raise KeyError("stumbled")
        return ("SOUR" not in doc.text), "it is sour"
"""


@pytest.mark.slow
def test_a_record_that_ends_or_holds_up_its_worker_is_a_failed_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "deadly_filter.py").write_text(POISON)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    from deadly_filter import Deadly  # type: ignore[import-not-found]

    from data.corpus import CorpusConfig
    from data.datatrove_steps import datatrove
    from data.read import ReadConfig
    from data.rule_sets import FORM
    from data.run.executors import Execution

    lines = ["fine", "POISON here", "fine too", "TREACLE here", "STUMBLE here", "SOUR grapes", "the end"]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(f'{{"text": "{line}", "url": "http://x/{at}"}}\n' for at, line in enumerate(lines)))
    config = CorpusConfig(
        name="deadly",
        input=(str(path),),
        read=ReadConfig(steps=(datatrove(Deadly()),)),
        rules=FORM,
        execution=Execution(workers=1, record_timeout_s=2),
    )
    home = Home(tmp_path / "lake")
    build(config, home)
    with Catalog.open(home) as catalog:
        rows = catalog.sql(
            "SELECT text, verdict, reason, evidence FROM decisions JOIN documents USING (doc_id) ORDER BY ordinal"
        ).fetchall()
    assert [row[1:3] for row in rows] == [
        ("kept", ""),
        ("failed", "killed"),
        ("kept", ""),
        ("failed", "wall_clock"),
        ("failed", "step_error"),
        ("dropped", "datatrove"),
        ("kept", ""),
    ]
    assert rows[4][3] == "KeyError: 'stumbled'"
    assert rows[5][3] == "Deadly: it is sour"
    # the outcome is kept: another build of the same reading meets no killer
    assert build(config.variant(name="again"), home).record.counts["failed"] == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["web", "input=nowhere/*.warc.gz"], "nowhere/*.warc.gz"),
        (["web"], "input"),
        (["wbe"], "Did you mean: web"),
        (["web", "min_wrods=3"], "min_words"),
        (["web", "min_words=many"], "does not fit"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, words: list[str], says: str):
    done = subprocess.run(millrace("build-corpus", *words, "--home", str(tmp_path)), capture_output=True, text=True)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("record.json"))


@pytest.mark.slow
def test_a_disk_that_fills_is_one_line_and_nothing_is_published(crawl: Path, tmp_path: Path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs rights that this user has not")
    try:
        done = subprocess.run(command(crawl, disk / "lake"), capture_output=True, text=True)
        assert done.returncode == 2
        assert "disk" in done.stderr.strip().splitlines()[-1]
        assert not list(disk.rglob("corpora/*/*/record.json"))
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.slow
def test_a_corrupt_shard_is_found_by_its_hash(crawl: Path, tmp_path: Path):
    run(command(crawl, tmp_path))
    shard = sorted((tmp_path / "corpora/web/1/shards").glob("*.parquet"))[3]
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    shard.write_bytes(damaged)
    verify = [sys.executable, "-m", "catalog", "verify", "corpora/web@1"]
    done = subprocess.run(verify, capture_output=True, text=True, env={**os.environ, "MILLRACE_HOME": str(tmp_path)})
    assert done.returncode == 2
    assert shard.name in done.stdout + done.stderr


@pytest.mark.slow
def test_an_interrupted_build_says_so_and_goes_on_later(crawl: Path, expected: dict, tmp_path: Path):
    building = subprocess.Popen(
        command(crawl, tmp_path, "workers=2"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    while not any(tmp_path.glob("intake/*/*")):
        time.sleep(0.01)
    building.send_signal(signal.SIGINT)
    assert building.wait(timeout=20) == 130
    assert not list(tmp_path.rglob("*.partial"))
    run(command(crawl, tmp_path, "workers=2"))
    assert digests(tmp_path) == expected
