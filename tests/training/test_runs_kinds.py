"""Other models and starts through the whole path, two steps each: families, parents, checkpoints, longer contexts."""

import pytest
from run_forks import ask, weights, words

pytestmark = pytest.mark.slow
SHORT = ("max_steps=2", "heldout_rows=0", "spikes.action=none")


def loss(home, run: str) -> list[float]:
    query = f"SELECT value FROM metrics WHERE run = '{run}' AND name = 'loss' ORDER BY step"
    return [value for (value,) in ask(home, query)]


def test_gradients_summed_over_micro_batches_and_computed_again_are_the_same(toy_runs, forks):
    ways = {"plain": (), "micro": ("microbatch_tokens=64",), "again": ("activation_checkpointing=1",)}
    for run, fields in ways.items():
        done = forks.run(*words(toy_runs, run, *SHORT, *fields), home=toy_runs)
        assert done.status == 0, done.err
    assert loss(toy_runs, "micro") == pytest.approx(loss(toy_runs, "plain"), abs=1e-5)
    assert loss(toy_runs, "again") == loss(toy_runs, "plain")
    assert weights(toy_runs, "again") == weights(toy_runs, "plain")


@pytest.mark.parametrize("family", ["qwen", "gpt2"])
def test_other_families_train(toy_runs, forks, family):
    done = forks.run(*words(toy_runs, family, *SHORT, f"model.family={family}"), home=toy_runs)
    assert done.status == 0, done.err
    assert len(loss(toy_runs, family)) == 2


def test_a_run_goes_on_from_a_model_and_from_a_folder_with_a_longer_context(toy_runs, forks):
    assert forks.run(*words(toy_runs, "base", *SHORT), home=toy_runs).status == 0
    done = forks.run(*words(toy_runs, "child", *SHORT, "parent=base@1"), home=toy_runs)
    assert done.status == 0, done.err
    folder = toy_runs.root / "models/base/1"
    rope = 'model.rope={"kind": "linear", "factor": 2, "original_context": 64}'
    longer = (f"model.checkpoint={folder}", "model.context=128", rope)
    done = forks.run(*words(toy_runs, "longer", *SHORT, *longer), home=toy_runs)
    assert done.status == 0, done.err
    assert loss(toy_runs, "child")[0] < loss(toy_runs, "base")[0]
    assert ask(toy_runs, "SELECT parent FROM models WHERE model = 'child'") == [("base@1",)]
