"""One process of a tuning run at work: the model, its trainer, and what is measured on the way.

>>> Session(job, launch, hands).train()

Importing it takes seconds, since it imports TRL.
"""

import io
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn

from catalog.progress import stage_progress
from training.loader.batches import IGNORED, Batch
from training.models.sharding import check_sharded
from training.runs.callbacks import Diverged, Interrupted
from training.runs.folder import RunState
from training.runs.memory import keep_freed_memory
from training.runs.outlets import opened
from training.runs.recording import Rows as Record
from training.tuning.batches import Rows
from training.tuning.job import Job
from training.tuning.models import load
from training.tuning.order import Packed, arrange
from training.tuning.rewards import rewards
from training.tuning.tape import UNUSED, Keeper, Tape, named
from training.tuning.template import Chat
from training.tuning.trainers import names_of_rows, packed_rows, trainer_for
from training.tuning.tune import Hands, Launch

NOT_ABOUT_ROWS = {*UNUSED, "model_preparation_time"}
GENERATED_AT_ONCE = 32


class Session:
    """This process's part of an attempt."""

    def __init__(self, job: Job, launch: Launch, hands: Hands) -> None:
        transformers.logging.set_verbosity_error()
        keep_freed_memory()
        self.job, self.launch, self.hands = job, launch, hands
        self.run, self.steps = job.folder, job.feed.steps
        self.model = load(job)
        self.rows = Rows(
            [*job.train.examples, *job.heldout.examples],
            [*job.feed.rows, *self._held_rows()],
            job.chat.pad_id,
        )

    def train(self) -> RunState:
        """Train to the end, to a signal or to a loss that cannot be; gives the state on record."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        rank = _rank()
        out = io.StringIO() if rank else None  # the first process speaks for all
        start = self.launch.start
        try:
            with stage_progress("tune", total=self.steps, unit="steps", out=out) as bar:
                bar.skip(start.step if start else 0)
                self._tape = self._new_tape(rank)
                self._keeper = Keeper(
                    self._tape,
                    self.run,
                    self.job.config.checkpoint,
                    steps=self.steps,
                    evaluate_every=self.job.evaluation_interval,
                    bar=bar,
                    processes=self.job.processes,
                )
                self._keeper.measure = self._measure
                self._fit(rank)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        self._keeper.raise_if_stopped()
        return self.run.state()

    def _fit(self, rank: int) -> None:
        first, start = len(self.job.feed.rows), self.launch.start
        passes = self.hands.passes
        self.trainer = trainer_for(self.job, self.model, self.rows, self._tape, self._keeper, first, passes)
        self.trainer.name_rows = self._named
        if self.job.sharded:
            self._keeper.check = lambda: check_sharded(self.trainer.model)
        try:
            path = str(self.job.home.root / start.path) if start else None
            self.trainer.train(resume_from_checkpoint=path)
        except (Diverged, Interrupted) as error:
            status = "diverged" if isinstance(error, Diverged) else "stopped"
            if not rank:
                self.run.close([], self.run.state().variant(status=status, detail=str(error)))
            if self.job.processes > 1:
                torch.distributed.barrier()  # the launcher ends all processes when one has ended
            raise

    def _named(self) -> str:
        step, each = self.trainer.state.global_step, self.job.config.batch_rows
        return names_of_rows(self.rows, range(step * each, min((step + 1) * each, len(self.job.feed.rows))))

    def _new_tape(self, rank: int) -> Tape:
        job, start = self.job, self.launch.start
        record = Record(self.run.path, job.config.name, self.launch.attempt, rank, (start.step if start else 0) + 1)
        if not rank:
            record.outlets = opened(job.config.name, job.config.loggers, self.run.path)
        own = job.dataset.name
        domains = _Domains(job)
        tokens, samples = (start.tokens, 0 if rank else start.samples) if start else (0, 0)
        domain = lambda sample: own if sample < 0 else domains.of(sample)  # noqa: E731
        return Tape(record, domain, tokens, samples, job.processes)

    # ── held-out ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _held_rows(self) -> list[Packed]:
        """Held-out examples as rows behind those that are read, packed where those are."""
        held, job = self.job.heldout.examples, self.job
        if not held:
            return []
        lengths = [example.tokens for example in held]
        packed = arrange(lengths, batch_rows=1, epochs=1, pack_to=job.row_tokens if job.config.packs else 0)
        first = len(job.train.examples)
        return [Packed(tuple(at + first for at in row.examples)) for row in packed.rows]

    def _measure(self, step: int) -> None:
        """Scores of the dataset's held-out rows, and of pretraining text at the start and at the end."""
        name, method = self.job.group, self.job.config.method
        found: dict[str, float] = {}
        if self.job.heldout.examples:
            if self.job.config.on_policy:
                scores = self._written_scores()
            elif method in ("sft", "distill"):
                scores = self._likelihood(self._own_rows())[name]
            elif method == "classifier":
                scores = self._classified()
            else:
                scores = {named(key): value for key, value in self.trainer.scores().items() if _kept(key)}
            found |= {f"heldout/{name}/{key}": value for key, value in scores.items()}
        if step in (0, self.steps) and method not in ("reward", "classifier"):
            for domain, rates in self._likelihood(self._pretraining_rows()).items():
                found |= {f"heldout/{domain}/{key}": value for key, value in rates.items()}
        self._tape.measured(step, found)

    def _own_rows(self) -> Iterator[tuple[str, Batch, float]]:
        """The dataset's held-out rows, with the bytes of what is trained in them."""
        from training.runs.heldout import token_bytes

        sizes = token_bytes(self.job.tokenizer.tokenizer)
        collator, first = packed_rows(self.job, self.rows), len(self.job.feed.rows)
        for start in range(first, len(self.rows.rows), 4):
            batch = collator.batch(self.rows.rows[start : start + 4])
            labels = batch["labels"].numpy()
            yield self.job.group, batch, float(sizes[labels[labels != IGNORED]].sum())

    def _pretraining_rows(self) -> Iterator[tuple[str, Batch, float]]:
        text = self.job.pretraining
        if text and self.job.config.forgetting_rows:
            yield from text.heldout(self.job.config.forgetting_rows, self.job.tokenizer)

    def _likelihood(self, rows: Iterator[tuple[str, Batch, float]]) -> dict[str, dict[str, float]]:
        """Rates by group; every process scores all rows, since sharded weights need all of them in every forward."""
        if not self.hands.scorer:
            return {}
        rates = self.hands.scorer.rates(self.hands.scorer.score(self._forward, rows))
        return {group: of for group, of in rates.items() if group != "all" or len(rates) > 2}

    def _forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        self._keeper.raise_if_asked()
        model: nn.Module = self.trainer.model
        device = next(model.parameters()).device
        given = {
            name: batch[name].to(device) for name in ("input_ids", "position_ids", "attention_mask") if name in batch
        }
        training = model.training
        model.eval()
        with torch.no_grad(), self.trainer.compute_loss_context_manager():
            logits = model(**given, use_cache=False).logits[:, :-1].float()
        model.train(training)
        labels = batch["labels"][:, 1:].to(device)
        losses = nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        return losses.sum(-1).cpu(), (labels != IGNORED).sum(-1).cpu()

    def _classified(self) -> dict[str, float]:
        """Accuracy and macro F1 (the mean of F1 of every class)."""
        found = self.trainer.predict(self.trainer.eval_dataset)
        guessed, labels = np.argmax(found.predictions, -1), found.label_ids
        return {
            "loss": float(found.metrics["test_loss"]),
            "accuracy": float((guessed == labels).mean()),
            "macro_f1": macro_f1(guessed, labels, len(self.job.classes)),
            "rows": float(len(labels)),
        }

    def _written_scores(self) -> dict[str, float]:
        """Greedy answers to held-out prompts: the mean of each reward (on-policy distillation: exact answers)."""
        how = self.job.config.grpo
        grpo = self.job.config.method == "grpo"
        known = rewards(how.rewards if grpo else ("exact", "contains"), how.pattern, self.hands.passes)
        held, texts = self.job.heldout.examples, []
        for start in range(0, len(held), GENERATED_AT_ONCE):
            self._keeper.raise_if_asked()
            texts += self._answers(
                [example.arrays["prompt_ids"].tolist() for example in held[start : start + GENERATED_AT_ONCE]]
            )
        found = {
            one.name: float(np.mean([one.of(text, e.rest["answer"]) for text, e in zip(texts, held, strict=True)]))
            for one in known
        }
        return {**found, "reward": float(sum(found.values())), "rows": float(len(held))} if grpo else found

    def _answers(self, prompts: Sequence[list[int]]) -> list[str]:
        config, chat = self.job.config, self.job.chat
        most = config.grpo.completion_tokens if config.method == "grpo" else config.distill.completion_tokens
        return generate(self.trainer.accelerator.unwrap_model(self.trainer.model), chat, prompts, most)


def generate(model: Any, chat: Chat, prompts: Sequence[list[int]], most: int) -> list[str]:
    """Greedy answers to prompts of token ids, up to their end token; padding stands before the prompts."""
    device = next(model.parameters()).device
    width, pad = max(map(len, prompts)), chat.pad_id
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros_like(ids)
    for number, prompt in enumerate(prompts):
        ids[number, width - len(prompt) :], mask[number, width - len(prompt) :] = torch.tensor(prompt), 1
    training = model.training
    model.eval()
    with torch.no_grad():
        out = model.generate(
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            max_new_tokens=most,
            do_sample=False,
            temperature=None,
            top_p=None,
            eos_token_id=chat.ends,
            pad_token_id=pad,
            use_cache=True,
        )
    model.train(training)
    return chat.tokenizer.batch_decode(out[:, width:], skip_special_tokens=True)


def macro_f1(guessed: np.ndarray, labels: np.ndarray, classes: int) -> float:
    """The mean over all classes of 2·TP / (2·TP + FP + FN); 0 for a class that is neither there nor guessed."""
    found = []
    for number in range(classes):
        right = int(((guessed == number) & (labels == number)).sum())
        named = int((guessed == number).sum() + (labels == number).sum())
        found.append(2 * right / named if named else 0.0)
    return float(np.mean(found))


class _Domains:
    """The domain of a replayed sample."""

    def __init__(self, job: Job) -> None:
        self._text = job.pretraining
        self._names = [stream.domain for stream in job.mixture.streams] if job.mixture else []

    def of(self, sample: int) -> str:
        assert self._text
        return self._names[int(self._text.streams_of(np.array([sample], np.int64))[0])]


def _kept(key: str) -> bool:
    return key not in NOT_ABOUT_ROWS


def _rank() -> int:
    import os

    return int(os.environ.get("RANK", "0"))
