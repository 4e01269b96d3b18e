"""The model that a run leaves: a folder that transformers and vLLM load, with its record.

>>> record = publish_model(job, state)
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from pydantic import JsonValue

from catalog.errors import NotFound
from catalog.records import RECORD, Record, fingerprint, load_record, next_version
from catalog.store import Catalog, quoted
from catalog.wanted import Wanted
from training.models.build import build
from training.models.config import parameters
from training.models.export import export
from training.pruning.masks import check_zeros, is_pruned, zeros_of
from training.runs.curves import read_curves
from training.runs.folder import VERSION, Checkpoint, RunState
from training.runs.heldout import Rates
from training.runs.job import Job

CARD_HOSTS = 20
WEIGHTS = "weights.pt"
"""Beside the last checkpoint: the whole weights (averaged where asked) by the names of Hugging Face."""


def publish_model(job: Job, state: RunState) -> Record:
    """Export the weights of the last checkpoint, checked, and register the model."""
    home, name = job.home, job.config.run
    last = state.last
    assert last
    identity = fingerprint("models", {"run": name, "step": last.step}, [job.fingerprint])
    for record in _models(job):
        if record.fingerprint == identity:
            return record
    version = next_version(home, "models", name)
    folder = home.artifact("models", name, version)
    rates = heldout_rates(job, last.step)
    hf = build(job.model, seed=job.config.seed, eos_id=job.tokenizer.eos_id, pad_id=job.tokenizer.pad_id)
    zeros = zeros_of(hf) if is_pruned(job.parent) else {}
    hf.load_state_dict(_weights(job, last), strict=False)
    if zeros:
        check_zeros(hf, zeros)
    folder.parent.mkdir(parents=True, exist_ok=True)
    differences = export(
        hf, folder, tokenizer=job.tokenizer.folder, card=_card(job, state, rates), precision=job.precision
    )
    wanted = Wanted(
        home,
        "models",
        name,
        version,
        inputs=(f"runs/{name}@{VERSION}", *[text for text in job.inputs if not text.startswith("mixtures/")]),
        config={
            "run": name,
            "parent": f"{job.parent.ref}" if job.parent else "",
            "kind": "base",
            "parameters": parameters(job.model)
            if not job.model.checkpoint
            else sum(w.numel() for w in hf.parameters()),
            "model": job.model.model_dump(mode="json"),
            "objective": job.config.objective.model_dump(mode="json"),
            "tokenizer": job.tokenizer.ref,
            "precision": job.precision,
            "step": last.step,
            "tokens": last.tokens,
            **({"pruned": job.parent.config["pruned"]} if job.parent and is_pruned(job.parent) else {}),
        },
        fingerprint=identity,
    )
    return wanted.publish(
        {
            "tokens": last.tokens,
            "logit_difference": dict(differences),
            "heldout_loss": last.heldout_loss,
            "evaluations": list(_evaluations(rates)),
        }
    )


def _models(job: Job) -> list[Record]:
    root = job.home.root / "models" / job.config.run
    return [load_record(path) for path in sorted(root.glob(f"[!.]*/{RECORD}"))]


def _weights(job: Job, last: Checkpoint) -> dict[str, torch.Tensor]:
    path: Path = job.home.root / last.path / WEIGHTS
    if not path.exists():
        raise NotFound(f"{path} is not there: `just resume {job.config.run}` from an earlier step makes it again.")
    return torch.load(path, weights_only=True)


def heldout_rates(job: Job, step: int) -> Rates:
    """The held-out rates that are on record for a step, by domain and name."""
    seen, found = read_curves(job.home, job.config.run), {}
    for metric, points in seen.series.items():
        value = dict(points).get(step)
        if metric.startswith("heldout/") and value is not None:
            _, domain, name = metric.split("/")
            found.setdefault(domain, {})[name] = value
    return found


def _evaluations(rates: Rates) -> Iterator[dict[str, JsonValue]]:
    """Rows of `evaluations`: n counts tokens."""
    for domain, values in rates.items():
        for metric in ("loss", "bits_per_byte"):
            if math.isfinite(values[metric]):
                n = int(values["tokens"])
                yield {"task": f"heldout/{domain}", "metric": metric, "value": values[metric], "stderr": None, "n": n}


def _card(job: Job, state: RunState, rates: Rates) -> str:
    """What the catalog knows of the model, for people (https://huggingface.co/docs/hub/model-cards)."""
    last = state.last
    assert last
    shares = [
        [row.phase, row.domain, row.lang, f"{row.share:.1%}", f"{row.budget_tokens:,}", f"{row.epochs:.2f}"]
        for row in job.mixture.plan.rows()
    ]
    measured = [
        [domain, f"{of['loss']:.3f}", f"{of['bits_per_byte']:.3f}", f"{of['tokens']:,.0f}"]
        for domain, of in rates.items()
    ]
    heldout = _markdown(["domain", "loss, nats a token", "bits a byte", "tokens"], measured)
    parts = [
        "---\nlibrary_name: transformers\nlicense: unknown\n---",
        f"# {job.config.run}",
        f"A {job.model.family} model of {parameters(job.model):,} parameters, trained for {last.step:,} steps and "
        f"{last.tokens:,} tokens: mixture {job.mixture.ref}, tokenizer {job.tokenizer.ref}, objective "
        f"{job.config.objective.kind}, seed {job.config.seed}.",
        "## Held-out text",
        heldout if measured else "None was measured.",
        "## Mixture",
        _markdown(["phase", "domain", "language", "share", "tokens", "epochs"], shares),
        "## Sources",
        _markdown(["host", "tokens", "share"], _hosts(job)),
        f"All of them, with crawl files: `just sql \"FROM run_sources('{job.config.run}')\"`.",
        "## Licence",
        "Unknown: the catalog does not say what the licences of these pages allow. Look at the sources before you pass "
        "the model on.",
    ]
    return "\n\n".join(parts) + "\n"


def _hosts(job: Job) -> list[list[str]]:
    """Where most of the tokens come from, as far as the checkpoints have it on record."""
    with Catalog.open(job.home) as catalog:
        rows = catalog.con.execute(
            "SELECT coalesce(host, '(no host)'), sum(tokens)::BIGINT, sum(share) "
            f"FROM run_sources({quoted(job.config.run)}) GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {CARD_HOSTS}"
        ).fetchall()
    return [[host, f"{tokens:,}", f"{share:.1%}"] for host, tokens, share in rows]


def _markdown(columns: list[str], rows: list[list[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
