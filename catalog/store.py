"""The catalog: DuckDB over a DuckLake whose metadata is SQLite (one machine) or PostgreSQL (a team).

>>> with Catalog.open() as catalog:
...     catalog.sql("FROM why('https://example.org/page')").show()

MILLRACE_CATALOG=postgres:dbname=millrace host=db puts the metadata into PostgreSQL. Paths of registered files are kept
relative to the home, so a home can be moved or mounted elsewhere. Nothing is downloaded: extensions come from wheels.
"""

import importlib
import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar
from uuid import uuid4

import duckdb

from catalog import endpoints, migrations
from catalog.errors import BadInput, Busy, Damaged, NotFound
from catalog.home import Home
from catalog.locks import hold

METADATA = "millrace.sqlite"
EXTERNAL_TABLES = (
    "documents",
    "decisions",
    "edits",
    "corpus_documents",
    "samples",
    "metrics",
    "batches",
    "row_losses",
    "dataset_rows",
    "calibration_samples",
)
"""Tables of the schema `store` whose files are registered where they lie."""
WAIT_S = 120.0
"""How long a writer waits for the others."""

_LOST_RACES = (
    "database is locked",  # SQLite
    "ransaction conflict",  # DuckLake
    "could not serialize",  # PostgreSQL, and the three that follow
    "deadlock detected",
    "duplicate key value violates unique constraint",
    "tuple concurrently updated",
)

T = TypeVar("T")


class Catalog:
    """An open catalog; `con` is the DuckDB connection, with the lake as default database."""

    def __init__(self, home: Home, con: duckdb.DuckDBPyConnection, read_only: bool) -> None:
        self.home, self.con, self.read_only = home, con, read_only

    @classmethod
    def open(cls, home: Home | str | Path | None = None, read_only: bool = True) -> Self:
        """Open the catalog of a home; for writing, it is made or brought up to date first.

        Raises NotFound where it is to be read and there is none, Damaged where it cannot be opened.
        """
        home = home if isinstance(home, Home) else Home.open(home)
        if read_only and not _exists(home):
            raise NotFound(_empty(home))
        _make_folders(home)
        con = connect()
        try:
            catalog = cls(home, con, read_only)
            catalog._attach() if read_only else catalog._prepare()
            con.execute(f"SET VARIABLE endpoints_up = {texts(endpoints.up(home))}::VARCHAR[]")
        except BaseException:
            con.close()
            raise
        return catalog

    def sql(self, query: str, params: object = None) -> duckdb.DuckDBPyRelation:
        """The result of one query as a DuckDB relation: `.fetchall()`, `.arrow()`, `.df()`, `.show()`."""
        return self.con.sql(query, params=params)

    def transaction(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """Do `work` in one transaction, alone among the writers; from its start again where it lost a race.

        Raises Busy where other writers hold the catalog for two minutes.
        """
        deadline, pause = time.monotonic() + WAIT_S, 0.01
        while True:
            try:
                with self.alone(deadline):
                    return self._attempt(lambda con: (_turnstile(con), work(con))[1])
            except duckdb.Error as error:
                if not _lost_race(error):
                    raise
                if time.monotonic() > deadline:
                    raise Busy(
                        f"the catalog in {self.home.catalog} is held by other writers: try again later."
                    ) from error
            time.sleep(random.uniform(pause / 2, pause))
            pause = min(pause * 2, 1.0)

    @contextmanager
    def alone(self, deadline: float | None = None) -> Iterator[None]:
        """Be the only writer of this machine's catalog; `deadline` in seconds of the monotonic clock. Raises Busy."""
        wait_s = WAIT_S if deadline is None else max(0.0, deadline - time.monotonic())
        with nullcontext() if _postgres() else hold(self.home.catalog / ".write.lock", wait_s):
            yield

    def close(self) -> None:
        """Close the connection."""
        self.con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempt(self, work: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        self.con.execute("BEGIN TRANSACTION")
        try:
            result = work(self.con)
            self.con.execute("COMMIT")
        except BaseException:
            with suppress(duckdb.TransactionException):  # a failed commit has ended the transaction already
                self.con.execute("ROLLBACK")
            raise
        return result

    def _attach(self) -> None:
        try:
            self.con.execute(_attach_statement(self.home, self.read_only))
        except duckdb.Error as error:
            if _lost_race(error):
                raise
            if "creating a new DuckLake is explicitly disabled" in str(error):
                raise NotFound(_empty(self.home)) from error
            if _postgres():
                raise _no_answer(error) from error
            raise Damaged(
                f"the catalog of {self.home.root} does not open ({first_line(error)}). "
                "Records are the truth: `just rebuild --fresh` makes a new one from them."
            ) from error
        self.con.execute("USE lake")
        if self.read_only and migrations.pending(self.con):
            raise BadInput("the catalog has an older form than this code: `just rebuild` renews it.")

    def _prepare(self) -> None:
        """Attach for writing and bring the catalog to this code's form, one process at a time."""
        deadline = time.monotonic() + WAIT_S
        with self.alone(deadline):
            if _postgres():
                _retry(lambda: _in_postgres(self.con, "CREATE SCHEMA IF NOT EXISTS millrace"), deadline)
            _retry(self._attach, deadline)
            _retry(self._form, deadline)

    def _form(self) -> None:
        todo = migrations.pending(self.con)
        if todo:
            self.con.execute("CALL lake.set_option('data_inlining_row_limit', 0)")
            try:
                self._attempt(lambda con: migrations.apply(con, todo))
            except duckdb.CatalogException:  # "already exists": another process was quicker
                if migrations.pending(self.con):
                    raise


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB connection in memory with the lake's extensions loaded from their wheels; nothing is installed.

    Their signatures are not checked again, which took 0.1 s: a wheel is trusted as any package is. SQL can load no
    others.
    """
    con = duckdb.connect(
        ":memory:", config={"autoinstall_known_extensions": "false", "allow_unsigned_extensions": "true"}
    )
    con.execute("SET python_enable_replacements = false")  # a misspelled table must not find a Python variable
    for name in ("ducklake", "postgres_scanner" if _postgres() else "sqlite_scanner"):
        con.execute(f"LOAD {quoted(extension(name))}")
    con.execute("SET allow_unsigned_extensions = false")  # cannot be undone while the connection lives
    return con


def discard(home: Home) -> None:
    """Throw the catalog of a home away, with its own data; registered files stay where they are."""
    if _postgres():
        with connect() as con:
            _in_postgres(con, "DROP SCHEMA IF EXISTS millrace CASCADE")
        shutil.rmtree(home.catalog / "data", ignore_errors=True)
        return
    with hold(home.catalog / ".write.lock", WAIT_S):
        for path in home.catalog.glob(f"{METADATA}*"):
            path.unlink()
        shutil.rmtree(home.catalog / "data", ignore_errors=True)


def extension(name: str) -> Path:
    """The file of a DuckDB extension in its wheel. Raises NotFound where the wheel is not installed."""
    try:
        package = importlib.import_module(f"duckdb_extension_{name}")
    except ImportError as error:
        raise NotFound(f"the DuckDB extension {name} is not installed: run `requirements/install data`.") from error
    return Path(package.__path__[0]) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"


def registered_path(home: Home, table: str, path: Path) -> str:
    """How DuckLake is told of a file: seen from its table's folder, so that only the way from there is kept."""
    up = os.path.relpath(home.root, _table_folder(home, table))
    return f"{_table_folder(home, table)}/{up}/{home.relative(path)}"


def quoted(text: object) -> str:
    """A SQL string literal. (A query with Python parameters makes DuckDB import pandas where it is installed: 1 s.)"""
    return "'" + str(text).replace("'", "''") + "'"


def texts(values: Iterable[object]) -> str:
    """A SQL list of strings."""
    return f"[{', '.join(quoted(value) for value in values)}]"


def first_line(error: Exception) -> str:
    """What an error of DuckDB says, in one line, without its drawing of the query."""
    lines = [line.strip() for line in str(error).split("\nLINE ")[0].splitlines()]
    return " ".join(line for line in lines if line and set(line) != {"^"})


def _table_folder(home: Home, table: str) -> Path:
    return home.catalog / "data" / "store" / table


def _turnstile(con: duckdb.DuckDBPyConnection) -> None:
    """Make writers exclude each other on any kind of metadata: of two that change one comment, one starts again."""
    con.execute(f"COMMENT ON TABLE store.migrations IS '{uuid4()}'")


def _make_folders(home: Home) -> None:
    """The folders that registered paths go through: an empty folder may be lost when a home is copied."""
    with suppress(OSError):  # a home that can only be read
        for table in EXTERNAL_TABLES:
            _table_folder(home, table).mkdir(parents=True, exist_ok=True)


def _postgres() -> str:
    """The connection string of the PostgreSQL catalog; empty where the catalog is SQLite."""
    setting = os.environ.get("MILLRACE_CATALOG", "")
    kind, _, rest = setting.partition(":")
    if setting and (kind != "postgres" or not rest):
        raise BadInput(
            f"MILLRACE_CATALOG={setting!r} is not understood. Write postgres:dbname=millrace host=…, or unset it."
        )
    return rest


def _in_postgres(con: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Run a statement of PostgreSQL in the database of the catalog."""
    try:
        con.execute(f"ATTACH {quoted(_postgres())} AS team (TYPE postgres)")
        con.execute(f"CALL postgres_execute('team', {quoted(statement)})")
    except duckdb.IOException as error:
        raise _no_answer(error) from error
    finally:
        con.execute("DETACH DATABASE IF EXISTS team")


def _no_answer(error: duckdb.Error) -> BadInput:
    said = first_line(error).replace(_postgres(), "…")  # a password may be in it
    return BadInput(f"the catalog in PostgreSQL does not open ({said}): see MILLRACE_CATALOG, or unset it.")


def _exists(home: Home) -> bool:
    return bool(_postgres()) or (home.catalog / METADATA).exists()


def _empty(home: Home) -> str:
    if any(home.root.glob("*/*/*/record.json")):
        return f"{home.root} has artifacts but no catalog: `just rebuild` makes it from their records."
    building = " If a first build is under way, ask again when it is done." if home.root.exists() else ""
    return (
        f"the catalog of {home.root} is empty: run `just build-corpus`, or set MILLRACE_HOME to another home.{building}"
    )


def _attach_statement(home: Home, read_only: bool) -> str:
    options = [f"DATA_PATH {quoted(home.catalog / 'data')}", "OVERRIDE_DATA_PATH true"]
    if postgres := _postgres():
        target = f"ducklake:postgres:{postgres}"
        options.append("META_SCHEMA 'millrace'")
    else:
        target = f"ducklake:sqlite:{home.catalog / METADATA}"
        options += ["META_BUSY_TIMEOUT 2000"]
    options += ["READ_ONLY"] if read_only else [] if postgres else ["META_JOURNAL_MODE 'WAL'"]
    return f"ATTACH {quoted(target)} AS lake ({', '.join(options)})"


def _lost_race(error: duckdb.Error) -> bool:
    """Whether a transaction failed only because of another one: it is gone, and can be done again from its start."""
    text = str(error)
    return any(sign in text for sign in _LOST_RACES) or ('"ducklake_' in text and "already exists" in text)


def _retry(step: Callable[[], object], deadline: float) -> None:
    while True:
        try:
            step()
            return
        except duckdb.Error as error:
            if not _lost_race(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.02, 0.1))
