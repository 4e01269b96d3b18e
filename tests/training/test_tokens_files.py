"""Texts of all kinds: files of the user's own, very long and empty documents, odd names, what is no text at all."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer
from tokens_toys import END, PAD, configured, documents, rebuilt, rows_of, samples_of, write_corpus, write_tokenizer

from catalog.errors import BadInput, Damaged, NotFound
from catalog.ids import doc_id
from training.tokens import inputs
from training.tokens.inputs import find_inputs
from training.tokens.job import tokenize
from training.tokens.long import cut_long
from training.tokens.mds import Shape, shard_bytes
from training.tokens.reading import check_shards, load_tokens
from training.tokens.streams import stream_folder
from training.tokens.texts import read_batches


def lines(rows):
    return "".join(json.dumps({"text": row[3], "domain": row[1], "lang": row[2]}) + "\n" for row in rows).encode()


def write_mds(folder, rows):
    from streaming import MDSWriter

    columns = {"number": "int", "text": "str", "domain": "str", "lang": "str", "mark": "bytes"}
    with MDSWriter(out=str(folder), columns=columns, compression="zstd", size_limit=20_000) as out:
        for at, row in enumerate(rows):
            out.write({"number": at, "domain": row[1], "lang": row[2], "text": row[3], "mark": b"x" * (at % 3)})
    return folder


def write_files(tmp_path, kind, rows):
    if kind == "mds":
        return write_mds(tmp_path / "mds", rows)
    path = tmp_path / f"texts.{kind}"
    if kind == "parquet":
        table = pa.table({"domain": [r[1] for r in rows], "lang": [r[2] for r in rows], "text": [r[3] for r in rows]})
        table = table.set_column(0, "domain", table["domain"].dictionary_encode())
        pq.write_table(table, path, row_group_size=30)
    elif kind == "jsonl":
        path.write_bytes(lines(rows))
    elif kind == "jsonl.gz":
        path.write_bytes(gzip.compress(lines(rows)))
    else:
        path.write_bytes(pa.compress(lines(rows), codec="zstd", asbytes=True))
    return path


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "mds"])
def test_files_give_documents_that_are_named_by_hash_and_row(home, tokenizer, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(inputs, "MIN_UNIT_BYTES", 3000)  # several units from a small file
    monkeypatch.setattr(inputs, "MAX_UNIT_BYTES", 3000)
    monkeypatch.setattr(inputs, "BLOCK", 700)
    rows = documents(150)
    path = write_files(tmp_path, kind, rows)
    config = configured(tokenizer, corpus=(), input=(str(path),))
    found = find_inputs(config, home)
    assert len(found.units) > 4 or kind.endswith(("gz", "zst"))
    read = [document for unit in found.units for batch in read_batches(unit) for document in batch]
    assert [document[1:] for document in read] == [row[1:] for row in rows]
    if kind != "mds":
        assert [d.doc_id for d in read] == [doc_id(found.sources[0].sha256, row) for row in range(len(rows))]
    assert len({document.doc_id for document in read}) == len(rows)
    done = tokenize(config, home)
    assert done.record.counts["documents"] == len(rows)
    assert done.record.inputs == ()
    assert str(tmp_path) not in done.record.model_dump_json()
    assert set(rebuilt(load_tokens(home, "toy"))) == {d.doc_id for d in read if d.text}


def test_our_shards_are_those_that_streaming_writes(tmp_path):
    from streaming import MDSWriter

    shape, chosen = Shape(16, "uint16", 1 << 20), np.random.default_rng(0)
    tokens = chosen.integers(0, 60_000, (40, 16)).astype(np.uint16)
    bounds = [np.arange(chosen.integers(2, 300), dtype=np.uint32) for _ in tokens]
    columns = {"tokens": "ndarray:uint16:16", "bounds": "ndarray:uint32", "sample_id": "int"}
    with MDSWriter(
        out=str(tmp_path / "s"), columns=columns, compression="zstd:3", hashes=["sha256"], size_limit=1 << 20
    ) as out:
        for number, row in enumerate(tokens):
            out.write({"tokens": row, "bounds": bounds[number], "sample_id": number})
    theirs = pa.decompress  # the packed bytes differ (another zstd); what is packed does not
    index = json.loads((tmp_path / "s" / "index.json").read_text())["shards"][0]
    packed = (tmp_path / "s" / index["zip_data"]["basename"]).read_bytes()
    raw = theirs(packed, decompressed_size=index["raw_data"]["bytes"], codec="zstd", asbytes=True)
    assert raw == shard_bytes(shape, np.arange(40), tokens, bounds)
    assert {name: index[name] for name in shape.config()} == shape.config()


def test_a_special_token_in_a_text_stays_text(home, tokenizer):
    write_corpus(home, [("a:0", "web", "en", f"before {END} after {PAD}"), ("a:1", "web", "en", END)])
    tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy")
    ids = rebuilt(info)
    plain = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    assert all(found.count(info.eos_id) == 1 and info.pad_id not in found for found in ids.values())
    assert plain.decode(ids["a:0"][:-1]) == f"before {END} after {PAD}"
    assert plain.decode(ids["a:1"][:-1]) == END


def test_a_tokenizer_that_makes_its_end_from_text_is_refused(home, tmp_path):
    folder = write_tokenizer(tmp_path / "odd")
    plain = json.loads((folder / "tokenizer.json").read_text())
    for token in plain["added_tokens"]:
        token["special"] = False
    (folder / "tokenizer.json").write_text(json.dumps(plain))
    write_corpus(home, [("a:0", "web", "en", "text")])
    with pytest.raises(BadInput, match="must be marked as special"):
        tokenize(configured(folder), home)
    assert not (home.root / "tokens" / "toy" / "1").exists()


@pytest.mark.parametrize(("total", "dtype"), [(65_536, "uint16"), (65_537, "uint32")])
def test_the_type_of_ids_is_the_narrowest_that_holds_them(home, tmp_path, total, dtype):
    folder = write_tokenizer(tmp_path / "large", total=total)
    write_corpus(home, [("a:0", "web", "en", f"one \ue000{total - 1}\ue001 two")])
    tokenize(configured(folder), home)
    info = load_tokens(home, "toy")
    assert (info.dtype, info.vocab_size) == (dtype, total)
    assert max(rebuilt(info)["a:0"]) == total - 1
    assert next(iter(samples_of(info).values()))[0].dtype == dtype


def test_one_tiny_document(home, tokenizer):
    write_corpus(home, [("a:0", "web", "en", "x")], shards=1)
    done = tokenize(configured(tokenizer, sequence_length=4096), home)
    info = load_tokens(home, "toy")
    assert [(s.domain, s.lang, s.samples, s.tokens, s.documents) for s in info.streams] == [("web", "mul", 1, 2, 1)]
    assert done.record.counts["padding"] == 4094
    assert len(rebuilt(info)["a:0"]) == 2


def test_nothing_but_empty_documents_is_refused(home, tokenizer):
    write_corpus(home, [("a:0", "web", "en", ""), ("a:1", "web", "en", "")], shards=1)
    with pytest.raises(BadInput, match="no text in toy"):
        tokenize(configured(tokenizer), home)
    assert not (home.root / "tokens" / "toy" / "1" / "record.json").exists()


ODD = ["a/b", "..", ".", "", "con text", "日本語", "%2E", "x" * 400, "x" * 401, "C:\\d", "mul", "ü" * 80]


def test_domains_of_any_name_have_folders_of_their_own(home, tokenizer):
    folders = [stream_folder(name, other) for name in ODD for other in ODD]
    assert len(set(folders)) == len(folders)
    for folder in folders:
        root, domain, lang = folder.split("/")
        assert root == "streams"
        assert all(part and not part.startswith(".") and len(part.encode()) < 200 for part in (domain, lang))
    rows = [(f"a:{at}", name, ODD[-at], "some text " * 80) for at, name in enumerate(ODD)]
    write_corpus(home, rows)
    tokenize(configured(tokenizer), home)
    info = load_tokens(home, "toy")
    check_shards(info, hashes=True)
    assert {stream.domain for stream in info.streams} - {"rest"} == set(ODD)
    assert set(rebuilt(info)) == {row[0] for row in rows}


def long_texts():
    chosen = documents(60, seed=3)
    prose = " ".join(row[3] for row in chosen)
    return {
        "prose": (prose, True),
        "chinese": ("水流经过磨坊，桥下的轮子慢慢转动。" * 700, True),
        "lines": ("\n".join(prose.split()), True),
        "one word": ("ab" * 6000, False),
        "spaces": (" " * 9000 + "end", False),
    }


@pytest.mark.parametrize("kind", list(long_texts()))
def test_a_very_long_document_is_cut_where_its_ids_stay_the_same(tokenizer, kind):
    plain, (text, safe) = Tokenizer.from_file(str(tokenizer / "tokenizer.json")), long_texts()[kind]
    parts = list(cut_long(text, plain, longest=2000))
    assert len(parts) > 3
    assert "".join(part.text for part in parts) == text
    assert max(len(part.text) for part in parts) <= 2000
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    if safe:
        assert all(part.safe for part in parts)
    safe_ids = [part.safe for part in parts]
    ids = [one for part in parts for one in plain.encode(part.text).ids]
    assert plain.decode(ids) == text
    assert not all(safe_ids) or ids == plain.encode(text).ids


def test_the_record_counts_the_cuts_of_long_documents(home, tokenizer):
    text = "the river and the mill " * 24_000
    write_corpus(home, [("a:0", "web", "en", text), ("a:1", "web", "en", "ab" * 300_000)], shards=1)
    counts = tokenize(configured(tokenizer, sequence_length=1024), home).record.counts
    assert (counts["cut_safely"], counts["cut_blindly"]) == (1, 1)
    plain = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    assert rebuilt(load_tokens(home, "toy"))["a:0"] == [*plain.encode(text).ids, 0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text": 1}\n', "field 'text' in line 2 of .*a.jsonl is not text: 1"),
        ("a.jsonl", b'{"text": "x"}\n{"tex', "line 2 of .*a.jsonl is not JSON"),
        ("a.jsonl", b'{"body": "x"}\n', "line 1 of .*a.jsonl has no field 'text'"),
        ("a.jsonl", b"[1]\n", "line 1 of .*a.jsonl has no field 'text'"),
        ("a.jsonl.gz", gzip.compress(b'{"text": "xyz"}\n' * 99, mtime=0)[:-12], "a.jsonl.gz is cut or damaged"),
        ("a.jsonl.zst", b"\x28\xb5\x2f\xfd1234567890", "a.jsonl.zst is cut or damaged"),
        ("a.parquet", b"PAR1 no", "a.parquet is not a Parquet file"),
        ("a.mds", b"\x05\x00\x00\x00abc", "a.mds is not a whole MDS shard"),
        ("a.mds", b"nope", "a.mds is not a whole MDS shard"),
        ("index.json", b"no", "index.json is no index of MDS shards"),
        ("index.json", b"{}", "index.json is no index of MDS shards"),
        ("index.json", b'{"shards": [{"raw_data": {"basename": "s.mds"}}]}', "s.mds is missing: the index"),
        ("a.txt", b"text", "a.txt is of no kind that can be read here"),
        ("a.jsonl", b"", "there is no text in"),
    ],
)
def test_what_cannot_be_read_is_named(home, tokenizer, tmp_path, name, content, said):
    (tmp_path / "given").mkdir()
    path = tmp_path / "given" / name
    path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        tokenize(configured(tokenizer, corpus=(), input=(str(path.parent if name == "index.json" else path),)), home)
    assert not (home.root / "tokens" / "toy" / "1").exists()


def test_half_a_surrogate_pair_and_a_missing_field_are_no_error(home, tokenizer, tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "a\\ud800b", "domain": null}\n\n{"text": null}\n{"text": "c"}\n')
    done = tokenize(configured(tokenizer, corpus=(), input=(str(tmp_path),)), home)
    info = load_tokens(home, "toy")
    found = rebuilt(info)
    plain = Tokenizer.from_file(str(tokenizer / "tokenizer.json"))
    assert [plain.decode(ids[:-1]) for _, ids in sorted(found.items())] == ["a�b", "c"]
    assert [name.rpartition(":")[2] for name in sorted(found)] == ["0", "3"]
    assert (done.record.counts["documents"], done.record.counts["empty_documents"]) == (3, 1)
    assert {(s.domain, s.lang) for s in info.streams} == {("text", "mul")}
    assert done.record.counts["languages"][0]["lang"] == "und"


def test_inputs_that_are_not_there_or_twice(home, tokenizer, tmp_path):
    with pytest.raises(NotFound, match="no text files in 'nowhere"):
        find_inputs(configured(tokenizer, corpus=(), input=("nowhere/*.jsonl",)), home)
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_text('{"text": "x"}\n')
    with pytest.raises(BadInput, match=r"b.jsonl has the same content as .*a.jsonl"):
        find_inputs(configured(tokenizer, corpus=(), input=(str(tmp_path),)), home)
    with pytest.raises(NotFound, match="no corpora 'toy'"):
        find_inputs(configured(tokenizer), home)
    with pytest.raises(BadInput, match="not both"):
        configured(tokenizer, input=("x",)).check()
    record = write_corpus(home, documents(20))
    with pytest.raises(BadInput, match="the same corpus twice"):
        find_inputs(configured(tokenizer, corpus=("toy", "toy@1")), home)
    path = home.artifact("corpora", "toy", "1") / record.files[1].path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Damaged, match=r"part-00001.parquet is missing or cut"):
        find_inputs(configured(tokenizer), home)


def test_two_corpora_make_one_artifact(home, tokenizer):
    write_corpus(home, documents(60), "first")
    write_corpus(home, documents(60, seed=1), "second")
    done = tokenize(configured(tokenizer, corpus=("first", "second@1")), home)
    assert done.record.inputs == ("corpora/first@1", "corpora/second@1")
    info = load_tokens(home, "toy")
    assert len(rebuilt(info)) == done.record.counts["documents"] - done.record.counts["empty_documents"]
    assert {row["tokens_id"] for row in rows_of(info)} == {"toy@1"}
