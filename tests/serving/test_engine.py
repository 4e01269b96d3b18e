"""Models to be served, and settings derived from the machine, before any engine."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from serving_toys import CONFIG, add_adapter, add_record, add_shell, weights

from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from serving.engine import GIB, Capacity, EngineConfig, arguments, environment, settings_for
from serving.schemes import Machine
from serving.target import Shape, check_scheme, resolve, shape_of

SHAPE = Shape(context=4096, layers=24, kv_heads=8, head_size=128, heads=16, dtype="bfloat16", weight_bytes=2 * GIB)


def cpu(gib: float, cores: int = 2) -> Capacity:
    return Capacity("cpu", int(gib * GIB), 0, cores)


def gpus(count: int, gib: float = 80) -> Capacity:
    return Capacity("cuda", int(gib * GIB), count, 8)


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
    given = arguments(target, settings_for(EngineConfig(), shape_of(target), cpu(8)))
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
    roomy = settings_for(EngineConfig(), SHAPE, cpu(100))
    assert roomy.cache_gib == 24  # 64 contexts of 4,096 tokens at 96 KiB each
    assert settings_for(EngineConfig(), SHAPE, cpu(30)).cache_gib == 10  # a third of what is free
    assert (roomy.precision, roomy.context) == ("bf16", 4096)
    assert settings_for(EngineConfig(context=128), SHAPE, cpu(30)).cache_gib == 1


@pytest.mark.parametrize(
    ("config", "free", "why"),
    [
        (EngineConfig(context=8192), 30, "longer than the model's own, 4,096"),
        (EngineConfig(tensor_parallel=2), 30, "tensor_parallel=2 is for GPUs, and there is none here"),
        (EngineConfig(context=1), 30, "context=1 has no room for a prompt and an answer: 4 tokens at least"),
        (EngineConfig(threads=1_000_000), 30, "threads=1,000,000 are more than the cores of this process, 2"),
        (EngineConfig(cache_gib=40), 30, "takes about 45.0 GiB, 30.0 GiB are free"),
        (EngineConfig(), 4, "not enough memory"),
    ],
)
def test_what_does_not_fit_is_said(config: EngineConfig, free: int, why: str):
    with pytest.raises(BadInput, match=why):
        settings_for(config, SHAPE, cpu(free))


LONG = replace(SHAPE, context=2**20)
"""A full context takes 96 GiB of cache."""


def test_a_context_that_memory_does_not_hold_is_the_longest_that_it_holds():
    found = settings_for(EngineConfig(), LONG, cpu(30))
    assert (found.cache_gib, found.context) == (10, (10 * GIB // (96 * 1024 * 128) - 1) * 128)
    assert found.notes == [
        "context  109,056 tokens of the model's 1,048,576, the most that fits the memory; context=109056 keeps it so"
    ]
    said = settings_for(EngineConfig(context=109_056), LONG, cpu(30))
    assert (said.cache_gib, said.context, said.notes) == (10, 109_056, [])
    with pytest.raises(BadInput, match=r"does not hold one context of 131,072 tokens \(12\.0 GiB\)"):
        settings_for(EngineConfig(context=2**17), LONG, cpu(30))


def test_a_cache_leaves_room_for_large_weights():
    heavy = replace(SHAPE, weight_bytes=10 * GIB)
    assert settings_for(EngineConfig(), heavy, cpu(16)).cache_gib == 3  # a third would be 5
    halved = replace(SHAPE, dtype="float32", weight_bytes=20 * GIB)
    assert settings_for(EngineConfig(precision="bf16"), halved, cpu(16)).cache_gib == 3


@pytest.mark.parametrize(
    ("gib", "on", "wanted"),
    [
        (2, gpus(8), 1),
        (60, gpus(8), 1),
        (70, gpus(8), 2),
        (140, gpus(8), 4),  # three do not divide 16 heads
        (400, gpus(8), 8),
        (2, gpus(3), 1),
    ],
)
def test_as_few_gpus_as_hold_a_model_share_it(gib: int, on: Capacity, wanted: int):
    found = settings_for(EngineConfig(), replace(SHAPE, weight_bytes=gib * GIB), on)
    assert (found.tensor_parallel, found.context, found.notes) == (wanted, 4096, [])


def test_gpus_divide_the_key_value_heads_too_or_copy_them():
    shape = replace(SHAPE, heads=24, kv_heads=6, weight_bytes=150 * GIB)
    assert settings_for(EngineConfig(), shape, gpus(8)).tensor_parallel == 3
    assert settings_for(EngineConfig(), replace(shape, kv_heads=1), gpus(8)).tensor_parallel == 3
    with pytest.raises(BadInput, match="tensor_parallel=4 does not divide the model's 24 heads and 6 key-value heads"):
        settings_for(EngineConfig(tensor_parallel=4), shape, gpus(8))
    with pytest.raises(BadInput, match="tensor_parallel=6 is more than the GPUs of this machine, 2"):
        settings_for(EngineConfig(tensor_parallel=6), shape, gpus(2))
    assert settings_for(EngineConfig(tensor_parallel=6), shape, gpus(8)).tensor_parallel == 6


def test_all_gpus_share_a_model_whose_context_is_shortened():
    found = settings_for(EngineConfig(), LONG, gpus(1))
    assert (found.tensor_parallel, found.context) == (1, 698_880)  # 64 GiB beside 2 of weights and 2 of the engine
    assert settings_for(EngineConfig(), LONG, gpus(2)).notes == []
    with pytest.raises(BadInput, match=r"2 GPUs hold 0\.0 GiB beside the weights, which are 400\.0 GiB"):
        settings_for(EngineConfig(), replace(LONG, weight_bytes=400 * GIB), gpus(2))


def test_the_process_leaves_no_core_idle_and_asks_no_network():
    said = environment(settings_for(EngineConfig(threads=2), SHAPE, cpu(30)))
    assert (said["OMP_NUM_THREADS"], said["VLLM_CPU_OMP_THREADS_BIND"]) == ("2", "nobind")
    assert int(said["GOMP_SPINCOUNT"]) > 0  # a moment, neither none nor without end
    assert said["HF_HUB_OFFLINE"] == "1"
    assert "OMP_NUM_THREADS" not in environment(settings_for(EngineConfig(), SHAPE, gpus(1)))


def test_a_damaged_adapter_is_named(home: Home, tmp_path: Path):
    add_shell(home, "base")
    (add_adapter(home, "lora", "base@1") / "adapter_config.json").unlink()
    with pytest.raises(Damaged, match=r"adapter_config\.json"):
        resolve(home, "lora")


def test_a_compressed_model_computes_in_bf16():
    small = replace(SHAPE, compressed=True)
    with pytest.raises(BadInput, match="which computes in bf16"):
        settings_for(EngineConfig(precision="fp32"), small, gpus(1))
    assert settings_for(EngineConfig(), small, gpus(1)).precision == "bf16"


# ── Damage ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("model.safetensors", b"", "has 0 bytes and no head"),
        ("model.safetensors", weights(1000)[:20], "has 20 bytes and no head"),
        ("model.safetensors", weights(1000)[:900], "is cut: it has 900 bytes of 1,000"),
        ("config.json", b"{", "cannot be read"),
        ("config.json", b"\xff", "cannot be read"),
        ("config.json", b"[]", "is no JSON object"),
        ("config.json", b"{}", "says nothing of the model"),
        ("config.json", b'{"a": 1}', "has no max_position_embeddings, num_hidden_layers, num_attention_heads"),
        ("config.json", json.dumps({**CONFIG, "num_attention_heads": "x"}).encode(), "has sizes that are no numbers"),
        ("config.json", json.dumps({**CONFIG, "num_attention_heads": 0}).encode(), "has sizes"),
        ("tokenizer.json", b"", "cannot be read"),
        ("tokenizer_config.json", b"{", "cannot be read"),
    ],
)
def test_a_damaged_model_is_named_with_its_file(home: Home, name: str, content: bytes, why: str):
    (add_shell(home, "base") / name).write_bytes(content)
    with pytest.raises(Damaged, match=f"{name} {why}.*just verify models/base@1"):
        resolve(home, "base")


def test_a_missing_part_of_the_weights_is_named(home: Home):
    index = json.dumps({"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}})
    (add_shell(home, "base") / "model.safetensors.index.json").write_text(index)
    with pytest.raises(Damaged, match=r"models/base@1 has no model-2.safetensors: `just verify"):
        resolve(home, "base")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("adapter_config.json", b"{"),
        ("adapter_config.json", b'{"peft_type": "LORA"}'),
        ("adapter_model.safetensors", b""),
    ],
)
def test_a_damaged_adapter_is_named_with_its_file(home: Home, name: str, content: bytes):
    add_shell(home, "base")
    (add_adapter(home, "lora", "base@1") / name).write_bytes(content)
    with pytest.raises(Damaged, match=f"{name} .*just verify models/lora@1"):
        resolve(home, "lora")


def test_a_gpt2_has_its_sizes_by_names_of_its_own(home: Home):
    said = {"n_positions": 1024, "n_layer": 12, "n_head": 12, "n_embd": 768}
    (add_shell(home, "base") / "config.json").write_text(json.dumps(said))
    shape = shape_of(resolve(home, "base"))
    assert (shape.context, shape.layers, shape.heads, shape.kv_heads, shape.head_size) == (1024, 12, 12, 12, 64)


# ── Schemes ───────────────────────────────────────────────────────────────────────────────────────────────────────────


SLOW = Machine("cpu", flags=frozenset({"amx_int8"}))


def test_a_model_that_the_machine_only_emulates_is_warned_of(home: Home):
    add_shell(home, "small", kind="quantized", scheme="fp8", parent="base@1")
    target = resolve(home, "small")
    said = check_scheme(target, SLOW)
    assert said.startswith("small@1 (fp8) is not for this machine, an answer can take minutes: ")
    assert said.endswith("Serve base@1, which it was made from, or move it to such a machine.")
    assert check_scheme(target, Machine("cuda", (9, 0))) == ""
    assert "it may be slow, or stop: it needs" in check_scheme(target, Machine("cuda", (8, 0)))
    add_shell(home, "whole", kind="quantized", scheme="w8a8", parent="base@1")
    assert check_scheme(resolve(home, "whole"), SLOW) == ""
    add_shell(home, "base")
    assert check_scheme(resolve(home, "base"), SLOW) == ""


@pytest.mark.parametrize(
    ("scheme", "why"),
    [("fp8-static", "no CPU serves it"), ("nvfp4", "no CPU serves it"), ("kv-fp8", "this CPU has no avx512f")],
)
def test_a_model_that_no_engine_here_computes_is_refused(home: Home, scheme: str, why: str):
    add_shell(home, "small", kind="quantized", scheme=scheme, parent="base@1")
    with pytest.raises(BadInput, match=rf"small@1 \({scheme}\) cannot be served here: {why}.* Serve base@1"):
        check_scheme(resolve(home, "small"), SLOW)
    assert check_scheme(resolve(home, "small"), Machine("cuda", (10, 0))) == ""
