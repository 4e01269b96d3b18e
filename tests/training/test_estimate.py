"""Estimates beside what a model really holds, FLOPs by hand, and the command."""

import pytest
import torch
from model_toys import VOCABULARY, toy_batch, toy_model

from catalog.errors import BadInput, NotFound
from configs.estimate import main, this_machine
from training.models.build import build
from training.models.config import ModelConfig
from training.models.estimate import EstimateConfig, estimate, flops_a_token, memory
from training.models.language_model import LanguageModel
from training.models.objectives import objective, objective_for
from training.models.optimizers import OptimizerConfig, adamw
from training.models.presets import PRESETS, preset


def measured(config: ModelConfig, half: bool, rows: int, length: int) -> dict[str, float]:
    """Bytes of weights, gradients, moments, and of what autograd keeps besides weights, in a real step."""
    asked = objective_for(config.family).variant(chunk_tokens=0)
    model = LanguageModel(build(config, seed=1), asked, "documents")
    batch = objective(asked, VOCABULARY, 1)(toy_batch(rows=rows, length=length, documents=1))
    sizes, kept = {weight.numel() for weight in model.parameters()}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.numel() not in sizes:  # neither a weight nor autocast's half of one
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        torch.autocast("cpu", torch.bfloat16, enabled=half),
    ):
        loss = model(batch)["loss"]
    optimizer = adamw(model, OptimizerConfig())
    loss.backward()
    optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    return {
        "weights": sum(weight.nbytes for weight in model.parameters()),
        "gradients": sum(weight.grad.nbytes for weight in model.parameters()),
        "optimizer": sum(moment.nbytes for moment in moments),
        "activations": sum(tensor.untyped_storage().nbytes() for tensor in kept.values()),
    }


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2", "bert", "modernbert"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_memory_is_what_a_model_holds(family: str, precision: str):
    model, rows, length = toy_model(family, layers=6), 2, 127
    expected = memory(EstimateConfig(precision=precision), model, length, "ddp", rows)
    found = measured(model, precision == "bf16", rows, length)
    for part in ("weights", "gradients", "optimizer"):
        assert getattr(expected, part) == found[part]
    kept = expected.activations + expected.logits / 3  # of a logit's 12 bytes autograd keeps 4
    assert kept == pytest.approx(found["activations"], rel=0.1)


def test_fewer_keys_and_heads_are_fewer_bytes():
    model = toy_model("llama", layers=6, kv_heads=1)
    expected, found = memory(EstimateConfig(precision="fp32"), model, 127, "ddp", 2), measured(model, False, 2, 127)
    assert expected.activations + expected.logits / 3 == pytest.approx(found["activations"], rel=0.1)


def test_flops_by_hand():
    """6 N plus 12 · layers · width · keys, and what PyTorch counts in a real step of Llama."""
    model = toy_model("llama", layers=6)
    flops = flops_a_token(model, 96)
    weights = 6 * (4 * 128 * 128 + 3 * 128 * 256) + 512 * 128
    assert flops == pytest.approx(6 * weights + 12 * 6 * 128 * 48, rel=2e-3)  # norms are counted as weights too
    from torch.utils.flop_counter import FlopCounterMode

    language_model = LanguageModel(build(model), objective_for("llama"))
    batch = objective(language_model.config, VOCABULARY, 1)(toy_batch(rows=2, length=96))
    with FlopCounterMode(display=False) as counter:
        language_model(batch)["loss"].backward()
    assert counter.get_total_flops() / (2 * 96) == pytest.approx(
        6 * weights, rel=1e-4
    )  # it counts no attention on a CPU


def test_a_window_and_a_longer_row_change_attention_alone():
    wide, narrow = toy_model("qwen", layers=4), toy_model("qwen", layers=4, sliding_window=32)
    assert flops_a_token(wide, 256) - flops_a_token(narrow, 256) == 12 * 128 * 3 * (128 - 32)
    assert flops_a_token(wide, 512) - flops_a_token(wide, 256) == 12 * 128 * 4 * 128


def test_an_estimate_adds_up():
    found = estimate(EstimateConfig(model="1b", gpus=8, tokens=20e9, price=2.5), {"web": (0.8, 4_000_000_000)})
    assert (found.strategy, found.steps) == ("fsdp2", 9537)
    assert found.fits
    assert found.epochs == {"web": 4.0}
    assert found.cost == pytest.approx(found.hours * 20)
    assert found.tokens_a_parameter == pytest.approx(20e9 / preset("1b").parameters)
    twice = estimate(EstimateConfig(model="1b", gpus=16, tokens=20e9))
    assert twice.hours == pytest.approx(found.hours / 2)
    assert twice.memory.optimizer == pytest.approx(found.memory.optimizer / 2)


def test_checkpointed_activations_let_more_rows_in():
    plain, again = (estimate(EstimateConfig(model="7b", gpus=64, activation_checkpointing=on)) for on in (False, True))
    assert again.micro_rows > plain.micro_rows
    assert not estimate(EstimateConfig(model="7b", strategy="ddp", gpus=64)).fits


@pytest.mark.parametrize("name", [name for name in PRESETS if not name.startswith("t5")])
def test_every_model_has_an_estimate(name: str):
    assert estimate(EstimateConfig(model=name, gpu="h200")).hours > 0


def test_this_machine_is_measured_and_holds_more_than_its_model(capsys: pytest.CaptureFixture[str]):
    machine = this_machine()
    assert 0.001 < machine.tflops < 1000
    found = estimate(machine.variant(model="tiny"))
    assert found.hours == pytest.approx(
        found.tokens * found.flops_a_token / (machine.tflops * 1e12 * machine.mfu) / 3600
    )
    assert found.memory.process > 2**30
    assert estimate(EstimateConfig(model="tiny", gpu="odd", tflops=1, gib=10)).memory.process == 0
    assert main(["model=tiny", "gpu=cpu"]) == 0
    assert "TFLOP/s, as this machine is now" in capsys.readouterr().out


def test_what_cannot_be_is_refused():
    with pytest.raises(NotFound, match="no GPU"):
        estimate(EstimateConfig(gpu="h1000"))
    with pytest.raises(BadInput, match="no row"):
        estimate(EstimateConfig(batch_tokens=1024))
    with pytest.raises(BadInput, match="t5 has no estimate"):
        estimate(EstimateConfig(model="t5-base"))


def test_the_command_prints_hours_and_cost(capsys: pytest.CaptureFixture[str]):
    assert main(["model=1b", "gpus=8", "tokens=20e9", "price=2.5"]) == 0
    printed = capsys.readouterr().out
    for words in ("1,040.3 M parameters", "9,537 steps with fsdp2", "hours on 8 h100", "cost ", "optimizer"):
        assert words in printed
    assert main(["--models"]) == 0
    assert "modernbert-base" in capsys.readouterr().out
