"""One method of near-deduplication over Parquet files, in a process of its own. Prints a line of JSON.

    python -m tests.bench.dedup_methods METHOD FOLDER        # one of METHODS

Removed documents go to FOLDER/<method>.json as [file, row]. Peers cut words at white space. All run in one process, but
for `millrace-2`, which signs with two workers. A few documents go through first, so that imports are not counted.
"""

import json
import re
import resource
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from data.dedup.config import NearConfig

SIMILARITY = 0.8


def texts_of(path: Path) -> Iterator[str]:
    """The texts of one file."""
    for batch in pq.ParquetFile(path).iter_batches(2048, columns=["text"]):
        yield from batch["text"].to_pylist()


def cpu_s() -> float:
    """Of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def millrace(paths: list[Path], folder: Path) -> tuple[float, list[tuple[int, int]]]:
    """Signatures, then bands, proof and choice; longer documents rank better."""
    return _in_one_process(paths, NearConfig(similarity=SIMILARITY))


def forms_apart(paths: list[Path], folder: Path) -> tuple[float, list[tuple[int, int]]]:
    """The same, with traditional and simplified Chinese apart."""
    return _in_one_process(paths, NearConfig(similarity=SIMILARITY, fold_han=False))


def _in_one_process(paths: list[Path], config: NearConfig) -> tuple[float, list[tuple[int, int]]]:
    from data.dedup.near import Sign

    step = Sign(paths, config)
    for task in range(len(paths)):
        list(step.run(rank=task))
    return cpu_s(), _ours(paths, config)


def millrace_2(paths: list[Path], folder: Path) -> tuple[float, list[tuple[int, int]]]:
    """The same with two workers for the signatures."""
    from data.dedup.near import Sign
    from data.run.executors import Execution, execute

    config = NearConfig(similarity=SIMILARITY)
    execute([Sign(paths, config)], len(paths), Execution(workers=2), folder / "logs")
    return cpu_s(), _ours(paths, config)


def _ours(paths: list[Path], config: NearConfig) -> list[tuple[int, int]]:
    from data.dedup.near import Ranked, near_duplicates
    from data.dedup.store import Store, signature_path

    signed = [signature_path(path, config) for path in paths]
    store = Store(signed)
    parts = np.repeat(np.arange(len(paths)), [part.rows for part in store.parts])
    ordinals = np.concatenate([part.ordinals for part in store.parts])
    order = np.argsort(-store.sizes(np.arange(len(parts))), kind="stable")
    found = near_duplicates(signed, Ranked(parts[order], ordinals[order]), config)
    gone = order[found.document]
    return list(zip(parts[gone].tolist(), ordinals[gone].tolist(), strict=True))


def datatrove(paths: list[Path], folder: Path) -> tuple[float, list[tuple[int, int]]]:
    """Its four stages with its defaults (14 bands of 8), one task a file."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import MinhashConfig
    from loguru import logger

    logger.remove()
    config = MinhashConfig()
    for rank, path in enumerate(paths):
        step = MinhashDedupSignature(f"{folder}/dt/signatures", config)
        step.word_tokenizer = WhiteSpace()  # type: ignore[assignment]
        step.run((Document(text=text, id="") for text in texts_of(path)), rank, len(paths))
    signed_at = cpu_s()
    for rank in range(config.num_buckets):
        MinhashDedupBuckets(f"{folder}/dt/signatures", f"{folder}/dt/buckets", config=config).run(
            None, rank, config.num_buckets
        )
    MinhashDedupCluster(f"{folder}/dt/buckets", f"{folder}/dt/remove", config=config).run(None, 0, 1)
    gone = []
    for path in sorted(Path(folder, "dt", "remove").glob("*.remove")):
        gone += [(int(path.stem), row) for row in np.fromfile(path, "<u4").tolist()]
    return signed_at, gone


class WhiteSpace:
    """A word tokenizer for datatrove that costs next to nothing (its own is spaCy's)."""

    def word_tokenize(self, text: str) -> list[str]:
        return text.split()


def shingles(text: str) -> set[bytes]:
    """5-grams of words, as text-dedup makes them."""
    words = [word for word in re.split(r"\W", text.lower()) if word]
    return {" ".join(words[at : at + 5]).encode() for at in range(max(1, len(words) - 4))}


def text_dedup(paths: list[Path], folder: Path) -> tuple[float, list[tuple[int, int]]]:
    """Its method, written plainly: 256 permutations, bands by the threshold, union-find over buckets, no proof."""
    from datasketch.hashfunc import sha1_hash32
    from datasketch.lsh import _optimal_param

    bands, rows = _optimal_param(SIMILARITY, 256, 0.5, 0.5)
    chosen, prime = np.random.RandomState(42), np.uint64((1 << 61) - 1)
    a = chosen.randint(1, int(prime), 256, dtype=np.uint64)
    b = chosen.randint(0, int(prime), 256, dtype=np.uint64)
    tables: list[dict[bytes, list[int]]] = [defaultdict(list) for _ in range(bands)]
    where = []
    for number, path in enumerate(paths):
        for row, text in enumerate(texts_of(path)):
            hashes = np.array([sha1_hash32(shingle) for shingle in shingles(text)], np.uint64)[:, None]
            least = (((hashes * a + b) % prime) & np.uint64(0xFFFFFFFF)).min(axis=0).astype(np.uint32)
            for band, table in enumerate(tables):
                table[least[band * rows : (band + 1) * rows].tobytes()].append(len(where))
            where.append((number, row))
    signed_at, parent = cpu_s(), list(range(len(where)))

    def find(at: int) -> int:
        while parent[at] != at:
            parent[at] = at = parent[parent[at]]
        return at

    for table in tables:
        for members in table.values():
            for other in members[1:]:
                low, high = sorted((find(members[0]), find(other)))
                parent[high] = low
    return signed_at, [where[at] for at in range(len(where)) if find(at) != at]


def datasketch(paths: list[Path], folder: Path) -> tuple[float, list[tuple[int, int]]]:
    """MinHash of 128 and its LSH: a document for which the index knows another one is removed."""
    from datasketch import MinHash, MinHashLSH

    lsh, gone = MinHashLSH(threshold=SIMILARITY, num_perm=128), []
    signing = 0.0
    for number, path in enumerate(paths):
        for row, text in enumerate(texts_of(path)):
            start = time.process_time()
            made = MinHash(num_perm=128)
            made.update_batch(shingles(text))
            signing += time.process_time() - start
            if lsh.query(made):
                gone.append((number, row))
            else:
                lsh.insert((number, row), made)
    return signing, gone


class Watched:
    """The most memory of this process and those under it, and CPU seconds of the latter: looked at four times a second.

    Pages that several share count once.
    """

    mb = 0.0

    def __enter__(self) -> "Watched":
        self._before = {child.pid: _used_s(child) for child in psutil.Process().children(recursive=True)}
        self._cpu_s = dict(self._before)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._over.wait(0.25):
            below = me.children(recursive=True)
            self.mb = max(self.mb, sum(map(pss, [me, *below])) / 1e6)
            for child in below:
                self._cpu_s[child.pid] = _used_s(child) or self._cpu_s.get(child.pid, 0.0)

    @property
    def children_s(self) -> float:
        return sum(self._cpu_s.values()) - sum(self._before.values())


def _used_s(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0


def pss(process: psutil.Process) -> int:
    try:
        return process.memory_full_info().pss
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


METHODS: dict[str, Callable[[list[Path], Path], tuple[float, list[tuple[int, int]]]]] = {
    "millrace": millrace,
    "millrace-2": millrace_2,
    "forms-apart": forms_apart,
    "datatrove": datatrove,
    "text-dedup": text_dedup,
    "datasketch": datasketch,
}


def warm_up(method: str) -> None:
    """Run it on a hundred short documents."""
    with TemporaryDirectory() as name:
        part = Path(name, "intake", "0" * 12, "reading", "part-0000000000.parquet")
        part.parent.mkdir(parents=True)
        texts = [f"document {number} of those that only warm the engine up" for number in range(100)]
        pq.write_table(pa.table({"ordinal": np.arange(100), "text": texts}), part)
        METHODS[method]([part], Path(name))


def main(method: str, folder: Path) -> None:
    """Run it, and say what it took: seconds, CPU seconds, peak memory of all its processes."""
    paths = sorted(folder.glob("intake/*/*/part-*.parquet"))
    warm_up(method)
    wall, before = time.perf_counter(), cpu_s()
    with Watched() as watched:
        signed_at, gone = METHODS[method](paths, folder)
    (folder / f"{method}.json").write_text(json.dumps(gone))
    figures = {
        "wall_s": time.perf_counter() - wall,
        "cpu_s": cpu_s() - before + watched.children_s,
        "sign_s": signed_at - (0.0 if method == "datasketch" else before),
        "peak_mb": watched.mb,
        "documents": sum(pq.read_metadata(path).num_rows for path in paths),
        "removed": len(gone),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
