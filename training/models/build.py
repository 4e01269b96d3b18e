"""A Hugging Face model from a config and a seed, or from a local checkpoint to go on from.

    >>> hf = build(preset("tiny").model, seed=17)
    >>> shape = build(preset("7b").model, device="meta")     # no memory: counts, plans

The same config and seed give the same weights, whatever was drawn before.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from pydantic import ValidationError

from catalog.errors import BadInput, NotFound
from catalog.weights import CONFIG, config_of, damaged
from training.models.config import T5_BUCKETS, ModelConfig

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

FAMILIES = {
    "llama": "llama",
    "mistral": "llama",
    "qwen2": "qwen",
    "qwen3": "qwen",
    "gpt2": "gpt2",
    "bert": "bert",
    "modernbert": "modernbert",
    "t5": "t5",
}
"""The `model_type` of a checkpoint, and the family that we treat it as."""
SIZES = {
    "hidden_size": ("hidden_size", "n_embd", "d_model"),
    "layers": ("num_hidden_layers", "n_layer", "num_layers"),
    "heads": ("num_attention_heads", "n_head", "num_heads"),
    "kv_heads": ("num_key_value_heads",),
    "head_size": ("head_dim", "d_kv"),
    "mlp_size": ("intermediate_size", "n_inner", "d_ff"),
    "context": ("max_position_embeddings", "n_positions"),
    "vocab_size": ("vocab_size",),
}
"""Our sizes by the names that the families' config.json has for them."""
NEEDED = ("hidden_size", "layers", "heads", "vocab_size")
"""Sizes without which there is no model; the others have defaults."""
NO_LIMIT = 1 << 30


def build(
    config: ModelConfig,
    *,
    seed: int = 0,
    device: str = "cpu",
    eos_id: int | None = None,
    pad_id: int | None = None,
) -> "PreTrainedModel":
    """The model in fp32 in training mode, without a cache of keys. A checkpoint's weights come from safetensors alone.

    Raises NotFound and BadInput where a checkpoint's folder is not there, has pickles only, or is of no known family.
    """
    model = _continued(config, seed) if config.checkpoint else _fresh(config, seed, device)
    model.config.eos_token_id, model.config.pad_token_id = eos_id, pad_id
    model.config.use_cache = False  # a cache of keys turns transformers' own document detection off
    return model.train()


def family_of(checkpoint: str | Path) -> str:
    """Our family of a checkpoint's folder. Raises NotFound, Damaged; BadInput for a type that is not trained here."""
    path = Path(checkpoint) / "config.json"
    if not path.is_file():
        raise NotFound(f"no checkpoint: {path} is not there. Give a local folder in Hugging Face format.")
    kind = config_of(path.parent).get("model_type", "")
    if kind not in FAMILIES:
        raise BadInput(f"{path}: model type {kind!r} is not trained here. Allowed: {', '.join(FAMILIES)}.")
    return FAMILIES[kind]


def shape_of(checkpoint: str | Path) -> ModelConfig:
    """A checkpoint in our words, as its config.json has it; t5, whose positions are relative, has a very long context.

    Raises NotFound and BadInput as `family_of` does, Damaged where a size is missing or none.
    """
    family, folder = family_of(checkpoint), Path(checkpoint)
    found = config_of(folder)
    shape = {ours: found[name] for ours, names in SIZES.items() for name in names if found.get(name)}
    if missing := [name for name in NEEDED if not isinstance(shape.get(name), int)]:
        raise damaged(folder / CONFIG, f"says no {', '.join(SIZES[name][0] for name in missing)}")
    shape = {"context": NO_LIMIT, "kv_heads": shape["heads"], "mlp_size": 4 * shape["hidden_size"], **shape}
    try:
        return ModelConfig.model_validate({"family": family, "checkpoint": str(checkpoint), **shape})
    except ValidationError as error:
        raise damaged(folder / CONFIG, f"describes no model ({error.errors()[0]['msg']})") from error


def _fresh(config: ModelConfig, seed: int, device: str) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    kinds = {"t5": AutoModelForSeq2SeqLM, "bert": AutoModelForMaskedLM, "modernbert": AutoModelForMaskedLM}
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(seed)
        return kinds.get(config.family, AutoModelForCausalLM).from_config(
            hugging_face_config(config), attn_implementation="sdpa"
        )


def _continued(config: ModelConfig, seed: int) -> "PreTrainedModel":
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, AutoModelForSeq2SeqLM

    family, folder = family_of(config.checkpoint), Path(config.checkpoint)
    if not list(folder.glob("*.safetensors")):
        raise BadInput(
            f"{folder} has no safetensors. Pickled weights can run code and are not read: convert them first."
        )
    kinds = {"t5": AutoModelForSeq2SeqLM, "bert": AutoModelForMaskedLM, "modernbert": AutoModelForMaskedLM}
    theirs = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.rope and family in ("llama", "qwen"):
        own = theirs.rope_parameters or {}
        theirs.rope_parameters = {**_rope(config), "rope_theta": own.get("rope_theta", config.rope_theta)}
        theirs.max_position_embeddings = config.context
    elif family == "modernbert" and config.context > theirs.max_position_embeddings:
        theirs.rope_parameters["full_attention"]["rope_theta"] = config.rope_theta
        theirs.max_position_embeddings = config.context
    if config.sliding_window and family == "qwen":
        theirs.use_sliding_window, theirs.sliding_window = True, config.sliding_window
        every = config.full_every
        theirs.layer_types = [
            "full_attention" if (layer + 1) % every == 0 else "sliding_attention"
            for layer in range(theirs.num_hidden_layers)
        ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kinds.get(family, AutoModelForCausalLM).from_pretrained(
            folder,
            config=theirs,
            dtype=torch.float32,
            attn_implementation="sdpa",
            use_safetensors=True,
            local_files_only=True,
        )
        if config.vocab_size > model.get_input_embeddings().num_embeddings:
            model.resize_token_embeddings(config.rows, mean_resizing=True)
    return model


def hugging_face_config(config: ModelConfig) -> "PreTrainedConfig":
    """Our config in transformers' words. Dropout is 0: one pass over the data does not overfit."""
    return {
        "llama": _llama,
        "qwen": _qwen,
        "gpt2": _gpt2,
        "bert": _bert,
        "modernbert": _modernbert,
        "t5": _t5,
    }[config.family](config)


def _rope(c: ModelConfig) -> dict[str, object]:
    if c.rope is None:
        return {"rope_type": "default", "rope_theta": c.rope_theta}
    found: dict[str, object] = {"rope_type": c.rope.kind, "rope_theta": c.rope_theta, "factor": c.rope.factor}
    if c.rope.kind != "linear":
        found["original_max_position_embeddings"] = c.rope.original_context
    if c.rope.kind == "llama3":
        found |= {"low_freq_factor": 1.0, "high_freq_factor": 4.0}  # Llama 3.1's own
    return found


def _rotary(c: ModelConfig) -> dict[str, object]:
    return {
        "vocab_size": c.rows,
        "hidden_size": c.hidden_size,
        "intermediate_size": c.mlp_size,
        "num_hidden_layers": c.layers,
        "num_attention_heads": c.heads,
        "max_position_embeddings": c.context,
        "tie_word_embeddings": c.tied,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def _llama(c: ModelConfig) -> "PreTrainedConfig":
    from transformers import LlamaConfig

    return LlamaConfig(**_rotary(c), num_key_value_heads=c.kv_heads, head_dim=c.head_width, rope_parameters=_rope(c))  # pyright: ignore[reportArgumentType]


def _qwen(c: ModelConfig) -> "PreTrainedConfig":
    from transformers import Qwen3Config

    kinds = ["sliding_attention" if windowed else "full_attention" for windowed in c.windowed]
    return Qwen3Config(
        **_rotary(c),  # pyright: ignore[reportArgumentType]
        num_key_value_heads=c.kv_heads,
        head_dim=c.head_width,
        rope_parameters=_rope(c),
        use_sliding_window=c.sliding_window > 0,
        sliding_window=c.sliding_window or None,
        layer_types=kinds,
    )


def _gpt2(c: ModelConfig) -> "PreTrainedConfig":
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=c.rows,
        n_positions=c.context,
        n_embd=c.hidden_size,
        n_layer=c.layers,
        n_head=c.heads,
        n_inner=c.mlp_size,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )


def _bert(c: ModelConfig) -> "PreTrainedConfig":
    from transformers import BertConfig

    fields = {name: value for name, value in _rotary(c).items() if name != "max_position_embeddings"}
    return BertConfig(
        **fields,  # pyright: ignore[reportArgumentType]
        max_position_embeddings=c.context,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def _modernbert(c: ModelConfig) -> "PreTrainedConfig":
    from transformers import ModernBertConfig

    kinds = ["sliding_attention" if windowed else "full_attention" for windowed in c.windowed]
    near, far = {"rope_type": "default", "rope_theta": 10_000.0}, {"rope_type": "default", "rope_theta": c.rope_theta}
    return ModernBertConfig(
        **_rotary(c),  # pyright: ignore[reportArgumentType]
        cls_token_id=None,
        sep_token_id=None,
        local_attention=c.sliding_window or 128,
        layer_types=kinds,
        rope_parameters={"full_attention": far, "sliding_attention": near},
    )


def _t5(c: ModelConfig) -> "PreTrainedConfig":
    from transformers import T5Config

    return T5Config(
        vocab_size=c.rows,
        d_model=c.hidden_size,
        d_kv=c.head_width,
        d_ff=c.mlp_size,
        num_layers=c.layers,
        num_heads=c.heads,
        relative_attention_num_buckets=T5_BUCKETS,
        dropout_rate=0.0,
        feed_forward_proj="gated-gelu",
        pad_token_id=None,
        eos_token_id=None,
    )
