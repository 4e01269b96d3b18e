"""Tokenization: every token of a corpus is in exactly one place, and the place is known."""

import numpy as np
from tokenizers import Tokenizer
from tokens_toys import configured, documents, read_stream, rebuilt, rows_of, write_corpus

from catalog.store import Catalog
from training import sample_ids
from training.tokens.job import tokenize
from training.tokens.reading import check_shards, load_tokens


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


def test_streams_are_by_domain_and_language_and_one_sample_is_padded(home, tokenizer):
    rows = documents(400)
    write_corpus(home, rows)
    tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy@1")
    assert [(s.domain, s.lang) for s in info.streams] == [
        ("code", "en"),
        ("rest", "mul"),
        ("web", "en"),
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
        assert sum(padded) <= (stream.domain == "rest")
        held = {row["doc_id"] for row in spans if row["sample_id"] in samples}
        assert len(held) == stream.documents
        assert stream.domain == "rest" or {langs[doc][0] for doc in held} == {stream.domain}
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
