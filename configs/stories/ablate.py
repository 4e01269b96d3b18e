"""`just ablate`: does one corpus make a better model than another, at the same number of tokens?

just ablate                                   the default crawl, curated (docs) against raw
just ablate web@2 web@1 seeds=5 tokens=20e6
just ablate web@2 web@1 model=small tokenizer=web-32k --dry-run

Both arms have the same tokenizer, model, tokens, batch and seeds; a seed decides the first weights and which samples
are read in which order. A part of the documents (`held_out`, by a hash of the document's id, so the same in every
corpus) gets no tokens in either arm. Those of them that both corpora were made from are scored, as they were read and
before either decided about them; one that has a duplicate in either corpus, or twice the same text, is not scored.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import Field, JsonValue
from rich.console import Console

from catalog.commands import Parser
from catalog.config import Config
from catalog.errors import BadInput
from catalog.home import Home, written
from catalog.ids import parse_ref
from catalog.index import put_into_catalog
from catalog.locks import hold, lock_of
from catalog.records import (
    RECORD,
    Record,
    file_entry,
    find,
    fingerprint,
    load_record,
    now,
    version_for,
    versions,
    write_record,
)
from catalog.store import Catalog, quoted
from configs.recipes import configured
from eval import comparison
from eval.paired import Difference, compare
from training.mixtures.build import build as build_mixture
from training.mixtures.config import MixtureConfig
from training.models.config import ModelConfig
from training.models.optimizers import OptimizerConfig
from training.models.presets import preset
from training.models.schedules import ScheduleConfig
from training.runs.config import CheckpointConfig, RunConfig
from training.runs.pretrain import pretrain
from training.tokenizers.load import load_tokenizer
from training.tokens.config import TokensConfig
from training.tokens.job import tokenize
from training.tokens.texts import left_out

Floats = NDArray[np.float64]
Task = Callable[[Path], list[dict[str, JsonValue]]]
"""Scores the model in a folder: rows of `evaluations` (task, metric, value, stderr, n) without the model's name."""
ARMS = ("docs", "raw")


class AblateConfig(Config):
    """Two corpora, and what both arms share."""

    a: str = "docs"
    b: str = "raw"
    tokenizer: str = "docs-8k"
    shape: ModelConfig = ModelConfig()
    learning_rate: float = Field(default=2e-3, gt=0)
    tokens: float = Field(default=1e6, gt=0)
    """Read by each model."""
    batch_tokens: int = Field(default=8192, gt=0)
    sequence_length: int = Field(default=512, gt=0)
    seeds: int = Field(default=3, ge=1)
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """The part of all documents that no arm trains on."""
    most_documents: int = Field(default=2000, ge=2)
    """Documents that are scored, at most: the first by the hash of their ids."""

    @property
    def steps(self) -> int:
        return max(1, int(self.tokens) // self.batch_tokens)


class Held(Config):
    """A document that is scored."""

    doc_id: str
    domain: str
    text: str
    kept: bool
    """Whether the first corpus has kept it: only said, not used."""


def small(model: str = "tiny") -> AblateConfig:
    """Both arms with a preset's shape and learning rate."""
    chosen = preset(model)
    return AblateConfig(shape=chosen.model, learning_rate=chosen.learning_rate, batch_tokens=chosen.batch_tokens)


def main(argv: list[str]) -> int:
    """Compare, or say what would be done."""
    arguments = _parser().parse_args(argv)
    refs = [word for word in arguments.words if "=" not in word]
    if len(refs) not in (0, 2):
        raise BadInput(f"two corpora are compared, not {len(refs)}: just ablate web@2 web@1.")
    fields = [word for word in arguments.words if "=" in word]
    config = configured({"ablate": small}, "ablate", [*fields, *(f"{k}={v}" for k, v in zip("ab", refs, strict=False))])
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        console.print_json(config.model_dump_json())
        console.print(f"{config.seeds} models of each corpus, {config.steps:,} steps of {config.batch_tokens:,} tokens")
        return 0
    _make_defaults(config, home, console)
    record = ablate(_resolved(config, home), home, console)
    names = (str(record.config["a"]), str(record.config["b"]))
    console.print(comparison.printed(_tables(record), names), markup=False)
    folder = home.artifact(record.kind, record.name, record.version)
    console.print(
        f"report   {folder / 'report.html'}\nask      just sql \"FROM evaluations WHERE task LIKE 'ablate/%'\"",
        markup=False,
    )
    return 0


def ablate(config: AblateConfig, home: Home, console: Console, tasks: Sequence[Task] = ()) -> Record:
    """Train both arms, score what was held out, compare; what is there already is found.

    `tasks` score every model besides; they are circumstance, so a comparison that is there gets no more of them.
    """
    name = f"{_word(config.a)}-against-{_word(config.b)}"
    identity = config.model_dump(mode="json")
    version = version_for(home, "evaluations", name, "", fingerprint("evaluations", identity, []))
    folder = home.artifact("evaluations", name, version)
    with hold(lock_of(folder)):
        if (folder / RECORD).exists():
            return load_record(folder / RECORD)
        held = held_out(config, home)
        console.print(f"{len(held):,} documents are held out and scored", markup=False)
        models = {arm: [_trained(config, arm, seed, home, console) for seed in _seeds(config)] for arm in _arms(config)}
        scores = {arm: [_scored(config, one, held, home) for one in found] for arm, found in models.items()}
        rows = [*_rows(held, models, scores), *_task_rows(tasks, models, home)]
        return _published(config, home, folder, held, models, scores, rows)


def held_out(config: AblateConfig, home: Home) -> list[Held]:
    """The documents that both corpora were made from and neither arm trains on, sorted by id."""
    (a, va), (b, vb) = (parse_ref(ref) for ref in (config.a, config.b))
    decided = "SELECT {} FROM decisions WHERE corpus = {} AND version = {}"
    of_a, of_b = (decided.format("doc_id, verdict", *map(quoted, pair)) for pair in ((a, va), (b, vb)))
    with Catalog.open(home) as catalog:
        ids = catalog.con.execute(
            f"SELECT doc_id FROM ({of_a}) SEMI JOIN ({of_b}) USING (doc_id) ORDER BY 1"
        ).fetchall()
        chosen = [doc_id for (doc_id,) in ids if left_out(doc_id, config.held_out)]
        rows = catalog.con.execute(_held_query(config, chosen, of_a)).fetchall() if chosen else []
    if len(rows) < 2:
        raise BadInput(
            f"{config.a} and {config.b} have {len(rows)} documents in common that can be held out: they must be made "
            "from the same crawl, and held_out must leave enough of it."
        )
    return [Held(doc_id=row[0], domain=row[1], text=row[2], kept=row[3]) for row in rows]


def _held_query(config: AblateConfig, chosen: Sequence[str], of_a: str) -> str:
    (a, va), (b, vb) = (parse_ref(ref) for ref in (config.a, config.b))
    wanted = f"SELECT unnest(from_json({quoted(json.dumps(list(chosen)))}, '[\"VARCHAR\"]')) AS doc_id"
    arms = f"(corpus, version) IN (({quoted(a)}, {quoted(va)}), ({quoted(b)}, {quoted(vb)}))"
    intakes = f"SELECT intake FROM corpus_intakes WHERE corpus = {quoted(a)} AND version = {quoted(va)}"
    return f"""
        WITH wanted AS ({wanted}), fates AS ({of_a}),
        twins AS (SELECT doc_id FROM duplicates WHERE {arms} UNION SELECT removed_doc_id FROM duplicates WHERE {arms}
            UNION SELECT kept_doc_id FROM duplicates WHERE {arms}),
        here AS MATERIALIZED (SELECT doc_id, domain, text, text_key FROM readings
            WHERE intake IN ({intakes}) AND coalesce(failure, '') = '' AND n_chars > 0),
        single AS (SELECT text_key FROM here GROUP BY text_key HAVING count(*) = 1)
        SELECT here.doc_id, any_value(domain), any_value(text), bool_or(fates.verdict = 'kept')
        FROM here SEMI JOIN wanted USING (doc_id) ANTI JOIN twins USING (doc_id) SEMI JOIN single USING (text_key)
        JOIN fates USING (doc_id) GROUP BY here.doc_id ORDER BY here.doc_id LIMIT {config.most_documents}"""


def _trained(config: AblateConfig, ref: str, seed: int, home: Home, console: Console) -> Record:
    """One model of an arm."""
    from configs.pretrain import hands

    name = f"ablate-{_word(ref)}-{fingerprint('ablate', config.model_dump(mode='json', exclude={'a', 'b'}), [ref])[:8]}"
    console.print(f"{ref}, seed {seed}", markup=False)
    tokens = tokenize(
        TokensConfig(
            name=f"ablate-{_word(ref)}",
            corpus=(ref,),
            tokenizer=config.tokenizer,
            sequence_length=config.sequence_length,
            leave_out=config.held_out,
        ),
        home,
    ).record
    budget, run = config.steps * config.batch_tokens, f"{name}-s{seed}"
    mixture = MixtureConfig(name=run, tokens=(str(tokens.ref),), budget=budget, heldout=0, seed=seed)
    made = build_mixture(mixture, home).record
    return pretrain(
        RunConfig(
            run=run,
            mixture=str(made.ref),
            model=config.shape,
            optimizer=OptimizerConfig(learning_rate=config.learning_rate),
            schedule=ScheduleConfig(warmup_tokens=budget // 20),
            batch_tokens=config.batch_tokens,
            max_steps=config.steps,
            heldout_rows=0,
            checkpoint=CheckpointConfig(keep_last=1),
            seed=seed,
        ),
        home,
        hands(),
        "ablate",
    ).model


def _scored(config: AblateConfig, model: Record, held: Sequence[Held], home: Home) -> tuple[Floats, Floats]:
    from training.runs.scoring import score_documents

    folder = home.artifact("models", model.name, model.version)
    tokenizer = load_tokenizer(home, config.tokenizer).tokenizer
    texts = [document.text for document in held]
    return score_documents(folder, config.shape.family, tokenizer, texts, config.sequence_length)


def _published(
    config: AblateConfig,
    home: Home,
    folder: Path,
    held: Sequence[Held],
    models: dict[str, list[Record]],
    scores: dict[str, list[tuple[Floats, Floats]]],
    rows: list[JsonValue],
) -> Record:
    """Files, page, record, catalog."""
    name, version = folder.parent.name, folder.name
    arms = _arms(config)
    nats = [np.stack([found for found, _ in scores[arm]]) for arm in arms]
    tables = _compared(nats, scores[arms[0]][0][1], held)
    _write_scores(folder / "documents.parquet", held, models, scores)
    facts = _facts(config, held, models)
    comparison.write_page(folder / "report.html", name, arms, tables, facts)
    files = [folder / "documents.parquet", folder / "report.html"]
    identity = config.model_dump(mode="json")
    record = Record(
        kind="evaluations",
        name=name,
        version=version,
        inputs=tuple(f"models/{model.ref}" for found in models.values() for model in found),
        config=identity,
        fingerprint=fingerprint("evaluations", identity, []),
        files=tuple(file_entry(folder, path) for path in files),
        counts={
            "documents": len(held),
            "tables": {title: {k: v._asdict() for k, v in of.items()} for title, of in tables.items()},
            "evaluations": rows,
        },
        created=now(),
    )
    write_record(home, record)
    put_into_catalog(home, record)
    return record


def _compared(nats: Sequence[Floats], sizes: Floats, held: Sequence[Held]) -> dict[str, dict[str, Difference]]:
    """All held-out text, then what the first corpus would have kept, and what not."""
    kept = np.array([document.kept for document in held])
    slices = {"all held-out text": sizes > 0, "kept by the first": kept & (sizes > 0), "not kept": ~kept & (sizes > 0)}
    found = {}
    for title, mask in slices.items():
        if mask.sum() >= 2:
            groups = [held[at].domain for at in np.flatnonzero(mask).tolist()]
            found[title] = compare(nats[0][:, mask], nats[1][:, mask], sizes[mask], groups)
    return found


def _rows(held: Sequence[Held], models: dict[str, list[Record]], scores: dict) -> list:
    """Rows of `evaluations`: bits a byte of every model by domain."""
    domains = np.array([document.domain for document in held])
    rows = []
    for arm, found in models.items():
        for model, (nats, sizes) in zip(found, scores[arm], strict=True):
            for domain in [*sorted(set(domains.tolist())), "all"]:
                mask = (domains == domain) | (domain == "all")
                value = float(nats[mask].sum() / max(sizes[mask].sum(), 1) / np.log(2))
                row = {"model": model.name, "version": model.version, "task": f"ablate/{domain}", "stderr": None}
                rows.append({**row, "metric": "bits_per_byte", "value": value, "n": int(mask.sum())})
    return rows


def _task_rows(tasks: Sequence[Task], models: dict[str, list[Record]], home: Home) -> list:
    return [
        {"model": model.name, "version": model.version, **row}
        for task in tasks
        for found in models.values()
        for model in found
        for row in task(home.artifact("models", model.name, model.version))
    ]


def _write_scores(path: Path, held: Sequence[Held], models: dict[str, list[Record]], scores: dict) -> None:
    """Every document's nats under every model."""
    tables = [
        pa.table(
            {
                "model": [str(model.ref)] * len(held),
                "corpus": [arm] * len(held),
                "doc_id": [document.doc_id for document in held],
                "domain": [document.domain for document in held],
                "kept": [document.kept for document in held],
                "nats": nats,
                "bytes": sizes,
            }
        )
        for arm, found in models.items()
        for model, (nats, sizes) in zip(found, scores[arm], strict=True)
    ]
    with written(path) as partial:
        pq.write_table(pa.concat_tables(tables), partial, compression="zstd")


def _facts(config: AblateConfig, held: Sequence[Held], models: dict[str, list[Record]]) -> list[tuple[str, str]]:
    shape = config.shape
    return [
        ("Model", f"{shape.family}, {shape.layers} layers of {shape.hidden_size}"),
        ("Tokenizer", config.tokenizer),
        ("Tokens of each model", f"{config.steps * config.batch_tokens:,} in {config.steps:,} steps"),
        ("Seeds", ", ".join(map(str, _seeds(config)))),
        ("Models", ", ".join(str(model.ref) for found in models.values() for model in found)),
        ("Held out", f"{config.held_out:.0%} of the documents by a hash of their ids"),
        ("Scored", f"{len(held):,} of them, their first {config.sequence_length:,} tokens"),
        ("Interval", "paired bootstrap over seeds and documents (Owen, arXiv 0712.1111), 10,000 draws"),
    ]  # fmt: skip


def _tables(record: Record) -> dict[str, dict[str, Difference]]:
    found = record.counts["tables"]
    assert isinstance(found, dict)
    return {title: {k: Difference(**v) for k, v in of.items()} for title, of in found.items()}  # type: ignore


def _arms(config: AblateConfig) -> tuple[str, str]:
    return (config.a, config.b)


def _seeds(config: AblateConfig) -> range:
    return range(1, config.seeds + 1)


def _word(ref: str) -> str:
    return ref.replace("@", "-")


def _resolved(config: AblateConfig, home: Home) -> AblateConfig:
    """With the versions of both corpora and of the tokenizer said."""
    a, b = (str(find(home, "corpora", ref).ref) for ref in _arms(config))
    if a == b:
        raise BadInput(f"{a} against itself: give two corpora.")
    return config.variant(a=a, b=b, tokenizer=load_tokenizer(home, config.tokenizer).ref)


def _make_defaults(config: AblateConfig, home: Home, console: Console) -> None:
    """The default corpus, the same crawl as it was read, and the default tokenizer, where they are asked for."""
    from configs import build_corpus, tokenizers

    for arm in _arms(config):
        if arm in ARMS and not versions(home, "corpora", arm):
            console.print(f"there is no corpus {arm} yet: it is built first", markup=False)
            words = ["docs"] if arm == "docs" else ["docs-raw"]
            build_corpus.main([*words, "--home", str(home.root)])
    if config.tokenizer == "docs-8k" and not versions(home, "tokenizers", "docs-8k"):
        tokenizers.train_main(["docs-8k", "--home", str(home.root)])


def _parser() -> Parser:
    parser = Parser(
        prog="just ablate",
        usage="just ablate [CORPUS CORPUS] [field=value …] [--dry-run]",
        description=f"{__doc__}\nFields and their values: just ablate --dry-run.",
    )
    parser.add_fields("two corpora, then fields", "CORPUS")
    return parser
