"""Tokenization: every token of a corpus is in exactly one place, and the place is known."""

from collections import defaultdict

import numpy as np
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokens_toys import documents, write_corpus, write_tokenizer

from catalog.store import Catalog
from training import sample_ids
from training.tokens.config import TokensConfig
from training.tokens.job import tokenize
from training.tokens.reading import check_shards, load_tokens


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    return write_tokenizer(tmp_path_factory.mktemp("tokenizer") / "toy")


def configured(tokenizer, **changes):
    fields = {"name": "toy", "corpus": ("toy",), "tokenizer": str(tokenizer), "sequence_length": 64, "workers": 1}
    return TokensConfig(**{**fields, **changes})


def read_stream(folder):
    """sample_id → (tokens, bounds), by streaming's own reader."""
    import json

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


def test_every_token_of_a_corpus_is_in_exactly_one_span(home, tokenizer):
    rows = documents(400)
    write_corpus(home, rows)
    done = tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy")
    check_shards(info, hashes=True)
    plain = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    expected = {row[0]: [*plain.encode(row[3]).ids, info.eos_id] for row in rows if row[3]}
    assert rebuilt(info) == expected
    assert done.record.counts["tokens"] == sum(map(len, expected.values()))
    assert done.record.counts["empty_documents"] == sum(not row[3] for row in rows)


def test_streams_are_by_domain_and_language_and_one_sample_of_a_domain_is_padded(home, tokenizer):
    rows = documents(400)
    write_corpus(home, rows)
    tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy@1")
    assert [(s.domain, s.lang) for s in info.streams] == [
        ("code", "en"),
        ("code", "mul"),
        ("web", "en"),
        ("web", "mul"),
        ("web", "zh"),
    ]
    first = 0
    langs = {row[0]: (row[1], row[2]) for row in rows}
    spans = rows_of(info)
    for stream in info.streams:
        samples = read_stream(info.stream_path(stream))
        assert [int(i) for i in sample_ids.sample_id(info.key, first + np.arange(stream.samples))] == sorted(samples)
        assert stream.first == first
        assert sum(int(bounds[-1]) for _, bounds in samples.values()) == stream.tokens
        padded = [bounds[-1] < info.sequence_length for _, bounds in samples.values()]
        assert sum(padded) <= (stream.lang == "mul")
        held = {row["doc_id"] for row in spans if row["sample_id"] in samples}
        assert len(held) == stream.documents
        assert {langs[doc][0] for doc in held} == {stream.domain}
        if stream.lang != "mul":
            assert {langs[doc][1] for doc in held} == {stream.lang}
        first += stream.samples


def test_the_catalog_answers_by_sample(home, tokenizer):
    rows = documents(100)
    write_corpus(home, rows)
    tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy")
    with Catalog.open(home) as catalog:
        found = catalog.sql("FROM samples ORDER BY sample_id, sample_start").fetchall()
        streams = catalog.sql(
            "SELECT tokens_id, corpus, version, domain, lang, sequence_length, samples, tokens FROM tokens"
        ).fetchall()
    assert found == [tuple(row.values()) for row in rows_of(info)]
    assert sorted(streams) == [("toy@1", "toy", "1", s.domain, s.lang, 64, s.samples, s.tokens) for s in info.streams]
