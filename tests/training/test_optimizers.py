"""Schedules and optimizers: rates by hand, groups of decay, clipping, moving averages."""

import pytest
import torch
from model_toys import toy_batch, toy_model

from catalog.errors import BadInput
from training.models.build import build
from training.models.language_model import LanguageModel
from training.models.objectives import ObjectiveConfig, causal
from training.models.optimizers import MovingAverage, OptimizerConfig, adamw, clip_gradients, weight_groups
from training.models.schedules import ScheduleConfig, rate_factor


@pytest.mark.parametrize(
    ("kind", "final", "expected"),
    [
        ("cosine", 0.1, {0: 0, 50: 0.5, 100: 1, 550: 0.55, 1000: 0.1, 1200: 0.1}),
        ("linear", 0.0, {50: 0.5, 100: 1, 550: 0.5, 1000: 0}),
        ("wsd", 0.0, {50: 0.5, 100: 1, 799: 1, 850: 0.5, 1000: 0}),
        ("constant", 0.1, {50: 0.5, 100: 1, 1000: 1}),
    ],
)
def test_rates_by_hand(kind: str, final: float, expected: dict[int, float]):
    config = ScheduleConfig(kind=kind, warmup_tokens=100, final_factor=final)
    assert {tokens: rate_factor(config, tokens, 1000) for tokens in expected} == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["cosine", "linear", "wsd"])
def test_a_rate_only_falls_after_the_warm_up(kind: str):
    config = ScheduleConfig(kind=kind, warmup_tokens=100)
    rates = [rate_factor(config, tokens, 1000) for tokens in range(100, 1001, 10)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_a_schedule_longer_than_the_run_is_refused():
    with pytest.raises(BadInput, match="longer than the run of 1,000"):
        ScheduleConfig(kind="wsd", warmup_tokens=600, decay_tokens=500).check(1000)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "modernbert", "t5"])
def test_norms_biases_and_embeddings_do_not_decay(family: str):
    model = build(toy_model(family), device="meta")
    decayed, spared = weight_groups(model, OptimizerConfig())
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    for weight in decayed["params"]:
        assert weight.ndim == 2
        assert "norm" not in names[id(weight)]
    embedding = model.get_input_embeddings().weight
    assert any(weight is embedding for weight in spared["params"])
    decayed, _ = weight_groups(model, OptimizerConfig(decay_embeddings=True))
    assert any(weight is embedding for weight in decayed["params"])


def trained(steps: int, decay: float = 0.5) -> tuple[LanguageModel, MovingAverage, list[torch.Tensor]]:
    model = LanguageModel(build(toy_model("llama"), seed=1), ObjectiveConfig(), "documents")
    optimizer, average, seen = adamw(model, OptimizerConfig(learning_rate=1e-3)), MovingAverage(model, decay), []
    seen.append(model.hf.model.norm.weight.detach().clone())
    for step in range(steps):
        model(causal(toy_batch(seed=step), model.config))["loss"].backward()
        assert clip_gradients(model.parameters(), 0.1) > 0.1
        assert clip_gradients(model.parameters(), 0) <= 0.1001
        optimizer.step()
        optimizer.zero_grad()
        average.update()
        seen.append(model.hf.model.norm.weight.detach().clone())
    return model, average, seen


def test_the_average_is_in_the_model_only_inside_the_block():
    model, average, seen = trained(3)
    expected = seen[0]
    for update, weight in enumerate(seen[1:], start=1):
        expected = expected.lerp(weight, max(0.5, 1 / (update + 1)))
    with average.in_place():
        torch.testing.assert_close(model.hf.model.norm.weight.detach(), expected)
    assert torch.equal(model.hf.model.norm.weight, seen[-1])


def test_an_average_goes_on_from_its_state():
    model, average, _ = trained(2)
    again = MovingAverage(model, 0.5)
    again.load_state_dict(average.state_dict())
    average.update()
    again.update()
    for name, weight in average.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])


def test_the_loss_falls():
    model = LanguageModel(build(toy_model("llama"), seed=1), ObjectiveConfig(), "documents")
    optimizer, batch = adamw(model, OptimizerConfig(learning_rate=3e-3)), causal(toy_batch(), ObjectiveConfig())
    losses = []
    for _ in range(15):
        losses.append(model(batch)["loss"])
        losses[-1].backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < losses[0] - 1
