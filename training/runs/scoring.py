"""The loss of a published model on whole documents.

>>> nats, sizes = score_documents(folder, tokenizer, texts, context=512)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from training.loader.batches import IGNORED, Batch
from training.models.attention import chosen_kernel
from training.models.language_model import LanguageModel
from training.models.objectives import objective_for
from training.runs.heldout import forward_of, token_bytes

Floats = NDArray[np.float64]
BATCH_TOKENS = 8192


def score_documents(
    folder: Path, family: str, tokenizer: Tokenizer, texts: Sequence[str], context: int
) -> tuple[Floats, Floats]:
    """Summed nats of each text's first `context` tokens, and the bytes that the counted tokens stand for.

    The first token of a text, which nothing precedes, is not counted. Rows of like length are scored together.
    """
    from transformers import AutoModelForCausalLM

    hf = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    kernel = chosen_kernel("auto", hf.config.model_type, "cpu", "fp32")
    model = LanguageModel(hf, objective_for(family), kernel)  # pyright: ignore[reportArgumentType]
    forward, bytes_of = forward_of(model, torch.device("cpu")), token_bytes(tokenizer)
    ids = [encoding.ids[:context] for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]
    nats, sizes = np.zeros(len(texts)), np.array([float(bytes_of[row[1:]].sum()) for row in ids])
    order = sorted((at for at, row in enumerate(ids) if len(row) > 1), key=lambda at: (len(ids[at]), at))
    while order:
        rows = max(1, BATCH_TOKENS // len(ids[order[-1]]))
        mine, order = order[-rows:], order[:-rows]
        nats[mine] = forward(_batch([ids[at] for at in mine]))[0].double().numpy()
    return nats, sizes


def _batch(rows: Sequence[Sequence[int]]) -> Batch:
    """Rows filled up at their ends; what is filled up is a document of its own, and nothing is counted there."""
    length = max(map(len, rows))
    ids, labels = torch.zeros(len(rows), length, dtype=torch.int64), torch.full((len(rows), length), IGNORED)
    positions = torch.zeros(len(rows), length, dtype=torch.int64)
    for at, row in enumerate(rows):
        ids[at, : len(row)] = torch.tensor(row)
        labels[at, 1 : len(row)] = torch.tensor(row[1:])
        positions[at, : len(row)] = torch.arange(len(row))
        positions[at, len(row) :] = torch.arange(length - len(row))
    return {"input_ids": ids, "labels": labels, "position_ids": positions}
