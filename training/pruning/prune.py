"""A model of the home with a part of its weights at 0: magnitude (arXiv 1506.02626) or Wanda (arXiv 2306.11695).

>>> job = plan(PruneConfig(model="tiny", method="wanda", pattern="2:4"), home)
>>> made = prune(job, scorer)
>>> made.record.counts["zeros"], made.fresh

Samples that activations are looked at with come from the model's own mixture and are on record, as those of
`just quantize`. `just pretrain parent=` and full tuning of what is made keep its zeros.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from pydantic import Field, JsonValue
from torch import Tensor

from catalog.calibration import MOST_SAMPLES, SAMPLES, Sample, write_samples
from catalog.config import Config
from catalog.errors import BadInput
from catalog.home import Home
from catalog.ids import Ref
from catalog.progress import stage_progress
from catalog.records import Record, find
from catalog.room import GIB, check_room
from catalog.wanted import Made, Wanted, check_name
from catalog.weights import check_whole, parameters_of, weight_bytes
from training.mixtures.reading import Mixture, check_rows, own_mixture
from training.models.attention import chosen_kernel
from training.models.build import shape_of
from training.models.config import ModelConfig
from training.models.export import export
from training.models.language_model import LanguageModel, block_list
from training.models.objectives import Vocabulary, objective, objective_for
from training.pruning.masks import GROUP, block_layers, layers_of, lowest, matrix, wanda_scores
from training.runs.heldout import HeldOut, Rates, Scorer, forward_of, token_bytes
from training.runs.job import check_trainable
from training.tokenizers.load import load_tokenizer
from training.tuning.models import load_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FAMILIES = ("llama", "qwen", "gpt2")
METRICS = ("loss", "bits_per_byte")
SIZE = "pruned/size"
BYTES = 3 * 4
"""Of memory for each parameter: the model in fp32, the copy that is written, and the one that is read to check it."""


class PruneConfig(Config):
    """What `just prune` is asked for."""

    model: str
    method: Literal["magnitude", "wanda"] = "wanda"
    """magnitude: the smallest weights of each layer; wanda: those of each row that matter least to what goes in."""
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    sparsity: float = Field(default=0.5, gt=0, lt=1)
    """The part of each layer's weights that is taken out; 2:4 takes half."""
    name: str = ""
    """Of the new model; by default `<model>-pruned`."""
    version: str = ""
    """Empty: the next free number."""
    samples: int = Field(default=128, ge=1, le=MOST_SAMPLES)
    """Calibration samples, for wanda."""
    length: int = Field(default=512, ge=2)
    """Tokens of a sample at most."""
    seed: int = Field(default=17, ge=0)
    mixture: str = ""
    """Where samples and held-out text are from; by default the mixture that the model's line began with."""
    rows: int = Field(default=32, ge=0)
    """The most held-out samples of each domain; 0: no held-out loss."""


@dataclass(frozen=True)
class Job:
    """A checked request."""

    config: PruneConfig
    home: Home
    model: Record
    shape: ModelConfig
    mixture: Mixture | None

    @property
    def name(self) -> str:
        return self.config.name or f"{self.model.name}-pruned"

    @property
    def calibrated(self) -> bool:
        return self.config.method == "wanda"

    @property
    def wanted(self) -> Wanted:
        parent = self.model
        made_from = [parent, *([self.mixture.record] if self.calibrated and self.mixture else [])]
        fields = {"method", "pattern", "sparsity", *(("samples", "length", "seed") if self.calibrated else ())}
        identity: dict[str, JsonValue] = {"pruned": self.config.model_dump(mode="json", include=fields)}
        kept = ("kind", "method", "parameters", "model", "objective", "tokenizer", "precision")
        own = {name: parent.config.get(name) for name in kept}
        config = {"run": "", "parent": str(parent.ref), **own, **identity}
        return Wanted.of(self.home, "models", Ref(self.name, self.config.version), made_from, identity, config)


def plan(config: PruneConfig, home: Home) -> Job:
    """Check everything that can be checked before work. Raises BadInput, NotFound, Conflict, Damaged."""
    model = find(home, "models", config.model)
    check_trainable(model)
    if (method := model.config.get("method")) in ("reward", "classifier"):
        raise BadInput(f"{model.ref} is a {method} model: only models that write text are pruned.")
    folder = home.artifact("models", model.name, model.version)
    shape = shape_of(str(folder))
    check_whole(folder)
    if shape.family not in FAMILIES:
        raise BadInput(f"{model.ref} is a {shape.family} model. Pruned are: {', '.join(FAMILIES)}.")
    if config.pattern == "2:4":
        if config.sparsity != 0.5:
            raise BadInput(f"sparsity={config.sparsity:g}: the pattern 2:4 takes out half. Leave sparsity out.")
        if bad := [width for width in (shape.hidden_size, shape.mlp_size) if width % GROUP]:
            raise BadInput(f"2:4 needs widths that are multiples of 4, and {model.ref} has {bad[0]}.")
    mixture = own_mixture(home, model, config.mixture)
    job = Job(config, home, model, shape, mixture)
    if job.calibrated and not mixture:
        raise BadInput(
            f"{model.ref} has no mixture in this home to draw calibration samples from: name one that was made with "
            "its tokenizer, mixture=NAME, or take method=magnitude."
        )
    if job.calibrated and mixture:
        check_rows(mixture, config.samples, config.length)
    check_name(model.ref, job.name)
    if not job.wanted.found():
        check_room(home.root, weight_bytes(folder), BYTES * parameters_of(folder) + GIB)
    return job


def prune(job: Job, scorer: Scorer) -> Made:
    """Make the model, or find it made; both are measured on held-out text. Raises Conflict, Busy, Damaged."""
    wanted = job.wanted
    with wanted.making() as found:
        if found:
            return Made(found, False)
        parent, folder = job.home.artifact("models", job.model.name, job.model.version), wanted.folder
        hf = load_folder(parent, dtype=torch.float32).eval()
        before = heldout_rates(job, hf, scorer)
        samples = _samples(job) if job.calibrated else []
        zero(hf, job.config, samples)
        after = heldout_rates(job, hf, scorer)
        precision = str(job.model.config.get("precision") or "fp32")
        export(hf, folder, tokenizer=parent, card=_card(job, before, after), precision=precision)
        if (parent / "generation_config.json").is_file():
            shutil.copyfile(parent / "generation_config.json", folder / "generation_config.json")
        if samples:
            write_samples(folder / SAMPLES, job.name, wanted.version, samples)
        weights = [matrix(layer) for layer in layers_of(hf).values()]
        counts: dict[str, JsonValue] = {
            "layers": len(weights),
            "weights": sum(weight.numel() for weight in weights),
            "zeros": sum(int((weight == 0).sum()) for weight in weights),
            "calibration_samples": len(samples),
            "evaluations": [*_evaluations(before, after), *_sizes(parent, folder)],
        }
        config = {**wanted.config, "parameters": sum(weight.numel() for weight in hf.parameters())}
        return Made(replace(wanted, config=config).publish(counts), True)


def zero(hf: "PreTrainedModel", config: PruneConfig, samples: Sequence[Sample] = ()) -> None:
    """Take the weights out, block by block: what goes into a block comes from blocks that are pruned already."""
    blocks = block_list(hf)
    with stage_progress("prune", len(blocks), "blocks") as bar, torch.no_grad():
        for block in blocks:
            layers = block_layers(block)
            norms = _norms(hf, layers, samples) if config.method == "wanda" else {}
            for name, layer in layers.items():
                weight = matrix(layer)
                scores = wanda_scores(weight, norms[name]) if norms else weight.abs()
                weight[lowest(scores, config.pattern, config.sparsity, bool(norms))] = 0.0
            bar.advance()


def _norms(hf: "PreTrainedModel", layers: dict[str, torch.nn.Module], samples: Sequence[Sample]) -> dict[str, Tensor]:
    """The norm of each input of some layers over all tokens of the samples, by layer: [in]."""
    sums: dict[str, Tensor] = {}
    with _watched(layers, sums):
        for sample in samples:
            hf.base_model(input_ids=torch.from_numpy(sample.ids)[None], use_cache=False)
    return {name: total.sqrt().float() for name, total in sums.items()}


@contextmanager
def _watched(layers: dict[str, torch.nn.Module], sums: dict[str, Tensor]) -> Iterator[None]:
    """Add up the squares of what goes into layers."""

    def watch(name: str):
        def hook(_: torch.nn.Module, given: tuple[Tensor, ...]) -> None:
            squares = given[0].double().pow(2).flatten(0, -2).sum(0)
            sums[name] = sums[name] + squares if name in sums else squares

        return hook

    handles = [layer.register_forward_pre_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def heldout_rates(job: Job, hf: "PreTrainedModel", scorer: Scorer) -> Rates:
    """Held-out loss by domain, as a run takes it; empty where the mixture holds nothing back."""
    if not job.mixture or not job.config.rows or not len(job.mixture.heldout()):
        return {}
    from training.loader.dataset import MixtureDataset

    mixture, wanted = job.mixture, objective_for(job.shape.family)
    tokenizer = load_tokenizer(job.home, str(job.home.artifact("models", job.model.name, job.model.version)))
    vocabulary = Vocabulary(size=tokenizer.vocab_size, eos_id=tokenizer.eos_id, pad_id=tokenizer.pad_id)
    longest = max(info.sequence_length for info in mixture.tokens)
    dataset = MixtureDataset(mixture, longest, job.home.root / "cache")
    held = HeldOut(dataset, objective(wanted, vocabulary, 0), token_bytes(tokenizer.tokenizer), job.config.rows)
    kernel = chosen_kernel("auto", job.shape.family, "cpu", "fp32")
    return held.rates(forward_of(LanguageModel(hf, wanted, kernel), torch.device("cpu")), scorer)


def _samples(job: Job) -> list[Sample]:
    from training.loader.excerpts import drawn

    assert job.mixture
    found = drawn(job.home, job.mixture, job.config.samples, job.config.length, job.config.seed)
    return [one.sample for one in found]


def _evaluations(before: Rates, after: Rates) -> Iterator[dict[str, JsonValue]]:
    """Rows of `evaluations`: the new model's rates, and its parent's loss beside them; n counts tokens."""
    for domain, values in after.items():
        own = {**{name: values[name] for name in METRICS}, "parent_loss": before[domain]["loss"]}
        for metric, value in own.items():
            n = int(values["tokens"])
            yield {"task": f"heldout/{domain}", "metric": metric, "value": value, "stderr": None, "n": n}


def _sizes(parent: Path, folder: Path) -> Iterator[dict[str, JsonValue]]:
    """Bytes of the weights, and of the parent's: zeros are written as any other number is."""
    for metric, place in (("bytes", folder), ("parent_bytes", parent)):
        value = float(weight_bytes(place))
        yield {"task": SIZE, "metric": metric, "value": value, "stderr": None, "n": None}


def _card(job: Job, before: Rates, after: Rates) -> str:
    """The model card."""
    config = job.config
    rows = [f"| {domain} | {before[domain]['loss']:.4f} | {values['loss']:.4f} |" for domain, values in after.items()]
    measured = "\n".join(["| held out | loss before | after |", "|---|---:|---:|", *rows]) if rows else "None."
    parts = [
        "---\nlibrary_name: transformers\nlicense: unknown\n---",
        f"# {job.name}",
        f"{job.model.ref} pruned by {config.method}, pattern {config.pattern}: {config.sparsity:.0%} of the weights of "
        "its linear layers are 0; embeddings, the output layer and norms are as they were.",
        "## Held-out text",
        measured,
        "## Licence",
        f"Unknown: look at that of {job.model.ref} before you pass the model on.",
    ]
    return "\n\n".join(parts) + "\n"
