"""Models as tuning loads them: with an adapter, with frozen layers, with a head for classes or rewards.

>>> hf = load(job)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from catalog.errors import BadInput
from training.models.language_model import block_list
from training.pruning.masks import is_pruned, keep_zeros
from training.tuning.config import AdapterConfig

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

    from training.tuning.job import Job


def load(job: "Job") -> "PreTrainedModel":
    """The parent in fp32 (QLoRA: 4 bits), ready to be trained; a classifier's head is drawn from the seed."""
    kwargs: dict[str, Any] = {"dtype": torch.float32}
    if job.config.adapter.kind == "qlora":
        kwargs = {"quantization_config": _four_bits(), "dtype": torch.bfloat16}
    labels = outputs_of(job.config.method, job.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.config.seed)
        model = load_folder(job.parent_folder, labels, **kwargs)
    model.config.use_cache = False
    model.config.pad_token_id = job.chat.tokenizer.pad_token_id
    name_classes(model, job.classes)
    freeze(model, job.config.freeze_layers)
    if is_pruned(job.parent) and job.config.adapter.kind == "none":
        keep_zeros(model)
    return model


def outputs_of(method: str, classes: Sequence[str]) -> int:
    """The numbers that a model of this method gives for a whole text; 0: it writes."""
    return {"reward": 1, "classifier": len(classes)}.get(method, 0)


def name_classes(model: "PreTrainedModel", classes: Sequence[str]) -> None:
    """Say what a classifier's outputs mean; a model of another kind has no classes."""
    if classes:
        model.config.id2label = dict(enumerate(classes))
        model.config.label2id = {name: number for number, name in enumerate(classes)}


def load_folder(folder: Path, labels: int = 0, **kwargs: Any) -> "PreTrainedModel":
    """A model of the home: a language model, or with `labels` outputs for a whole text. Safetensors only."""
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    from transformers.utils import logging

    logging.disable_progress_bar()
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # a new head is meant
    try:
        kind = AutoModelForSequenceClassification if labels else AutoModelForCausalLM
        more = {"num_labels": labels} if labels else {}
        return kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, attn_implementation="sdpa", **more, **kwargs
        )
    finally:
        logging.set_verbosity(before)


def freeze(model: "PreTrainedModel", layers: int) -> None:
    """Leave the embeddings and the lowest blocks as they are."""
    if not layers:
        return
    model.get_input_embeddings().requires_grad_(False)
    for block in block_list(model)[:layers]:
        block.requires_grad_(False)


def adapter_of(job: "Job") -> "PeftConfig | None":
    """PEFT's config of the adapter; None where all weights are trained."""
    from peft import LoraConfig, PrefixTuningConfig, TaskType

    config = job.config.adapter
    if config.kind == "none":
        return None
    task = TaskType.SEQ_CLS if job.config.method in ("reward", "classifier") else TaskType.CAUSAL_LM
    if config.kind == "prefix":
        return PrefixTuningConfig(task_type=task, num_virtual_tokens=config.virtual_tokens)
    return LoraConfig(
        task_type=task,
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.targets) or "all-linear",
    )


def check_targets(folder: Path, targets: Sequence[str]) -> None:
    """Raises BadInput where an adapter is asked for on layers that the model in a folder has not."""
    if not targets:
        return
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder, local_files_only=True))
    linear = {name.rpartition(".")[2] for name, module in model.named_modules() if _is_linear(module)}
    unknown = sorted(set(targets) - linear)
    if unknown:
        has = ", ".join(sorted(linear))
        raise BadInput(f"adapter.targets: the model has no layers {', '.join(unknown)}. It has {has}.")


def _is_linear(module: torch.nn.Module) -> bool:
    return isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"  # GPT-2's


def _four_bits() -> Any:
    """NF4 with double quantization, computed in bf16 (arXiv 2305.14314)."""
    import importlib.util

    if importlib.util.find_spec("bitsandbytes") is None:
        raise BadInput("adapter.kind=qlora needs the package bitsandbytes: `uv pip install bitsandbytes`.")
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def described(config: AdapterConfig) -> str:
    """The adapter in a few words."""
    if config.kind == "none":
        return "all weights"
    if config.kind == "prefix":
        return f"a prefix of {config.virtual_tokens} virtual tokens"
    return f"{'QLoRA' if config.kind == 'qlora' else 'LoRA'} of rank {config.rank}"
