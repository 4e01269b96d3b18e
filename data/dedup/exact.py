"""Documents with the same URL or the same text, of this build or an earlier one: one of them is kept.

    drop_same_url(con, dedup, earlier)
    drop_same_text(con, dedup, earlier)

Earlier ones are found through sorted keys: beside a part's signatures lie 32 bits of each of its URLs and texts
(`data.dedup.segments`). What they find is read from the earlier part, row group by row group, and compared in full.
"""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.locks import clear_partials
from data.dedup.bands import Bands
from data.dedup.config import DedupConfig
from data.dedup.earlier import EarlierPart
from data.dedup.segments import cover, index_path, member, write_keys
from data.dedup.store import groups

COLUMNS = ("url_key", "text_key")
_KEYS = Bands(bands=len(COLUMNS), rows=1)


class Same(NamedTuple):
    """One kind of exact duplicate."""

    column: str
    stage: str
    reason: str


SAME_URL = Same("url_key", "dedup_url", "same_url")
SAME_TEXT = Same("text_key", "dedup_text", "same_text")


def drop_same_url(con: duckdb.DuckDBPyConnection, dedup: DedupConfig, earlier: Sequence[EarlierPart] = ()) -> None:
    """Drop the kept records of `ledger` whose URL an earlier one has, then all but one of each URL."""
    if dedup.url:
        _drop_earlier(con, earlier, SAME_URL, newer_stays=dedup.url_keep == "newest")
        by_date = "fetched_at DESC NULLS LAST" if dedup.url_keep == "newest" else "fetched_at NULLS LAST"
        _keep_one(con, SAME_URL, f"{by_date}, {dedup.order()}")


def drop_same_text(con: duckdb.DuckDBPyConnection, dedup: DedupConfig, earlier: Sequence[EarlierPart] = ()) -> None:
    """Drop the kept records of `ledger` whose text an earlier one has, then all but the best ranked of each text."""
    if dedup.text:
        _drop_earlier(con, earlier, SAME_TEXT)
        _keep_one(con, SAME_TEXT, dedup.order())


_KEPT = "intake SEMI JOIN (SELECT doc_id FROM ledger WHERE verdict = 'kept') USING (doc_id)"


def _keep_one(con: duckdb.DuckDBPyConnection, same: Same, order: str) -> None:
    """Of the kept records with the same key keep the first by this order; the others name it and how many they are."""
    key = same.column
    con.execute(
        f"CREATE TEMP TABLE shared AS SELECT {key} AS key, count(*)::DOUBLE AS members FROM {_KEPT} "
        f"WHERE {key} <> '' GROUP BY {key} HAVING count(*) > 1"
    )
    con.execute(
        f"CREATE TEMP TABLE extra AS SELECT * FROM (SELECT doc_id, key, members, first_value(doc_id) OVER "
        f"(PARTITION BY key ORDER BY {order}) AS keeper FROM {_KEPT} JOIN shared ON {key} = key) WHERE doc_id <> keeper"
    )
    con.execute(
        f"UPDATE ledger SET stage = '{same.stage}', verdict = 'dropped', reason = '{same.reason}', value = members, "
        "threshold = 1.0, other_doc_id = keeper, evidence = key FROM extra WHERE ledger.doc_id = extra.doc_id"
    )
    con.execute("DROP TABLE extra")
    con.execute("DROP TABLE shared")


def _drop_earlier(
    con: duckdb.DuckDBPyConnection, earlier: Sequence[EarlierPart], same: Same, newer_stays: bool = False
) -> None:
    """Drop the kept records of `ledger` whose key an earlier document has; the ledger names the first such document.

    With `newer_stays`, one that was fetched later than the earlier one stays.
    """
    if not earlier:
        return
    con.execute(
        f"CREATE TEMP TABLE fresh AS SELECT doc_id, {same.column} AS key, fetched_at FROM {_KEPT} WHERE key <> ''"
    )
    hashes, keys = [np.zeros(0, np.uint32)], con.execute("SELECT key FROM fresh")
    while some := keys.fetchmany(100_000):
        hashes.append(_hashes([key for (key,) in some]))
    found = list(_likely(earlier, same.column, np.concatenate(hashes)))
    if found:
        con.register("old", pa.concat_tables(found))
        stays = "AND (fresh.fetched_at IS NULL OR old.fetched_at >= fresh.fetched_at)" if newer_stays else ""
        con.execute(
            f"UPDATE ledger SET stage = '{same.stage}', verdict = 'dropped', reason = '{same.reason}_as_earlier', "
            "value = 1.0, threshold = 1.0, other_doc_id = match.other, evidence = match.evidence FROM (SELECT "
            "fresh.doc_id, arg_min(old.doc_id, (old.named, old.doc_id)) AS other, arg_min(old.evidence, (old.named, "
            "old.doc_id)) AS evidence FROM fresh JOIN old ON fresh.key = old.key AND fresh.doc_id <> old.doc_id "
            f"{stays} GROUP BY fresh.doc_id) match WHERE ledger.doc_id = match.doc_id"
        )
        con.unregister("old")
    con.execute("DROP TABLE fresh")


def _hashes(keys: Sequence[str]) -> np.ndarray:
    return np.array([zlib.crc32(key.encode("utf-8", "surrogatepass")) for key in keys], np.uint32)


def _likely(earlier: Sequence[EarlierPart], column: str, hashes: np.ndarray) -> Iterator[pa.Table]:
    """Earlier documents that count and whose key has one of these hashes."""
    keyed = {_keyed(part.part): part.part for part in earlier}
    parts = {member(path): part for path, part in keyed.items()}
    _write_missing(keyed)
    rows: dict[Path, list[np.ndarray]] = {}
    for segment in cover(list(keyed), _KEYS, merge=True):
        _, at = segment.find(COLUMNS.index(column), np.unique(hashes))
        starts, members = segment.starts, list(segment.members)
        for number, places in groups(np.searchsorted(starts, at, side="right") - 1):
            rows.setdefault(parts[members[number]], []).append(at[places] - starts[number])
    for named, part in enumerate(earlier):
        if part.part in rows:
            yield _rows(part, named, column, np.unique(np.concatenate(rows[part.part])))


def _keyed(part: Path) -> Path:
    return part.parent / "signatures" / "exact" / part.name


def _write_missing(keyed: dict[Path, Path]) -> None:
    """Write the keys of the parts that have none yet."""
    for path, part in keyed.items():
        if not index_path(path, _KEYS).exists():
            clear_partials(path.parent)
            table = pq.read_table(part, columns=list(COLUMNS))
            write_keys(path, _KEYS, np.stack([_hashes(table[column].to_pylist()) for column in COLUMNS]))


def _rows(part: EarlierPart, named: int, column: str, rows: np.ndarray) -> pa.Table:
    """These rows of an earlier part, as far as they count; only the row groups that hold some are read."""
    with pq.ParquetFile(part.part) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        bounds = np.cumsum([0, *sizes])
        groups = np.searchsorted(bounds, rows, side="right") - 1
        tables = [
            file.read_row_group(group, columns=["doc_id", "ordinal", column, "fetched_at"]).take(
                pa.array(rows[groups == group] - bounds[group])
            )
            for group in np.unique(groups).tolist()
        ]
    table = pa.concat_tables(tables)
    if part.kept is not None:
        table = table.filter(pa.array(np.isin(table["ordinal"].to_numpy(), part.kept)))
    count = table.num_rows
    return pa.table(
        {
            "doc_id": table["doc_id"],
            "key": table[column],
            "fetched_at": table["fetched_at"],
            "named": np.full(count, named),
            "evidence": pa.array([json.dumps({"of": part.name})] * count, pa.string()),
        }
    )
