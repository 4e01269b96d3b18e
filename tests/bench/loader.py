"""The loader beside plain streaming, litdata and a memory map over the same tokens: a part of `just bench tokens`.

Each pass is a process of its own that gives batches of 16 rows of 1,024 tokens as int64 tensors. Ours carries labels,
positions, sample ids and a hash of each row as well, and reads in the mixture's exact order; the others give token ids.
Cold: no shard in the loader's cache, and the pages of its files dropped from memory. Warm: the pass after it. Resume:
a new process at 90 % of the epoch, from the first line after the imports to the first batch.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from catalog.home import Home
from tests.bench.tables import table

ROWS = 16
NOTES = """Batches of 16 rows of 1,024 tokens. Ours are in the mixture's exact order and carry labels, positions, sample
ids, streams and a hash of each row; the others give token ids, of shuffled (streaming, litdata) or random (memory map)
rows. Cold: no cache, and no page of the files in memory. Resume: at 90 % of the epoch in a new process, imports aside,
to the first batch."""
STATE = 0.9
Batches = Iterator[int]
"""Tokens of each batch."""


def measure(home: Home, name: str, repeats: int) -> str:
    """The table for tokens and a mixture of this name in the home."""
    folder = home.root / "bench-loader"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    _convert(home, name, folder)
    runs = [{side: _side(home, name, folder, side) for side in SIDES} for _ in range(repeats)]
    rows = [_row(side, runs) for side in SIDES]
    columns = ["", "cold, million tokens / s (times streaming)", "warm", "warm, million tokens / CPU s", "resume, ms"]
    tokens = runs[0]["memory map"]["warm"]["tokens"]
    head = f"`mixtures/{name}`, {tokens:,} tokens an epoch; medians of {repeats}, in turn."
    return f"{head}\n{NOTES}\n\n{table(columns, rows)}"


def _row(side: str, runs: list[dict[str, dict[str, dict]]]) -> list[str]:
    def median(mode: str, value: Callable[[dict], float]) -> float:
        return statistics.median(value(run[side][mode]) for run in runs)

    speed = []
    for mode in ("cold", "warm"):
        times = statistics.median(run[side][mode]["rate"] / run["streaming"][mode]["rate"] for run in runs)
        speed.append(f"{median(mode, lambda one: one['rate']) / 1e6:.1f} ({times:.2f})")
    cpu = median("warm", lambda one: one["tokens"] / one["cpu_s"])
    return [side, *speed, f"{cpu / 1e6:.1f}", f"{median('resume', lambda one: one['first_s']) * 1000:,.0f}"]


def _side(home: Home, name: str, folder: Path, side: str) -> dict[str, dict]:
    shutil.rmtree(folder / "cache", ignore_errors=True)
    words = [sys.executable, "-m", "tests.bench.loader", str(home.root), name, str(folder), side]
    found = {}
    for mode in ("cold", "warm", "resume"):
        if mode == "cold":
            _drop_pages(home.root / "tokens" / name, folder)
        done = subprocess.run([*words, mode], check=True, capture_output=True, text=True)
        found[mode] = json.loads(done.stdout.splitlines()[-1])
    return found


def _drop_pages(*folders: Path) -> None:
    for path in (path for folder in folders for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _convert(home: Home, name: str, folder: Path) -> None:
    """The tokens as a flat file, and as litdata's chunks."""
    from litdata import TokensLoader, optimize  # pyright: ignore[reportMissingImports]

    length = _info(home, name).sequence_length
    with (folder / "tokens.bin").open("wb") as out:
        for sample in _samples(home, name):
            out.write(sample.astype(np.uint16).tobytes())
    blocks = len(np.memmap(folder / "tokens.bin", np.uint16)) // length
    starts = [(str(folder / "tokens.bin"), at, min(at + 1024, blocks), length) for at in range(0, blocks, 1024)]
    loader = TokensLoader(block_size=length)
    lit = str(folder / "litdata")
    optimize(_blocks, starts, lit, chunk_size=length * 4096, num_workers=1, item_loader=loader, verbose=False)


def _blocks(span: tuple[str, int, int, int]) -> Iterator:
    import torch

    path, start, end, length = span
    flat = np.memmap(path, np.uint16)
    for at in range(start, end):
        yield torch.from_numpy(flat[at * length : (at + 1) * length].astype(np.int32))


def _info(home: Home, name: str):
    from training.mixtures.reading import load_mixture

    return load_mixture(home, name).tokens[0]


def _samples(home: Home, name: str) -> Iterator[np.ndarray]:
    from streaming import StreamingDataset

    info = _info(home, name)
    for stream in info.streams:
        for sample in StreamingDataset(local=str(info.stream_path(stream)), batch_size=1, shuffle=False):
            yield sample["tokens"]


def _millrace(home: Home, name: str, folder: Path, workers: int, resume: bool) -> Batches:
    from training.loader.dataset import MixtureDataset, loader
    from training.mixtures.reading import load_mixture

    mixture = load_mixture(home, name)
    dataset = MixtureDataset(mixture, ROWS * mixture.tokens[0].sequence_length, folder / "cache")
    if resume:
        dataset.start_at(int(len(dataset) * STATE))
    for batch in loader(dataset, workers):
        yield batch["input_ids"].numel()


def _streaming(home: Home, name: str, folder: Path, workers: int, resume: bool) -> Batches:
    import torch
    from streaming import Stream, StreamingDataLoader, StreamingDataset

    info = _info(home, name)
    streams = [
        Stream(remote=str(info.stream_path(one)), local=str(folder / "cache" / "streaming" / one.folder))
        for one in info.streams
    ]
    dataset = StreamingDataset(streams=streams, batch_size=ROWS, shuffle=True, shuffle_seed=17, num_canonical_nodes=1)

    def collate(samples: list[dict]) -> torch.Tensor:
        return torch.from_numpy(np.stack([sample["tokens"] for sample in samples]).astype(np.int64))

    batches = StreamingDataLoader(dataset, batch_size=ROWS, num_workers=workers, collate_fn=collate, drop_last=True)
    if resume:
        done = int(dataset.size * STATE) // ROWS * ROWS
        batches.load_state_dict(dataset.state_dict(done, True))
    for batch in batches:
        yield batch.numel()


def _litdata(home: Home, name: str, folder: Path, workers: int, resume: bool) -> Batches:
    from litdata import (  # pyright: ignore[reportMissingImports]
        StreamingDataLoader,
        StreamingDataset,
        TokensLoader,
    )

    length = _info(home, name).sequence_length
    dataset = StreamingDataset(
        str(folder / "litdata"), item_loader=TokensLoader(block_size=length), shuffle=True, drop_last=True
    )
    batches = StreamingDataLoader(dataset, batch_size=ROWS, num_workers=workers, drop_last=True)
    state = folder / f"litdata-{workers}.json"
    if resume:
        batches.load_state_dict(json.loads(state.read_text()))
    stop = int(len(dataset) * STATE) // ROWS
    for number, batch in enumerate(batches, 1):
        if number == stop and not resume:
            state.write_text(json.dumps(batches.state_dict()))
        yield batch.long().numel()


def _memory_map(home: Home, name: str, folder: Path, workers: int, resume: bool) -> Batches:
    import torch

    length = _info(home, name).sequence_length
    flat = np.memmap(folder / "tokens.bin", np.uint16).reshape(-1, length)
    order = np.random.default_rng(17).permutation(len(flat))
    for at in range(int(len(flat) * STATE) // ROWS * ROWS if resume else 0, len(flat) - ROWS + 1, ROWS):
        yield torch.from_numpy(flat[order[at : at + ROWS]].astype(np.int64)).numel()


SIDES: dict[str, tuple[Callable[..., Batches], int]] = {
    "millrace": (_millrace, 0),
    "millrace, 2 workers": (_millrace, 2),
    "streaming": (_streaming, 0),
    "streaming, 2 workers": (_streaming, 2),
    "litdata": (_litdata, 0),
    "litdata, 2 workers": (_litdata, 2),
    "memory map": (_memory_map, 0),
}


def main(argv: list[str]) -> None:
    """One pass of one side, or the start of one: `HOME NAME FOLDER SIDE MODE`; prints what was measured as JSON."""
    import streaming  # noqa: F401  the imports of every side are done before the clock starts
    import torch

    import training.loader.dataset  # noqa: F401

    if argv[3].startswith("litdata"):
        import litdata  # noqa: F401  # pyright: ignore[reportMissingImports]
    torch.set_num_threads(1)
    one, workers = SIDES[argv[3]]
    started, before = time.perf_counter(), _cpu_s()
    batches = one(Home(Path(argv[0])), argv[1], Path(argv[2]), workers, argv[4] == "resume")
    first = next(batches)
    first_s = time.perf_counter() - started
    tokens = first + sum(islice(batches, 0 if argv[4] == "resume" else None))
    elapsed_s = time.perf_counter() - started
    batches.close()  # pyright: ignore[reportAttributeAccessIssue]
    print(json.dumps({"tokens": tokens, "rate": tokens / elapsed_s, "first_s": first_s, "cpu_s": _cpu_s() - before}))


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main(sys.argv[1:])
