"""Toy corpora and tokenizers, and what is in the samples made of them (`from tokens_toys import rebuilt`)."""

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from catalog.home import Home
from catalog.records import Record, file_entry, fingerprint, now, write_record
from training.tokens.config import TokensConfig

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


def write_tokenizer(folder: Path, vocab: int = 600, total: int = 0, special: Sequence[str] = ()) -> Path:
    """A byte-level BPE tokenizer in a folder, with words of one strange letter up to a `total` of tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=[END, PAD, *special],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([row[3] for row in documents(200, seed=7)], trainer)
    tokenizer.add_tokens([f"\ue000{number}\ue001" for number in range(tokenizer.get_vocab_size(), total)])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def configured(tokenizer, **changes):
    fields = {"name": "toy", "corpus": ("toy",), "tokenizer": str(tokenizer), "sequence_length": 64, "workers": 1}
    return TokensConfig(**{**fields, **changes})


def read_stream(folder):
    """sample_id → (tokens, bounds), by streaming's own reader."""
    from streaming.base.compression import decompress
    from streaming.base.format import reader_from_json

    index = json.loads((folder / "index.json").read_text())
    found = {}
    for entry in index["shards"]:
        raw = folder / entry["raw_data"]["basename"]
        raw.write_bytes(decompress("zstd", (folder / entry["zip_data"]["basename"]).read_bytes()))
        reader = reader_from_json(str(folder), "", entry)
        for row in range(entry["samples"]):
            sample = reader[row]
            found[sample["sample_id"]] = (sample["tokens"], sample["bounds"])
        raw.unlink()
    return found


def samples_of(info):
    return {key: value for stream in info.streams for key, value in read_stream(info.stream_path(stream)).items()}


def rows_of(info):
    return [
        row for path in sorted((info.folder / "samples").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def rebuilt(info):
    """doc_id → ids, put together from the samples."""
    samples, parts = samples_of(info), defaultdict(list)
    covered = {key: np.zeros(info.sequence_length, int) for key in samples}
    for row in rows_of(info):
        tokens, bounds = samples[row["sample_id"]]
        start, stop = row["sample_start"], row["sample_start"] + row["length"]
        assert start in bounds
        assert stop in bounds
        covered[row["sample_id"]][start:stop] += 1
        parts[row["doc_id"]].append((row["doc_start"], tokens[start:stop]))
    for key, (tokens, bounds) in samples.items():
        assert covered[key][: bounds[-1]].tolist() == [1] * bounds[-1]
        assert not covered[key][bounds[-1] :].any()
        assert (tokens[bounds[-1] :] == info.pad_id).all()
    found = {}
    for doc_id, pieces in parts.items():
        pieces.sort(key=lambda piece: piece[0])
        ends = np.cumsum([len(ids) for _, ids in pieces])
        assert [start for start, _ in pieces] == [0, *ends[:-1]]
        found[doc_id] = np.concatenate([ids for _, ids in pieces]).tolist()
    return found
