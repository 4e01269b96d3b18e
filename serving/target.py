"""What is served: a model of the home, or an adapter over its parent, checked before an engine is started.

>>> target = resolve(home, "tiny-sft")
>>> target.folder, target.adapter
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.records import Record, find
from catalog.weights import check_whole, config_of, damaged, heads_of, weight_bytes
from serving.schemes import SCHEMES, Machine, why_not

NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
ADAPTER = "adapter_model.safetensors"
INDEX = "model.safetensors.index.json"
TEMPLATE = "chat_template.jinja"
NO_TEXT = ("reward", "classifier")
"""Methods whose models answer with numbers."""
ONNX = "onnx"
"""The kind of models that are a graph for onnxruntime."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM allows as the largest rank of an adapter."""
SIZES = {
    "context": ("max_position_embeddings", "n_positions"),
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "hidden_size": ("hidden_size", "n_embd"),
}
"""Sizes by the names that config.json has for them; the second ones are GPT-2's."""
EMULATED = ("fp8",)
"""Schemes that a CPU without kernels for them computes nevertheless, slowly; vLLM stops at the others."""


@dataclass(frozen=True)
class Shape:
    """What of a model's config.json decides about memory."""

    context: int
    layers: int
    kv_heads: int
    head_size: int
    heads: int
    dtype: str
    """Of the saved weights, as transformers names it: float32, bfloat16."""
    weight_bytes: int
    compressed: bool = False
    """Whether its weights are quantized: their kernels compute in bf16."""


@dataclass(frozen=True)
class Target:
    """A model that an engine can load."""

    model: Record
    base: Record
    """The model itself, or the parent of an adapter."""
    folder: Path
    """Of the base."""
    adapter: Path | None
    rank: int
    """The adapter's, rounded up to what the engine allows; 0 where there is none."""
    chat: Path
    """The folder whose tokenizer, template and generation config count: the adapter's, or the model's own."""

    @property
    def template(self) -> Path | None:
        """The chat template; None for a model that was not tuned to talk."""
        return path if (path := self.chat / TEMPLATE).is_file() else None


def resolve(home: Home, ref: str) -> Target:
    """The model by name or name@version. Raises NotFound where it is not there, BadInput for what cannot be served."""
    model = find(home, "models", ref)
    if model.config.get("method") in NO_TEXT:
        raise BadInput(f"{model.ref} is a {model.config['method']} model: it writes no text. Choose another.")
    if model.config.get("kind") == ONNX:
        raise BadInput(f"{model.ref} is an ONNX graph, which only onnxruntime reads: take {model.config['parent']}.")
    own = home.artifact("models", model.name, model.version)
    if model.config.get("kind") != "adapter":
        _check_files(own, model)
        return Target(model, model, own, None, 0, own)
    base = find(home, "models", str(model.config["parent"]))
    folder = home.artifact("models", base.name, base.version)
    _check_files(folder, base)
    if not (own / ADAPTER).is_file():
        raise damaged(own / ADAPTER, "is not there")
    heads_of(own)
    return Target(model, base, folder, own, _rank(own, model), own)


def shape_of(target: Target) -> Shape:
    """The base's shape, from its config.json and the size of its weights. Raises Damaged."""
    return _shape(target.folder)


def check_scheme(target: Target, on: Machine) -> str:
    """A warning where a machine has no good kernels for a quantized model, but may compute it; nothing where it has.

    Raises BadInput where no engine of that machine computes it.
    """
    name = str(target.base.config.get("scheme") or "")
    if target.base.config.get("kind") != "quantized" or name not in SCHEMES:
        return ""
    scheme = SCHEMES[name]
    why = why_not(scheme, on, bool(target.base.config.get("kv_cache")))
    if not why:
        return ""
    instead = f"Serve {target.base.config.get('parent')}, which it was made from, or move it to such a machine."
    if on.device == "cpu" and (name not in EMULATED or not why_not(scheme, on)):  # a cache is not emulated
        raise BadInput(f"{target.base.ref} ({name}) cannot be served here: {why}. {instead}")
    slow = "an answer can take minutes" if on.device == "cpu" else "it may be slow, or stop"
    return f"{target.base.ref} ({name}) is not for this machine, {slow}: {why}. {instead}"


def _shape(folder: Path) -> Shape:
    said, path = config_of(folder), folder / "config.json"
    try:
        size = {ours: next(int(said[name]) for name in names if name in said) for ours, names in SIZES.items()}
        kv_heads = int(said.get("num_key_value_heads") or size["heads"])
        head_size = int(said.get("head_dim") or size["hidden_size"] // size["heads"])
    except StopIteration:
        missing = [names[0] for names in SIZES.values() if not any(name in said for name in names)]
        raise damaged(path, f"has no {', '.join(missing)}") from None
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise damaged(path, f"has sizes that are no numbers ({error})") from error
    if min(*size.values(), kv_heads, head_size) < 1:
        raise damaged(path, "has sizes below 1")
    return Shape(
        context=size["context"],
        layers=size["layers"],
        kv_heads=kv_heads,
        head_size=head_size,
        heads=size["heads"],
        dtype=str(said.get("dtype") or said.get("torch_dtype") or "float32"),
        weight_bytes=weight_bytes(folder),
        compressed="quantization_config" in said,
    )


# ── Files ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check_files(folder: Path, record: Record) -> None:
    """Raises Damaged where a file is missing, cut or not what it should be: nothing is loaded."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    weights = {path.name for path in folder.glob("*.safetensors")}
    if not weights:
        missing.append("*.safetensors")
    if (folder / INDEX).is_file():
        parts = _read(folder / INDEX).get("weight_map")
        missing += sorted({str(name) for name in parts.values()} - weights) if isinstance(parts, dict) else []
    if missing:
        raise Damaged(f"models/{record.ref} has no {', '.join(missing)}: `just verify models/{record.ref}`.")
    for name in NEEDED:
        _read(folder / name)
    if config_of(folder).get("is_encoder_decoder"):
        raise BadInput(f"{record.ref} is an encoder-decoder model, which vLLM does not serve. Choose a causal one.")
    check_whole(folder)
    _shape(folder)


def _read(path: Path) -> dict[str, Any]:
    """A JSON file of the model. Raises Damaged."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, f"cannot be read ({error})") from error
    if not isinstance(said, dict):
        raise damaged(path, "is no JSON object")
    return said


def _rank(folder: Path, record: Record) -> int:
    """The engine's rank for an adapter. Raises BadInput for kinds that it cannot load."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise damaged(path, "is not there")
    said = _read(path)
    if said.get("peft_type") != "LORA":
        raise BadInput(f"{record.ref} is no LoRA adapter ({said.get('peft_type')}): vLLM cannot serve it.")
    if said.get("use_dora") or said.get("modules_to_save"):
        why = "DoRA" if said.get("use_dora") else "layers saved whole"
        raise BadInput(
            f"{record.ref} has {why}, which vLLM does not serve: `just merge {record.ref}`, then serve that."
        )
    if not isinstance(wanted := said.get("r"), int):
        raise damaged(path, "has no rank r")
    fitting = [rank for rank in RANKS if rank >= wanted]
    if not fitting:
        raise BadInput(f"{record.ref} has rank {wanted}, vLLM serves up to {RANKS[-1]}: `just merge {record.ref}`.")
    return fitting[0]
