"""A compressed model from a model of the home: checked before work, calibrated on text of its own mixture, on record.

>>> job = plan(QuantizeConfig(model="tiny-sft", scheme="w8a8"), home, texts)
>>> made = quantize(job)
>>> made.record.ref, made.fresh

The text comes from the recipe, which reads it through training's room.
"""

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from catalog.calibration import MOST_SAMPLES, SAMPLES, Sample, write_samples
from catalog.config import Config
from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from catalog.ids import Ref
from catalog.records import Record, find
from catalog.room import GIB, check_room
from catalog.wanted import Made, Wanted, check_name
from catalog.weights import config_of
from serving.apart import in_own_process
from serving.compressor import Work, compress
from serving.schemes import (
    LM_HEAD,
    Scheme,
    Shape,
    check_layers,
    chosen,
    group_of,
    known,
    layers_of,
    machine,
    size_of,
    why_not,
)
from serving.target import Target, resolve

KIND = "quantized"
KEPT = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "generation_config.json",
)
"""Files that a compressed model has from its parent, byte by byte."""
WORK_BYTES = 3 * GIB
"""What llm-compressor takes beside the weights: its code, the inputs of a layer, a Hessian."""


class CalibrationConfig(Config):
    """Which text the activations are looked at with."""

    samples: int = Field(default=128, ge=1, le=MOST_SAMPLES)
    length: int = Field(default=512, ge=2)
    """Tokens of a sample at most."""
    seed: int = Field(default=17, ge=0)
    mixture: str = ""
    """Where the samples are drawn from; by default the mixture that the model's line began with."""


class QuantizeConfig(Config):
    """What `just quantize` is asked for."""

    model: str
    scheme: str
    name: str = ""
    """Of the new model; by default `<model>-<scheme>`."""
    version: str = ""
    """Empty: the next free number."""
    ignore: tuple[str, ...] = (LM_HEAD,)
    """Layers that stay as they are: names, or `re:` and a regular expression."""
    group_size: int = Field(default=0, ge=0)
    """Weights that share a scale; 0: as the scheme says."""
    kv_cache: bool = False
    """The key-value cache in FP8 besides."""
    calibration: CalibrationConfig = CalibrationConfig()


class Document(NamedTuple):
    """A held-out document, or the piece of one that a sample holds."""

    domain: str
    ids: NDArray[np.int64]
    bytes: float
    """That its tokens stand for, but for the first."""


@dataclass(frozen=True)
class Texts:
    """What a mixture has for a model, read when it is asked for."""

    mixture: Record
    check: Callable[[int, int], None]
    """Raises BadInput where there are not so many samples (count, length) to be drawn."""
    drawn: Callable[[int, int, int], Sequence[Sample]]
    """From count, length and seed."""
    heldout: Callable[[int], Sequence[Document]]
    """From the most samples of a domain."""


@dataclass(frozen=True)
class Job:
    """A checked request."""

    config: QuantizeConfig
    home: Home
    target: Target
    scheme: Scheme
    group: int
    layers: dict[str, Shape]
    """Those that are compressed."""
    ignore: tuple[str, ...]
    texts: Texts | None
    bytes: int
    """About what the new weights take."""

    @property
    def name(self) -> str:
        return self.config.name or default_name(self.target.model.name, self.scheme.name, self.config.kv_cache)

    @property
    def calibrated(self) -> bool:
        """Whether samples are read: scales of activations and of the cache want them, GPTQ and AWQ too."""
        return self.scheme.calibrated or self.config.kv_cache

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What makes the model what it is, beside its inputs."""
        config = self.config
        found: dict[str, JsonValue] = {
            "scheme": self.scheme.name,
            "group_size": self.group,
            "ignore": [*sorted(set(config.ignore))],
            "kv_cache": config.kv_cache or self.scheme.kv_cache,
        }
        if self.calibrated:
            found["calibration"] = config.calibration.model_dump(include={"samples", "length", "seed"})
        return found

    @property
    def wanted(self) -> Wanted:
        parent = self.target.model
        made_from = [parent, *([self.texts.mixture] if self.calibrated and self.texts else [])]
        own = {name: parent.config.get(name) for name in ("method", "parameters", "model", "tokenizer")}
        config = {"run": "", "parent": str(parent.ref), "kind": KIND, **own, "precision": "bf16", **self.identity}
        return Wanted.of(self.home, "models", Ref(self.name, self.config.version), made_from, self.identity, config)

    @property
    def served(self) -> str:
        """Why this machine cannot serve it; nothing where it can."""
        return why_not(self.scheme, machine(), self.config.kv_cache)


def default_name(model: str, scheme: str, kv_cache: bool) -> str:
    """As in `tiny-sft-w8a8`, `tiny-sft-w4a16-kv`."""
    return f"{model}-{scheme}{'-kv' if kv_cache and scheme != 'kv-fp8' else ''}"


def plan(config: QuantizeConfig, home: Home, texts_of: Callable[[Record, str], Texts | None]) -> Job:
    """Check everything that can be checked before work. Raises BadInput, NotFound, Damaged.

    `texts_of` gives the text of a model's mixture, or of the one that is named.
    """
    scheme = known(config.scheme)
    group = group_of(scheme, config.group_size)
    target = compressible(home, config.model)
    layers = layers_of(target.folder)
    ignore = tuple(dict.fromkeys([*config.ignore, *(() if LM_HEAD in layers else (LM_HEAD,))]))
    compressed = chosen(layers, ignore) if scheme.method else {}
    check_layers(scheme, group, compressed)
    parameters = target.model.config.get("parameters")
    count = parameters if isinstance(parameters, int) else sum(one.outputs * one.inputs for one in layers.values())
    texts = texts_of(target.model, config.calibration.mixture)
    job = Job(config, home, target, scheme, group, compressed, ignore, texts, size_of(scheme, group, compressed, count))
    if job.calibrated and not texts:
        raise BadInput(
            f"{target.model.ref} has no mixture in this home to draw calibration samples from: "
            "name one that was made with its tokenizer, mixture=NAME."
        )
    if job.calibrated and texts:
        texts.check(config.calibration.samples, config.calibration.length)
    check_name(target.model.ref, job.name)
    if not job.wanted.found():
        check_room(home.root, job.bytes, 2 * count + WORK_BYTES)
    return job


def compressible(home: Home, ref: str) -> Target:
    """The model. Raises BadInput for what cannot be compressed, with what to do first; NotFound, Damaged."""
    model = find(home, "models", ref)
    if model.config.get("kind") == "adapter":
        raise BadInput(f"{model.ref} is an adapter: `just merge {model.ref}` makes a model of it, which can be.")
    if model.config.get("kind") == KIND:
        raise BadInput(
            f"{model.ref} is quantized already ({model.config['scheme']}): take {model.config['parent']}, "
            "which it was made from."
        )
    config_of(home.artifact("models", model.name, model.version))
    return resolve(home, ref)


def quantize(job: Job, threads: int = 0) -> Made:
    """Make the model, or find it made. Raises Conflict, Busy, NotFound without llm-compressor, Damaged.

    `threads`: by default every core of this process. Another number rounds sums otherwise, and gives other bytes.
    """
    _check_installed()
    wanted = job.wanted
    with wanted.making() as found:
        if found:
            return Made(found, False)
        calibration = job.config.calibration
        samples: Sequence[Sample] = ()
        if job.calibrated and job.texts:
            samples = job.texts.drawn(calibration.samples, calibration.length, calibration.seed)
        made_with = _compressed(job, wanted.folder, samples, threads or len(os.sched_getaffinity(0)))
        for name in KEPT:
            if (job.target.chat / name).is_file():
                shutil.copyfile(job.target.chat / name, wanted.folder / name)
        if samples:
            write_samples(wanted.folder / SAMPLES, job.name, wanted.version, samples)
        card = _card(job, wanted.version, samples, made_with)
        (wanted.folder / "README.md").write_text(card, encoding="utf-8")
        counts: dict[str, JsonValue] = {
            "layers": len(job.layers),
            "calibration_samples": len(samples),
            "calibration_tokens": sum(len(one.ids) for one in samples),
            "made_with": made_with,
        }
        return Made(wanted.publish(counts), True)


def _compressed(job: Job, folder: Path, samples: Sequence[Sample], threads: int) -> dict[str, JsonValue]:
    """Write the weights; gives what they were made with."""
    folder.mkdir(parents=True)
    rows = [sample.ids for sample in samples]
    work = Work(job.target.folder, folder, job.scheme.name, job.group, job.ignore, job.config.kv_cache, rows, threads)
    made_with = in_own_process(job.home.root / "models" / f".{job.name}.log", compress, work)
    _check_compressed(job, folder)
    return {**made_with, "threads": threads}


def _check_installed() -> None:
    from importlib.util import find_spec

    if find_spec("llmcompressor") is None:
        raise NotFound("llm-compressor is not installed: run `requirements/install serving`.")


def _check_compressed(job: Job, folder: Path) -> None:
    """Every layer that was to be compressed has its scale: what the library passes over, it does not say."""
    from safetensors import safe_open

    there: set[str] = set()
    for path in folder.glob("*.safetensors"):
        with safe_open(str(path), "pt") as weights:
            there |= set(weights.keys())
    missing = [name for name in job.layers if f"{name}.weight_scale" not in there]
    if missing or not there:
        raise Damaged(
            f"{len(missing):,} layers were not compressed, {missing[0] if missing else 'all'} first: {folder}"
        )


def _card(job: Job, version: str, samples: Sequence[Sample], made_with: dict[str, JsonValue]) -> str:
    """The model card."""
    scheme, ref = job.scheme, job.target.model.ref
    shared = f", {job.group} weights to a scale" if job.group else ""
    what = f"{scheme.what}{shared}{'; the key-value cache in FP8' if job.config.kv_cache else ''}"
    parts = [
        "---\nlibrary_name: transformers\nlicense: unknown\n---",
        f"# {job.name}",
        f"{ref} compressed: {what}. As they are: {', '.join(job.ignore)}.",
        "## Calibration",
        "None: the scheme reads no text."
        if not samples or not job.texts
        else f"{len(samples):,} samples, {sum(len(one.ids) for one in samples):,} tokens, drawn from the mixture "
        f"{job.texts.mixture.ref} with seed {job.config.calibration.seed}. Their documents: "
        f"`just sql \"FROM calibration_documents('{job.name}', '{version}')\"`.",
        "## Made with",
        ", ".join(f"{name} {said}" for name, said in made_with.items()) + ".",
        "## Licence",
        f"Unknown: look at that of {ref} before you pass the model on.",
    ]
    return "\n\n".join(parts) + "\n"
