"""Earlier corpora and intakes that a build is matched against: their intake parts, and which documents count.

>>> earlier_parts(home, ("web@2026.10",))
[EarlierPart(name='corpora/web@2026.10', part=…/part-0000000000.parquet, kept=array([3, 5, 8]))]
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np

from catalog.errors import BadInput, NotFound
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.index import split_input
from catalog.records import RECORD, Record, find, load_record
from catalog.store import quoted


class EarlierPart(NamedTuple):
    """An intake part of earlier documents."""

    name: str
    """The corpus or intake that was named, as `kind/name@version`."""
    part: Path
    kept: np.ndarray | None
    """Ordinals that count, ascending; None means all."""


def earlier_inputs(against: Sequence[str]) -> list[str]:
    """What `against` names, as inputs of a record. Raises BadInput for a name without version."""
    return sorted({_input(text) for text in against})


def _input(text: str) -> str:
    kind, slash, name = text.rpartition("/")
    ref = parse_ref(name)
    if not ref.version or (slash and kind not in ("corpora", "intake")):
        raise BadInput(f"{text!r}: give a corpus or an intake with its version, as web@1 or intake/0123456789ab@…")
    return f"{kind or 'corpora'}/{ref}"


def earlier_parts(home: Home, against: Sequence[str]) -> list[EarlierPart]:
    """Every part of what `against` names, in one order whatever the order given. Raises NotFound, BadInput."""
    found: list[EarlierPart] = []
    for name in earlier_inputs(against):
        kind, _, ref = name.partition("/")
        record = find(home, kind, ref)
        found += _of_intake(home, name, record, None) if kind == "intake" else _of_corpus(home, name, record)
    return sorted(found, key=lambda part: (part.name, part.part))


def _of_corpus(home: Home, name: str, record: Record) -> Iterator[EarlierPart]:
    kept = _kept_ordinals(home.artifact(record.kind, record.name, record.version) / "documents")
    for text in record.inputs:
        if text.startswith("intake/"):
            path = home.artifact(*split_input(text)) / RECORD
            if not path.exists():
                raise NotFound(f"{name} was built from {text}, which is gone from the home: build it again.")
            intake = load_record(path)
            yield from _of_intake(home, name, intake, kept.get(intake.name, np.zeros(0, np.int64)))


def _of_intake(home: Home, name: str, record: Record, kept: np.ndarray | None) -> Iterator[EarlierPart]:
    folder = home.artifact(record.kind, record.name, record.version)
    for entry in record.files:
        if entry.path.startswith("part-"):
            yield EarlierPart(name, folder / entry.path, kept)


def _kept_ordinals(documents: Path) -> dict[str, np.ndarray]:
    """The ordinals of a corpus's documents, by the short id of their source."""
    rows = duckdb.sql(
        "SELECT source, list_sort(list(ordinal)) AS ordinals FROM ("
        "SELECT split_part(doc_id, ':', 1) AS source, split_part(doc_id, ':', 2)::BIGINT AS ordinal "
        f"FROM read_parquet({quoted(str(documents / '*.parquet'))})) GROUP BY source"
    ).fetchnumpy()
    return dict(zip(rows["source"].tolist(), (np.asarray(each) for each in rows["ordinals"]), strict=True))
