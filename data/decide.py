"""DECIDE: rules and exact deduplication over an intake, set-wise in DuckDB. No source is opened here.

with decider(parts, memory_gb=4, spill=folder) as con:
    decide(con, rules, dedup, earlier)     # makes the table `ledger`, one row a record
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import duckdb

from catalog.store import quoted
from data.dedup.config import DedupConfig
from data.dedup.earlier import EarlierPart
from data.dedup.exact import drop_same_text, drop_same_url
from data.rules import Rule, compile_rules

STAGES = ["read", "rules", "dedup_url", "dedup_text", "dedup_near", "edits"]
"""In the order in which records pass them."""


@contextmanager
def decider(parts: list[Path], threads: int, memory_gb: float, spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with the view `intake` over these parts; it spills to a folder and stays in its memory."""
    spill.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    con.execute(f"SET threads = {threads}")
    con.execute(f"SET memory_limit = '{memory_gb:.2f}GB'")
    con.execute(f"SET temp_directory = {quoted(str(spill))}")
    con.execute("SET preserve_insertion_order = false")
    con.execute("SET enable_external_file_cache = false")  # 200 bytes a record, which the system's cache holds too
    con.execute(f"CREATE VIEW intake AS SELECT * FROM read_parquet({[str(part) for part in parts]})")
    try:
        yield con
    finally:
        con.close()


def decide(
    con: duckdb.DuckDBPyConnection,
    rules: tuple[Rule, ...],
    dedup: DedupConfig,
    earlier: Sequence[EarlierPart] = (),
    timed: Callable[[str], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Make the table `ledger`: the columns of `decisions`, and source_id, ordinal, n_chars, domain, lang."""
    with timed("rules"):
        _judge(con, rules)
    with timed("dedup_url"):
        drop_same_url(con, dedup, earlier)
    with timed("dedup_text"):
        drop_same_text(con, dedup, earlier)


def _judge(con: duckdb.DuckDBPyConnection, rules: tuple[Rule, ...]) -> None:
    con.execute(
        "CREATE TABLE ledger AS SELECT doc_id, source_id, ordinal, n_chars::BIGINT AS n_chars, domain, lang, "
        "coalesce(verdict.stage, 'write') AS stage, coalesce(verdict.verdict, 'kept') AS verdict, "
        "coalesce(verdict.reason, '') AS reason, verdict.value AS value, verdict.threshold AS threshold, "
        "NULL::VARCHAR AS other_doc_id, coalesce(verdict.evidence, '') AS evidence "
        f"FROM (SELECT *, {compile_rules(rules)} AS verdict FROM intake)"
    )
