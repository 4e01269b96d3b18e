"""New rows in a model's embeddings for the new tokens of its tokenizer: the mean of their old pieces' rows.

>>> add_rows(model, extended.pieces)                                    # in place
>>> extend_model(folder, old_tokenizer, extended, texts, 1.5, to)       # load, add, try on texts, save

Why extended models end at loss 0 (LlamaFactory#1561, #1794, Baichuan2#155): rows that were never made (ids beyond the
table are read from foreign memory on a GPU), rows of zeros (a normalized head divides by their length), or random rows
in half precision: the loss is not a number, and the trainer writes 0 for it. So rows are means, taken in 32 bits, in
both tables where the head is untied; every row is checked; and the loss must be finite, above 0 and near what it was.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from catalog.errors import BadInput, Damaged
from training.tokenizers.extend import Extended

_LOGITS_APART = 1e-4
"""Of the largest logit: what 32-bit sums over another table size may differ by."""


@dataclass(frozen=True)
class Tried:
    """What a model did on some texts."""

    loss: float
    """Nats a token."""
    loss_byte: float
    """Nats a byte of text."""


def extend_model(
    model: Path, old: Tokenizer, extended: Extended, texts: list[str], worst: float, to: Path
) -> dict[str, JsonValue]:
    """Load a model, give it rows, try it on texts, save it to another folder; gives what was measured.

    It is tried in 32 bits and saved in the type it came in. Raises BadInput or Damaged before anything is written.
    """
    disable_progress_bar()
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto", local_files_only=True)
    kind = loaded.dtype
    loaded = loaded.float().eval()
    texts = [text for text in texts if len(old.encode(text, add_special_tokens=False).ids) > 1]
    if not texts:
        raise BadInput("no held-out text to try the model on: raise held_out.")
    first, table = min(extended.pieces), len(_tables(loaded)[0])
    if first > table:
        raise BadInput(f"the tokenizer has {first:,} ids, the model only {table:,} rows: they do not fit.")
    before = _tried(loaded, old, texts)
    ids = old.encode(texts[0], add_special_tokens=False).ids
    logits = _logits(loaded, ids)[:, :first]
    add_rows(loaded, extended.pieces)
    apart = float((_logits(loaded, ids)[:, :first] - logits).abs().max() / logits.abs().max().clamp(min=1))
    after = _tried(loaded, extended.tokenizer, texts)
    _check(before, after, apart, len(_tables(loaded)[0]), worst)
    loaded.to(dtype=kind).save_pretrained(to)  # type: ignore[call-arg]
    return {
        "parameters": sum(parameter.numel() for parameter in loaded.parameters()),
        "new_rows": len(extended.pieces),
        "loss_before": round(before.loss, 4),
        "loss_after": round(after.loss, 4),
        "loss_byte_before": round(before.loss_byte, 4),
        "loss_byte_after": round(after.loss_byte, 4),
        "logits_apart": float(f"{apart:.2g}"),
    }


def add_rows(model: PreTrainedModel, pieces: dict[int, tuple[int, ...]]) -> None:
    """Make the tables long enough for the new ids and fill their rows. Old rows stay as they are, bit for bit."""
    tables = _tables(model)
    old = [table.detach().clone() for table in tables]
    lowest, highest = min(pieces), max(pieces)
    if highest >= len(old[0]):
        model.resize_token_embeddings(highest + 1, mean_resizing=False)
    with torch.no_grad():
        for table, before in zip(_tables(model), old, strict=True):
            kept = min(lowest, len(before))
            table[:kept] = before[:kept]
            for token_id, whole in pieces.items():
                table[token_id] = before[list(whole)].to(torch.float32).mean(dim=0).to(table.dtype)
    _check_rows(model, pieces)


def _tables(model: PreTrainedModel) -> list[Tensor]:
    """The embedding table, and the head's weight (and bias) where it is a table of its own."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    if not isinstance(embedding, nn.Embedding):
        raise BadInput(f"{type(model).__name__} has no embedding table that could get rows.")
    tables: list[Tensor] = [embedding.weight]
    if isinstance(head, nn.Linear):
        tables += [head.weight] if head.weight is not embedding.weight else []
        tables += [head.bias] if head.bias is not None else []
    return tables


def _check_rows(model: PreTrainedModel, pieces: dict[int, tuple[int, ...]]) -> None:
    new = sorted(pieces)
    for table in _tables(model):
        rows = table.detach()[new].to(torch.float32)
        if not torch.isfinite(rows).all() or (rows.ndim > 1 and bool((rows.norm(dim=1) == 0).any())):
            raise Damaged("a new row is zero or not finite: the old model's rows are damaged (see its checkpoint).")
    if model.config.get_text_config().vocab_size != len(_tables(model)[0]):
        raise Damaged("the model's config does not know its new rows.")


def _tried(model: PreTrainedModel, tokenizer: Tokenizer, texts: list[str]) -> Tried:
    """The loss over all tokens but each text's first."""
    total, count = 0.0, 0
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        logits = _logits(model, ids)[:-1]
        total += float(nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))
        count += len(ids) - 1
    return Tried(total / max(1, count), total / sum(len(text.encode()) for text in texts))


def _logits(model: PreTrainedModel, ids: list[int]) -> Tensor:
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0]


def _check(before: Tried, after: Tried, apart: float, vocab: int, worst: float) -> None:
    """Raise Damaged for a model that could not be trained on: the loss is no number, 0, or far from what it was."""
    if not all(math.isfinite(loss) and loss > 0 for loss in (before.loss, after.loss)):
        raise Damaged(f"the loss is {before.loss} before and {after.loss} after: not a model to train on.")
    if before.loss > math.log(vocab) + 2:
        raise Damaged(
            f"the old model's loss is {before.loss:.2f}, worse than guessing ({math.log(vocab):.2f}): "
            "the tokenizer is not the one that it was trained with."
        )
    if after.loss_byte > worst * before.loss_byte:
        raise Damaged(
            f"the loss a byte went from {before.loss_byte:.3f} to {after.loss_byte:.3f}, over worst={worst} times: "
            "fewer new tokens, or texts nearer to what the model knows, keep it closer."
        )
    if apart > _LOGITS_APART:
        raise Damaged(f"logits of old tokens moved by {apart:.2g} of the largest: nothing was written.")
