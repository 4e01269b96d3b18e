"""Toy corpora and tokenizers for tests of tokenization (`from tokens_toys import write_corpus, write_tokenizer`)."""

import random
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from catalog.home import Home
from catalog.records import Record, file_entry, fingerprint, now, write_record

END, PAD = "<|endoftext|>", "<|pad|>"
WORDS = [
    "the",
    "river",
    "and",
    "mill",
    "house",
    "have",
    "been",
    "of",
    "that",
    "wheel",
    "水流经过",
    "磨坊",
    "über",
    "naïve",
]
WORDS += ["12345", ",;\n\t()", "==", "", "\n\n", "it's"]

Row = tuple[str, str, str, str]
"""doc_id, domain, lang, text."""


def documents(
    count: int, seed: int = 0, streams: Sequence[tuple[str, str]] = (("web", "en"), ("web", "zh"), ("code", "en"))
) -> list[Row]:
    """Documents of nought to a few hundred words, in runs of the same stream as a corpus has them, and mixed."""
    chosen, rows = random.Random(seed), []
    domain, lang = streams[0]
    for number in range(count):
        if chosen.random() < 0.3:
            domain, lang = chosen.choice(streams)
        words = chosen.choice((0, 1, 5, 40, 300)) if chosen.random() < 0.9 else chosen.randint(0, 900)
        text = " ".join(chosen.choice(WORDS) for _ in range(words))
        rows.append((f"{seed:012d}:{number}", domain, lang, text))
    return rows


def write_corpus(
    home: Home, rows: Sequence[Row], name: str = "toy", version: str = "1", shards: int = 2, group: int = 50
) -> Record:
    """A corpus version of these documents, with its record."""
    folder = home.artifact("corpora", name, version)
    (folder / "shards").mkdir(parents=True)
    files = []
    for shard in range(shards):
        part = rows[len(rows) * shard // shards : len(rows) * (shard + 1) // shards]
        path = folder / "shards" / f"part-{shard:05d}.parquet"
        pq.write_table(table(part), path, row_group_size=group)
        files.append(file_entry(folder, path, len(part)))
    record = Record(
        kind="corpora",
        name=name,
        version=version,
        fingerprint=fingerprint("corpora", {}, [entry.sha256 for entry in files]),
        files=tuple(files),
        counts={"documents": len(rows)},
        created=now(),
    )
    write_record(home, record)
    return record


def table(rows: Sequence[Row]) -> pa.Table:
    names = ("doc_id", "domain", "lang", "text")
    return pa.table({name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(names)})


def write_tokenizer(folder: Path, vocab: int = 600, extra: int = 0) -> Path:
    """A byte-level BPE tokenizer in a folder; `extra` tokens that no text has make its vocabulary larger."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([row[3] for row in documents(200, seed=7)], trainer)
    tokenizer.add_tokens([f"\ue000{number}\ue001" for number in range(extra)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
