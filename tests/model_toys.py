"""Toy batches for tests of models: random tokens, documents that restart, the ids that objectives need."""

from itertools import pairwise

import torch

from training.models.config import ModelConfig
from training.models.objectives import Vocabulary

TOY_WORDS = 512
VOCABULARY = Vocabulary(size=TOY_WORDS, eos_id=0, pad_id=1, mask_id=2, sentinel_ids=tuple(range(3, 43)))


def toy_model(family: str, **fields: object) -> ModelConfig:
    """A model of a family that takes milliseconds."""
    shape = {"hidden_size": 128, "layers": 2, "heads": 4, "kv_heads": 4, "mlp_size": 256, "context": 128}
    return ModelConfig.model_validate({"family": family, **shape, "vocab_size": TOY_WORDS, **fields})


def toy_batch(rows: int = 2, length: int = 96, documents: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    """A batch as the loader gives it; each document ends with eos, the last row with a few tokens of padding."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(50, TOY_WORDS, (rows, length), generator=draw)
    positions = torch.zeros_like(ids)
    for row in range(rows):
        cuts = torch.randperm(length // 2, generator=draw)[: documents - 1] + length // 4
        starts = [0, *sorted(cuts.tolist()), length]
        for start, end in pairwise(starts):
            positions[row, start:end] = torch.arange(end - start)
            ids[row, end - 1] = VOCABULARY.eos_id
    ids[-1, -5:] = VOCABULARY.pad_id
    labels = ids.masked_fill((positions == 0) | (ids == VOCABULARY.pad_id), -100)
    samples = torch.arange(rows) + (seed + 1) * 1_000_000_007
    return {
        "input_ids": ids,
        "position_ids": positions,
        "labels": labels,
        "sample_id": samples,
        "stream": torch.zeros(rows, dtype=torch.int64),
    }
