"""What receipts of served models are made of: functions that an engine's own process calls.

>>> scorers = [partial(heldout, documents), partial(answered, "docs-questions@1", questions)]
"""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.errors import BadInput
from catalog.home import Home
from catalog.records import Record, find
from eval import likelihood
from eval.answers import match, mean
from serving.compress import Document
from serving.receipt import Score

METRICS = ("perplexity", "loss", "bits_per_byte")
ANSWER_TOKENS = 64


class Question(NamedTuple):
    """A question with its true answer."""

    id: str
    lang: str
    asked: str
    truth: str


class Reader(Protocol):
    """Whatever says the nats of texts, and their counted tokens."""

    def nats(self, rows: Sequence[NDArray[np.int64]]) -> Iterable[tuple[float, int]]: ...


class Talker(Protocol):
    """Whatever answers questions, with its likeliest tokens."""

    def answers(self, asked: Sequence[str], max_tokens: int) -> list[str]: ...


def heldout(documents: Sequence[Document], reader: Reader, measured_by: str = "served") -> list[Score]:
    """Perplexity, loss and bits a byte of held-out documents, by domain and of all."""
    rates = likelihood.rates(likelihood.read(reader.nats, documents))
    return [
        Score(f"{measured_by}/{domain}", metric, measured[metric], int(measured["tokens"]))
        for domain, measured in rates.items()
        for metric in METRICS
    ]


def answered(dataset: str, questions: Sequence[Question], talker: Talker) -> list[Score]:
    """Exact and partial match of the answers to held-out questions (eval/answers.py)."""
    answers = talker.answers([one.asked for one in questions], ANSWER_TOKENS)
    found = [match(answer.strip(), one.truth) for answer, one in zip(answers, questions, strict=True)]
    means = {name: mean([getattr(one, name) for one in found]) for name in ("exact", "partial")}
    task = f"served/exam/{dataset}"
    return [Score(task, f"{name}_match", at.value, at.n, at.stderr) for name, at in means.items()]


def questions_of(home: Home, dataset: Record, split: str) -> list[Question]:
    """Rows of one question and one answer in a part of a dataset, `train` or `held_out`; there may be none."""
    folder, found = home.artifact("datasets", dataset.name, dataset.version), list[Question]()
    for entry in dataset.files:
        if entry.path.startswith(f"{split}/") and "messages" in pq.read_schema(folder / entry.path).names:
            rows = pq.read_table(folder / entry.path, columns=["row_id", "lang", "messages"]).to_pylist()
            said = [(row, json.loads(row["messages"] or "[]")) for row in rows]
            found += [
                Question(row["row_id"], row["lang"], turns[0]["content"], turns[1]["content"])
                for row, turns in said
                if [turn["role"] for turn in turns] == ["user", "assistant"]
            ]
    return found


def tuned_on(home: Home, model: Record) -> tuple[Record, list[Question]] | None:
    """The last dataset of a model's line that holds out questions, with them; None where there is none in the home."""
    for ref in model.inputs:
        if ref.startswith("datasets/"):
            dataset = _there(home, ref)
            if dataset and (found := questions_of(home, dataset, "held_out")):
                return dataset, found
    parent = _there(home, f"models/{model.config.get('parent') or ''}")
    return tuned_on(home, parent) if parent else None


def _there(home: Home, ref: str) -> Record | None:
    kind, _, name = ref.partition("/")
    try:
        return find(home, kind, name) if name else None
    except BadInput:
        return None
