"""Tokenization beside the bare tokenizer and datatrove's step, and the loader beside its peers, each in one run.

    just bench tokens                             # the corpus docs of the home, ten times, and its tokenizer docs-8k
    just bench tokens docs --only text --repeats 1

CPU seconds, of one process and its children. Ours are those of the whole command: start, imports, reading, encoding,
packing, compressing, hashing, the table of samples, the catalog. The bare tokenizer's are those of `encode_batch`
alone, over texts that are in memory already; datatrove's are those of its pipeline (reading Parquet, DocumentTokenizer)
without imports. Each encodes in one thread, so that none pays for waiting; ours with two workers stands beside.
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog.commands import Parser
from catalog.home import Home
from catalog.records import Record, file_entry, find, fingerprint, versions, write_record
from tests.bench import loader
from tests.bench.tables import publish, table

BATCH = 1000
PR_SET_CHILD_SUBREAPER = 36
INTRODUCTION = (
    "Medians of {}, in turn. Ours is the whole command, from start to catalog; `encode_batch` has its texts in memory\n"
    "already, and datatrove's imports are not counted."
)
SIDES = ("encode_batch", "encode_batch_fast", "datatrove")


def main(argv: list[str]) -> None:
    """Run all sides in turn and publish the medians."""
    parser = Parser(prog="just bench tokens", description=__doc__)
    parser.add_argument("corpus", nargs="?", default="docs")
    parser.add_argument("--tokenizer", default="docs-8k")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--copies", type=int, default=10, help="so often the corpus: what starting costs counts less")
    parser.add_argument("--only", choices=("text", "loader"))
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    home = Home.open()
    _adopt_orphans()
    if arguments.side:
        print(json.dumps(_peer(arguments.side, *_paths(home, arguments.corpus, arguments.tokenizer))))
        return
    if (arguments.corpus, arguments.tokenizer) == ("docs", "docs-8k"):
        _make_default(home)
    _ours(home, arguments.corpus, arguments.tokenizer, 2)  # to compile the modules
    copied = _copied(home, arguments.corpus, arguments.copies)
    command = f"just bench tokens {arguments.corpus} --repeats {arguments.repeats} --copies {arguments.copies}"
    if arguments.only != "loader":
        names = dict.fromkeys([arguments.corpus, copied])
        runs = {name: [_run_all(home, name, arguments.tokenizer) for _ in range(arguments.repeats)] for name in names}
        bodies = [_body(of, str(find(home, "corpora", name).ref), arguments) for name, of in runs.items()]
        publish("Tokenization", command, "\n\n".join([INTRODUCTION.format(arguments.repeats), *bodies]))
    if arguments.only != "text":
        for words in (
            ["tokenize", f"corpus={copied}", f"tokenizer={arguments.tokenizer}"],
            ["mixture", f"tokens={copied}"],
        ):
            verb, *fields = words
            command_line = [sys.executable, "-m", "configs", verb, copied, *fields, "--home", str(home.root)]
            subprocess.run(command_line, check=True)
        publish("Loader", command, loader.measure(home, copied, arguments.repeats))


def _copied(home: Home, corpus: str, copies: int) -> str:
    """A corpus of the home with every shard so many times over, under ids of their own; gives its name."""
    name = f"{corpus}-x{copies}"
    if copies < 2 or versions(home, "corpora", name):
        return name if copies > 1 else corpus
    shards, _ = _paths(home, corpus, "docs-8k")
    folder, files = home.artifact("corpora", name, "1"), []
    for copy in range(copies):
        for shard in shards:
            rows = pq.read_table(shard)
            ids = pc.binary_join_element_wise(rows["doc_id"], f".{copy}", "")  # pyright: ignore[reportAttributeAccessIssue]
            rows = rows.set_column(rows.schema.get_field_index("doc_id"), "doc_id", ids)
            path = folder / "shards" / f"{copy:03d}-{shard.name}"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, path, row_group_size=2048)
            files.append(file_entry(folder, path, len(rows)))
    mark = fingerprint("corpora", {}, [entry.sha256 for entry in files])
    counts = {"documents": sum(entry.rows or 0 for entry in files)}
    write_record(
        home, Record(kind="corpora", name=name, version="1", fingerprint=mark, files=tuple(files), counts=counts)
    )
    return name


def _make_default(home: Home) -> None:
    """The default corpus and tokenizer, where they are not there yet."""
    subprocess.run([sys.executable, "-m", "configs", "tokenize", "--home", str(home.root)], check=True)


def _paths(home: Home, corpus: str, tokenizer: str) -> tuple[list[Path], Path]:
    """The shards of the corpus, and the tokenizer's file."""
    record, made = find(home, "corpora", corpus), find(home, "tokenizers", tokenizer)
    folder = home.artifact("corpora", record.name, record.version)
    shards = [folder / entry.path for entry in record.files if entry.path.startswith("shards/")]
    return shards, home.artifact("tokenizers", made.name, made.version) / "tokenizer.json"


def _run_all(home: Home, corpus: str, tokenizer: str) -> dict[str, dict]:
    ours = {f"millrace, {n} worker{'s'[: n > 1]}": _ours(home, corpus, tokenizer, n) for n in (1, 2)}
    words = [sys.executable, "-m", "tests.bench", "tokens", corpus, "--tokenizer", tokenizer, "--side"]
    peers = {}
    for side in SIDES:
        alone = os.environ | {"TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run([*words, side], check=True, capture_output=True, text=True, env=alone)
        peers[side] = json.loads(done.stdout.splitlines()[-1])
    return ours | peers


def _ours(home: Home, corpus: str, tokenizer: str, workers: int) -> dict:
    """The whole command, into a home of its own that has the same corpora and tokenizers."""
    with tempfile.TemporaryDirectory(dir=home.root) as root:
        for kind in ("corpora", "tokenizers"):
            (Path(root) / kind).symlink_to(home.root / kind)
        words = [
            "tokenize",
            "bench",
            f"corpus={corpus}",
            f"tokenizer={tokenizer}",
            f"workers={workers}",
            "--home",
            root,
        ]
        before = _children()
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = str(home.root / ".bench-pycache")  # compiled once, as after any first command
        subprocess.run([sys.executable, "-m", "configs", *words], check=True, capture_output=True, env=env)
        _wait_for_orphans()
        cpu_s = _children() - before
        counts = json.loads((Path(root) / "tokens" / "bench" / "1" / "record.json").read_text())["counts"]
    return {"cpu_s": cpu_s, "tokens": counts["tokens"]}


def _adopt_orphans() -> None:
    """Become the parent of what a command leaves (Linux): its fork server and workers, whose CPU time counts."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _wait_for_orphans() -> None:
    with suppress(ChildProcessError):
        while True:
            os.wait()


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peer(side: str, shards: list[Path], tokenizer: Path) -> dict:
    return _datatrove(shards, tokenizer) if side == "datatrove" else _bare(side, shards, tokenizer)


def _bare(method: str, shards: list[Path], path: Path) -> dict:
    from tokenizers import Tokenizer

    tokenizer, tokens = Tokenizer.from_file(str(path)), 0
    texts = [text for shard in shards for text in pq.read_table(shard, columns=["text"])["text"].to_pylist()]
    started = time.process_time()
    for at in range(0, len(texts), BATCH):
        tokens += sum(map(len, getattr(tokenizer, method)(texts[at : at + BATCH])))
    return {"cpu_s": time.process_time() - started, "tokens": tokens + len(texts), "chars": sum(map(len, texts))}


def _datatrove(shards: list[Path], tokenizer: Path) -> dict:
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.tokens import DocumentTokenizer
    from loguru import logger

    logger.remove()
    with tempfile.TemporaryDirectory() as out:
        step = DocumentTokenizer(
            out, str(tokenizer), eos_token="<|endoftext|>", shuffle_documents=False, batch_size=BATCH
        )
        data, started = None, time.process_time()
        for one in (ParquetReader(str(shards[0].parent), id_key="doc_id", batch_size=BATCH), step):
            data = one(data, 0, 1) if data is not None else one(None, 0, 1)
        for _ in data or ():
            pass
        cpu_s = time.process_time() - started
        tokens = sum(path.stat().st_size for path in Path(out).glob("*.ds")) // step.token_size
    return {"cpu_s": cpu_s, "tokens": tokens}


def _body(runs: list[dict[str, dict]], ref: str, arguments: argparse.Namespace) -> str:
    rows = []
    for side in runs[0]:
        cpu_s = statistics.median(run[side]["cpu_s"] for run in runs)
        times = statistics.median(run[side]["cpu_s"] / run["encode_batch"]["cpu_s"] for run in runs)
        tokens = runs[0][side]["tokens"]
        rows.append([side, f"{tokens:,}", f"{cpu_s:.2f}", f"{tokens / cpu_s / 1e6:.2f}", f"{times:.2f}"])
    chars = runs[0]["encode_batch"]["chars"]
    columns = ["", "tokens", "CPU s", "million tokens / core-second", "times encode_batch"]
    return f"`{ref}`, {chars:,} characters, tokenizer `{arguments.tokenizer}`:\n\n{table(columns, rows)}"
