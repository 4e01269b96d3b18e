"""What `input` names, as immutable sources: identity, order, folders, crawls, addresses, and good errors."""

import gzip
import hashlib
import json
import os
import shutil
from collections import Counter
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from file_servers import Files
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import write_crawl

from catalog.errors import BadInput, Damaged, NotFound
from catalog.records import FileEntry, Record, write_record
from data.sources.hashes import content_hash
from data.sources.inputs import common_crawl_paths, plan_spans, resolve_inputs
from data.sources.kinds import KINDS, kind_by_name, kind_of
from data.sources.readers import read_records
from data.sources.records import ReadBounds, Source, Span


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(path: Path, data: bytes | str = b"") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def texts(source: Source, bounds: ReadBounds | None = None) -> list[str]:
    rows = list(read_records(source, Span(), bounds or ReadBounds(), Counter()))
    assert [row.failure for row in rows] == [""] * len(rows)
    return [row.text if row.text is not None else row.body.decode() for row in rows]


def test_a_source_is_its_content_whatever_its_name_and_the_order(tmp_path, home):
    one, two = put(tmp_path / "b.txt", "one"), put(tmp_path / "a.txt", "two")
    again = put(tmp_path / "deep" / "c.txt", "one")
    forward = resolve_inputs([str(one), str(two), str(again)], home, "prose")
    backward = resolve_inputs([str(tmp_path / "deep" / "*.txt"), str(two), str(one)], home, "prose")
    assert [source.source_id for source in forward] == sorted([sha(b"one"), sha(b"two")])
    assert [source.source_id for source in backward] == [source.source_id for source in forward]
    named = {source.source_id: source for source in forward}
    assert named[sha(b"one")].uri == str(one)  # the first that was given
    assert named[sha(b"one")].size_bytes == 3
    assert {source.domain for source in forward} == {"prose"}


@given(order=st.permutations(range(5)))
@settings(max_examples=15, deadline=None)
def test_law_of_order(tmp_path_factory, order):
    from catalog.home import Home

    folder = tmp_path_factory.mktemp("order")
    paths = [put(folder / f"{number}.txt", f"text {number % 3}") for number in range(5)]
    sources = resolve_inputs([str(paths[index]) for index in order], Home(folder / "lake"))
    assert [source.source_id for source in sources] == sorted(sha(f"text {number}".encode()) for number in range(3))


def test_relative_paths_globs_and_home_signs(tmp_path, home, monkeypatch):
    put(tmp_path / "crawl" / "a.jsonl", '{"text": "a"}\n')
    put(tmp_path / "crawl" / "deep" / "b.jsonl", '{"text": "b"}\n')
    put(tmp_path / "odd[1].txt", "odd")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(resolve_inputs(["crawl/*.jsonl"], home)) == 1
    assert len(resolve_inputs(["crawl/**/*.jsonl"], home)) == 2
    assert len(resolve_inputs(["crawl/**"], home)) == 2
    assert len(resolve_inputs(["~/crawl/a.jsonl"], home)) == 1
    [odd] = resolve_inputs(["odd[1].txt"], home)
    assert odd.uri == str(tmp_path / "odd[1].txt")


@pytest.mark.parametrize(
    ("inputs", "error", "says"),
    [
        ([], BadInput, "no input. Give for example input="),
        ([""], BadInput, "no input"),
        (["nowhere/a.warc.gz"], NotFound, "no such file or folder: nowhere/a.warc.gz"),
        (["nowhere/*.warc.gz"], NotFound, "no file matches nowhere/"),
        (["docs@7"], NotFound, "no crawls 'docs'"),
        (["gopher://a.example/x"], BadInput, "Use a path, http(s):// or s3://"),
    ],
)
def test_inputs_that_are_not_there(home, inputs, error, says):
    with pytest.raises(error) as caught:
        resolve_inputs(inputs, home)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_no_known_kind(tmp_path, home):
    with pytest.raises(BadInput, match=r"what kind of file is .*x\.bin.*WARC.*Parquet"):
        resolve_inputs([str(put(tmp_path / "x.bin", b"\x00\x01\x02"))], home)
    put(tmp_path / "empty" / "notes.bin")
    with pytest.raises(NotFound, match="no file of a known kind in"):
        resolve_inputs([str(tmp_path / "empty")], home)
    put(tmp_path / "mixed" / "a.html", "<html>")
    put(tmp_path / "mixed" / "b.parquet", "PAR1")
    with pytest.raises(BadInput, match=r"both HTML pages and data files \(b\.parquet, …\)"):
        resolve_inputs([str(tmp_path / "mixed")], home)


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.warc.gz", b"", "warc"),
        ("a.warc.wet.gz", b"", "wet"),
        ("A.WARC.ZST", b"", "warc"),
        ("a.bad", gzip.compress(b"WARC/1.0\r\n", mtime=0), "warc"),
        ("a.warc.gz", gzip.compress(b"filedesc://a 1 2", mtime=0), "arc"),
        ("a.arc", b"", "arc"),
        ("a", b"PAR1....", "parquet"),
        ("a.jsonl.bz2", b"", "jsonl"),
        ("part-0", b'{"text": 1}', "jsonl"),
        ("page", b"\n<!DOCTYPE html>", "html"),
        ("a.txt", b"WARC/1.0 is a format", "text"),
        ("a.md", b"", "text"),
        ("a.tsv", b"", "csv"),
        ("a.arrow", b"\xff\xff\xff\xff", "arrow"),
        ("a.exe", b"MZ\x00", ""),
        ("a.gz", gzip.compress(b"", mtime=0)[:12], ""),
    ],
)
def test_kinds(name, head, kind):
    assert kind_of(name, head) == kind
    assert not kind or kind in KINDS


def test_an_empty_file_is_a_source_without_records(tmp_path, home):
    for name in ("a.warc.gz", "a.arc", "a.jsonl", "a.parquet", "a.csv", "a.txt", "a.html", "a.arrow"):
        [source] = resolve_inputs([str(put(tmp_path / name))], home)
        assert source.size_bytes == 0
        assert plan_spans(source, 1) == [Span()]
        assert list(read_records(source, Span(), ReadBounds(), Counter())) == []


def test_the_odd_samples_have_the_right_kinds(shared_data, home):
    kinds = Counter(source.kind for source in resolve_inputs([str(shared_data / "warc-edge" / "*")], home))
    assert kinds == {"warc": 18, "arc": 2}


def test_a_folder_of_pages_is_one_source(tmp_path, home):
    def site(name: str) -> Path:
        put(tmp_path / name / "index.html", "<html>root")
        put(tmp_path / name / "news" / "b.htm.gz", gzip.compress(b"<html>news", mtime=0))
        put(tmp_path / name / "about.json", "{}")
        put(tmp_path / name / ".hidden.html", "<html>")
        put(tmp_path / name / "robots.txt", "User-agent: *")
        return tmp_path / name

    [source] = resolve_inputs([str(site("one"))], home)
    assert source.kind == "html"
    rows = list(read_records(source, Span(), ReadBounds(), Counter()))
    assert [(row.ordinal, row.url, row.body) for row in rows] == [
        (0, "index.html", b"<html>root"),
        (1, "news/b.htm.gz", b"<html>news"),
    ]
    assert [span.first for span in plan_spans(source, 1)] == [0, 1]
    assert [
        row for span in plan_spans(source, 1) for row in read_records(source, span, ReadBounds(), Counter())
    ] == rows
    [moved] = resolve_inputs([str(site("two"))], home)
    assert moved.source_id == source.source_id
    (tmp_path / "two" / "index.html").rename(tmp_path / "two" / "home.html")
    assert resolve_inputs([str(tmp_path / "two")], home)[0].source_id != source.source_id
    put(tmp_path / "one" / "index.html", "<html>other")
    with pytest.raises(Damaged, match="has changed since it was registered"):
        list(read_records(source, Span(), ReadBounds(), Counter()))


def test_the_gold_pages_are_a_folder(shared_data, home):
    [source] = resolve_inputs([str(shared_data / "html-gold" / "articles")], home)
    rows = list(read_records(source, Span(), ReadBounds(), Counter()))
    assert len(rows) == 89
    assert all(b"<" in row.body and not row.failure for row in rows)


def test_a_hugging_face_folder_gives_its_data_files(tmp_path, home):
    put(tmp_path / "README.md", "---\nlicense: mit\n---\n# A card")
    put(tmp_path / "dataset_infos.json", "{}")
    put(tmp_path / ".gitattributes")
    for split in ("train", "test"):
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(pa.table({"text": [f"{split} text"]}), tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    sources = resolve_inputs([str(tmp_path)], home)
    assert sorted(text for source in sources for text in texts(source)) == ["test text", "train text"]


@pytest.mark.slow
def test_what_datasets_saves_to_disk_can_be_read(tmp_path, home):
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict({"text": [f"text {number}" for number in range(300)], "url": ["u"] * 300})
    saved.save_to_disk(str(tmp_path / "set"))
    shutil.copy(next((tmp_path / "set").glob("*.arrow")), tmp_path / "set" / "cache-1234.arrow")
    [source] = resolve_inputs([str(tmp_path / "set")], home)
    assert (source.kind, texts(source)) == ("arrow", [f"text {number}" for number in range(300)])


def test_a_crawl_of_the_home_by_its_name(tmp_path, home, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = home.artifact("crawls", "docs", "1")
    path = write_crawl(folder / "docs-00000.warc.gz", 0, 3)
    entry = FileEntry(path=path.name, bytes=path.stat().st_size, sha256=sha(path.read_bytes()))
    other = FileEntry(path="pages.json", bytes=2, sha256=sha(b"{}"))
    write_record(home, Record(kind="crawls", name="docs", version="1", files=(entry, other)))
    for name in ("docs@1", "docs"):
        [source] = resolve_inputs([name], home)
        assert (source.uri, source.source_id, source.kind) == (str(path), entry.sha256, "warc")
    put(tmp_path / "docs" / "a.txt", "a folder of that name comes first")
    assert resolve_inputs(["docs"], home)[0].kind == "text"
    with pytest.raises(NotFound, match="no version 9 of crawls/docs"):
        resolve_inputs(["docs@9"], home)
    path.write_bytes(path.read_bytes() + gzip.compress(b""))
    with pytest.raises(Damaged, match="is not what docs@1 was made with"):
        resolve_inputs(["docs@1"], home)


def test_a_known_file_is_not_read_again(tmp_path, home, monkeypatch):
    path = put(tmp_path / "a.txt", "content")
    monkeypatch.setattr("data.sources.hashes.SETTLED_NS", 0)
    assert content_hash(path, home) == sha(b"content")
    [note] = (home.root / "intake" / ".known").iterdir()
    read = []
    monkeypatch.setattr(
        "data.sources.hashes.hashlib.file_digest", lambda stream, name: read.append(name) or hashlib.new(name)
    )
    assert content_hash(path, home) == sha(b"content")
    assert read == []
    for corrupt in (b"", b"[]", b"{}", note.read_bytes().replace(b'"sha256": "', b'"sha256": "0'), b"\xff"):
        note.write_bytes(corrupt)
        content_hash(path, home)
        assert read.pop() == "sha256"


def test_what_is_remembered_is_never_wrong(tmp_path, home, monkeypatch):
    path = put(tmp_path / "a.txt", "content")
    assert content_hash(path, home) == sha(b"content")
    assert not (home.root / "intake").exists()  # changed a moment ago: not remembered
    monkeypatch.setattr("data.sources.hashes.SETTLED_NS", 0)
    content_hash(path, home)
    times = path.stat().st_mtime_ns
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(times, times))
    assert content_hash(path, home) == sha(b"CONTENT")
    other = put(tmp_path / "b.txt", "another")
    os.replace(other, path)
    assert content_hash(path, home) == sha(b"another")
    shutil.rmtree(home.root)
    assert content_hash(path, home) == sha(b"another")


def test_a_file_that_changes_after_it_was_registered_is_damaged(tmp_path, home):
    path = put(tmp_path / "a.jsonl", '{"text": "a"}\n')
    [source] = resolve_inputs([str(path)], home)
    put(path, '{"text": "a"}\n{"text": "b"}\n')
    with pytest.raises(Damaged, match="had 14 bytes when it was registered and has 28 now"):
        list(read_records(source, Span(), ReadBounds(), Counter()))
    path.unlink()
    with pytest.raises(NotFound, match="cannot read"):
        list(read_records(source, Span(), ReadBounds(), Counter()))


@pytest.fixture
def serve(tmp_path):
    """Serve `tmp_path/site` on loopback: `serve(ranges=False)` gives the address and the handler class."""
    servers = []

    def start(**options) -> tuple[str, type[Files]]:
        handler = type("Site", (Files,), {"root": tmp_path / "site", "seen": [], **options})
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", handler

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("options", [{}, {"ranges": False}, {"encoding": "gzip"}])
def test_files_behind_http(tmp_path, home, serve, monkeypatch, options):
    """With ranges, without, and from a server that calls a .gz file gzip-encoded: the same records as from the disk."""
    monkeypatch.setattr("data.sources.blobs.REMOTE_BLOCK", 4_096)
    path = write_crawl(tmp_path / "site" / "a.warc.gz", 0, 40)
    address, handler = serve(**options)
    [source] = resolve_inputs([f"{address}/a.warc.gz"], home)
    assert (source.kind, source.sha256) == ("warc", "")
    assert plan_spans(source, 1) == [Span()]
    [local] = resolve_inputs([str(path)], home)
    assert texts(source) == texts(local)
    parts = [asked for command, _, asked in handler.seen if command == "GET" and asked]
    assert (len(parts) > 3) == (options != {"encoding": "gzip"} and options.get("ranges", True))


def test_identity_behind_http_is_address_size_and_tag(tmp_path, home, serve):
    path = put(tmp_path / "site" / "a.jsonl", '{"text": "a"}\n')
    address, _ = serve()
    [source] = resolve_inputs([f"{address}/a.jsonl"], home)
    tag = f'"{sha(path.read_bytes())[:16]}"'
    assert source.source_id == sha(f"{address}/a.jsonl\n14\n{tag}".encode())
    assert resolve_inputs([f"{address}/a.jsonl"], home)[0] == source
    put(tmp_path / "site" / "a.jsonl", '{"text": "b"}\n')
    assert resolve_inputs([f"{address}/a.jsonl"], home)[0].source_id != source.source_id
    with pytest.raises(Damaged, match="has changed since it was registered"):
        texts(source)


def test_a_server_that_fails_is_asked_again(tmp_path, home, serve, monkeypatch):
    pauses = []
    monkeypatch.setattr("data.sources.blobs.time.sleep", pauses.append)
    put(tmp_path / "site" / "a.jsonl", '{"text": "a"}\n')
    address, handler = serve()
    [source] = resolve_inputs([f"{address}/a.jsonl"], home)
    handler.fail = 2
    assert texts(source) == ["a"]
    assert pauses == [0.5, 1.0]
    handler.fail = 99
    with pytest.raises(Damaged, match=r"could not read http.*a\.jsonl at byte 0.*Try again later"):
        texts(source)
    with pytest.raises(NotFound, match="cannot find"):
        resolve_inputs([f"{address}/missing.jsonl"], home)


def test_names_that_say_nothing_are_looked_into(tmp_path, home, serve):
    put(tmp_path / "site" / "download", '{"text": "a"}\n')
    put(tmp_path / "site" / "blob", b"\0\1\2")
    address, _ = serve()
    assert resolve_inputs([f"{address}/download?x=1"], home)[0].kind == "jsonl"
    with pytest.raises(BadInput, match="what kind of file is"):
        resolve_inputs([f"{address}/blob"], home)


def test_parquet_and_text_behind_http(tmp_path, home, serve):
    (tmp_path / "site").mkdir()
    pq.write_table(pa.table({"text": ["p"] * 500}), tmp_path / "site" / "a.parquet", row_group_size=100)
    put(tmp_path / "site" / "b.txt", "words")
    address, _ = serve(ranges=False)
    found = resolve_inputs([f"{address}/a.parquet", f"{address}/b.txt"], home)
    assert sorted(text for source in found for text in texts(source)) == ["p"] * 500 + ["words"]


def test_objects_of_s3(tmp_path, home, serve, monkeypatch):
    """Through the real s3fs, against a server that answers as S3 does: one object, a pattern, a prefix."""
    import s3fs

    for name in ("a.jsonl", "b.jsonl", "deep/c.jsonl"):
        put(tmp_path / "site" / "bucket" / "crawl" / name, json.dumps({"text": name}) + "\n")
    put(tmp_path / "site" / "bucket" / "crawl" / "notes.pdf", "x")
    address, handler = serve()
    for name, value in {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        [one] = resolve_inputs(["s3://bucket/crawl/a.jsonl"], home)
        assert (one.uri, texts(one)) == ("s3://bucket/crawl/a.jsonl", ["a.jsonl"])
        assert "bytes=0-8388607" in [asked for _, path, asked in handler.seen if path == "/bucket/crawl/a.jsonl"]
        matched = resolve_inputs(["s3://bucket/crawl/*.jsonl"], home)
        assert sorted(source.uri for source in matched) == ["s3://bucket/crawl/a.jsonl", "s3://bucket/crawl/b.jsonl"]
        under = resolve_inputs(["s3://bucket/crawl"], home)
        assert sorted(text for source in under for text in texts(source)) == ["a.jsonl", "b.jsonl", "deep/c.jsonl"]
        with pytest.raises(NotFound, match="nothing matches"):
            resolve_inputs(["s3://bucket/none/*.jsonl"], home)
    finally:
        s3fs.S3FileSystem.clear_instance_cache()


def test_the_first_files_of_a_common_crawl(tmp_path, home, serve):
    listed = [f"crawl-data/CC-MAIN-2025-05/segments/1/warc/CC-{number}.warc.gz" for number in range(9)]
    folder = tmp_path / "site" / "crawl-data" / "CC-MAIN-2025-05"
    put(folder / "warc.paths.gz", gzip.compress("\n".join([*listed, ""]).encode()))
    write_crawl(tmp_path / "site" / listed[0], 0, 2)
    address, _ = serve()
    paths = common_crawl_paths("CC-MAIN-2025-05", 2, "warc", base_url=address)
    assert paths == [f"{address}/{name}" for name in listed[:2]]
    assert len(texts(resolve_inputs(paths[:1], home)[0])) == 2
    assert len(common_crawl_paths("CC-MAIN-2025-05", 99, "warc", base_url=address)) == 9
    with pytest.raises(NotFound, match="no wet files of CC-MAIN-2025-05 at http"):
        common_crawl_paths("CC-MAIN-2025-05", 1, "wet", base_url=address)
    for crawl, n, kind in (("../x y", 1, "warc"), ("CC-MAIN-2025-05", 0, "warc"), ("CC-MAIN-2025-05", 1, "wat")):
        with pytest.raises(BadInput):
            common_crawl_paths(crawl, n, kind, base_url=address)


def test_kinds_by_name_know_every_ending_that_is_told():
    told = {ending.strip("(),") for line in KINDS.values() for ending in line.split() if ending.startswith(("(.", "."))}
    plain = {ending for ending in told if ending not in (".gz", ".zst", ".lz4", ".bz2")}
    assert plain
    assert all(kind_by_name("a" + ending) for ending in plain)


def test_a_folders_files_are_known_by_their_bytes_or_told_of(tmp_path, home, capsys):
    put(tmp_path / "d" / "a.warc.gz.bad", gzip.compress(b"WARC/1.0\r\nWARC-Type: warcinfo\r\n"))
    put(tmp_path / "d" / "noise.bin", b"\x00\x01\x02")
    put(tmp_path / "d" / "README", "about")
    [source] = resolve_inputs([str(tmp_path / "d")], home)
    assert (source.kind, Path(source.uri).name) == ("warc", "a.warc.gz.bad")
    assert capsys.readouterr().err == f"skipped 1 file of no known kind in {tmp_path / 'd'}: noise.bin\n"


def test_an_empty_file_is_told_of(tmp_path, home, capsys):
    path = put(tmp_path / "a.parquet", b"")
    resolve_inputs([str(path)], home)
    assert capsys.readouterr().err == f"{path} is empty: it gives no record.\n"


def test_a_refused_connection_is_the_cause_that_is_told(home):
    with pytest.raises(NotFound, match=r"cannot find https://127.0.0.1:9/x.jsonl: .*127\.0\.0\.1:9.*Connect"):
        resolve_inputs(["https://127.0.0.1:9/x.jsonl"], home)
