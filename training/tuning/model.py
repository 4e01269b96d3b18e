"""The model that a tuning run leaves, and an adapter folded into its base.

>>> record = publish_tuned(job, state)
>>> merge(home, "tiny-sft@1", name="tiny-sft-merged")
"""

import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.locks import hold, lock_of
from catalog.records import RECORD, Record, find, fingerprint, load_record, next_version
from catalog.wanted import Wanted
from training.models.export import export
from training.pruning.masks import is_pruned
from training.runs.curves import read_curves
from training.runs.folder import VERSION, RunState
from training.runs.job import ADAPTER
from training.tuning.job import Job
from training.tuning.models import described, load_folder, name_classes, outputs_of
from training.tuning.template import load_chat

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
PROPORTIONS = ("accuracy", "reward_accuracy", "exact", "contains", "format", "code")
"""Measures that count right rows, each right or wrong: their standard error is known."""
MERGED_WITHIN = 1e-4
"""The most by which logits of an adapter and of the merged model may differ, in fp32: sums in another order."""


def publish_tuned(job: Job, state: RunState) -> Record:
    """Export the weights of the last checkpoint, checked, and register the model (or adapter)."""
    home, name, last = job.home, job.config.name, state.last
    assert last
    identity = fingerprint("models", {"run": name, "step": last.step}, [job.fingerprint])
    for path in sorted((home.root / "models" / name).glob(f"[!.]*/{RECORD}")):
        if (record := load_record(path)).fingerprint == identity:
            return record
    version = next_version(home, "models", name)
    folder = home.artifact("models", name, version)
    scores = heldout_scores(job, last.step)
    card = _card(job, state, scores)
    adapted, saved = job.config.adapter.kind != "none", home.root / last.path
    made = _write_adapter(job, saved, folder, card) if adapted else _write_model(job, saved, folder, card)
    wanted = Wanted(
        home,
        "models",
        name,
        version,
        inputs=(f"runs/{name}@{VERSION}", *job.inputs),
        config={
            "run": name,
            "parent": str(job.parent.ref),
            "kind": ADAPTER if adapted else job.config.method,
            "method": job.config.method,
            "parameters": made["parameters"],
            "model": job.shape.variant(checkpoint="").model_dump(mode="json"),
            "tokenizer": job.parent.config.get("tokenizer"),
            "precision": job.precision,
            "step": last.step,
            "classes": list(job.classes),
            **({"pruned": job.parent.config["pruned"]} if is_pruned(job.parent) and not adapted else {}),
        },
        fingerprint=identity,
    )
    return wanted.publish(
        {
            "tokens": last.tokens,
            "heldout_loss": last.heldout_loss,
            "logit_difference": made["differences"],
            "evaluations": list(_evaluations(scores, job)),
        }
    )


def merge(home: Home, ref: str, name: str = "") -> tuple[Record, bool]:
    """Fold an adapter into its base; gives the model, and whether it was made now.

    Logits of both are compared, in fp32. Raises BadInput for what is no adapter, or for a prefix, which has no weights
    to be folded into.
    """
    record = find(home, "models", ref)
    if record.config.get("kind") != ADAPTER:
        raise BadInput(f"{record.ref} is no adapter: it has its own weights already.")
    name = name or f"{record.name}-merged"
    if parse_ref(name).version:
        raise BadInput(f"name={name}: a version is given by the home. Write name={parse_ref(name).name}.")
    identity = fingerprint("models", {"merged": str(record.ref), "name": name}, [record.fingerprint])
    with hold(lock_of(home.root / "models" / name)):
        for path in sorted((home.root / "models" / name).glob(f"[!.]*/{RECORD}")):
            if (found := load_record(path)).fingerprint == identity:
                return found, False
        return _merged(home, record, name, identity), True


def _merged(home: Home, record: Record, name: str, identity: str) -> Record:
    from peft import PeftModel

    base, folder = (
        find(home, "models", str(record.config["parent"])),
        home.artifact("models", record.name, record.version),
    )
    if json.loads((folder / ADAPTER_FILES[0]).read_text()).get("peft_type") != "LORA":
        raise BadInput(f"{record.ref} is a prefix: it has no weights that could be folded in. Serve it as it is.")
    said = record.config.get("classes")
    classes = [str(one) for one in said] if isinstance(said, list) else []
    below = home.artifact("models", base.name, base.version)
    hf = load_folder(below, outputs_of(str(record.config["method"]), classes), dtype=torch.float32)
    chat = load_chat(folder)
    hf.config.pad_token_id = chat.pad_id
    hf.config.eos_token_id = chat.ends  # pyright: ignore[reportAttributeAccessIssue]
    name_classes(hf, classes)
    adapted = PeftModel.from_pretrained(hf, str(folder)).eval()  # pyright: ignore[reportArgumentType]
    ids = torch.arange(16)[None] * 7919 % hf.config.vocab_size
    with torch.no_grad():
        before = adapted(input_ids=ids).logits
        merged: Any = adapted.merge_and_unload()
        difference = float((merged(input_ids=ids).logits - before).abs().max())
    if difference > MERGED_WITHIN:
        raise Damaged(f"{record.ref}: logits of the merged model differ by {difference:.3g}.")
    version = next_version(home, "models", name)
    place = home.artifact("models", name, version)
    place.parent.mkdir(parents=True, exist_ok=True)
    card = (folder / "README.md").read_text(encoding="utf-8") + f"\nThe adapter is folded into {base.ref}.\n"
    export(merged, place, tokenizer=folder, card=card, precision=str(record.config["precision"]))
    wanted = Wanted(
        home,
        "models",
        name,
        version,
        inputs=(f"models/{record.ref}", f"models/{base.ref}"),
        config={
            **record.config,
            "kind": record.config["method"],
            "parent": str(record.ref),
            "parameters": _size(merged),
        },
        fingerprint=identity,
    )
    return wanted.publish({**record.counts, "logit_difference": {"largest": difference}})


def _write_model(job: Job, saved: Path, folder: Path, card: str) -> dict[str, Any]:
    hf = load_folder(saved, outputs_of(job.config.method, job.classes), dtype=torch.float32)
    hf.config.eos_token_id = job.chat.ends  # pyright: ignore[reportAttributeAccessIssue]
    hf.config.pad_token_id = job.chat.tokenizer.pad_token_id
    folder.parent.mkdir(parents=True, exist_ok=True)
    tokenizer = _tokenizer(job)
    differences = export(hf, folder, tokenizer=tokenizer, card=card, precision=job.precision)
    return {"parameters": _size(hf), "differences": differences}


def _write_adapter(job: Job, saved: Path, folder: Path, card: str) -> dict[str, Any]:
    from safetensors import safe_open

    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name in ADAPTER_FILES:
            shutil.copyfile(saved / name, partial / name)
        settings = json.loads((partial / ADAPTER_FILES[0]).read_text())
        settings["base_model_name_or_path"] = str(job.parent.ref)
        (partial / ADAPTER_FILES[0]).write_text(json.dumps(settings, indent=2, sort_keys=True))
        for file in _tokenizer(job).iterdir():
            shutil.copyfile(file, partial / file.name)
        (partial / "README.md").write_text(card, encoding="utf-8")
        with safe_open(str(partial / ADAPTER_FILES[1]), "pt") as weights:
            count = sum(weights.get_tensor(name).numel() for name in weights.keys())  # noqa: SIM118
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return {"parameters": count, "differences": {}}


def _tokenizer(job: Job) -> Path:
    """The tokenizer's files with the template, in the run's folder."""
    folder = job.folder.path / "tokenizer"
    shutil.rmtree(folder, ignore_errors=True)
    job.chat.save(folder)
    return folder


def _size(hf: torch.nn.Module) -> int:
    return sum(weight.numel() for weight in hf.parameters())


Scores = dict[str, dict[str, dict[int, float]]]
"""By group (the dataset, or a domain of pretraining text), by name, by step: the first and the last."""


def heldout_scores(job: Job, step: int) -> Scores:
    """What is on record of held-out rows, before and after."""
    found: Scores = {}
    for metric, points in read_curves(job.home, job.config.name).series.items():
        if metric.startswith("heldout/"):
            _, group, name = metric.split("/", 2)
            found.setdefault(group, {})[name] = {at: value for at, value in points if at in (0, step)}
    return found


def _evaluations(scores: Scores, job: Job) -> Iterator[dict[str, JsonValue]]:
    """Rows of `evaluations`: n counts tokens, or rows where it is rows that are scored."""
    step = job.feed.steps
    for group, values in scores.items():
        counted = values.get("tokens") or values.get("rows") or {}
        n = int(counted.get(step, len(job.heldout.examples)))
        for metric, points in values.items():
            if metric not in ("tokens", "rows", "perplexity") and step in points:
                value = points[step]
                error = math.sqrt(value * (1 - value) / n) if metric in PROPORTIONS and n else None
                yield {"task": f"heldout/{group}", "metric": metric, "value": value, "stderr": error, "n": n}


def _card(job: Job, state: RunState, scores: Scores) -> str:
    """What the catalog knows of the model, for people (https://huggingface.co/docs/hub/model-cards)."""
    config, last = job.config, state.last
    assert last
    rows = [
        f"| {group} | {name} | {points.get(0, float('nan')):.4g} | {points[last.step]:.4g} |"
        for group, values in scores.items()
        for name, points in values.items()
        if name not in ("tokens", "rows", "perplexity") and last.step in points
    ]
    table = (
        ["| held out | measure | before | after |", "|---|---|---:|---:|", *rows] if rows else ["None was measured."]
    )
    left_out = ", ".join(f"{count:,} {reason}" for reason, count in job.train.left_out.items()) or "none"
    parts = [
        "---\nlibrary_name: "
        + ("peft" if config.adapter.kind != "none" else "transformers")
        + "\nlicense: unknown\n---",
        f"# {config.name}",
        f"{job.parent.ref} after {config.method}: {described(config.adapter)}, {last.step:,} steps of "
        f"{config.batch_rows} rows, {len(job.train.examples):,} rows of the dataset {job.dataset.ref} "
        f"(left out: {left_out}), learning rate {job.rate.rate:g} ({job.rate.source}), seed {config.seed}.",
        "## Held out",
        "\n".join(table),
        "## Data",
        f"Its rows: `just sql \"FROM batch_rows('{config.name}', 1)\"`. All that it was made from: "
        f"`just trace models/{config.name}`.",
        "## Licence",
        "Unknown: look at the sources before you pass the model on.",
    ]
    return "\n\n".join(parts) + "\n"
