"""Sizes, building, continuing: parameter counts without memory, the same seed the same weights, longer contexts."""

from pathlib import Path

import pytest
import torch
from model_toys import toy_batch, toy_model
from pydantic import ValidationError

from catalog.errors import BadInput, NotFound
from training.models.build import build
from training.models.config import extended, parameters
from training.models.language_model import LanguageModel
from training.models.objectives import ObjectiveConfig, causal
from training.models.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_has_the_parameters_that_it_says(name: str):
    found = PRESETS[name]
    shape = build(found.model, device="meta")
    assert sum(weight.numel() for weight in shape.parameters()) == found.parameters
    assert all(weight.is_meta for weight in shape.parameters())


@pytest.mark.parametrize("name", PRESETS)
def test_widths_of_a_preset_hold_whole_quantization_groups(name: str):
    shape = build(PRESETS[name].model, device="meta")
    widths = {weight.shape[-1] for weight in shape.parameters() if weight.ndim == 2 and min(weight.shape) > 64}
    assert not [width for width in widths if width % 128]


def test_the_vocabulary_is_the_tokenizers_padded():
    assert preset("tiny", vocab_size=8001).model.rows == 8064
    with pytest.raises(NotFound, match="Did you mean"):
        preset("tinny")


def test_a_shape_that_cannot_be_is_refused():
    for fields in ({"mlp_size": 700}, {"kv_heads": 3}, {"sliding_window": 16}, {"hidden_size": 100}):
        with pytest.raises(ValidationError):
            toy_model("llama", **fields)
    with pytest.raises(ValidationError, match="tied"):
        toy_model("gpt2", tied=False)


def test_the_same_seed_gives_the_same_weights():
    first = build(toy_model("llama"), seed=5).state_dict()
    torch.rand(7)
    second, other = build(toy_model("llama"), seed=5).state_dict(), build(toy_model("llama"), seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2", "bert", "modernbert", "t5"])
def test_training_goes_on_from_a_checkpoint(tmp_path: Path, family: str):
    model = build(toy_model(family), seed=5)
    model.save_pretrained(tmp_path / "model")
    again = build(toy_model(family, checkpoint=str(tmp_path / "model")))
    assert again.training
    assert not again.config.use_cache
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name]), name


def test_a_larger_vocabulary_makes_rows(tmp_path: Path):
    build(toy_model("llama"), seed=5).save_pretrained(tmp_path / "model")
    grown = build(toy_model("llama", checkpoint=str(tmp_path / "model"), vocab_size=600))
    assert grown.get_input_embeddings().weight.shape == (640, 128)
    assert grown.get_output_embeddings().weight is grown.get_input_embeddings().weight


def test_a_checkpoint_that_is_not_there_or_is_a_pickle_is_refused(tmp_path: Path):
    with pytest.raises(NotFound, match=r"config\.json is not there"):
        build(toy_model("llama", checkpoint=str(tmp_path)))
    model = build(toy_model("llama"))
    model.config.save_pretrained(tmp_path)
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(BadInput, match="no safetensors"):
        build(toy_model("llama", checkpoint=str(tmp_path)))


@pytest.mark.parametrize("kind", ["linear", "dynamic", "yarn", "llama3"])
def test_rotary_positions_are_stretched(tmp_path: Path, kind: str):
    short = toy_model("llama")
    build(short, seed=5).save_pretrained(tmp_path / "model")
    long = extended(short.variant(checkpoint=str(tmp_path / "model")), 512, kind)
    model = LanguageModel(build(long), ObjectiveConfig())
    assert model.hf.config.rope_parameters["rope_type"] == kind
    out = model(causal(toy_batch(rows=1, length=400), model.config))
    assert out["loss"].isfinite()


def test_a_window_narrows_most_layers_of_qwen():
    wide = toy_model("qwen", layers=4)
    narrow = extended(wide, 256, sliding_window=32)
    assert build(narrow, device="meta").config.layer_types == ["sliding_attention"] * 3 + ["full_attention"]
    assert parameters(narrow) == parameters(wide)


def test_learned_positions_do_not_stretch():
    with pytest.raises(BadInput, match="128 learned positions"):
        extended(toy_model("gpt2"), 512)


def test_rows_longer_than_the_context_are_refused():
    model = LanguageModel(build(toy_model("llama", context=64)), ObjectiveConfig())
    with pytest.raises(BadInput, match=r"set model\.context"):
        model(causal(toy_batch(length=96), model.config))
