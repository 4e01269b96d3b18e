"""What a served model is worth: scores, size and speed, measured by the engine that serves it, on record.

>>> found = receipt(asked(home, "tiny-sft-w8a8", MeasureConfig(), [mixture]), lambda: [scorer])
>>> found.value("served/all", "perplexity")

A receipt is an artifact of the kind `evaluations`; one that is there is not measured again. Scorers come from the
recipe: each is asked in the engine's own process, and can be pickled.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from catalog.config import Config
from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.ids import Ref
from catalog.progress import stage_progress
from catalog.records import Record
from catalog.wanted import Wanted
from catalog.weights import weight_bytes
from serving.apart import in_own_process, terminal
from serving.engine import EngineConfig, Settings, check_machine, settings_for, start
from serving.generate import token_ids
from serving.prompts import Prompt
from serving.target import Target, resolve, shape_of

if TYPE_CHECKING:
    from vllm import LLM  # pyright: ignore[reportMissingImports]

SPEED = "served/speed"
LEAST_CONTEXT = 16
"""Of a model that is measured: half is read and half is written where speed is taken."""
Ids = NDArray[np.int64]


class MeasureConfig(Config):
    """What a receipt is taken on."""

    rows: int = Field(default=16, ge=1)
    """Held-out samples of each domain at most."""
    questions: int = Field(default=100, ge=0)
    """Of those that the dataset it was tuned on holds out, at most; for models that talk."""
    prompts: int = Field(default=8, ge=1)
    """Prompts of the speed run, all at once."""
    prompt_tokens: int = Field(default=128, ge=2)
    answer_tokens: int = Field(default=64, ge=2)
    repeats: int = Field(default=3, ge=1)
    """Of which the fastest counts: other programs only make a run slower."""


class Score(NamedTuple):
    """A row of `evaluations`."""

    task: str
    metric: str
    value: float
    n: int | None = None
    stderr: float | None = None


class Reader:
    """A model behind its engine, as a scorer asks it."""

    def __init__(self, llm: "LLM", context: int) -> None:
        self._llm, self.context = llm, context

    def nats(self, rows: Sequence[Ids], batch: int = 64) -> Iterator[tuple[float, int]]:
        """For each row of token ids: the nats of all but its first token, and their number.

        A row is a text of its own; what is longer than the context is left out at its end.
        """
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        asked = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0)
        for start_at in range(0, len(rows), batch):
            prompts: list[Any] = [
                {"prompt_token_ids": row[: self.context - 1].tolist()} for row in rows[start_at : start_at + batch]
            ]
            answers = self._llm.generate(prompts, asked, use_tqdm=False)
            for prompt, answer in zip(prompts, answers, strict=True):
                ids: list[int] = prompt["prompt_token_ids"]
                said: list[Any] = list(answer.prompt_logprobs or ())  # of the first token there is none
                yield -sum(at[token].logprob for token, at in zip(ids[1:], said[1:], strict=True)), len(ids) - 1

    def answers(self, asked: Sequence[str], max_tokens: int) -> list[str]:
        """The likeliest answer to each question, by the chat template; none to a question longer than the context."""
        turns = [({"role": "user", "content": one},) for one in asked]
        ids = [token_ids(self._llm, Prompt(at, None, messages)) for at, messages in enumerate(turns)]
        fits = [at for at, tokens in enumerate(ids) if len(tokens) < self.context]
        prompts: list[Any] = [{"prompt_token_ids": ids[at]} for at in fits]
        wanted = self._llm.get_default_sampling_params()
        wanted.temperature, wanted.top_p, wanted.top_k, wanted.max_tokens = 0.0, 1.0, 0, max_tokens
        said = dict(zip(fits, self._llm.generate(prompts, wanted, use_tqdm=False), strict=True))
        return [said[at].outputs[0].text if at in said else "" for at in range(len(ids))]

    def speed(self, config: MeasureConfig) -> list[Score]:
        """Tokens a second of prompts read, and of answers written, all prompts at once."""
        read, write = min(config.prompt_tokens, self.context // 2), min(config.answer_tokens, self.context // 2 - 1)
        words = len(self._llm.get_tokenizer())  # pyright: ignore[reportArgumentType]
        prefill = decode = 0.0
        for repeat in range(config.repeats + 1):
            ids = np.random.default_rng(repeat).integers(0, words, (config.prompts, read)).tolist()
            reading, writing = self._seconds(ids, 1), self._seconds(ids, write)
            if repeat:  # the first one warms up
                prefill = max(prefill, config.prompts * read / reading)
                decode = max(decode, config.prompts * write / writing)  # its prompts are in the prefix cache by now
        found = {"prefill_tokens_per_second": prefill, "decode_tokens_per_second": decode}
        return [Score(SPEED, name, value, config.prompts) for name, value in found.items()]

    def _seconds(self, ids: list[list[int]], tokens: int) -> float:
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        prompts: list[Any] = [{"prompt_token_ids": row} for row in ids]
        began = time.perf_counter()
        self._llm.generate(prompts, SamplingParams(temperature=0, max_tokens=tokens, ignore_eos=True), use_tqdm=False)
        return time.perf_counter() - began


Scorer = Callable[[Reader], Sequence[Score]]


@dataclass(frozen=True)
class Asked:
    """A model to be measured, and on what."""

    home: Home
    target: Target
    config: MeasureConfig
    settings: Settings
    reads: tuple[Record, ...]
    """What the scorers read: mixtures, datasets, benchmarks."""

    @property
    def identity(self) -> dict[str, JsonValue]:
        """What decides about scores; threads and cache do not."""
        settings = self.settings
        engine: dict[str, JsonValue] = {
            "device": settings.device,
            "precision": settings.precision,
            "context": settings.context,
        }
        return {"model": str(self.target.model.ref), "engine": engine, "measure": self.config.model_dump(mode="json")}

    @property
    def wanted(self) -> Wanted:
        made_from = (self.target.model, *self.reads)
        return Wanted.of(self.home, "evaluations", Ref(f"{self.target.model.name}-served"), made_from, self.identity)


class Receipt:
    """What was measured of a model."""

    def __init__(self, record: Record) -> None:
        self.record = record
        rows = record.counts.get("evaluations")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise Damaged(f"the record of evaluations/{record.ref} has no scores: delete its folder and measure again.")
        self.scores = {(str(row["task"]), str(row["metric"])): row["value"] for row in rows if isinstance(row, dict)}

    def value(self, task: str, metric: str) -> float:
        """A score. Raises Damaged where it was not measured."""
        value = self.scores.get((task, metric))
        if not isinstance(value, int | float):
            raise Damaged(f"evaluations/{self.record.ref} has no {metric} of {task}: delete its folder, measure again.")
        return float(value)

    def tasks(self, metric: str) -> list[str]:
        """The tasks that a metric was measured on."""
        return [task for task, name in self.scores if name == metric]


def asked(
    home: Home, model: str, config: MeasureConfig, reads: Sequence[Record], engine: EngineConfig | None = None
) -> Asked:
    """A receipt to be taken.

    Raises NotFound, BadInput where the model cannot be served on this machine, or only with too small a context.
    """
    target = resolve(home, model)
    settings = settings_for(engine or EngineConfig(), shape_of(target))
    if settings.context < LEAST_CONTEXT:
        raise BadInput(
            f"context={settings.context} is too small to measure {target.model.ref}: {LEAST_CONTEXT} tokens at least. "
            "Leave context out, or say receipt=false."
        )
    return Asked(home, target, config, settings, tuple(reads))


def receipt(asked: Asked, scorers: Callable[[], Sequence[Scorer]]) -> Receipt:
    """Measure a model, or find it measured; `scorers` are made where it is not.

    Raises Busy; BadInput, NotFound where no engine can start.
    """
    wanted = asked.wanted
    with wanted.making() as found:
        if found:
            return Receipt(found)
        check_machine(asked.home.root)
        log = asked.home.root / "evaluations" / f".{wanted.name}.log"
        scores = in_own_process(log, measure, asked.target, asked.settings, asked.config, tuple(scorers()))
        rows: list[JsonValue] = [
            {"model": asked.target.model.name, "version": asked.target.model.version, **score._asdict()}
            for score in [*scores, Score("served/size", "bytes", float(weight_bytes(asked.target.folder)))]
        ]
        return Receipt(wanted.publish({"evaluations": rows, "threads": asked.settings.threads}))


def measure(target: Target, settings: Settings, config: MeasureConfig, scorers: Sequence[Scorer]) -> list[Score]:
    """Start an engine, ask every scorer, take the speed. For a process of its own."""
    found: list[Score] = []
    with (
        stage_progress(f"measure {target.model.ref}", len(scorers) + 1, "measures", terminal()) as bar,
        start(target, settings) as llm,
    ):
        reader = Reader(llm, settings.context)
        for scorer in scorers:
            found += scorer(reader)
            bar.advance()
        found += reader.speed(config)
        bar.advance()
    return found
