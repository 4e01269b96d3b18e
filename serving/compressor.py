"""The one adapter to llm-compressor: a model's folder in, a compressed one out. Runs in a process of its own.

>>> in_own_process(log, compress, Work(source, out, "w4a16", 128, ("lm_head",), False, rows, threads=2))
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from catalog.progress import stage_progress
from serving.apart import terminal
from serving.schemes import Scheme, known

if TYPE_CHECKING:
    import torch
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme  # pyright: ignore[reportMissingImports]
    from transformers import PreTrainedModel

SMOOTHING = 0.8
"""SmoothQuant's migration strength, as llm-compressor's W8A8 recipes for Llama have it (the paper's default is 0.5)."""

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Work:
    """What is to be compressed, and how."""

    source: Path
    out: Path
    scheme: str
    group: int
    ignore: tuple[str, ...]
    kv_cache: bool
    rows: Sequence[Ids] = field(repr=False)
    """Token ids of the calibration samples; none where the scheme reads none."""
    threads: int


def compress(work: Work) -> dict[str, str]:
    """Write the compressed weights and config.json into `out`; gives the versions of the libraries.

    The same bytes for the same input and number of threads: sums of other numbers of threads are rounded otherwise.
    """
    os.environ |= {"OMP_NUM_THREADS": str(work.threads), "TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
    os.environ |= {"HF_HUB_OFFLINE": "1"}
    import torch

    torch.set_num_threads(work.threads)
    torch.manual_seed(0)
    with stage_progress("quantize", unit="layer passes", out=terminal()) as bar:
        model = _loaded(work.source)
        for layer in _blocks(model):
            layer.register_forward_hook(lambda *_: bar.advance())
        _oneshot(model, work)
        model.save_pretrained(work.out, save_compressed=True)
    (work.out / "recipe.yaml").unlink(missing_ok=True)  # the record says the same
    return _versions()


def _loaded(source: Path) -> "PreTrainedModel":
    """In bf16, since that is how all that is not quantized is saved and served."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    return AutoModelForCausalLM.from_pretrained(
        source, local_files_only=True, use_safetensors=True, dtype=torch.bfloat16
    )


def _blocks(model: "PreTrainedModel") -> list["torch.nn.Module"]:
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return list(max(lists, key=len)) if lists else []


def _oneshot(model: "PreTrainedModel", work: Work) -> None:
    import torch
    from llmcompressor.entrypoints.oneshot import oneshot  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader

    rows = [torch.from_numpy(row)[None] for row in work.rows]
    data: list[Any] = [{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows]
    given: dict[str, Any] = {}
    if data:
        given = {"dataset": DataLoader(data, batch_size=None), "num_calibration_samples": len(data)}  # pyright: ignore
    with _unpinned():
        oneshot(model=model, recipe=modifiers(work), **given)


def modifiers(work: Work) -> list[Any]:
    """What llm-compressor does, in its order."""
    from llmcompressor.modifiers.gptq import GPTQModifier  # pyright: ignore[reportMissingImports]
    from llmcompressor.modifiers.quantization import QuantizationModifier  # pyright: ignore[reportMissingImports]
    from llmcompressor.modifiers.transform.awq import AWQModifier  # pyright: ignore[reportMissingImports]
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier  # pyright: ignore

    scheme = known(work.scheme)
    given: dict[str, Any] = {"ignore": list(work.ignore)}
    if scheme.method:
        given["config_groups"] = {"group_0": _layers(scheme, work.group)}
    if work.kv_cache or scheme.kv_cache:
        given["kv_cache_scheme"] = _kv_cache()
    found: list[Any] = [SmoothQuantModifier(smoothing_strength=SMOOTHING)] if scheme.smooth else []
    if scheme.method == "awq":
        found.append(AWQModifier())
    found.append((GPTQModifier if scheme.method == "gptq" else QuantizationModifier)(**given))
    return found


def _layers(scheme: Scheme, group: int) -> "QuantizationScheme":
    from compressed_tensors.quantization import preset_name_to_scheme  # pyright: ignore[reportMissingImports]

    made = preset_name_to_scheme(scheme.preset, ["Linear"])
    if scheme.group and made.weights:
        made.weights.group_size = group
    return made


def _kv_cache() -> "QuantizationArgs":
    """A scale for all keys and one for all values of a layer: what vLLM reads."""
    from compressed_tensors.quantization import QuantizationArgs  # pyright: ignore[reportMissingImports]

    return QuantizationArgs.model_validate(
        {"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": True, "dynamic": False}
    )


@contextmanager
def _unpinned() -> Iterator[None]:
    """Without a GPU no memory can be pinned for one, which AWQ of llm-compressor 0.14.0.1 does all the same."""
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache  # pyright: ignore[reportMissingImports]

    pin = IntermediatesCache.pin_memory
    if not torch.cuda.is_available():
        IntermediatesCache.pin_memory = lambda *_, **__: None
    try:
        yield
    finally:
        IntermediatesCache.pin_memory = pin


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("llmcompressor", "compressed-tensors", "transformers", "torch")}
