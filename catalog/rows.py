"""What records become in the catalog: the rows of the tables that are no files.

>>> insert_rows(con, "models", [model_row(record)])
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from pydantic import JsonValue

from catalog.errors import Damaged
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.records import Record

Row = dict[str, object]
"""Column to value."""


def stage_rows(record: Record) -> Iterator[Row]:
    """A row for each stage of a corpus build."""
    stages = record.counts.get("stages", []) if record.kind == "corpora" else []
    for position, stage in enumerate(stages if isinstance(stages, list) else []):
        fields = fields_of(record, "stages", stage)
        names = ("stage", "docs_in", "docs_kept", "docs_dropped", "docs_failed", "seconds", "cpu_seconds")
        values = {name: fields.get(name) for name in names}
        yield {"corpus": record.name, "version": record.version, "position": position, **values}


def token_rows(record: Record) -> Iterator[Row]:
    """A row for each stream; several corpora are named one after another."""
    streams = record.config.get("streams", []) if record.kind == "tokens" else []
    corpora = [parse_ref(text.partition("/")[2]) for text in record.inputs if text.startswith("corpora/")]
    for stream in streams if isinstance(streams, list) else []:
        fields = fields_of(record, "streams", stream)
        yield {
            "tokens_id": str(record.ref),
            "corpus": ",".join(ref.name for ref in corpora),
            "version": ",".join(ref.version for ref in corpora),
            "tokenizer": record.config.get("tokenizer"),
            "sequence_length": record.config.get("sequence_length"),
            **{name: fields.get(name) for name in ("domain", "lang", "samples", "tokens")},
        }


def run_row(record: Record) -> Row:
    """A run as its record last said; `just ls` and `just watch` know whether a process is at it now."""
    counts = record.counts
    inputs: dict[str, str] = {}
    for kind, _, ref in (text.partition("/") for text in record.inputs):
        inputs.setdefault(kind, ref)  # of several models, the first is the parent
    return {
        "run": record.name,
        "kind": counts.get("kind"),
        "parent_model": inputs.get("models", ""),
        "recipe": counts.get("recipe"),
        "mixture": inputs.get("mixtures", ""),
        "tokens_id": counts.get("tokens_id"),
        "started_at": moment(record.created),
        "status": counts.get("status"),
        "tokens": counts.get("tokens"),
        "config": record.config,
        "datasets": inputs.get("datasets", ""),
    }


def checkpoint_rows(home: Home, record: Record) -> Iterator[Row]:
    """The checkpoints that are still there: a run keeps the last and the best."""
    saved = record.counts.get("checkpoints", []) if record.kind == "runs" else []
    for checkpoint in saved if isinstance(saved, list) else []:
        fields = fields_of(record, "checkpoints", checkpoint)
        if (home.root / str(fields["path"])).exists():
            yield {"run": record.name, **{name: fields[name] for name in ("step", "tokens", "path", "bytes")}}


def model_row(record: Record) -> Row:
    """A model that can be loaded."""
    fields = {name: record.config.get(name) for name in ("run", "parent", "kind", "parameters")}
    path = f"{record.kind}/{record.name}/{record.version}"
    return {"model": record.name, "version": record.version, **fields, "path": path}


def endpoint_row(record: Record) -> Row:
    """A start of an endpoint; whether it is up is asked for, not kept."""
    return {
        "endpoint": record.name,
        "model": record.config.get("model"),
        "version": record.config.get("version"),
        "url": record.counts.get("url"),
        "started_at": moment(record.created),
    }


def dataset_row(record: Record) -> Row:
    """An instruction or preference set."""
    counts = {name: record.counts.get(name) for name in ("kind", "rows", "train", "held_out", "dropped", "failed")}
    return {"dataset": record.name, "version": record.version, **counts, "config": record.config}


def evaluation_rows(record: Record) -> Iterator[Row]:
    """What was measured of a model, as its own record or that of a comparison says."""
    rows = record.counts.get("evaluations", []) if record.kind in ("models", "evaluations") else []
    own = {"model": record.name, "version": record.version, "created_at": moment(record.created)}
    for row in rows if isinstance(rows, list) else []:
        yield {**own, **fields_of(record, "evaluations", row)}


def mixture_rows(record: Record) -> Iterator[Row]:
    """A row for every stream of every phase."""
    shares = record.counts.get("shares", []) if record.kind == "mixtures" else []
    for share in shares if isinstance(shares, list) else []:
        yield {"mixture": record.name, "version": record.version, **fields_of(record, "shares", share)}


def fields_of(record: Record, field: str, value: JsonValue) -> dict[str, JsonValue]:
    """The object that a field of a record holds. Raises Damaged where it holds something else."""
    if not isinstance(value, dict):
        raise Damaged(f"the record of {record.kind}/{record.ref} has no {field}: delete its folder and build it again.")
    return value


def moment(created: str) -> str | None:
    """A record's time in UTC without offset, as the catalog's timestamps are."""
    if not created:
        return None
    at = datetime.fromisoformat(created)
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ") if at.tzinfo else created
