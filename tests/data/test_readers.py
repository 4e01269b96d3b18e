"""Lines, pages and texts: columns found, bounds kept, damage told, spans that change nothing."""

import csv
import gzip
import io
import json
import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from reader_toys import PACK, lines, only, read, write

from data.sources.records import ReadBounds


@pytest.mark.parametrize("ending", PACK)
def test_json_lines(tmp_path, ending):
    data = lines({"text": "磨坊", "url": "http://a.example/", "title": "T"}) + "\n" + lines({"text": "b"}, {"text": ""})
    rows, skipped = read(write(tmp_path / f"a.jsonl{ending}", PACK[ending](data.encode())), "jsonl")
    assert [(row.ordinal, row.text) for row in rows] == [(0, "磨坊"), (2, "b"), (3, "")]
    assert skipped == {"blank_line": 1}
    assert (rows[0].url, rows[0].title, rows[0].record_type, rows[0].media_type) == (
        ("http://a.example/", "T", "document", "text/plain")
    )
    first_line = len(data.encode().splitlines(keepends=True)[0])
    assert [row.offset for row in rows] == ([-1] * 3 if ending else [0, first_line + 1, first_line + 1 + 14])


@pytest.mark.parametrize(
    ("line", "failure", "says"),
    [
        ("{oops", "bad_json", "Expecting property name"),
        ("[1, 2]", "bad_json", "the line is no object"),
        ("[" * 100_000, "bad_json", "recursion"),
        ('{"text": 5}', "no_text", "text is int"),
        ('{"text": null, "lang": "en"}', "no_text", "columns: text, lang"),
        ('{"n": 1%s}' % ("1" * 5_000), "bad_json", "digits"),
    ],
)
def test_lines_that_are_no_documents(tmp_path, line, failure, says):
    rows, _ = read(write(tmp_path / "a.jsonl", lines({"text": "a"}) + line + "\n" + lines({"text": "c"})), "jsonl")
    assert [row.failure for row in rows] == ["", failure, ""]
    assert says in rows[1].detail
    assert "\n" not in rows[1].detail


def test_lines_in_other_encodings_and_with_marks(tmp_path):
    data = (
        b"\xef\xbb\xbf"
        + lines({"text": "a"}).encode()
        + lines({"text": "磨坊在河边，水流推动木轮，人们送来粮食"}).encode("gbk")
        + b'{"text": "\\ud83d x"}'
    )
    rows, _ = read(write(tmp_path / "a.jsonl", data), "jsonl")
    assert [(row.failure, row.text) for row in rows] == [
        ("", "a"),
        ("", "磨坊在河边，水流推动木轮，人们送来粮食"),
        ("", "� x"),
    ]
    assert [row.http_charset for row in rows] == ["", "gb18030", ""]


@pytest.mark.parametrize("encoding", ["gbk", "shift_jis", "windows-1251", "latin-1"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_lines_are_decoded_as_their_file_is(tmp_path, encoding, ending):
    """One line alone would not tell its encoding; the beginning of the file does, in every span."""
    words = {
        "gbk": "磨坊在河边，水流推动木轮",
        "shift_jis": "水車小屋は川のそばにあります",
        "windows-1251": "Мельница стоит у реки",
        "latin-1": "Le blé est moulu près de la rivière, à l'été",
    }[encoding]
    texts = [f"{words} {number}" for number in range(100)] + [words[:2]]
    data = lines(*({"text": text} for text in texts)).encode(encoding)
    path = write(tmp_path / f"a.jsonl{ending}", PACK[ending](data))
    whole, _ = read(path, "jsonl")
    assert [row.text for row in whole] == texts
    assert [row.text for row in read(path, "jsonl", span_bytes=700)[0]] == texts
    sheets = "\n".join(["text", *texts]).encode(encoding)
    rows, _ = read(write(tmp_path / f"a.csv{ending}", PACK[ending](sheets)), "csv", text_field="text")
    assert [row.text for row in rows] == [text.split(",")[0] for text in texts]


def test_bytes_that_fit_no_encoding_become_text(tmp_path):
    data = lines({"text": "磨坊"}).encode() + b'{"text": "a \xff\xfe b \x81"}\n' + b'{"text": "\xff"\n'
    rows, _ = read(write(tmp_path / "a.jsonl", data), "jsonl")
    assert [row.failure for row in rows] == ["", "", "bad_json"]
    assert rows[1].text.startswith("a ")


@given(st.binary(max_size=30).map(lambda body: bytes(byte for byte in body if byte not in b'\\"\n' and byte >= 32)))
@settings(max_examples=60, deadline=None)
def test_any_bytes_in_a_string_are_a_text(tmp_path_factory, body):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    rows, _ = read(write(path, b'{"text": "' + body + b'"}\n'), "jsonl")
    assert only(rows).failure == ""


def test_a_sheet_whose_header_is_lost_tells_it(tmp_path):
    rows, _ = read(write(tmp_path / "a.csv", b"\x1f\x8b\x08" + bytes(range(200, 256)) * 9), "csv")
    assert only(rows).failure == "bad_compression"


@pytest.mark.parametrize("ending", PACK)
def test_lines_over_the_bound_are_streamed_past(tmp_path, ending):
    long = lines({"text": "x" * 4_000_000})
    data = (lines({"text": "a"}) + long + lines({"text": "c"}) + long).encode()
    path = write(tmp_path / f"a.jsonl{ending}", PACK[ending](data))
    rows, _ = read(path, "jsonl", ReadBounds(record_bytes=1_000))
    assert [row.failure for row in rows] == ["", "too_large", "", "too_large"]
    assert "4000013 bytes" in rows[1].detail or str(len(long) - 1) in rows[1].detail
    near = write(tmp_path / "b.jsonl", lines({"text": "x" * 1_000}, {"text": "x" * 1_001}, {"text": "磨" * 334}))
    assert [row.failure for row in read(near, "jsonl", ReadBounds(record_bytes=1_000))[0]] == [
        "",
        "too_large",
        "too_large",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_memory_stays_flat_past_a_line_of_300_mb(tmp_path, ending):
    path = tmp_path / f"a.jsonl{ending}"
    with gzip.open(path, "wb", compresslevel=1) if ending else path.open("wb") as stream:
        stream.write(b'{"text": "')
        for _ in range(300):
            stream.write(b"z" * 1_000_000)
        stream.write(b'"}\n' + lines({"text": "after"}).encode())
    tracemalloc.start()
    rows, _ = read(path, "jsonl")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row.failure for row in rows] == ["too_large", ""]
    assert peak < 80_000_000


def test_a_compressed_file_that_ends_early_gives_what_is_there(tmp_path):
    data = gzip.compress(lines(*({"text": f"{number} {number**9}"} for number in range(500))).encode())
    rows, _ = read(write(tmp_path / "a.jsonl.gz", data[: len(data) // 2]), "jsonl")
    assert rows[-1].failure == "truncated"
    assert len(rows) > 150
    assert [row.text for row in rows[:-1]] == [f"{number} {number**9}" for number in range(len(rows) - 1)]
    two = gzip.compress(lines({"text": "a"}).encode())
    rows, _ = read(write(tmp_path / "b.jsonl.gz", two[:-3] + two), "jsonl")
    assert [row.text for row in rows][-1] == "a"
    assert [row.failure for row in rows][-1] == ""
    assert any(row.failure for row in rows)


@pytest.mark.parametrize(
    ("row", "url", "title", "when"),
    [
        ({"Text": "t", "URL": "u", "Headline": "h", "Date": "2020-01-02"}, "u", "h", datetime(2020, 1, 2, tzinfo=UTC)),
        ({"content": "t", "metadata": {"url": "m", "date": 1_577_923_200}}, "m", "", datetime(2020, 1, 2, tzinfo=UTC)),
        ({"raw_content": "t", "meta": {"URL": "m"}, "url": ""}, "m", "", None),
        ({"body": "t", "timestamp": "2020-01-02T08:00:00+08:00"}, "", "", datetime(2020, 1, 2, tzinfo=UTC)),
        ({"markdown": "t", "created": 1_577_923_200_000, "url": 7}, "", "", datetime(2020, 1, 2, tzinfo=UTC)),
        ({"text": "t", "date": "soon", "added": "2020"}, "", "", datetime(2020, 1, 1, tzinfo=UTC)),
        ({"text": "t", "date": True, "timestamp": -1, "created": 1e300}, "", "", None),
    ],
)
def test_columns_are_found(tmp_path, row, url, title, when):
    found = only(read(write(tmp_path / "a.jsonl", lines(row)), "jsonl")[0])
    assert (found.text, found.url, found.title, found.fetched_at) == ("t", url, title, when)


def test_the_text_column_can_be_said(tmp_path):
    path = write(tmp_path / "a.jsonl", lines({"text": "no", "Story": "yes", "data": {"Body": "deep"}}))
    assert only(read(path, "jsonl", text_field="story")[0]).text == "yes"
    assert only(read(path, "jsonl", text_field="data.body")[0]).text == "deep"
    missing = only(read(path, "jsonl", text_field="poem")[0])
    assert (missing.failure, missing.detail) == ("no_text", "none of poem is text; columns: text, story, data")


def test_columns_of_html_are_pages_to_be_read(tmp_path):
    page = only(read(write(tmp_path / "a.jsonl", lines({"html": "<p>磨", "url": "u"})), "jsonl")[0])
    assert (page.text, page.body, page.media_type, page.http_charset) == (None, "<p>磨".encode(), "text/html", "utf-8")
    table = pa.table({"html": [b"<p>\xff"], "url": ["u"]})
    pq.write_table(table, tmp_path / "a.parquet")
    page = only(read(tmp_path / "a.parquet", "parquet")[0])
    assert (page.body, page.media_type, page.http_charset) == (b"<p>\xff", "text/html", "")


def test_the_sample_texts_are_read_whole(shared_data):
    for path in sorted((shared_data / "text").rglob("*.jsonl")):
        rows, _ = read(path, "jsonl", span_bytes=50_000)
        wanted = [json.loads(line)["text"] for line in path.read_text("utf-8").split("\n") if line]
        assert [row.text for row in rows] == wanted, path.name


def sheet(rows: list[list[str]], delimiter: str = ",") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=delimiter).writerows(rows)
    return stream.getvalue()


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_csv(tmp_path, ending, delimiter):
    wild = 'a, "quoted"\ttext;\r\nof two lines'
    data = "\ufeff" + sheet([["url", "text"], ["u", wild], [], ["v", "磨"]], delimiter)
    rows, skipped = read(write(tmp_path / f"a.csv{ending}", PACK[ending](data.encode())), "csv")
    assert [(row.ordinal, row.url, row.text) for row in rows] == [(0, "u", wild), (2, "v", "磨")]
    assert skipped == {"blank_line": 1}


def test_csv_rows_that_cannot_be_read(tmp_path):
    long = '"' + "line\n" * 300_000 + '"'
    data = b"text,url\na,u\nonly\xff,v\n" + long.encode() + b',w\n5" disk,x\n'
    rows, _ = read(write(tmp_path / "a.csv", data), "csv", ReadBounds(record_bytes=1_000))
    assert [row.failure for row in rows] == ["", "", "too_large", ""]
    assert (rows[1].text or "").startswith("only")
    assert rows[3].text == '5" disk'
    rows, _ = read(write(tmp_path / "b.csv", "name,url\na,u\n"), "csv")
    assert only(rows).failure == "no_text"
    assert "columns: name, url" in rows[0].detail


@pytest.mark.parametrize(("kind", "media_type"), [("text", "text/plain"), ("html", "text/html")])
@pytest.mark.parametrize("ending", PACK)
def test_a_file_that_is_a_document(tmp_path, kind, media_type, ending):
    body = "磨坊\n\nthe mill\n".encode("gbk") * 9
    path = write(tmp_path / f"a.{kind}{ending}", PACK[ending](body))
    row = only(read(path, kind)[0])
    assert (row.body, row.text, row.media_type, row.url, row.ordinal) == (body, None, media_type, "", 0)
    assert only(read(path, kind, ReadBounds(record_bytes=50))[0]).failure == "too_large"
    if ending:
        cut = write(tmp_path / f"b.{kind}{ending}", path.read_bytes()[:-9])
        assert only(read(cut, kind)[0]).failure in ("truncated", "bad_compression")


MAKERS = {
    "jsonl": lambda rows: lines(*rows).encode(),
    "csv": lambda rows: sheet([["text", "url"], *([row["text"], row["url"]] for row in rows)]).encode(),
    "parquet": lambda rows: _sunk(rows, lambda table, sink: pq.write_table(table, sink, row_group_size=3)),
    "arrow": lambda rows: _sunk(rows, _write_stream),
}


def _sunk(rows: list[dict], put) -> bytes:
    sink = pa.BufferOutputStream()
    put(pa.Table.from_pylist(rows, pa.schema({"text": pa.string(), "url": pa.string()})), sink)
    return sink.getvalue().to_pybytes()


SHORT_GROUP = ["0", "1", "\x80", "𐀀", "0000", "0", "\x800\x80\x82𐀀", "", "00001\x80\x80\x81\x80\x80À\x80𐀀𐀀𐀀𐀀", "\x80"]
SHORT_GROUP += ["0000\x80\x80𐀀", "\x800\x80\x80\x80"]


def _write_stream(table: pa.Table, sink) -> None:
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=4)


@given(
    kind=st.sampled_from(list(MAKERS)),
    ending=st.sampled_from(list(PACK)),
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30), max_size=12
    ),
    harm=st.none() | st.tuples(st.integers(0, 10**5), st.binary(min_size=1, max_size=30)),
)
@example("arrow", "", ["0"], (628, b"\x00\x06"))  # a batch that asks for more memory than there is
@example("parquet", "", SHORT_GROUP, (10064, b"\x01"))  # a row group that ends early, without an error
@settings(max_examples=80, deadline=None)
def test_law_of_tables(tmp_path_factory, kind, ending, texts, harm):
    """Whole: the texts as they were. Damaged: nothing raises, every ordinal is accounted, spans change nothing."""
    if kind in ("parquet", "arrow"):
        ending = ""
    data = PACK[ending](MAKERS[kind]([{"text": text, "url": "u"} for text in texts]))
    if harm:
        at = harm[0] % (len(data) + 1)
        data = data[:at] + harm[1] + data[at + len(harm[1]) :]
    path = write(tmp_path_factory.mktemp("law") / f"a.{kind}{ending}", data)
    rows, skipped = read(path, kind)
    assert harm or [row.text for row in rows] == texts
    for span_bytes in (1, 60):
        assert read(path, kind, span_bytes=span_bytes) == (rows, skipped)
