"""The stage of a build: near-duplicates, of this build's documents and of earlier ones, leave the table `ledger`.

    counts = drop_near(con, units, earlier, dedup)

Signatures must be there (`data.dedup.near.Sign`). A dropped record names the one that was kept, with the evidence.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from catalog.ids import doc_id
from data.dedup.config import DedupConfig
from data.dedup.earlier import EarlierPart
from data.dedup.history import EarlierFile
from data.dedup.near import Found, Ranked, near_duplicates
from data.dedup.store import signature_path
from data.intake import Unit

STAGE = "dedup_near"
AT_ONCE = 100_000
"""Removed documents that are rows of Python at once: about 100 MB."""
LIKE_KEPT, LIKE_EARLIER = "near_duplicate", "near_duplicate_of_earlier"

_DROPPED = pa.schema(
    [
        ("doc_id", pa.string()),
        ("reason", pa.string()),
        ("value", pa.float64()),
        ("other_doc_id", pa.string()),
        ("evidence", pa.string()),
    ]
)


def drop_near(
    con: duckdb.DuckDBPyConnection,
    units: Sequence[Unit],
    earlier: Sequence[EarlierPart],
    dedup: DedupConfig,
    spill: Path | None = None,
) -> dict[str, int]:
    """Drop near-duplicates from `ledger`, which has a row for each record of these units; says how many there were."""
    signed = [signature_path(unit.part, dedup.near) for unit in units]
    history = [EarlierFile(part.name, signature_path(part.part, dedup.near), part.kept) for part in earlier]
    ranked = _ranked(con, dedup)
    found = near_duplicates(signed, ranked, dedup.near, history, spill)
    con.execute(
        "CREATE TEMP TABLE near_found "
        "(doc_id VARCHAR, reason VARCHAR, value DOUBLE, other_doc_id VARCHAR, evidence VARCHAR)"
    )
    for start in range(0, len(found.document), AT_ONCE):
        rows = list(_rows(found, ranked, units, slice(start, start + AT_ONCE)))
        con.register("some_found", pa.Table.from_pylist(rows, schema=_DROPPED))
        con.execute("INSERT INTO near_found FROM some_found")
        con.unregister("some_found")
    con.execute(
        f"UPDATE ledger SET stage = '{STAGE}', verdict = 'dropped', reason = new.reason, value = new.value, "
        "threshold = ?, other_doc_id = new.other_doc_id, evidence = new.evidence FROM near_found AS new "
        "WHERE ledger.doc_id = new.doc_id",
        [dedup.near.similarity],
    )
    con.execute("DROP TABLE near_found")
    return {"pairs": found.pairs, "cut_buckets": found.cut_buckets, "removed": len(found.document)}


def _ranked(con: duckdb.DuckDBPyConnection, dedup: DedupConfig) -> Ranked:
    """The kept records of the ledger, from the best rank down: their unit and ordinal."""
    rows = con.execute(
        "SELECT unit, ordinal FROM (SELECT intake.*, unit FROM intake "
        "SEMI JOIN (SELECT doc_id FROM ledger WHERE verdict = 'kept') kept ON intake.doc_id = kept.doc_id "
        "JOIN units ON intake.source_id = units.source_id AND ordinal >= first AND ordinal < stop) "
        f"ORDER BY {dedup.order()}"
    ).fetchnumpy()
    return Ranked(np.asarray(rows["unit"], np.int32), np.asarray(rows["ordinal"], np.int64))


def _rows(found: Found, ranked: Ranked, units: Sequence[Unit], some: slice) -> Iterator[dict]:
    def name(rank: int) -> str:
        return doc_id(units[int(ranked.parts[rank])].source.source_id, int(ranked.ordinals[rank]))

    columns = (found.document, found.keeper, found.jaccard, found.containment, found.cluster)
    rows = zip(*(column[some].tolist() for column in columns), found.earlier[some], strict=True)
    for document, keeper, jaccard, containment, cluster, earlier in rows:
        said = {"jaccard": round(jaccard, 4), "containment": round(containment, 4), "cluster": cluster}
        yield {
            "doc_id": name(document),
            "reason": LIKE_EARLIER if earlier else LIKE_KEPT,
            "value": jaccard,
            "other_doc_id": earlier.doc_id if earlier else name(keeper),
            "evidence": json.dumps(said | ({"of": earlier.name} if earlier else {})),
        }
