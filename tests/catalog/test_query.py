"""The command line: what is printed, what is written, and how bad input ends."""

import contextlib
import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys

import duckdb
import pyarrow.parquet as pq
import pytest

from catalog.__main__ import main
from catalog.errors import BadInput, Damaged, NotFound
from catalog.query import explained, run_query, write_result
from catalog.records import Record, write_record
from catalog.store import Catalog


@pytest.fixture
def catalog(published):
    with Catalog.open(published) as catalog:
        yield catalog


ODD = r"""
    SELECT 1 AS n, 'a|b' || chr(10) || 'c' AS text, NULL AS nothing, [1, 2] AS list, {'k': 'v'} AS struct,
        MAP {'m': 1} AS map, 1.5::DECIMAL(3, 1) AS dec, 'nan'::DOUBLE AS nan, DATE '2026-01-02' AS day,
        TIMESTAMP '2026-01-02 03:04:05' AS time, '{"j": [1]}'::JSON AS json, '\xC3\xA9'::BLOB AS blob,
        uuid() IS NULL AS no"""


def text_of(catalog, query, format):
    out = io.StringIO()
    write_result(catalog.sql(query), format, out)
    return out.getvalue()


def test_json_lines_keep_the_types(catalog):
    row = json.loads(text_of(catalog, ODD, "jsonl"))
    assert row == {
        "n": 1,
        "text": "a|b\nc",
        "nothing": None,
        "list": [1, 2],
        "struct": {"k": "v"},
        "map": {"m": 1},
        "dec": 1.5,
        "nan": None,
        "day": "2026-01-02",
        "time": "2026-01-02T03:04:05",
        "json": {"j": [1]},
        "blob": "é",
        "no": False,
    }


def test_json_is_one_list(catalog):
    assert json.loads(text_of(catalog, "FROM range(3) t(i)", "json")) == [{"i": 0}, {"i": 1}, {"i": 2}]
    assert json.loads(text_of(catalog, "FROM range(0)", "json")) == []


def test_csv_can_be_read_back(catalog):
    header, row = csv.reader(io.StringIO(text_of(catalog, ODD, "csv")))
    cells = dict(zip(header, row, strict=True))
    assert cells["text"] == "a|b\nc"
    assert cells["nothing"] == ""
    assert json.loads(cells["struct"]) == {"k": "v"}
    assert cells["nan"] == "nan"


def test_markdown_is_a_table(catalog):
    lines = text_of(catalog, "SELECT 'a|b' AS name, 2 AS n", "markdown").splitlines()
    assert lines == ["| name | n |", "| --- | ---: |", "| a\\|b | 2 |"]


def test_a_table_says_how_many_rows(catalog, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    shown = text_of(catalog, "SELECT i, '中文标题' AS title FROM range(500) t(i)", "table")
    assert "500 rows" in shown
    assert "(100 shown)" in shown
    assert "中文标题" in shown


def test_a_few_wide_rows_are_listed_field_by_field(catalog, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = text_of(catalog, "FROM why('https://a.org/two')", "table")
    assert "reason         min_words" in shown
    assert "threshold      3.0" in shown
    assert shown.endswith("2 rows\n")


def test_files_are_written_whole_or_not_at_all(catalog, tmp_path):
    run_query(catalog, "SELECT doc_id, langs FROM documents", "parquet", tmp_path / "docs.parquet")
    assert pq.read_table(tmp_path / "docs.parquet").num_rows == 10
    (tmp_path / "old.csv").write_text("as it was")
    with pytest.raises(BadInput, match="Could not convert"):
        run_query(catalog, "SELECT if(i = 9, 'x', '1')::INTEGER FROM range(10) t(i)", "csv", tmp_path / "old.csv")
    assert (tmp_path / "old.csv").read_text() == "as it was"
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["docs.parquet", "old.csv"]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("FROM documnts", r"no table 'documnts'.*Did you mean: documents"),
        ("FROM whyy('x')", r"no macro 'whyy'.*Did you mean: why"),
        ("SELECT nocol FROM documents", r'"nocol" not found.*"doc_id"'),
        ("SELEC 1", 'syntax error at or near "SELEC"'),
        ("CREATE TABLE x (i INTEGER)", "read-only: CREATE .*--out FILE for a file, --write to change"),
        ("DELETE FROM store.decisions", "read-only: DELETE"),
        ("DROP VIEW documents", "read-only: DROP"),
        ("SELECT 1; INSTALL httpfs", "read-only: LOAD"),
        ("SET threads = 1", "read-only: SET"),
        ("EXPORT DATABASE 'x'", "read-only: EXPORT"),
        ("PREPARE p AS COPY (SELECT 1) TO 'x.csv'", "read-only: PREPARE"),
        ("COPY (PIVOT documents ON lang USING count(*)) TO 'x.csv'", "read-only: "),
        ("CREATE TABLE x AS PIVOT documents ON lang USING count(*)", "read-only: "),
        ("CALL ducklake_expire_snapshots('lake', older_than => now())", "read-only: CALL"),
        ("FROM ducklake_cleanup_old_files('lake', cleanup_all => true)", "read-only: ducklake_cleanup_old_files"),
        ("", "no SQL given"),
        (" -- nothing\n;", "no SQL given"),
    ],
)
def test_errors_are_one_line_with_near_names(catalog, query, said):
    with pytest.raises(BadInput, match=said) as caught:
        run_query(catalog, query)
    assert "\n" not in str(caught.value)


def test_no_other_extension_can_be_loaded(catalog):
    with pytest.raises(duckdb.InvalidInputException, match="unsigned"):
        catalog.sql("SET allow_unsigned_extensions = true")


@pytest.mark.parametrize(
    "before", ["", "EXPLAIN ANALYZE ", "/* EXPLAIN */ explain (ANALYZE, FORMAT json) ", "SELECT 1; "]
)
def test_reading_overwrites_no_shard(published, before):
    shard = published.artifact("corpora", "web", "1") / "shards/00000.parquet"
    content = shard.read_bytes()
    with Catalog.open(published) as catalog, pytest.raises(BadInput, match=r"read-only: COPY .*--out FILE"):
        run_query(catalog, f"{before}COPY (SELECT 1 AS x) TO '{shard}' (FORMAT parquet)")
    assert shard.read_bytes() == content


def test_reading_opens_no_other_way_into_the_metadata(published):
    metadata = published.catalog / "millrace.sqlite"
    with Catalog.open(published) as catalog, pytest.raises(BadInput, match="read-only: ATTACH"):
        run_query(catalog, f"ATTACH '{metadata}' AS m (TYPE sqlite); CREATE TABLE m.planted (i INTEGER)")
    with sqlite3.connect(metadata) as con:
        assert con.execute("SELECT count(*) FROM sqlite_master WHERE name = 'planted'").fetchall() == [(0,)]


@pytest.mark.parametrize(
    "query",
    [
        "EXPLAIN ANALYZE SELECT 1",
        "SHOW TABLES",
        "DESCRIBE documents",
        "SUMMARIZE sources",
        "PRAGMA table_info('documents')",
        "PIVOT documents ON lang USING count(*)",
        "VALUES (1)",
    ],
)
def test_every_way_of_reading_is_open(catalog, query, capsys):
    run_query(catalog, query, "jsonl")
    assert capsys.readouterr().out


def test_every_result_of_several_statements_is_shown(catalog, tmp_path, capsys):
    run_query(catalog, "SELECT 1 AS a; SELECT ';' AS b;", "csv")
    assert capsys.readouterr().out == "a\n1\n\nb\n;\n"
    with pytest.raises(BadInput, match="--out takes one result"):
        run_query(catalog, "SELECT 1; SELECT 2", "csv", tmp_path / "x.csv")
    assert not (tmp_path / "x.csv").exists()


@pytest.mark.parametrize("format", ["csv", "json", "parquet"])
def test_a_file_of_ones_own_needs_no_write(published, tmp_path, format):
    out = tmp_path / f"x.{format}"
    assert main(["sql", "FROM range(3) t(i)", "--out", str(out), "--home", str(published.root)]) == 0
    assert duckdb.sql(f"SELECT sum(i) FROM '{out}'").fetchall() == [(3,)]


def test_a_file_goes_neither_into_a_new_folder_nor_among_the_artifacts(published, tmp_path):
    shard = published.artifact("corpora", "web", "1") / "shards/00000.parquet"
    content = shard.read_bytes()
    with Catalog.open(published) as catalog:
        with pytest.raises(BadInput, match=r"no such folder: .*/nope"):
            run_query(catalog, "SELECT 1", "csv", tmp_path / "nope" / "q.csv")
        with pytest.raises(BadInput, match="among the artifacts"):
            run_query(catalog, "SELECT 1", "parquet", shard)
    assert not (tmp_path / "nope").exists()
    assert shard.read_bytes() == content


def test_a_variable_of_the_program_is_no_table(catalog):
    secret = [1, 2, 3]
    with pytest.raises(BadInput, match="no table 'secret'"):
        run_query(catalog, "FROM secret")
    assert secret


def test_a_registered_file_that_is_gone_is_named(published):
    part = next(published.artifact("intake", "1" * 12, "a" * 12).glob("*.parquet"))
    part.unlink()
    with Catalog.open(published) as catalog, pytest.raises(Damaged, match=rf"{part.name}.*just verify"):
        run_query(catalog, "SELECT text FROM documents")


def test_write_changes_the_catalog_and_reading_never(published, capsys):
    assert main(["sql", "CREATE TABLE mine AS SELECT 42 AS answer", "--write", "--home", str(published.root)]) == 0
    assert main(["sql", "FROM mine", "--format", "csv", "--home", str(published.root)]) == 0
    assert capsys.readouterr().out == "answer\n42\n"


def test_an_empty_home_says_what_to_do(home, toy):
    with pytest.raises(NotFound, match="has artifacts but no catalog: `just rebuild`"):
        Catalog.open(toy)
    (home.root.with_name("young") / "intake").mkdir(parents=True)
    with pytest.raises(NotFound, match="If a first build is under way, ask again"):
        Catalog.open(home.root.with_name("young"))
    with pytest.raises(NotFound, match="just build-corpus"):
        Catalog.open(home.root.with_name("nowhere"))
    assert not home.root.with_name("nowhere").exists()


def test_a_catalog_that_is_no_database_says_what_to_do(published, capsys):
    (published.catalog / "millrace.sqlite").write_bytes(b"this is no database" * 100)
    with pytest.raises(Damaged, match=r"does not open.*just rebuild --fresh"):
        Catalog.open(published)
    assert main(["rebuild", "--fresh", "--home", str(published.root)]) == 0
    assert main(["sql", "SELECT count(*) AS n FROM documents", "--format", "csv", "--home", str(published.root)]) == 0
    assert capsys.readouterr().out == "3 artifacts are in the catalog.\nn\n10\n"


def test_bad_command_lines_list_what_there_is(published):
    at_home = ["--home", str(published.root)]
    for arguments, said in [
        (["sqll", "x"], "no command 'sqll'. Did you mean: sql"),
        (["sql", "SELECT 1", "--format", "cvs"], "no format 'cvs'. Did you mean: csv"),
        (["sql", "SELECT 1", "--format", "parquet"], "add --out FILE.parquet"),
        (["sql", "SELECT 1", "--out", "x.foo"], "no format by that suffix"),
        (["trace"], "required: ref"),
        (["trace", "endpoint", *at_home], "which endpoint[?] Write: just trace endpoint NAME"),
        (["trace", "webb", *at_home], "Did you mean: web"),
        (["trace", "0123456789ab:4", *at_home], "no document 0123456789ab:4"),
        (["ls", "corpra", *at_home], "Did you mean: corpora"),
    ]:
        with pytest.raises(BadInput, match=said.replace(".", r"\.")):
            main(arguments)


def test_the_walks_from_the_command_line(published, capsys):
    at_home = ["--home", str(published.root)]
    assert main(["trace", "web", *at_home]) == 0
    out = capsys.readouterr().out
    assert "corpora/web@1" in out
    assert "└── intake/222222222222@aaaaaaaaaaaa" in out
    assert main(["trace", "111111111111:1", *at_home]) == 0
    assert "rules min_words value 2.0" in capsys.readouterr().out
    assert main(["ls", *at_home]) == 0
    assert capsys.readouterr().out.count("aaaaaaaaaaaa") == 2
    assert main(["verify", "web@1", "--inputs", *at_home]) == 0
    assert "3 artifacts, 10 files" in capsys.readouterr().out
    shard = published.artifact("corpora", "web", "1") / "shards/00000.parquet"
    shard.write_bytes(shard.read_bytes()[:-4])
    assert main(["verify", *at_home]) == 2
    out = capsys.readouterr().out
    assert str(shard) in out
    assert "corpora/web@1 and build it again" in out


def test_the_artifact_that_is_meant_is_said_where_several_have_the_name(published, capsys):
    at_home = ["--home", str(published.root)]
    write_record(published, Record(kind="crawls", name="web", version="1"))
    for verb in ("trace", "verify"):
        assert main([verb, "web@1", *at_home]) == 0
        assert capsys.readouterr().err.startswith("web@1 is taken as corpora/web@1; there is also crawls/web@1.\n")
    assert main(["trace", "crawls/web@1", *at_home]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fresh", [["--fresh"], []])
def test_a_rebuild_keeps_all_that_is_sound(published, make, capsys, fresh):
    at_home = ["--home", str(published.root)]
    make.corpus(published, "more", "1", [make.intake(published, "3" * 64)])
    gone = next(published.artifact("intake", "2" * 12, "a" * 12).glob("*.parquet"))
    gone.unlink()
    broken = published.artifact("corpora", "web", "1") / "ledger" / "00000.parquet"
    broken.write_bytes(b"x" * broken.stat().st_size)
    (published.artifact("corpora", "none", "1")).mkdir(parents=True)
    (published.artifact("corpora", "none", "1") / "record.json").write_text("{")
    assert main(["rebuild", *fresh, *at_home]) == 2
    said = capsys.readouterr()
    assert said.out == "3 artifacts are in the catalog, 3 damaged ones are not.\n"
    assert said.err.count("\n") == 3
    for what in ("not a record: ", f"intake/{'2' * 12}@{'a' * 12}: {gone} is missing", "corpora/web@1: files of"):
        assert f"error: {what}" in said.err
    with Catalog.open(published) as catalog:
        assert catalog.sql("SELECT count(*) FROM documents").fetchall() == [(10,)]
        assert catalog.sql("SELECT DISTINCT corpus FROM decisions").fetchall() == [("more",)]


def test_gc_takes_unused_intakes_out_of_the_catalog_too(published, make, capsys):
    make.intake(published, "3" * 64)
    at_home = ["--home", str(published.root)]
    assert main(["rebuild", *at_home]) == 0
    assert main(["gc", "--unused", "--grace-hours", "0", *at_home]) == 0
    assert "intake/333333333333/aaaaaaaaaaaa: an intake that nothing uses" in capsys.readouterr().out
    with Catalog.open(published) as catalog:
        assert catalog.sql("SELECT count(*) FROM documents").fetchall() == [(10,)]


def command(*arguments, home, **options):
    environment = {**os.environ, "MILLRACE_HOME": str(home.root), "COLUMNS": "100"}
    call = [sys.executable, "-m", "catalog", *arguments]
    return subprocess.run(call, capture_output=True, text=True, env=environment, timeout=60, **options)


def test_sql_from_a_pipe(published):
    done = command("sql", "--format", "csv", home=published, input="SELECT count(*) AS n FROM documents;\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "n\n10\n", "")


def test_bad_sql_is_one_line_and_status_2(published):
    done = command("sql", "SELECT 1 FROM nowhere", home=published)
    assert done.returncode == 2
    assert done.stderr.startswith("error: no table 'nowhere'")
    assert done.stderr.count("\n") == 1
    assert "Traceback" in command("sql", "SELECT 1 FROM nowhere", "--debug", home=published).stderr


def read_all(terminal: int) -> str:
    """What is printed on a terminal until its program ends."""
    parts = []
    with contextlib.suppress(OSError):  # so the end of a pseudo-terminal is said
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def test_the_shell_on_a_terminal(published):
    """Several lines make one query, mistakes do not end it, and what was typed is there the next time."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "MILLRACE_HOME": str(published.root), "TERM": "dumb", "COLUMNS": "100"}
    call = [sys.executable, "-m", "catalog", "shell"]
    process = subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    typed = "SELECT count(*) AS n\nFROM documents;\nFROM nope;\n.tables\n.format csv\nSELECT 7 AS seven;\n.quit\n"
    os.write(ours, typed.encode())
    out = read_all(ours)
    assert process.wait(timeout=60) == 0, out
    assert "│    10 │" in out
    assert "error: no table 'nope'" in out
    assert "corpus_documents" in out
    assert "seven" in out
    assert "FROM documents;" in (published.catalog / ".sql_history").read_text()


def test_help_shows_examples_for_every_command(capsys):
    from catalog.__main__ import COMMANDS

    for name in COMMANDS:
        with pytest.raises(SystemExit) as left:
            main([name, "--help"])
        assert left.value.code == 0
        assert "examples:" in capsys.readouterr().out, name


def test_explaining_keeps_what_it_does_not_know(catalog):
    assert (
        explained(catalog, duckdb.Error("Some Error: first\nsecond\n\nLINE 1: x\n        ^"))
        == "Some Error: first second"
    )
