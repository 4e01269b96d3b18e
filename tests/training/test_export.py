"""Export: what is loaded again gives the same logits, and nothing half-written stays."""

import json
from pathlib import Path

import pytest
import torch
from model_toys import TOY_WORDS, toy_model
from safetensors.torch import load_file
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer

from catalog.errors import BadInput, Damaged, NotFound
from training.models.build import build
from training.models.export import compare, export, weights_of


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    words = {f"w{number}": number for number in range(TOY_WORDS)}
    Tokenizer(models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    return folder


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2", "bert", "modernbert", "t5"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_export_loads_with_the_same_logits(tmp_path: Path, tokenizer: Path, family: str, precision: str):
    model = build(toy_model(family), seed=4, eos_id=0, pad_id=1)
    assert export(model, tmp_path / "out", tokenizer=tokenizer, card="# toy\n", precision=precision)["largest"] == 0
    assert (tmp_path / "out" / "README.md").read_text() == "# toy\n"
    names = {"fp32": "float32", "bf16": "bfloat16"}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == names[precision]
    assert not list((tmp_path / "out").glob("*.bin"))
    assert len(AutoTokenizer.from_pretrained(tmp_path / "out")) == TOY_WORDS
    assert not model.config.use_cache


def test_an_exported_model_generates_as_its_config_says(tmp_path: Path, tokenizer: Path):
    model = build(toy_model("llama"), seed=4, eos_id=0, pad_id=1)
    export(model, tmp_path / "out", tokenizer=tokenizer)
    settings = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert (settings["do_sample"], settings["temperature"], settings["top_p"]) == (True, 0.7, 0.9)
    assert (settings["eos_token_id"], settings["pad_token_id"]) == (0, 1)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.config.use_cache
    assert loaded.generate(torch.tensor([[5, 6, 7]]), max_new_tokens=4, do_sample=False).shape[1] <= 7


def test_what_is_wrong_is_said_and_nothing_is_left(tmp_path: Path, tokenizer: Path):
    model = build(toy_model("llama"), seed=4)
    with pytest.raises(NotFound, match=r"no tokenizer\.json"):
        export(model, tmp_path / "out", tokenizer=tmp_path)
    small = build(toy_model("llama", vocab_size=256), seed=4)
    with pytest.raises(BadInput, match="512 tokens, the model 256"):
        export(small, tmp_path / "out", tokenizer=tokenizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenizer"]
    export(model, tmp_path / "out", tokenizer=tokenizer)
    with pytest.raises(BadInput, match="there already"):
        export(model, tmp_path / "out", tokenizer=tokenizer)
    with pytest.raises(Damaged, match="differ"):
        compare(build(toy_model("llama"), seed=5), tmp_path / "out")


def test_a_composer_state_gives_the_weights_by_their_names(tmp_path: Path, tokenizer: Path):
    model = build(toy_model("llama", tied=False), seed=4)
    state = {f"language_model.hf.{name}": weight for name, weight in model.state_dict().items()}
    other = build(toy_model("llama", tied=False), seed=9)
    other.load_state_dict(weights_of({**state, "step": torch.tensor(3)}))
    export(other, tmp_path / "out", tokenizer=tokenizer, precision="fp32")
    saved = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(saved["lm_head.weight"], model.lm_head.weight)
