"""One new file against one and ten times a history: seconds and bytes read from the disk (`just bench dedup`)."""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from tests.bench.dedup_methods import SIMILARITY, texts_of
from tests.bench.tables import table

ROOT = Path(__file__).resolve().parents[2]
NEW_DOCUMENTS, FILES = 2500, 32
_CHILD_SUBREAPER = 36


def on_history(folder: Path) -> str:
    """Near-deduplication alone."""
    paths = sorted(folder.glob("intake/*/*/part-*.parquet"))
    new, earlier = paths[-1], paths[:-1]
    few = max(1, len(earlier) // 10)
    rows = [_against(new, earlier[-count:]) for count in (few, min(len(earlier), few * 10))]
    columns = ["earlier files", "earlier documents", "new documents", "removed", "seconds", "core-seconds"]
    columns += ["bytes read", "of the store"]
    note = (
        "Bytes grow with history by the first bits of its band keys, 42 bytes a document, and pages around hits, as "
        "long as it is less than some 2,000 times the new file; from there on by nothing: a key asks for one block."
    )
    return f"One new file against history, nothing in memory before:\n\n{table(columns, rows)}\n\n{note}"


def _against(new: Path, earlier: list[Path]) -> list[str]:
    from data.dedup.config import NearConfig
    from data.dedup.history import EarlierFile
    from data.dedup.near import Ranked, Sign, near_duplicates
    from data.dedup.segments import cover
    from data.dedup.store import signature_path

    config = NearConfig(similarity=SIMILARITY)
    step = Sign([new, *earlier], config)
    for task in range(len(step.parts)):
        list(step.run(rank=task))
    signed = [signature_path(part, config) for part in step.parts]
    own = list(signed[0].parent.iterdir())
    segments = cover(signed[1:], step.bands, merge=True)  # as the builds that made this history left them
    store = [*signed[1:], *(segment.path for segment in segments)]
    forget_pages([new, *store, *own])
    rows = pq.read_metadata(new).num_rows
    for path in own:
        path.unlink()
    wall, cpu, read = time.perf_counter(), time.process_time(), _bytes_read()
    list(Sign([new], config).run(rank=0))
    history = [EarlierFile("corpora/walks@1", path) for path in signed[1:]]
    found = near_duplicates(signed[:1], Ranked(np.zeros(rows, np.int64), np.arange(rows)), config, history)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    figures = [f"{taken:.1f}" for taken in seconds] + [f"{(_bytes_read() - read) / 1e6:.0f} MB"]
    figures.append(f"{sum(path.stat().st_size for path in store) / 1e6:.0f} MB")
    count = sum(pq.read_metadata(path).num_rows for path in earlier)
    return [str(len(earlier)), f"{count:,}", f"{rows:,}", str(sum(at is not None for at in found.earlier)), *figures]


def whole_builds(walks: Path, folder: Path) -> str:
    """`just build-corpus` of one new file, all of it, against a corpus of 3 files and one of 30; not the first."""
    documents = min(NEW_DOCUMENTS, int(walks.name) // FILES)
    files = _write_lines(walks, folder, documents)
    ctypes.CDLL(None).prctl(_CHILD_SUBREAPER, 1)  # so that what a build's workers read is counted when they are gone
    rows = []
    for count in (3, 30):
        home = folder / f"lake{count}"
        _build(home, "old", [f"input={','.join(map(str, files[30 - count : 30]))}"])
        _build(home, "before", [f"input={files[-2]}", "against=old@1"])  # the first one merges the band keys
        forget_pages([*files, *(path for path in home.rglob("*") if path.is_file())])
        wall, cpu, read = time.perf_counter(), _children_cpu_s(), _bytes_read()
        _build(home, "new", [f"input={files[-1]}", "against=old@1"])
        figures = [f"{time.perf_counter() - wall:.1f}", f"{_children_cpu_s() - cpu:.1f}"]
        figures.append(f"{(_bytes_read() - read) / 1e6:.1f} MB")
        rows.append([str(count), f"{count * documents:,}", f"{documents:,}", *figures])
    columns = ["earlier files", "earlier documents", "new documents", "seconds", "core-seconds", "bytes read"]
    note = (
        "What differs between the rows is what history costs; the rest is the build itself, "
        "the engine's code from the disk included."
    )
    head = "The whole of `just build-corpus raw` of one new file against that history:"
    return f"{head}\n\n{table(columns, rows)}\n\n{note}"


def _write_lines(walks: Path, folder: Path, documents: int) -> list[Path]:
    """Files of JSON lines, of so many documents each; neighbours share near-duplicates."""
    folder.mkdir()
    texts = (text for path in sorted(walks.glob("intake/*/*/part-*.parquet")) for text in texts_of(path))
    paths = []
    for number in range(FILES):
        rows = enumerate(islice(texts, documents))
        lines = (json.dumps({"text": text, "url": f"https://example.org/{number}/{row}"}) for row, text in rows)
        paths.append(folder / f"{number:03d}.jsonl")
        paths[-1].write_text("\n".join(lines) + "\n")
    return paths


def _build(home: Path, name: str, fields: list[str]) -> None:
    command = [sys.executable, "-m", "configs", "build-corpus", "raw", f"name={name}", *fields, "--home", str(home)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    while _has_children():
        os.wait()


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _has_children() -> bool:
    return bool(Path(f"/proc/self/task/{os.getpid()}/children").read_text().strip())


def forget_pages(paths: list[Path]) -> None:
    """Ask the system to drop these files from its memory."""
    os.sync()
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def _bytes_read() -> int:
    """Bytes that this process and those it has waited for have had fetched from the disk."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["read_bytes"])
