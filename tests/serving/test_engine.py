"""Models to be served, and settings derived from the machine, before any engine."""

from dataclasses import replace
from pathlib import Path

import pytest
from serving_toys import add_adapter, add_record, add_shell

from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from serving.engine import GIB, EngineConfig, arguments, environment, settings_for
from serving.target import Shape, resolve, shape_of

SHAPE = Shape(context=4096, layers=24, kv_heads=8, head_size=128, heads=16, dtype="bfloat16", weight_bytes=2 * GIB)


def test_a_model_is_resolved_with_its_shape(home: Home):
    folder = add_shell(home, "base")
    target = resolve(home, "base")
    assert (target.folder, target.adapter, target.template) == (folder, None, folder / "chat_template.jinja")
    shape = shape_of(target)
    assert (shape.context, shape.kv_heads, shape.head_size, shape.weight_bytes) == (256, 2, 32, 1000)


def test_an_adapter_is_served_over_its_parent_with_its_own_tokenizer(home: Home):
    base, adapter = add_shell(home, "base", template=False), add_adapter(home, "lora", "base@1")
    (adapter / "chat_template.jinja").write_text("x")
    target = resolve(home, "lora@1")
    assert (target.folder, target.adapter, target.rank) == (base, adapter, 8)
    assert target.template == adapter / "chat_template.jinja"
    given = arguments(target, settings_for(EngineConfig(), shape_of(target), "cpu", 8 * GIB))
    assert (given["max_lora_rank"], given["model"], given["tokenizer"]) == (8, str(base), str(adapter))


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "no LoRA"),
        ({"use_dora": True}, "DoRA.*just merge lora@1"),
        ({"modules_to_save": ["embed_tokens"]}, "saved whole.*just merge"),
        ({"r": 1000}, "rank 1000"),
    ],
)
def test_adapters_that_the_engine_cannot_load_are_refused(home: Home, settings: dict, why: str):
    add_shell(home, "base")
    add_adapter(home, "lora", "base@1", **settings)
    with pytest.raises(BadInput, match=why):
        resolve(home, "lora")


def test_what_cannot_be_served_is_named(home: Home):
    add_shell(home, "base")
    with pytest.raises(NotFound, match="Did you mean: base"):
        resolve(home, "bass")
    add_record(home, "empty")
    with pytest.raises(Damaged, match=r"no config.json, tokenizer.json, .*safetensors"):
        resolve(home, "empty")
    add_shell(home, "judge", method="reward")
    with pytest.raises(BadInput, match="writes no text"):
        resolve(home, "judge")


def test_the_cache_follows_the_machine():
    roomy = settings_for(EngineConfig(), SHAPE, "cpu", 100 * GIB)
    assert roomy.cache_gib == 24  # 64 contexts of 4,096 tokens at 96 KiB each
    assert settings_for(EngineConfig(), SHAPE, "cpu", 30 * GIB).cache_gib == 10  # a third of what is free
    assert (roomy.precision, roomy.context) == ("bf16", 4096)
    assert settings_for(EngineConfig(context=128), SHAPE, "cpu", 30 * GIB).cache_gib == 1


@pytest.mark.parametrize(
    ("config", "free", "why"),
    [
        (EngineConfig(context=8192), 30, "longer than the model's own, 4,096"),
        (EngineConfig(tensor_parallel=3), 30, "does not divide the model's 16 heads"),
        (EngineConfig(cache_gib=40), 30, "takes about 45.0 GiB, 30.0 GiB are free"),
        (EngineConfig(), 4, "not enough memory"),
    ],
)
def test_what_does_not_fit_is_said(config: EngineConfig, free: int, why: str):
    with pytest.raises(BadInput, match=why):
        settings_for(config, SHAPE, "cpu", free * GIB)


def test_the_process_leaves_no_core_idle_and_asks_no_network():
    said = environment(settings_for(EngineConfig(threads=2), SHAPE, "cpu", 30 * GIB))
    assert (said["OMP_NUM_THREADS"], said["VLLM_CPU_OMP_THREADS_BIND"], said["OMP_WAIT_POLICY"]) == (
        "2",
        "nobind",
        "PASSIVE",
    )
    assert said["HF_HUB_OFFLINE"] == "1"
    assert "OMP_NUM_THREADS" not in environment(settings_for(EngineConfig(), SHAPE, "cuda"))


def test_a_damaged_adapter_is_named(home: Home, tmp_path: Path):
    add_shell(home, "base")
    (add_adapter(home, "lora", "base@1") / "adapter_config.json").unlink()
    with pytest.raises(Damaged, match=r"adapter_config\.json"):
        resolve(home, "lora")


def test_a_compressed_model_computes_in_bf16():
    small = replace(SHAPE, compressed=True)
    with pytest.raises(BadInput, match="which computes in bf16"):
        settings_for(EngineConfig(precision="fp32"), small, device="cuda")
    assert settings_for(EngineConfig(), small, device="cuda").precision == "bf16"
