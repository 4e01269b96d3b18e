"""Parquet and Arrow: types of every sort, row groups as spans, damage told row by row."""

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from reader_toys import only, read, source_of, write

from data.sources.inputs import plan_spans


def parquet(path: Path, columns: dict, **options) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_by_row_groups(tmp_path):
    words = [f"text {number}" for number in range(1_000)]
    path = parquet(tmp_path / "a.parquet", {"text": words, "n": list(range(1_000))}, row_group_size=100)
    rows, _ = read(path, "parquet")
    assert [row.text for row in rows] == words
    assert [row.ordinal for row in rows] == list(range(1_000))
    assert len(plan_spans(source_of(path, "parquet"), 1)) == 10
    for span_bytes in (1, 1_500):
        assert read(path, "parquet", span_bytes=span_bytes)[0] == rows


def test_parquet_types_of_every_sort(tmp_path):
    noon = datetime(2020, 1, 2, 12, tzinfo=UTC)
    path = parquet(
        tmp_path / "a.parquet",
        {
            "text": pa.array(["a", None, "c"]).dictionary_encode(),
            "timestamp": pa.array([noon] * 3, pa.timestamp("us", "UTC")).cast(pa.timestamp("ns", "UTC")),
            "metadata": [{"url": "u", "title": "t"}] * 3,
        },
    )
    rows, _ = read(path, "parquet")
    assert [(row.failure, row.url, row.title, row.fetched_at) for row in rows[::2]] == [("", "u", "t", noon)] * 2
    assert (rows[1].failure, rows[1].text) == ("no_text", None)
    dated = parquet(tmp_path / "b.parquet", {"text": ["a"], "date": [date(2020, 1, 2)]})
    assert only(read(dated, "parquet")[0]).fetched_at == datetime(2020, 1, 2, tzinfo=UTC)
    nanoseconds = pa.array([1_577_966_400_000_000_001], pa.timestamp("ns"))
    fine = parquet(tmp_path / "c.parquet", {"text": ["a"], "date": nanoseconds})
    assert only(read(fine, "parquet")[0]).fetched_at == noon


def test_parquet_without_text_names_its_columns(tmp_path):
    rows, _ = read(parquet(tmp_path / "a.parquet", {"name": ["a", "b"], "vector": [[1.0], [2.0]]}), "parquet")
    assert [row.failure for row in rows] == ["no_text", "no_text"]
    assert "columns: name, vector" in rows[0].detail
    deep = parquet(tmp_path / "b.parquet", {"data": [{"words": "deep"}], "url": ["u"]})
    assert only(read(deep, "parquet", text_field="data.words")[0]).text == "deep"


def test_a_damaged_row_group_fails_its_rows_only(tmp_path):
    words = [f"text {number} " * 50 for number in range(300)]
    path = parquet(tmp_path / "a.parquet", {"text": words}, row_group_size=100, use_dictionary=False)
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    rows, _ = read(write(path, bytes(data)), "parquet")
    assert [row.failure for row in rows] == [""] * 100 + ["bad_parquet"] * 100 + [""] * 100
    assert [row.ordinal for row in rows] == list(range(300))
    assert rows[250].text == words[250]


def test_parquet_that_is_none(tmp_path):
    whole = parquet(tmp_path / "a.parquet", {"text": ["a"] * 100}).read_bytes()
    for data in (whole[:-20], b"PAR1 and then nothing", whole[:40]):
        row = only(read(write(tmp_path / "b.parquet", data), "parquet", span_bytes=1)[0])
        assert (row.failure, row.record_type, row.ordinal) == ("bad_parquet", "damaged", 0)
        assert row.detail


def test_strings_that_are_not_utf8_fail_one_by_one(tmp_path):
    raw = pa.array([b"fine", b"\xff\xfe", b"also fine"]).cast(pa.binary())
    broken = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    path = parquet(tmp_path / "a.parquet", {"text": broken})
    assert [row.failure for row in read(path, "parquet")[0]] == ["", "bad_encoding", ""]
    for opened in (pa.ipc.new_file, pa.ipc.new_stream):
        table = pa.table({"text": broken})
        with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, opened(sink, table.schema) as writer:
            writer.write_table(table)
        rows, _ = read(tmp_path / "a.arrow", "arrow")
        assert [(row.failure, row.text) for row in rows] == [("", "fine"), ("bad_encoding", None), ("", "also fine")]


def test_arrow_that_ends_early(tmp_path):
    table = pa.table({"text": [f"text {number}" for number in range(500)]})
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=100)
    path = write(tmp_path / "a.arrow", (tmp_path / "a.arrow").read_bytes()[:-3_000])
    rows, _ = read(path, "arrow")
    assert [row.failure for row in rows] == [""] * (len(rows) - 1) + ["bad_arrow"]
    assert [row.text for row in rows[:-1]] == table["text"].to_pylist()[: len(rows) - 1]
    assert len(rows) > 100
