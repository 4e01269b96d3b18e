"""What is served: a model of the home, or an adapter over its parent, checked before an engine is started.

>>> target = resolve(home, "tiny-sft")
>>> target.folder, target.adapter
"""

import json
from dataclasses import dataclass
from pathlib import Path

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.records import Record, find

NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")
TEMPLATE = "chat_template.jinja"
NO_TEXT = ("reward", "classifier")
"""Methods whose models answer with numbers."""
ONNX = "onnx"
"""The kind of models that are a graph for onnxruntime."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM allows as the largest rank of an adapter."""


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
    return Target(model, base, folder, own, _rank(own, model), own)


def shape_of(target: Target) -> Shape:
    """The base's shape, from its config.json and the size of its weights."""
    said = json.loads((target.folder / "config.json").read_text(encoding="utf-8"))
    heads = int(said["num_attention_heads"])
    return Shape(
        context=int(said["max_position_embeddings"]),
        layers=int(said["num_hidden_layers"]),
        kv_heads=int(said.get("num_key_value_heads") or heads),
        head_size=int(said.get("head_dim") or said["hidden_size"] // heads),
        heads=heads,
        dtype=str(said.get("dtype") or said.get("torch_dtype") or "float32"),
        weight_bytes=sum(path.stat().st_size for path in target.folder.glob("*.safetensors")),
        compressed="quantization_config" in said,
    )


def _check_files(folder: Path, record: Record) -> None:
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise Damaged(f"models/{record.ref} has no {', '.join(missing)}: `just verify models/{record.ref}`.")
    if json.loads((folder / "config.json").read_text(encoding="utf-8")).get("is_encoder_decoder"):
        raise BadInput(f"{record.ref} is an encoder-decoder model, which vLLM does not serve. Choose a causal one.")


def _rank(folder: Path, record: Record) -> int:
    """The engine's rank for an adapter. Raises BadInput for kinds that it cannot load."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise Damaged(f"models/{record.ref} has no adapter_config.json: `just verify models/{record.ref}`.")
    said = json.loads(path.read_text(encoding="utf-8"))
    if said.get("peft_type") != "LORA":
        raise BadInput(f"{record.ref} is no LoRA adapter ({said.get('peft_type')}): vLLM cannot serve it.")
    if said.get("use_dora") or said.get("modules_to_save"):
        why = "DoRA" if said.get("use_dora") else "layers saved whole"
        raise BadInput(
            f"{record.ref} has {why}, which vLLM does not serve: `just merge {record.ref}`, then serve that."
        )
    fitting = [rank for rank in RANKS if rank >= int(said["r"])]
    if not fitting:
        raise BadInput(f"{record.ref} has rank {said['r']}, vLLM serves up to {RANKS[-1]}: `just merge {record.ref}`.")
    return fitting[0]
