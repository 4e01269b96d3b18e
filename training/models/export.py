"""A trained model as a folder that transformers and vLLM load: safetensors, tokenizer, generation config, model card.

    >>> export(hf, folder, tokenizer=tokenizer_folder, card="# zh-small …", precision="bf16")

The folder is written under a temporary name, loaded again, its logits are compared; then it gets its own.
"""

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer
from torch import Tensor

from catalog.errors import BadInput, Damaged, NotFound

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
PROBE_TOKENS = 16
PREFIX = "language_model.hf."


def export(
    hf: "PreTrainedModel", folder: Path, *, tokenizer: Path, card: str = "", precision: str = "bf16"
) -> dict[str, float]:
    """Write the folder, check it, and give the largest and mean difference of logits by name.

    They must be equal bit by bit to those of the model with its weights rounded to the same precision. Raises NotFound
    without a tokenizer, BadInput where the folder is there or the tokenizer is larger than the model, Damaged where
    logits differ.
    """
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # "Writing model shards" says nothing in a run's own output
    _check(hf, folder, tokenizer, precision)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        rounded = _rounded(hf, DTYPES[precision])
        _write(rounded, partial, tokenizer, card)
        differences = compare(rounded, partial)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return differences


def weights_of(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The Hugging Face model's part of a whole (not sharded) state of our Composer model, by its own names."""
    return {name.removeprefix(PREFIX): weight for name, weight in state.items() if name.startswith(PREFIX)}


def _check(hf: "PreTrainedModel", folder: Path, tokenizer: Path, precision: str) -> None:
    if precision not in DTYPES:
        raise BadInput(f"precision {precision!r} is not known. Allowed: {', '.join(DTYPES)}.")
    if folder.exists():
        raise BadInput(f"{folder} is there already. Choose another place, or remove it.")
    if not (tokenizer / "tokenizer.json").is_file():
        raise NotFound(f"no tokenizer.json in {tokenizer}: a model without its tokenizer cannot be used.")


def _rounded(hf: "PreTrainedModel", dtype: torch.dtype) -> "PreTrainedModel":
    """A copy on the CPU in the dtype of the export, whose config is for use, not for training."""
    state = {name: weight.detach().to("cpu", dtype) for name, weight in hf.state_dict().items()}
    config = copy.deepcopy(hf.config)
    config.use_cache = True
    rounded = type(hf)._from_config(config, attn_implementation="sdpa", dtype=dtype)
    rounded.load_state_dict(state)
    return rounded.eval()


def _write(hf: "PreTrainedModel", folder: Path, tokenizer: Path, card: str) -> None:
    from transformers import GenerationConfig

    hf.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    if not (folder / "tokenizer_config.json").exists():
        _write_tokenizer_config(hf, folder)
    if hf.can_generate():
        GenerationConfig(
            do_sample=True,
            temperature=0.7,
            top_p=0.9,
            eos_token_id=hf.config.eos_token_id,
            pad_token_id=hf.config.pad_token_id,
        ).save_pretrained(folder)
    (folder / "README.md").write_text(card, encoding="utf-8")


def _write_tokenizer_config(hf: "PreTrainedModel", folder: Path) -> None:
    """What a bare tokenizer.json is: without it transformers takes the family's own class, and T5's cannot read it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = {"eos_token": hf.config.eos_token_id, "pad_token": hf.config.pad_token_id}
    named = {role: tokenizer.id_to_token(number) for role, number in ids.items() if number is not None}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def compare(hf: "PreTrainedModel", folder: Path) -> dict[str, float]:
    """Logits of a model beside those of a folder, on fixed tokens: the largest and the mean difference.

    Raises Damaged where they differ at all: both are computed in the same way, from what should be the same numbers.
    """
    from transformers import AutoTokenizer

    words = len(AutoTokenizer.from_pretrained(folder, local_files_only=True))
    rows = len(hf.get_input_embeddings().weight)  # pyright: ignore[reportArgumentType]
    if words > rows:
        raise BadInput(f"the tokenizer has {words} tokens, the model {rows}: it is not this model's.")
    loaded = type(hf).from_pretrained(folder, attn_implementation="sdpa", use_safetensors=True, local_files_only=True)
    ids = torch.arange(PROBE_TOKENS)[None] * 7919 % rows
    given = {"input_ids": ids, **({"decoder_input_ids": ids} if hf.config.is_encoder_decoder else {})}
    with torch.no_grad():
        difference = (loaded.eval()(**given).logits.float() - hf.eval()(**given).logits.float()).abs()
    found = {"largest": float(difference.max()), "mean": float(difference.mean())}
    if found["largest"] != 0:
        raise Damaged(f"{folder}: logits of the exported model differ by {found['largest']:.3g}.")
    return found
