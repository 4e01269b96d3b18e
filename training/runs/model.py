"""The model that a run leaves: a folder that transformers and vLLM load, with its record.

>>> record = publish_model(job, state)
"""

from pathlib import Path

import torch

from catalog.errors import NotFound
from catalog.index import register
from catalog.records import RECORD, Record, file_entry, fingerprint, load_record, next_version, now, write_record
from catalog.store import Catalog
from training.models.build import build
from training.models.config import parameters
from training.models.export import export
from training.runs.folder import Checkpoint, RunState
from training.runs.job import Job

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
    hf = build(job.model, seed=job.config.seed, eos_id=job.tokenizer.eos_id, pad_id=job.tokenizer.pad_id)
    hf.load_state_dict(_weights(job, last), strict=False)
    folder.parent.mkdir(parents=True, exist_ok=True)
    differences = export(hf, folder, tokenizer=job.tokenizer.folder, card=_card(job, state), precision=job.precision)
    record = Record(
        kind="models",
        name=name,
        version=version,
        inputs=(f"runs/{name}@1", *[text for text in job.inputs if not text.startswith("mixtures/")]),
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
        },
        fingerprint=identity,
        files=tuple(file_entry(folder, path) for path in sorted(folder.rglob("*")) if path.is_file()),
        counts={"tokens": last.tokens, "logit_difference": dict(differences), "heldout_loss": last.heldout_loss},
        created=now(),
    )
    write_record(home, record)
    with Catalog.open(home, read_only=False) as catalog:
        register(catalog, record)
    return record


def _models(job: Job) -> list[Record]:
    root = job.home.root / "models" / job.config.run
    return [load_record(path) for path in sorted(root.glob(f"[!.]*/{RECORD}"))]


def _weights(job: Job, last: Checkpoint) -> dict[str, torch.Tensor]:
    path: Path = job.home.root / last.path / WEIGHTS
    if not path.exists():
        raise NotFound(f"{path} is not there: `just resume {job.config.run}` from an earlier step makes it again.")
    return torch.load(path, weights_only=True)


def _card(job: Job, state: RunState) -> str:
    """What the catalog knows of the model, for people."""
    rows = [
        f"| {row.phase} | {row.domain} | {row.lang} | {row.share:.1%} | {row.budget_tokens:,} | {row.epochs:.2f} |"
        for row in job.mixture.plan.rows()
    ]
    last = state.last
    assert last
    heldout = f", held-out loss {last.heldout_loss:.3f} nats a token" if last.heldout_loss is not None else ""
    return "\n".join(
        [
            f"# {job.config.run}",
            "",
            f"A {job.model.family} model of {parameters(job.model):,} parameters, trained for {last.step:,} steps and "
            f"{last.tokens:,} tokens{heldout}.",
            "",
            f"Mixture {job.mixture.ref}, tokenizer {job.tokenizer.ref}, objective {job.config.objective.kind}, seed "
            f"{job.config.seed}.",
            "",
            "| phase | domain | language | share | tokens | epochs |",
            "|---|---|---|---|---|---|",
            *rows,
            "",
            f"Where the text comes from: `just sql \"FROM run_sources('{job.config.run}')\"`.",
            "",
        ]
    )
