"""A tuning run before its first step: everything is looked up, encoded, counted and checked.

>>> job = plan(TuneConfig(method="sft", parent="tiny", dataset="docs-questions"), Home.open())
>>> job.feed.steps, job.train.left_out
"""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from catalog.errors import BadInput
from catalog.home import Home
from catalog.ids import key, parse_ref
from catalog.records import Record, find, fingerprint
from training.mixtures.reading import Mixture, mixture_of
from training.models.build import shape_of
from training.models.config import ModelConfig, parameters
from training.pruning.masks import check_together
from training.runs import machine
from training.runs.folder import RunFolder
from training.runs.job import SHARDED_FROM, check_trainable
from training.runs.outlets import check_loggers
from training.tokenizers.load import LoadedTokenizer, load_tokenizer
from training.tuning.config import KINDS, Rate, TuneConfig, rate_of
from training.tuning.examples import Examples, Source, encode, read_rows, unpaired
from training.tuning.models import check_targets
from training.tuning.order import Feed, arrange
from training.tuning.replay import Pretraining, obstacle
from training.tuning.rewards import check_pattern
from training.tuning.template import Chat, load_chat

REPLAY = 0.1
"""Of the tokens of SFT, where nothing is said: a tenth to a fifth kept what was known, see docs/benchmarks.md."""
MOST_TOKENS, ROW_TOKENS = 2048, 512
"""Of a row, where nothing is said: the most that is let in, and a packed row that holds all conversations."""
TOKENS_AT_ONCE = 16_384
"""Through a model in one forward pass: a gigabyte for a vocabulary of 16,000 in fp32."""
EVALUATED_AT_ONCE = 8
"""Held-out rows, at most."""


class Reads(NamedTuple):
    """What a run reads, counted."""

    rows: int
    tokens: int
    replayed: int
    """Samples of pretraining text."""
    replayed_tokens: int


@dataclass(frozen=True)
class Job:
    """A run that is ready to start."""

    config: TuneConfig
    home: Home
    parent: Record
    dataset: Record
    teacher: Record | None
    reward_model: Record | None
    shape: ModelConfig
    chat: Chat
    train: Examples
    heldout: Examples
    classes: tuple[str, ...]
    mixture: Mixture | None
    rate: Rate

    @property
    def folder(self) -> RunFolder:
        return RunFolder(self.home, self.config.name)

    @property
    def parent_folder(self) -> Path:
        return self.home.artifact("models", self.parent.name, self.parent.version)

    @property
    def device(self) -> str:
        return machine.device()

    @property
    def processes(self) -> int:
        return machine.processes(self.config.nproc)

    @property
    def precision(self) -> str:
        return machine.precision(self.config.precision)

    @property
    def strategy(self) -> str:
        if self.config.strategy != "auto":
            return self.config.strategy
        return "fsdp2" if parameters(self.shape) >= SHARDED_FROM and self.processes > 1 else "ddp"

    @property
    def sharded(self) -> bool:
        """Whether weights are dealt out to the processes."""
        return self.strategy == "fsdp2" and self.processes > 1

    @cached_property
    def tokenizer(self) -> LoadedTokenizer:
        """The parent's, for bytes of tokens."""
        return load_tokenizer(self.home, str(self.parent_folder))

    @property
    def group(self) -> str:
        """The name of the dataset's held-out rows among the domains of pretraining text."""
        domains = {stream.domain for stream in self.mixture.streams} if self.mixture else set()
        return f"{self.dataset.name}-rows" if self.dataset.name in {*domains, "all"} else self.dataset.name

    @cached_property
    def row_tokens(self) -> int:
        """Tokens of a packed row, and of a row of pretraining text: no more than the longest conversation needs."""
        both = (*self.train.examples, *self.heldout.examples) if self.config.packs else ()
        longest = max((example.tokens for example in both), default=0)
        return min(self.config.max_length, max(ROW_TOKENS, 1 << (longest - 1).bit_length()))

    @property
    def longest(self) -> int:
        """Tokens of the longest row that is read, with what is written."""
        if self.config.packs:
            return self.row_tokens
        return max(example.tokens for example in self.train.examples) + _drawn(self.config)

    @cached_property
    def no_text(self) -> str:
        """Why no pretraining text can be read; nothing where it can."""
        return obstacle(self.mixture, self.tokenizer, self.row_tokens)

    @property
    def no_replay(self) -> str:
        """Why none can be read among the dataset's rows; nothing where it can."""
        config = self.config
        if config.method not in ("sft", "distill") or config.on_policy:
            return "only sft and distill with mode=logits read whole texts"
        if config.adapter.kind == "prefix":
            return "adapter.kind=prefix knows no packed rows"
        return self.no_text if config.packing else "packing=false"

    @property
    def replay_share(self) -> float:
        """Of the tokens that are read."""
        asked = self.config.replay.share
        return 0.0 if self.no_replay else REPLAY if asked is None else asked

    @cached_property
    def pretraining(self) -> Pretraining | None:
        """Pretraining text to read or to measure by."""
        if not self.mixture or self.no_text or not (self.replay_share or self.config.forgetting_rows):
            return None
        return Pretraining(self.home, self.mixture, self.row_tokens, self.processes)

    @cached_property
    def feed(self) -> Feed:
        """What is read when."""
        config, own = self.config, [example.tokens for example in self.train.examples]
        rows = config.batch_rows // config.grpo.generations if config.method == "grpo" else config.batch_rows
        replays = self.pretraining if self.replay_share else None
        return arrange(
            own,
            batch_rows=rows,
            epochs=config.epochs,
            max_steps=config.max_steps,
            seed=config.seed,
            pack_to=self.row_tokens if config.packs else 0,
            replay=replays.ids(config.seed) if replays else None,
            replay_tokens=replays.tokens if replays else 0,
            replay_share=self.replay_share,
        )

    @property
    def reads(self) -> Reads:
        """What the steps read: fewer rows than there are where max_steps says so, some again where epochs say so."""
        read = [at for row in self.feed.rows for at in row.examples]
        samples = sum(bool(row.replay) for row in self.feed.rows)
        own = sum(self.train.examples[at].tokens for at in read)
        return Reads(len(read), own, samples, samples * self.pretraining.tokens if self.pretraining else 0)

    @property
    def evaluation_interval(self) -> int:
        """Steps between two looks at held-out rows."""
        return self.config.evaluate_steps or max(1, -(-self.feed.steps // 5))

    @property
    def identity(self) -> dict:
        """The config of the record: versions said, the learning rate settled."""
        said = {
            "parent": str(self.parent.ref),
            "dataset": str(self.dataset.ref),
            "learning_rate": self.rate.rate,
            "learning_rate_source": self.rate.source,
            "classes": list(self.classes),
            "replay": {
                "share": self.replay_share,
                "mixture": self.mixture.ref if self.replay_share and self.mixture else "",
            },
            "template": self.chat.tokenizer.chat_template,
        }
        return {**self.config.identity(), **said}

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the run is made from; the parent first."""
        others = [f"models/{one.ref}" for one in (self.teacher, self.reward_model) if one]
        mixture = [f"mixtures/{self.mixture.ref}"] if self.replay_share and self.mixture else []
        return (f"models/{self.parent.ref}", f"datasets/{self.dataset.ref}", *mixture, *others)

    @property
    def fingerprint(self) -> str:
        records = [self.parent, self.dataset, *(one for one in (self.teacher, self.reward_model) if one)]
        order = (
            key("order", [entry.sha256 for entry in self.mixture.record.files])
            if self.mixture and not self.no_text
            else ""
        )
        return fingerprint("runs", self.identity, [*(one.fingerprint for one in records), order])


def plan(config: TuneConfig, home: Home) -> Job:
    """Look everything up, encode the rows, and check that all of it fits. Raises BadInput, NotFound, Damaged."""
    parent = find(home, "models", config.parent)
    parse_ref(config.name)
    check_loggers(config.loggers)
    if config.checkpoint.mirror:
        raise BadInput("checkpoint.mirror is for pretraining: tuning runs stay in their home.")
    if config.method == "distill" and not config.distill.teacher:
        raise BadInput("distill needs a teacher: teacher=NAME@VERSION, a model of the home.")
    folder = home.artifact("models", parent.name, parent.version)
    check_trainable(parent)
    _check_writes(parent)
    shape = shape_of(str(folder))
    dataset = find(home, "datasets", config.dataset)
    chat = load_chat(folder, config.template)
    sides = {split: _rows(home, dataset, split, config) for split in ("train", "held_out")}
    classes = (
        tuple(sorted({str(row.parts["class"]) for row in sides["train"]})) if config.method == "classifier" else ()
    )
    longest = _longest(config, shape)
    way = "judged" if config.method == "grpo" and config.grpo.model else config.method
    way = "on-policy" if config.method == "distill" and config.on_policy else way
    known = [row for row in sides["held_out"] if not classes or str(row.parts["class"]) in classes]
    job = Job(
        config.variant(max_length=longest + _drawn(config)),
        home,
        parent,
        dataset,
        _other(home, config.distill.teacher, config.method == "distill"),
        _other(home, config.grpo.model, config.method == "grpo"),
        shape,
        chat,
        encode(sides["train"], way, chat, longest, classes),
        _first(encode(known, way, chat, longest, classes), config.heldout_rows),
        classes,
        mixture_of(home, parent, config.replay.mixture),
        rate_of(config, parameters(shape)),
    )
    _check(job)
    return replace(job, heldout=_first(job.heldout, _scored(job)))


def _first(found: Examples, most: int) -> Examples:
    return Examples(found.examples[:most], found.left_out)


def _rows(home: Home, dataset: Record, split: str, config: TuneConfig) -> list[Source]:
    kind, wanted = str(dataset.counts.get("kind")), KINDS[config.method]
    if kind not in wanted:
        also = (
            " `just dataset NAME input=FILES kind=instructions` takes chosen answers."
            if "instructions" in wanted
            else ""
        )
        raise BadInput(f"{dataset.ref} has {kind}, {config.method} reads {' or '.join(wanted)}.{also}")
    rows = read_rows(home, dataset, split)
    return unpaired(rows) if config.method == "kto" and kind == "preferences" else rows


def _drawn(config: TuneConfig) -> int:
    """Tokens that the model writes after a prompt."""
    if config.method == "grpo":
        return config.grpo.completion_tokens
    return config.distill.completion_tokens if config.on_policy else 0


def _longest(config: TuneConfig, shape: ModelConfig) -> int:
    """Tokens of the longest row (on-policy: prompt) that is read. Raises BadInput where the context is too short."""
    drawn, most = _drawn(config), config.max_length or min(shape.context, MOST_TOKENS)
    if most > shape.context:
        raise BadInput(
            f"max_length={config.max_length} is more than the context of {config.parent}, {shape.context}: "
            f"set max_length={shape.context} or less."
        )
    if drawn >= most:
        raise BadInput(f"completion_tokens={drawn} leave no room for a prompt in max_length={most}.")
    return most - drawn


def _other(home: Home, ref: str, used: bool) -> Record | None:
    return find(home, "models", ref) if used and ref else None


def _check(job: Job) -> None:
    config, too_long = job.config, job.train.left_out.get("too_long", 0)
    if too_long and config.too_long == "stop":
        raise BadInput(f"{too_long:,} rows of {job.dataset.ref} are longer than max_length={config.max_length} tokens.")
    if not job.train.examples:
        why = ", ".join(f"{count:,} {reason}" for reason, count in job.train.left_out.items())
        raise BadInput(f"no row of {job.dataset.ref} can be read ({why}): raise max_length, or look at the rows.")
    if job.shape.family not in ("llama", "qwen", "gpt2") and config.method != "classifier":
        raise BadInput(f"{config.method} needs a causal model; {job.parent.ref} is of the family {job.shape.family}.")
    if config.freeze_layers > job.shape.layers:
        raise BadInput(f"freeze_layers={config.freeze_layers}: the model has {job.shape.layers} layers.")
    if config.method == "classifier" and len(job.classes) < 2:
        raise BadInput(f"{job.dataset.ref} has {len(job.classes)} class: at least two are wanted.")
    machine.check_precision(job.precision)
    if job.device == "cpu" and config.adapter.kind == "qlora":
        raise BadInput("adapter.kind=qlora needs a GPU and bitsandbytes. Take adapter.kind=lora on a CPU.")
    if config.method == "kto" and rows_at_once(job) < 2:
        raise BadInput("kto compares the rows of a micro-batch: at least two rows at a time are wanted.")
    _check_replay(job)
    check_targets(job.parent_folder, config.adapter.targets)
    check_pattern(config.grpo.pattern)
    _check_batch(job)
    _check_partners(job)
    check_together(job.parent if config.adapter.kind == "none" else None, job.sharded)


def _check_replay(job: Job) -> None:
    """What is asked for is done or refused; the default is left out where it cannot be."""
    asked = job.config.replay
    if asked.share and job.no_replay:
        raise BadInput(f"replay.share={asked.share:g} cannot be: {job.no_replay}. Set replay.share=0.")
    if asked.mixture and job.no_text:
        raise BadInput(f"replay.mixture={asked.mixture} cannot be read by {job.parent.ref}: {job.no_text}.")


def rows_at_once(job: Job) -> int:
    """Rows that a process puts through the model at a time: all that it has, or as many as TOKENS_AT_ONCE holds."""
    each = job.config.batch_rows // job.processes
    if job.config.microbatch_rows:
        return min(job.config.microbatch_rows, each)
    least = 2 if job.config.method == "kto" else 1
    width = job.longest * (2 if job.config.method in ("dpo", "kto", "reward") else 1)
    parts = [rows for rows in range(least, each + 1) if each % rows == 0] or [each]
    return max((rows for rows in parts if rows * width <= TOKENS_AT_ONCE), default=parts[0])


def scored_at_once(job: Job) -> int:
    """Held-out rows that a process scores at a time."""
    return max(1, min(rows_at_once(job), EVALUATED_AT_ONCE, len(job.heldout.examples) // job.processes))


def _scored(job: Job) -> int:
    """How many held-out rows are scored: trainers take whole batches, and means over them weigh each row alike."""
    count, batch = len(job.heldout.examples), scored_at_once(job) * job.processes
    if job.config.method not in ("dpo", "kto", "reward", "classifier"):
        return count
    least = 2 if job.config.method == "kto" else 1
    return count // batch * batch if scored_at_once(job) >= least else 0


def _check_batch(job: Job) -> None:
    try:
        assert job.feed.steps
    except BadInput as error:
        count = job.train.left_out.get("too_long", 0)
        said = f" {count:,} rows are longer than max_length={job.config.max_length} tokens." if count else ""
        raise BadInput(f"{error}{said}") from None
    rows, micro = job.config.batch_rows, rows_at_once(job)
    if rows % job.processes or not micro or (rows // job.processes) % micro:
        raise BadInput(
            f"batch_rows={rows} cannot be shared by {job.processes} processes with {micro} rows at a time: "
            "take a multiple of both."
        )


def _check_writes(model: Record) -> None:
    """Raises BadInput for a model that gives numbers for a text."""
    kind = model.config.get("method") or model.config.get("kind")
    if kind in ("reward", "classifier"):
        raise BadInput(f"{model.ref} is a {kind} model, which writes no text: take the model that it was made from.")


def _check_partners(job: Job) -> None:
    """A teacher must cut text as its student does; a reward model must be one."""
    if job.teacher:
        check_trainable(job.teacher)
        _check_writes(job.teacher)
        folder = job.home.artifact("models", job.teacher.name, job.teacher.version)
        if load_tokenizer(job.home, str(folder)).fingerprint != job.tokenizer.fingerprint:
            raise BadInput(f"the teacher {job.teacher.ref} has another tokenizer than {job.parent.ref}.")
        if job.shape.vocab_size != shape_of(str(folder)).vocab_size:
            raise BadInput(f"the teacher {job.teacher.ref} has another number of tokens than {job.parent.ref}.")
    if job.reward_model:
        check_trainable(job.reward_model)
    if job.reward_model and job.reward_model.config.get("kind") != "reward":
        raise BadInput(f"grpo.model={job.reward_model.ref} is no reward model: `just reward` makes one.")
