"""Other models and starts through the whole path, two steps each: families, parents, checkpoints, longer contexts."""

import json

import pytest
from run_forks import ask, weights, words

pytestmark = pytest.mark.slow
SHORT = ("max_steps=2", "heldout_rows=2", "spikes.action=none", "evaluate_steps=2")


def loss(home, run: str) -> list[float]:
    query = f"SELECT value FROM metrics WHERE run = '{run}' AND name = 'loss' ORDER BY step"
    return [value for (value,) in ask(home, query)]


def config(home, run: str) -> dict:
    return json.loads((home.root / "models" / run / "1" / "config.json").read_text())


@pytest.fixture(scope="module")
def base(toy_runs, forks):
    """The home with a run `base` of two steps."""
    done = forks.run(*words(toy_runs, "base", *SHORT), home=toy_runs)
    assert done.status == 0, done.err
    return toy_runs


def test_gradients_summed_over_micro_batches_computed_again_and_compiled_are_the_same(base, forks):
    ways = {"micro": "microbatch_tokens=64", "again": "activation_checkpointing=1", "compiled": "compile=true"}
    for run, field in ways.items():
        done = forks.run(*words(base, run, *SHORT, field), home=base)
        assert done.status == 0, done.err
    assert loss(base, "micro") == pytest.approx(loss(base, "base"), abs=1e-5)
    assert loss(base, "compiled") == pytest.approx(loss(base, "base"), abs=1e-4)
    assert loss(base, "again") == loss(base, "base")
    assert weights(base, "again") == weights(base, "base")


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [("qwen", "Qwen3"), ("gpt2", "GPT2"), ("bert", "Bert"), ("modernbert", "ModernBert"), ("t5", "T5")],
)
def test_other_families_train(base, forks, recipe, kind):
    _, _, *fields = words(base, recipe, *SHORT)
    done = forks.run("pretrain", f"{recipe}-tiny", *fields, home=base)
    assert done.status == 0, done.err
    assert len(loss(base, recipe)) == 2
    assert config(base, recipe)["architectures"][0].startswith(kind)
    assert ask(base, f"SELECT count(*) FROM metrics WHERE run = '{recipe}' AND name = 'heldout/all/loss'") == [(2,)]


def test_a_run_goes_on_from_a_model_and_from_a_folder(base, forks):
    folder = base.root / "models/base/1"
    for run, start in (("child", "parent=base@1"), ("guest", f"model.checkpoint={folder}")):
        done = forks.run(*words(base, run, *SHORT, start), home=base)
        assert done.status == 0, done.err
    assert loss(base, "child")[0] < loss(base, "base")[0]
    assert loss(base, "guest") == loss(base, "child")
    assert ask(base, "SELECT parent FROM models WHERE model = 'child'") == [("base@1",)]


def test_longer_samples_stretch_the_context_that_a_run_goes_on_with(base, forks):
    rope = '{"kind": "linear", "factor": 2, "original_context": 64}'
    asked = (f"model.checkpoint={base.root / 'models/base/1'}", f"model.rope={rope}", "model.context=128")
    for run, start, kind in (("longer", ("parent=base@1",), "yarn"), ("asked", asked, "linear")):
        done = forks.run(*words(base, run, *SHORT, *start, "mixture=long"), home=base)
        assert done.status == 0, done.err
        found = config(base, run)
        assert found["max_position_embeddings"] == 128
        assert (found["rope_parameters"]["rope_type"], found["rope_parameters"]["factor"]) == (kind, 2.0)
    refused = forks.run(*words(base, "no", *SHORT, "mixture=long"), home=base)
    assert (refused.status, "samples of 128 tokens for a context of 64" in refused.error) == (2, True)
