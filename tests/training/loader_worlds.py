"""Reads a mixture with worlds of 1, 2 and 4 processes, with and without workers and stops: `HOME FOLDER`.

Writes FOLDER/worlds.npz: for each world, rows of (step, rank, sample id) as the processes got them.
"""

import os
import socket
import sys
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch.distributed as dist

from catalog.home import Home
from training.loader.dataset import MixtureDataset, loader
from training.mixtures.reading import load_mixture

WORLDS = [(1, 2, ()), (2, 0, ()), (2, 1, (9, 10)), (4, 0, (3,)), (4, 1, ()), (1, 0, (1, 30))]
"""Ranks, workers of each, and the steps at which all stop and start again as new processes."""


def main(home: Path, folder: Path) -> None:
    found = {}
    for ranks, workers, stops in WORLDS:
        rows, first = [], 0
        for stop in (*stops, None):
            rows += run(ranks, home, folder / "cache", first, stop, workers)
            first = stop or 0
        found[f"{ranks} ranks, {workers} workers, stops {stops}"] = np.array(rows, np.int64)
    np.savez(folder / "worlds.npz", **found)


def run(ranks: int, home: Path, cache: Path, first: int, stop: int | None, workers: int) -> list:
    context = get_context("fork")
    queue, port = context.SimpleQueue(), free_port()
    processes = [
        context.Process(target=rank_main, args=(rank, ranks, port, home, cache, first, stop, workers, queue))
        for rank in range(ranks)
    ]
    for process in processes:
        process.start()
    rows = [row for _ in processes for row in queue.get()]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return rows


def rank_main(rank, ranks, port, home, cache, first, stop, workers, queue) -> None:
    world = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": ranks}
    os.environ |= {name: str(value) for name, value in world.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    if ranks > 1:
        dist.init_process_group("gloo")
    dataset = MixtureDataset(load_mixture(Home(home), "m"), 256, cache)
    dataset.start_at(first)
    rows, step = [], first
    for batch in loader(dataset, workers):
        if step == stop:
            break
        rows += [(step, rank, sample) for sample in batch["sample_id"].tolist()]
        step += 1
    queue.put(rows)
    if ranks > 1:
        dist.barrier()
        dist.destroy_process_group()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
