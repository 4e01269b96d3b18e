"""A run before its first step: everything is looked up and checked while that costs seconds.

>>> job = plan(config, home)
>>> job.schedule.steps, job.strategy, job.processes
"""

import math
from dataclasses import dataclass
from functools import cached_property

from catalog.errors import BadInput, Conflict
from catalog.home import Home
from catalog.ids import key, parse_ref
from catalog.records import Record, find, fingerprint, same_or_conflict
from training.loader.schedule import Schedule
from training.mixtures.reading import Mixture, load_mixture
from training.models.attention import chosen_kernel
from training.models.build import shape_of
from training.models.config import ModelConfig, extended, parameters
from training.models.objectives import Vocabulary, objective, objective_for
from training.pruning.masks import check_together
from training.runs import machine
from training.runs.accounting import Change, accounted, planned
from training.runs.config import RunConfig
from training.runs.folder import Reading, RunFolder, RunState
from training.runs.outlets import check_loggers
from training.tokenizers.load import LoadedTokenizer, load_tokenizer
from training.tokens.reading import check_shards

HELDOUT_WORK = 0.05
"""The part of a run's work that held-out losses may take, between four and twenty of them."""
ADAPTER = "adapter"
"""The kind of a model that is no more than an adapter."""
COMPRESSED = {"quantized": ("quantized", "quantize"), "onnx": ("an ONNX graph", "export-onnx")}
"""Kinds whose weights cannot be trained: what they are, and what makes one."""
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
    parent: Record | None
    reading: Reading
    length: int = 0
    """Steps that a run which has begun was planned with."""

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.home, self.config.run)

    @property
    def device(self) -> str:
        return machine.device()

    @property
    def processes(self) -> int:
        """On all machines together."""
        return machine.processes(self.config.nproc) * self.config.nodes

    @property
    def precision(self) -> str:
        return machine.precision(self.config.precision)

    @property
    def strategy(self) -> str:
        if self.config.strategy != "auto":
            return self.config.strategy
        return "fsdp2" if parameters(self.model) >= SHARDED_FROM else "ddp"  # whatever processes a resume has

    @cached_property
    def schedule(self) -> Schedule:
        """The steps of the mixture that is read now; its step 0 is step `reading.first_step` of the run."""
        return Schedule.of(self.mixture, self.config.batch_tokens, self.reading.skipped)

    @property
    def planned(self) -> int:
        """Steps that the run was planned with, or is."""
        return self.length or min(self.schedule.steps, self.config.max_steps or self.schedule.steps)

    @property
    def steps(self) -> int:
        """Steps of the run: fewer than planned where batches are left out and none follow."""
        return min(self.planned, self.reading.first_step - 1 + self.schedule.steps)

    @property
    def total_tokens(self) -> int:
        """Tokens of the planned steps: what the learning rate follows."""
        return self.planned * self.config.batch_tokens

    @property
    def evaluation_interval(self) -> int:
        """Steps between two held-out losses; a token costs a third of what it costs in training."""
        rows = min(
            len(self.mixture.heldout()), self.config.heldout_rows * len({s.domain for s in self.mixture.streams})
        )
        tokens = rows * max(info.sequence_length for info in self.mixture.tokens)
        times = min(max(3 * HELDOUT_WORK * self.total_tokens / max(tokens, 1), 4), 20)
        return self.config.evaluate_steps or max(1, math.ceil(self.steps / times))

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
            self.reading.fingerprint,
            self.tokenizer.fingerprint,
            self.config.batch_tokens,
            self.config.objective,
            self.config.seed,
        )


def plan(config: RunConfig, home: Home, state: RunState | None = None) -> Job:
    """Look everything up and check that it fits; with the state of a run that has begun, what it reads now.

    Raises BadInput, NotFound, Damaged before any time is spent.
    """
    parse_ref(config.run)
    mixture = load_mixture(home, state.reading.mixture if state else config.mixture)
    tokens = mixture.tokens[0]
    tokenizer = load_tokenizer(home, config.tokenizer or tokens.tokenizer)
    if tokenizer.fingerprint != tokens.tokenizer_fingerprint:
        raise BadInput(
            f"the tokenizer {tokenizer.ref} is not the one that {tokens.ref} was made with: tokenize again, or bring "
            "back the old tokenizer."
        )
    parent = find(home, "models", config.parent) if config.parent else None
    if parent:
        check_trainable(parent)
    reading = state.reading if state else Reading(mixture=mixture.ref, fingerprint=order_of(mixture))
    longest = max(phase.sequence_length for phase in mixture.plan.phases)
    model = _sized(config, home, tokenizer, parent, longest)
    job = Job(config, home, mixture, tokenizer, model, parent, reading, state.planned if state else 0)
    _check(job)
    _check_machine(job)
    for info in mixture.tokens if not config.remote else ():  # what lies elsewhere is checked when it comes
        check_shards(info)
    return job


def check_trainable(model: Record) -> None:
    """Raises BadInput for a model without weights that torch can train or load whole, with what to do."""
    kind = str(model.config.get("kind"))
    if kind == ADAPTER:
        raise BadInput(
            f"{model.ref} is an adapter: `just merge {model.ref}` makes a model of it, {model.name}-merged, "
            "to be named here."
        )
    if kind in COMPRESSED:
        what, verb = COMPRESSED[kind]
        raise BadInput(f"{model.ref} is {what}: take {model.config['parent']}, and `just {verb}` what comes of it.")


def order_of(mixture: Mixture) -> str:
    """The identity of a mixture with its order."""
    return key("order", mixture.record.fingerprint, [entry.sha256 for entry in mixture.record.files])


def _sized(
    config: RunConfig, home: Home, tokenizer: LoadedTokenizer, parent: Record | None, longest: int
) -> ModelConfig:
    """The model's shape with the tokenizer's words; what goes on with longer samples has a longer context."""
    asked = config.model
    if not parent and not asked.checkpoint:
        return asked.variant(vocab_size=tokenizer.vocab_size)
    if parent:
        folder = str(home.artifact("models", parent.name, parent.version))
        model = ModelConfig.model_validate({**dict(parent.config["model"]), "checkpoint": folder})  # type: ignore[arg-type]
    else:
        model = shape_of(asked.checkpoint)
        model = model.variant(vocab_size=max(model.vocab_size, tokenizer.vocab_size))
    window = asked.sliding_window or model.sliding_window
    if asked.rope:
        return model.variant(rope=asked.rope, context=max(asked.context, longest), sliding_window=window)
    return extended(model, longest, sliding_window=window) if longest > model.context else model


def _check(job: Job) -> None:
    config, schedule = job.config, job.schedule
    check_loggers(config.loggers)
    if config.checkpoint.mirror:
        from training.runs.mirror import Elsewhere

        Elsewhere(config.checkpoint.mirror)
    schedule.check_world(job.processes)
    objective(config.objective, job.vocabulary, config.seed)
    config.schedule.check(job.total_tokens)
    longest = max(stretch.sequence_length for stretch in schedule.stretches)
    if longest > job.model.context and job.model.family != "t5":
        raise BadInput(
            f"samples of {longest} tokens for a context of {job.model.context}: set model.context={longest}, or give "
            "the mixture's phases a shorter sequence_length."
        )
    if config.microbatch_tokens and config.microbatch_tokens < longest:
        raise BadInput(f"microbatch_tokens={config.microbatch_tokens}: less than one sample of {longest} tokens.")
    if config.spikes.action == "skip" and job.precision == "fp16":
        raise BadInput(
            "spikes.action=skip: fp16's scaling of losses needs gradients in every step. Take stop, or bf16."
        )
    if not job.length and config.max_steps > schedule.steps:
        raise BadInput(
            f"too few tokens: max_steps={config.max_steps:,} is more than the {schedule.steps:,} steps of "
            f"{job.mixture.ref}. Plan a mixture with a larger budget."
        )


def _check_machine(job: Job) -> None:
    """What Composer, the model and this machine would refuse later."""
    config = job.config
    family = job.model.family
    if objective_for(family).kind != config.objective.kind:
        raise BadInput(f"objective {config.objective.kind} is not for {family}: set {objective_for(family).kind}.")
    machine.check_precision(job.precision)
    check_together(job.parent, job.strategy == "fsdp2")
    if config.tensor_parallel > 1:
        raise BadInput("tensor_parallel: Composer 0.32 does not offer it with FSDP2. Take tensor_parallel=1.")
    chosen_kernel(config.kernel, family, job.device, job.precision)


def check_same(job: Job, record: Record, state: RunState) -> None:
    """Refuse to go on with a run under another config; where its data would differ, say what would come of it."""
    if record.fingerprint == job.fingerprint:
        return
    run = job.config.run
    try:
        same_or_conflict(record, job.fingerprint, job.identity, job.inputs)
    except Conflict as error:
        said = (
            str(error).partition(" Give another")[0].replace("its code version", "its tokenizer or mixture is another")
        )
        wanted = f" A mixture is changed by `just resume {run} mixture={job.mixture.ref}`."
        other = job.mixture.ref != state.readings[0].mixture
        raise Conflict(f"{said} {_consequence(job, state)}Give another run=….{wanted if other else ''}") from None


def _consequence(job: Job, state: RunState) -> str:
    """What going on with this data would repeat and lose."""
    if not state.last:
        return ""
    change = change_of(job, state)
    lost = f"never {change.lost:,}" if change.lost is not None else "never some (their order is gone)"
    return (
        f"After {change.read:,} samples, it would read {change.repeated:,} samples again that have been read, and "
        f"{lost} that were to come. "
    )


def change_of(job: Job, state: RunState) -> Change:
    """What going on from the last checkpoint with the data of `job` repeats and loses.

    Another mixture would be read from its start, another batch of the same one from the step before as many samples.
    """
    last, now = state.last, state.reading
    step, samples = (last.step, last.samples) if last else (0, 0)
    old = load_mixture(job.home, now.mixture)
    known = order_of(old) == now.fingerprint
    batch = int(str(job.folder.record().config["batch_tokens"]))
    schedule, rest = Schedule.of(old, batch, now.skipped), None
    if known:
        rest = planned(old, schedule, step + 1 - now.first_step, state.steps + 1 - now.first_step)
    same = known and old.ref == job.mixture.ref
    first = job.schedule.first_after(samples - now.samples) if same else 0
    left = -(-(state.planned - step) * batch // job.config.batch_tokens)
    ahead = planned(job.mixture, job.schedule, first, first + left)
    return accounted(job.folder.consumed(step), ahead, rest)


def changed(job: Job, state: RunState, mixture: str) -> Reading:
    """The reading of another mixture from the last checkpoint on. Raises BadInput where it does not fit the run."""
    new = load_mixture(job.home, mixture)
    step, samples = (state.last.step, state.last.samples) if state.last else (0, 0)
    reading = Reading(mixture=new.ref, fingerprint=order_of(new), first_step=step + 1, samples=samples)
    if {info.tokenizer_fingerprint for info in new.tokens} != {job.tokenizer.fingerprint}:
        raise BadInput(
            f"{new.ref} was made with another tokenizer than {job.config.run}, which reads {job.tokenizer.ref}."
        )
    other = plan(job.config, job.home, state.variant(readings=(reading,)))
    if other.steps < other.planned:
        raise BadInput(
            f"too few tokens: {new.ref} has {other.schedule.steps:,} steps, {job.config.run} has "
            f"{other.planned - step:,} to go. Plan a mixture with a larger budget."
        )
    change = change_of(other, state)
    return reading.variant(repeated=change.repeated, lost=change.lost)
