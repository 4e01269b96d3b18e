"""What a model is asked to do with a batch: the next token, masked tokens, or corrupted spans.

    >>> prepare = objective(ObjectiveConfig(kind="masked"), vocabulary, seed=17)
    >>> batch = prepare(batch)          # on the CPU, in the loader's collate

Each is a function of the batch's tokens, the seed and each row's `sample_id` (and `epoch` [B], where the batch has it)
and of nothing else, so any world size, batch size or number of workers asks the same. `original_ids` keeps
the tokens as they were read, for the record of what a batch held; a batch that has it is prepared.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from catalog.config import Config
from catalog.errors import BadInput
from training.loader.batches import IGNORED, Batch

KINDS = {"llama": "causal", "qwen": "causal", "gpt2": "causal", "bert": "masked", "modernbert": "masked", "t5": "spans"}
"""The objective of each family."""


class ObjectiveConfig(Config):
    """What is asked of the model, and how its loss is made."""

    kind: Literal["causal", "masked", "spans"] = "causal"
    rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of tokens that are masked or corrupted: 0.15 for BERT and T5, 0.30 for ModernBERT (arXiv 2412.13663)."""
    mean_span: float = Field(default=3.0, ge=1)
    """Mean length of a corrupted span (arXiv 1910.10683, section 3.1.4)."""
    documents: bool = True
    """Whether attention stops at document boundaries, and with it the loss on a document's first token."""
    z_loss: float = Field(default=0.0, ge=0)
    """Weight of the squared log-normalizer; PaLM has 1e-4 (arXiv 2204.02311, section 5)."""
    chunk_tokens: int = Field(default=8192, ge=0)
    """The output layer and its loss take so many tokens at a time, and compute their logits twice; 0: all at once."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.kind != "causal" and self.rate > 0.9:
            raise ValueError(f"rate {self.rate}: at most 0.9 of the tokens can be masked")
        return self


def objective_for(family: str) -> ObjectiveConfig:
    """The objective that a family was published with."""
    return ObjectiveConfig.model_validate({"kind": KINDS[family], "rate": 0.30 if family == "modernbert" else 0.15})


@dataclass(frozen=True)
class Vocabulary:
    """The ids that an objective needs. `size` is the tokenizer's, without the rows that pad the embedding."""

    size: int
    eos_id: int
    pad_id: int
    mask_id: int | None = None
    sentinel_ids: tuple[int, ...] = ()
    special_ids: tuple[int, ...] = ()
    """Never masked, besides eos and pad."""


def objective(config: ObjectiveConfig, vocabulary: Vocabulary, seed: int) -> Callable[[Batch], Batch]:
    """The function that prepares a batch of the loader. Raises BadInput where the tokenizer lacks what it needs."""
    if config.kind == "causal":
        return lambda batch: causal(batch, config)
    if config.kind == "masked":
        if vocabulary.mask_id is None:
            raise BadInput("the tokenizer has no <mask>, which masked training needs. Train one with mask=true.")
        return lambda batch: masked(batch, config, vocabulary, seed)
    if not vocabulary.sentinel_ids:
        raise BadInput("the tokenizer has no sentinels, which span corruption needs. Train one with sentinels=100.")
    return lambda batch: corrupted(batch, config, vocabulary, seed)


def causal(batch: Mapping[str, Tensor], config: ObjectiveConfig) -> Batch:
    """The next token. With boundaries, no loss on a document's first token: nothing that it sees can tell it."""
    ids, positions = batch["input_ids"], batch["position_ids"]
    labels = batch.get("labels", ids)
    if config.documents:
        labels = labels.masked_fill(positions == 0, IGNORED)
    else:
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    return {**batch, "labels": labels, "position_ids": positions, "original_ids": ids}


def masked(batch: Mapping[str, Tensor], config: ObjectiveConfig, vocabulary: Vocabulary, seed: int) -> Batch:
    """Masked tokens: of those chosen 80 % become `<mask>`, 10 % a random token, 10 % stay (arXiv 1810.04805, 3.1)."""
    ids, positions = batch["input_ids"], batch["position_ids"]
    kept = torch.tensor(sorted({vocabulary.eos_id, vocabulary.pad_id, *vocabulary.special_ids}), device=ids.device)
    chosen, how, other = _uniforms(batch, seed, ids)
    target = ~torch.isin(ids, kept) & (chosen < config.rate)
    other_ids = (other * vocabulary.size).long().clamp(max=vocabulary.size - 1)
    inputs = torch.where(target & (how < 0.8), vocabulary.mask_id or 0, ids)
    inputs = torch.where(target & (how >= 0.9), other_ids, inputs)
    if not config.documents:
        positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    labels = ids.masked_fill(~target, IGNORED)
    return {**batch, "input_ids": inputs, "labels": labels, "position_ids": positions, "original_ids": ids}


def _uniforms(batch: Mapping[str, Tensor], seed: int, like: Tensor) -> list[Tensor]:
    """Three numbers in [0, 1) a token, float64 [B, L]: a hash of seed, epoch, sample and place, the same anywhere."""
    samples = batch["sample_id"] + _mixed(batch.get("epoch", torch.zeros_like(batch["sample_id"])) + seed * 1_000_003)
    places = torch.arange(like.shape[1], device=like.device)
    keys = _mixed(_mixed(samples)[:, None] + places[None])
    return [((_mixed(keys + draw) >> 11) & (2**53 - 1)).double() / 2**53 for draw in (1, 2, 3)]


def _mixed(keys: Tensor) -> Tensor:
    """The finalizer of SplitMix64 on int64, whose products wrap; shifts are made unsigned by a mask."""
    keys = keys + -7046029254386353131
    keys = (keys ^ ((keys >> 30) & (2**34 - 1))) * -4658895280553007687
    keys = (keys ^ ((keys >> 27) & (2**37 - 1))) * -7723592293110705685
    return keys ^ ((keys >> 31) & (2**33 - 1))


def corrupted(batch: Mapping[str, Tensor], config: ObjectiveConfig, vocabulary: Vocabulary, seed: int) -> Batch:
    """T5's spans, document by document: `<0>` stands for the first span, and the targets are `<0> span <1> span … eos`.

    Gives `input_ids` [B, E], `decoder_input_ids` and `labels` [B, D], and positions that restart with each document.
    Lengths are the batch's longest, rounded up to 128, so that a compiled model sees few shapes.
    """
    ids = batch["input_ids"].cpu().numpy()
    positions, samples = batch["position_ids"].cpu().numpy(), batch["sample_id"].cpu().numpy()
    valid = (batch["input_ids"] != vocabulary.pad_id).cpu().numpy()
    epochs = batch["epoch"].cpu().numpy() if "epoch" in batch else np.zeros_like(samples)
    rows = [
        _corrupted_row(ids[row][valid[row]], positions[row][valid[row]], config, vocabulary, draw)
        for row, draw in enumerate(
            np.random.default_rng([seed, int(epoch), int(sample)])
            for epoch, sample in zip(epochs, samples, strict=True)
        )
    ]
    names = ("input_ids", "position_ids", "decoder_input_ids", "labels", "decoder_position_ids")
    fill = (vocabulary.pad_id, 0, vocabulary.pad_id, IGNORED, 0)
    made = {name: _stacked([row[place] for row in rows], fill[place]) for place, name in enumerate(names)}
    device = batch["input_ids"].device
    return {**batch, **{name: made[name].to(device) for name in names}, "original_ids": batch["input_ids"]}


def _stacked(rows: list[np.ndarray], fill: int) -> Tensor:
    longest = max(1, *(len(row) for row in rows))
    table = np.full((len(rows), -(-longest // 128) * 128), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return torch.from_numpy(table)


def _corrupted_row(
    ids: np.ndarray, positions: np.ndarray, config: ObjectiveConfig, vocabulary: Vocabulary, draw: np.random.Generator
) -> list[np.ndarray]:
    starts = np.flatnonzero(positions == 0) if config.documents else np.zeros(1, dtype=np.int64)
    parts: list[list[np.ndarray]] = [[], [], [], [], []]
    for document in np.split(ids, starts[1:] if len(starts) else []):
        if not len(document):
            continue
        inputs, targets = corrupt(document, config, vocabulary, draw)
        shifted = np.concatenate([[vocabulary.pad_id], targets[:-1]])
        places = np.arange(len(inputs)), np.arange(len(targets))
        for part, piece in zip(parts, (inputs, places[0], shifted, targets, places[1]), strict=True):
            part.append(piece)
    return [np.concatenate(part) if part else np.zeros(0, dtype=np.int64) for part in parts]


def corrupt(
    ids: np.ndarray, config: ObjectiveConfig, vocabulary: Vocabulary, draw: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """One document's corrupted tokens and its targets (`random_spans_noise_mask` of the T5 code).

    As many spans as there are sentinels at most; a document of one token is left whole.
    """
    length = len(ids)
    noise = min(max(round(length * config.rate), 1), length - 1)
    spans = min(max(round(noise / config.mean_span), 1), length - noise, len(vocabulary.sentinel_ids))
    if length < 2 or spans < 1:
        return ids, np.array([vocabulary.eos_id])
    noise = min(noise, round(spans * config.mean_span) + 1)  # fewer spans than wanted: they stay of the wanted length
    kept, gone = _segments(length - noise, spans, draw), _segments(noise, spans, draw)
    ends = np.cumsum(np.stack([kept, gone], 1).ravel())[:-1]
    pieces = np.split(ids, ends)
    sentinels = np.array(vocabulary.sentinel_ids[:spans])[:, None]
    inputs = [part for pair in zip(pieces[0::2], sentinels, strict=True) for part in pair]
    targets = [part for pair in zip(sentinels, pieces[1::2], strict=True) for part in pair]
    return np.concatenate(inputs), np.concatenate([*targets, [vocabulary.eos_id]])


def _segments(total: int, count: int, draw: np.random.Generator) -> np.ndarray:
    """`count` positive lengths that add up to `total`, each way of cutting as likely as any other."""
    cuts = np.sort(draw.choice(total - 1, size=count - 1, replace=False)) + 1 if count > 1 else np.zeros(0, dtype=int)
    return np.diff(np.concatenate([[0], cuts, [total]]))


def count_loss_tokens(batch: Mapping[str, Tensor]) -> int:
    """Tokens of a batch that a loss is computed on, for weighing micro-batches by tokens."""
    labels = batch["labels"]
    if "decoder_input_ids" not in batch:
        labels = labels[:, 1:]
    return int((labels != IGNORED).sum())
