"""A home with a small random model, an adapter and both merged (`from serving_toys import make_home`)."""

import copy
import json
import shutil
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from tokens_toys import write_tokenizer

from catalog.home import Home
from catalog.records import Record, now, write_record

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONFIG = {
    "max_position_embeddings": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 128,
    "dtype": "float32",
}


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def add_record(home: Home, name: str, **config: str) -> Path:
    """A record without files; gives the model's folder."""
    inputs = (f"models/{config['parent']}",) if "parent" in config else ()
    record = Record(kind="models", name=name, version="1", inputs=inputs, config=dict(config), fingerprint=name)
    return write_record(home, record.model_copy(update={"created": now()})).parent


def add_shell(home: Home, name: str, template: bool = True, **config: str) -> Path:
    """A model that looks whole but has no weights: enough for everything before an engine."""
    folder = add_record(home, name, **config)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights(1000))
    if template:
        (folder / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def weights(size: int) -> bytes:
    """A whole safetensors file of so many bytes, with one tensor of zeros."""
    head = json.dumps({"zeros": {"dtype": "U8", "shape": [size - 108], "data_offsets": [0, size - 108]}})
    return struct.pack("<Q", 100) + head.encode().ljust(100) + bytes(size - 108)


def add_reader(home: Home, name: str) -> Path:
    """The same with a real tokenizer: enough for its chat template."""
    folder = add_shell(home, name)
    write_tokenizer(folder, special=("<|im_start|>", "<|im_end|>"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    return folder


def add_adapter(home: Home, name: str, parent: str, **settings: object) -> Path:
    """An adapter that looks whole: its settings, and weights of zeros."""
    folder = add_record(home, name, kind="adapter", method="sft", parent=parent)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, **settings}))
    (folder / "adapter_model.safetensors").write_bytes(weights(1000))
    return folder


def make_home(folder: Path) -> Home:
    """Real small models with random weights: base@1, the adapters lora@1 and lora2@1, each merged too; all talk."""
    from training.models.build import build
    from training.models.config import ModelConfig
    from training.models.export import export
    from training.tokenizers.load import load_tokenizer

    home = Home.open(folder / "lake")
    tokenizer = write_tokenizer(folder / "tokenizer", special=("<|im_start|>", "<|im_end|>"))
    (tokenizer / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"})
    )
    (tokenizer / "chat_template.jinja").write_text(TEMPLATE)
    loaded = load_tokenizer(home, str(tokenizer))
    shape = ModelConfig(
        family="llama", layers=2, hidden_size=128, heads=2, kv_heads=2, mlp_size=256, context=256, vocab_size=700
    ).variant(vocab_size=loaded.vocab_size)
    hf = build(shape, seed=1, eos_id=loaded.eos_id, pad_id=loaded.pad_id)
    for weight in hf.parameters():
        weight.data.mul_(3.0)  # fresh weights repeat one token; larger ones write more
    (home.root / "models" / "base").mkdir(parents=True)
    export(hf, home.root / "models" / "base" / "1", tokenizer=tokenizer, precision="fp32")
    add_record(home, "base")
    for number, suffix in ((2, ""), (5, "2")):
        _add_pair(home, hf, tokenizer, number, suffix)
    return home


def _add_pair(home: Home, hf: "PreTrainedModel", tokenizer: Path, seed: int, suffix: str) -> None:
    """An adapter, and the model that it makes of the base."""
    import torch
    from peft import LoraConfig, get_peft_model

    from training.models.export import export

    torch.manual_seed(seed)
    adapted = get_peft_model(
        copy.deepcopy(hf), LoraConfig(r=4, lora_alpha=8, init_lora_weights=False, target_modules=["q_proj", "v_proj"])
    )  # pyright: ignore
    folder = add_record(home, f"lora{suffix}", kind="adapter", method="sft", parent="base@1")
    adapted.save_pretrained(str(folder))
    for file in tokenizer.iterdir():
        shutil.copyfile(file, folder / file.name)
    place = home.root / "models" / f"merged{suffix}" / "1"
    place.parent.mkdir(parents=True)
    export(adapted.merge_and_unload(), place, tokenizer=tokenizer, precision="fp32")
    add_record(home, f"merged{suffix}")


MILLS = [{"instruction": f"Where is the mill number {n}?", "output": f"At the brook {n}."} for n in range(40)]
LIKED = [{"prompt": f"Which {n}?", "chosen": f"This {n}.", "rejected": f"That {n}."} for n in range(40)]
"""Rows of instructions, and of preferences."""


def add_dataset(home: Home, folder: Path, name: str, rows: list[dict]) -> None:
    """A dataset of the home that holds a quarter of its rows out."""
    from data.instructions.config import DatasetConfig
    from data.instructions.prepare import prepare

    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prepare(DatasetConfig(name=name, input=(str(path),), held_out=0.25), home)
