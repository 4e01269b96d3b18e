"""From rows to tensors: a collator that knows every example of the run, and what of a batch goes on record.

A dataset that TRL is given has one column, `at`: the number of a row of the feed. Everything else is here, in memory.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset

from training.loader.batches import IGNORED, Batch, hashes
from training.tuning.examples import Example
from training.tuning.order import Packed
from training.tuning.replay import Pretraining

ON_RECORD = ("sample_ids", "sample_hashes", "row_tokens")
"""What a batch carries besides: [rows, most examples of a row] of ids and of hashes of their tokens, 0 for none; where
it has no attention mask, [rows] of tokens without padding."""


class Rows:
    """The rows of a run, and how they become batches."""

    def __init__(self, examples: Sequence[Example], rows: Sequence[Packed], pad_id: int) -> None:
        self.examples, self.rows, self.pad_id = examples, rows, pad_id

    def dataset(self, first: int, last: int) -> Dataset:
        """Rows `first` to `last` (not included) as TRL wants a dataset."""
        return Dataset.from_dict({"at": list(range(first, last))})

    def marks(self, chosen: Sequence[Packed]) -> Batch:
        """Ids and hashes of what a batch holds."""
        width = max(len(row.examples) or 1 for row in chosen)
        ids, sums = np.zeros((len(chosen), width), np.int64), np.zeros((len(chosen), width), np.int64)
        for number, row in enumerate(chosen):
            if row.replay:
                ids[number, 0] = row.replay
            for place, at in enumerate(row.examples):
                ids[number, place] = self.examples[at].sample_id
                sums[number, place] = hash_of(self.examples[at])
        return {"sample_ids": torch.from_numpy(ids), "sample_hashes": torch.from_numpy(sums)}


class Joined:
    """A method's own collator, over examples that are looked up."""

    def __init__(self, rows: Rows, inner: Callable[[list[dict[str, Any]]], Any]) -> None:
        self.rows, self.inner = rows, inner

    def __call__(self, found: list[dict[str, int]]) -> dict[str, Any]:
        """The batch of these rows, with what goes on record."""
        chosen = [self.rows.rows[row["at"]] for row in found]
        examples = [self.rows.examples[row.examples[0]] for row in chosen]
        plain = [{**{name: ids.tolist() for name, ids in one.arrays.items()}, **one.rest} for one in examples]
        return {**self.inner(plain), **self.rows.marks(chosen)}


class Asked:
    """Prompts for a method that writes its own answers: rows stay rows."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __call__(self, found: list[dict[str, int]]) -> list[dict[str, Any]]:
        """One dict a row: prompt, answer, the prompt's tokens, and what goes on record."""
        chosen = [self.rows.rows[row["at"]].examples[0] for row in found]
        return [
            {
                **example.rest,
                "asked_ids": example.arrays["prompt_ids"].tolist(),
                "sample_ids": example.sample_id,
                "sample_hashes": hash_of(example),
            }
            for example in (self.rows.examples[at] for at in chosen)
        ]


class PackedRows:
    """Conversations packed into rows of one length, and replayed samples among them.

    `position_ids` start again with each conversation: transformers keeps them apart by that where there is no
    attention mask and no cache of keys. `masked=True` gives an attention mask instead, for rows of one example.
    """

    def __init__(self, rows: Rows, length: int, replayed: Pretraining | None = None, masked: bool = False) -> None:
        """`length`: of every row; 0: of the longest in a batch. `replayed`: what reads pretraining text."""
        self.rows, self.length, self.replayed, self.masked = rows, length, replayed, masked

    def __call__(self, found: list[dict[str, int]]) -> Batch:
        """input_ids, labels and position_ids [B, L], int64, with what goes on record."""
        return self.batch([self.rows.rows[row["at"]] for row in found])

    def batch(self, chosen: Sequence[Packed]) -> Batch:
        """The batch of some rows."""
        sizes = [sum(self.rows.examples[at].tokens for at in row.examples) for row in chosen]
        length = self.length or max(sizes)
        shape = (len(chosen), length)
        ids, labels = np.full(shape, self.rows.pad_id, np.int64), np.full(shape, IGNORED, np.int64)
        positions = np.zeros(shape, np.int64)
        for number, row in enumerate(chosen):
            start = 0
            for at in row.examples:
                values, size = self.rows.examples[at].arrays, self.rows.examples[at].tokens
                ids[number, start : start + size] = values["input_ids"]
                labels[number, start : start + size] = values["labels"]
                labels[number, start] = IGNORED  # nothing of its own conversation tells its first token
                positions[number, start : start + size] = np.arange(size)
                start += size
            positions[number, start:] = np.arange(length - start)  # padding is a document of its own
        batch = {
            "input_ids": torch.from_numpy(ids),
            "labels": torch.from_numpy(labels),
            "position_ids": torch.from_numpy(positions),
            "row_tokens": torch.tensor(sizes),
            **self.rows.marks(chosen),
        }
        self._replay(batch, chosen)
        if self.masked:
            del batch["position_ids"]
            batch["attention_mask"] = (torch.arange(length)[None] < batch["row_tokens"][:, None]).long()
        return batch

    def _replay(self, batch: Batch, chosen: Sequence[Packed]) -> None:
        places = [number for number, row in enumerate(chosen) if row.replay]
        if not places or not self.replayed:
            return
        read = self.replayed.read(np.array([chosen[number].replay for number in places], np.int64))
        for name in ("input_ids", "labels", "position_ids"):
            batch[name][places] = read[name]
        starts = batch["position_ids"] == 0
        batch["labels"][places] = batch["labels"][places].masked_fill(starts[places], IGNORED)
        batch["sample_hashes"][places, 0] = read["tokens_hash"]
        batch["row_tokens"][places] = self.replayed.tokens


def classes_collator(pad_id: int) -> Callable[[list[dict[str, Any]]], Batch]:
    """Texts padded at their ends, with the numbers of their classes."""

    def collate(examples: list[dict[str, Any]]) -> Batch:
        length = max(len(example["input_ids"]) for example in examples)
        ids = torch.full((len(examples), length), pad_id)
        mask = torch.zeros_like(ids)
        for number, example in enumerate(examples):
            size = len(example["input_ids"])
            ids[number, :size], mask[number, :size] = torch.tensor(example["input_ids"]), 1
        return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([e["label"] for e in examples])}

    return collate


def with_rotated_answers(inner: Callable[[list[dict[str, Any]]], Any]) -> Callable[[list[dict[str, Any]]], Any]:
    """KTO estimates its divergence from prompts with others' answers: the one before each in the micro-batch."""

    def collate(examples: list[dict[str, Any]]) -> Any:
        others = [examples[at - 1]["completion_ids"] for at in range(len(examples))]
        return inner([{**one, "KL_completion_ids": other} for one, other in zip(examples, others, strict=True)])

    return collate


def hash_of(example: Example) -> int:
    """The XXH3 (64 bits) of an example's token ids, all its sequences one after another, int64, little-endian."""
    arrays = [ids for name, ids in sorted(example.arrays.items()) if name != "labels"]
    return int(hashes(np.concatenate(arrays)[None].astype(np.int64))[0])
