"""A run before its first step: everything is looked up and checked while that costs seconds.

>>> job = plan(config, home)
>>> job.schedule.steps, job.strategy, job.processes
"""

from dataclasses import dataclass
from functools import cached_property

import torch

from catalog.errors import BadInput, Conflict
from catalog.home import Home
from catalog.ids import key
from catalog.records import Record, find, fingerprint, same_or_conflict
from training.loader.schedule import Schedule
from training.mixtures.reading import Mixture, load_mixture
from training.models.config import ModelConfig, parameters
from training.models.objectives import Vocabulary, objective
from training.runs.config import RunConfig
from training.runs.folder import RunFolder, RunState
from training.tokenizers.load import LoadedTokenizer, load_tokenizer
from training.tokens.reading import check_shards

SHARDED_FROM = 1_000_000_000
"""Parameters from which on FSDP2 is the default."""


@dataclass(frozen=True)
class Job:
    """A run that is ready to start."""

    config: RunConfig
    home: Home
    mixture: Mixture
    tokenizer: LoadedTokenizer
    model: ModelConfig
    """With the vocabulary of the tokenizer."""
    parent: Record | None = None

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.home, self.config.run)

    @cached_property
    def device(self) -> str:
        return "cuda" if torch.cuda.is_available() else "cpu"

    @property
    def processes(self) -> int:
        return self.config.nproc or (torch.cuda.device_count() if self.device == "cuda" else 1)

    @property
    def precision(self) -> str:
        automatic = "bf16" if self.device == "cuda" else "fp32"
        return automatic if self.config.precision == "auto" else self.config.precision

    @property
    def strategy(self) -> str:
        if self.config.strategy != "auto":
            return self.config.strategy
        return "fsdp2" if parameters(self.model) >= SHARDED_FROM and self.processes > 1 else "ddp"

    def schedule(self, skipped: tuple[int, ...] = ()) -> Schedule:
        """The steps of the mixture."""
        return Schedule.of(self.mixture, self.config.batch_tokens, skipped)

    def steps(self, skipped: tuple[int, ...] = ()) -> int:
        """Steps of the run."""
        planned = self.schedule(skipped).steps
        return min(planned, self.config.max_steps or planned)

    @property
    def total_tokens(self) -> int:
        return self.steps() * self.config.batch_tokens

    @property
    def vocabulary(self) -> Vocabulary:
        """The ids that an objective needs."""
        ids = self.tokenizer.tokenizer.get_vocab(with_added_tokens=True)
        added = self.tokenizer.tokenizer.get_added_tokens_decoder()
        sentinels = [f"<extra_id_{number}>" for number in range(len(added))]
        return Vocabulary(
            size=self.tokenizer.vocab_size,
            eos_id=self.tokenizer.eos_id,
            pad_id=self.tokenizer.pad_id,
            mask_id=self.tokenizer.mask_id,
            sentinel_ids=tuple(ids[name] for name in sentinels if name in ids),
            special_ids=tuple(sorted(number for number, token in added.items() if token.special)),
        )

    @property
    def identity(self) -> dict:
        """The config of the record: versions said, sizes settled."""
        model = self.model.variant(checkpoint="") if self.parent else self.model
        return {**self.config.identity(), "mixture": self.mixture.ref, "model": model.model_dump(mode="json")}

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the run is made from."""
        own = self.tokenizer.folder.is_relative_to(self.home.root / "tokenizers")
        parents = [f"models/{self.parent.ref}"] if self.parent else []
        return (f"mixtures/{self.mixture.ref}", *([f"tokenizers/{self.tokenizer.ref}"] if own else []), *parents)

    @property
    def fingerprint(self) -> str:
        return fingerprint("runs", self.identity, [self.data_fingerprint])

    @property
    def data_fingerprint(self) -> str:
        """Everything that decides which tokens are in which batch: what a resume must find unchanged."""
        return key(
            "order",
            self.mixture.record.fingerprint,
            [entry.sha256 for entry in self.mixture.record.files],
            self.tokenizer.fingerprint,
            self.config.batch_tokens,
            self.config.objective,
            self.config.seed,
        )


def plan(config: RunConfig, home: Home) -> Job:
    """Look everything up and check that it fits. Raises BadInput, NotFound, Damaged before any time is spent."""
    mixture = load_mixture(home, config.mixture)
    tokens = mixture.tokens[0]
    tokenizer = load_tokenizer(home, config.tokenizer or tokens.tokenizer)
    if tokenizer.fingerprint != tokens.tokenizer_fingerprint:
        raise BadInput(
            f"the tokenizer {tokenizer.ref} is not the one that {tokens.ref} was made with: tokenize again, or bring "
            "back the old tokenizer."
        )
    parent = find(home, "models", config.parent) if config.parent else None
    job = Job(config, home, mixture, tokenizer, _sized(config, home, tokenizer, parent), parent)
    _check(job)
    for info in mixture.tokens:
        check_shards(info)
    return job


def _sized(config: RunConfig, home: Home, tokenizer: LoadedTokenizer, parent: Record | None) -> ModelConfig:
    if parent:
        folder = home.artifact("models", parent.name, parent.version)
        return ModelConfig.model_validate({**dict(parent.config["model"]), "checkpoint": str(folder)})  # type: ignore[arg-type]
    if config.model.checkpoint:
        return config.model
    return config.model.variant(vocab_size=tokenizer.vocab_size)


def _check(job: Job) -> None:
    config, schedule = job.config, job.schedule()
    schedule.check_world(job.processes)
    objective(config.objective, job.vocabulary, config.seed)
    config.schedule.check(job.total_tokens)
    longest = max(stretch.sequence_length for stretch in schedule.stretches)
    if not job.model.checkpoint and longest > job.model.context and job.model.family != "t5":
        raise BadInput(
            f"samples of {longest} tokens for a context of {job.model.context}: set model.context={longest}, or give "
            "the mixture's phases a shorter sequence_length."
        )
    if config.microbatch_tokens and config.microbatch_tokens < longest:
        raise BadInput(f"microbatch_tokens={config.microbatch_tokens}: less than one sample of {longest} tokens.")
    if config.max_steps > schedule.steps:
        raise BadInput(
            f"too few tokens: max_steps={config.max_steps:,} is more than the {schedule.steps:,} steps of "
            f"{job.mixture.ref}. Plan a mixture with a larger budget."
        )


def check_same(job: Job, record: Record, state: RunState) -> None:
    """Refuse to go on with a run under another config; where its data would differ, say what would come of it."""
    if record.fingerprint == job.fingerprint:
        return
    try:
        same_or_conflict(record, job.fingerprint, job.identity, job.inputs)
    except Conflict as error:
        raise Conflict(f"{str(error).partition(' Give another')[0]}{_consequence(job, record, state)}") from None


def _consequence(job: Job, record: Record, state: RunState) -> str:
    """What going on with other data would repeat and lose."""
    where = "Give another run=…, or go on with a parent."
    old_batch, old_name = record.config.get("batch_tokens"), str(record.config.get("mixture"))
    last = state.last
    if last is None or (old_name == job.mixture.ref and old_batch == job.config.batch_tokens):
        return f" {where}"
    old = load_mixture(job.home, old_name)
    read = _first(old, last.samples)
    ahead = _rest(job.mixture, last.samples)
    again = len(read & ahead)
    lost = len(_rest(old, last.samples) - ahead)
    return (
        f" After {last.samples:,} samples, the new order would read {again:,} of the {len(read):,} samples again that "
        f"have been read, and never {lost:,} that were to come. {where}"
    )


def _first(mixture: Mixture, samples: int) -> set[int]:
    return set(_whole_order(mixture)[:samples])


def _rest(mixture: Mixture, samples: int) -> set[int]:
    return set(_whole_order(mixture)[samples:])


def _whole_order(mixture: Mixture) -> list[int]:
    return [sample for number in range(len(mixture.plan.phases)) for sample in mixture.order(number).tolist()]
