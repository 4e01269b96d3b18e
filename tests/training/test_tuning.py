"""Every method of tuning on a tiny model: what should move does, on rows that were held out; what is frozen stays."""

import json

import pytest
import torch
from run_forks import ask
from safetensors.torch import load_file
from tuning_toys import make_home, measured, tuned

from catalog.errors import BadInput
from catalog.home import Home
from configs import watch
from training.tuning.config import TuneConfig
from training.tuning.job import plan
from training.tuning.model import merge
from training.tuning.models import load_folder
from training.tuning.template import load_chat

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return make_home(tmp_path_factory.mktemp("tuning"))


@pytest.fixture(scope="module")
def answering(home) -> str:
    """A model that answers what is asked."""
    return str(tuned(home, run="answering", dataset="asked", max_steps=40, epochs=20).model.ref)


def weights(home: Home, model: str) -> dict[str, torch.Tensor]:
    return load_file(home.root / "models" / model / "1" / "model.safetensors")


def test_sft_learns_answers_and_remembers_what_it_read(home, answering):
    losses = measured(home, "answering", "heldout/asked/loss")
    assert losses[-1] < losses[0] / 3
    rows = ask(home, "SELECT kind, parent_model, datasets, status FROM runs WHERE run = 'answering'")
    assert rows == [("sft", "base@1", "asked@1", "finished")]
    assert ask(home, "SELECT model, parent, kind FROM models WHERE run = 'answering'") == [
        ("answering", "base@1", "sft")
    ]
    read = ask(home, "SELECT count(*), count(DISTINCT row_id) FROM consumed_rows WHERE run = 'answering'")
    batches = ask(home, "SELECT count(*), count(DISTINCT sample_id) FROM batches WHERE run = 'answering'")
    assert read == batches
    said = ask(home, "SELECT said FROM batch_rows('answering', 1)")
    assert all("Where is the" in text for (text,) in said)
    score = ask(
        home, "SELECT value FROM evaluations WHERE model = 'answering' AND task = 'heldout/asked' AND metric = 'loss'"
    )
    assert score == [(losses[-1],)]


def test_packing_changes_no_loss_and_no_row_sees_another(home):
    """The first step's loss is the mean over answers' tokens of the same rows, packed or one by one."""
    first = {}
    for name, packing in (("packed", True), ("single", False)):
        tuned(home, run=name, dataset="asked", packing=packing, batch_rows=4 if packing else 12, max_steps=1)
        first[name] = measured(home, name, "heldout/asked/loss")[0]
    assert first["packed"] == pytest.approx(first["single"], rel=1e-5)


def test_replay_is_read_on_record_and_keeps_what_was_known(home):
    known = tuned(home, run="known", dataset="plain", max_steps=4)
    assert known.run.counts["kind"] == "sft"
    done = tuned(
        home,
        run="replayed",
        dataset="asked",
        replay={"share": 0.25, "mixture": "m"},
        forgetting_rows=4,
        max_steps=20,
        epochs=10,
    )
    rows = ask(home, "SELECT count(*) FILTER (sample_id > 0), count(DISTINCT step) FROM batches WHERE run = 'replayed'")
    tokens = measured(home, "replayed", "tokens")[-1]
    assert rows[0][1] == 20
    assert 64 * rows[0][0] / tokens == pytest.approx(0.25, abs=0.02)  # a quarter of the tokens, in parts of 64
    assert ask(home, "SELECT count(*) FROM consumed WHERE run = 'replayed'")[0][0] > 0
    assert "mixtures/m@1" in done.run.inputs
    domains = ask(home, "SELECT DISTINCT task FROM evaluations WHERE model = 'replayed' ORDER BY 1")
    assert {task for (task,) in domains} >= {"heldout/asked", "heldout/web"}
    before, after = (measured(home, "replayed", "heldout/web/bits_per_byte")[at] for at in (0, -1))
    assert after < before


def test_dpo_margin_grows_and_chosen_answers_win(home, answering):
    tuned(home, run="preferring", method="dpo", parent="answering", dataset="liked", max_steps=12, epochs=9)
    margins, right = (measured(home, "preferring", f"heldout/liked/reward_{name}") for name in ("margin", "accuracy"))
    assert margins[-1] > margins[0] + 1
    assert right[-1] > 0.9
    asked = "FROM evaluations WHERE model = 'preferring' AND metric = 'reward_accuracy'"
    assert ask(home, f"SELECT n, stderr < 0.06 {asked}") == [(32, True)]


@pytest.mark.parametrize("dataset", ["votes", "liked"])
def test_kto_learns_from_single_answers(home, answering, dataset):
    run = f"voted-{dataset}"
    tuned(home, run=run, method="kto", parent="answering", dataset=dataset, max_steps=12, epochs=9)
    margins = measured(home, run, f"heldout/{dataset}/reward_margin")
    assert margins[-1] > margins[0] + 1
    rows = ask(home, f"SELECT DISTINCT count(*) FROM batches WHERE run = '{run}' GROUP BY step")
    assert rows == [(8,)]  # both sides of a preference that are in one step are on record


def test_held_out_rows_that_fill_no_batch_are_scored_all_the_same(home, answering):
    tuned(home, run="few", method="kto", parent="answering", dataset="votes", max_steps=1, heldout_rows=5)
    few = "FROM evaluations WHERE model = 'few' AND task = 'heldout/votes'"
    assert ask(home, f"SELECT DISTINCT n {few}") == [(5,)]
    assert ask(home, f"SELECT count(*) > 0 {few} AND metric = 'reward_margin'") == [(True,)]


def test_a_reward_model_tells_good_from_bad_and_grpo_follows_it(home, answering, capsys):
    tuned(home, run="judge", method="reward", dataset="liked", max_steps=12, epochs=9)
    assert measured(home, "judge", "heldout/liked/accuracy")[-1] > 0.9
    fields = {"method": "grpo", "parent": "answering", "dataset": "asked", "batch_rows": 16}
    how = {"rewards": ["format"], "model": "judge", "generations": 4, "completion_tokens": 8}
    done = tuned(home, run="judged", **fields, grpo=how, max_steps=2)
    assert "models/judge@1" in done.run.inputs
    watch.main(["judged", "--once", "--home", str(home.root)])
    assert ", reward " in capsys.readouterr().out
    with pytest.raises(BadInput, match="writes no text"):
        tuned(home, run="x", dataset="asked", parent="judge")
    with pytest.raises(BadInput, match="is no reward model"):
        tuned(home, run="x", **fields, grpo={**how, "model": "base"})


def test_an_exact_answer_is_rewarded_more_and_more(home):
    tuned(home, run="unsure", dataset="said", max_steps=30, epochs=20)
    how = {"generations": 8, "completion_tokens": 4}
    tuned(
        home,
        run="sure",
        method="grpo",
        parent="unsure",
        dataset="wanted",
        batch_rows=32,
        max_steps=24,
        epochs=20,
        grpo=how,
        learning_rate=1e-3,
        schedule="constant",
    )
    rewards = measured(home, "sure", "heldout/wanted/reward")
    drawn = measured(home, "sure", "reward")
    assert (rewards[0], rewards[-1]) == (0.0, 1.0)  # greedy answers: what was said more often, then what is rewarded
    assert sum(drawn[:3]) / 3 < 0.4 < 0.7 < sum(drawn[-3:]) / 3


def test_code_that_passes_its_tests_is_rewarded_in_a_sandbox(home, tmp_path):
    from tuning_toys import add_dataset

    rows = [{"prompt": f"Print {n}.", "response": f"assert {n} == {n}"} for n in range(60)]
    add_dataset(home, tmp_path, "tasks", rows)
    how = {"rewards": ["code", "format"], "generations": 2, "completion_tokens": 4, "pattern": ".*"}
    tuned(home, run="coder", method="grpo", dataset="tasks", batch_rows=4, max_steps=1, grpo=how, heldout_rows=2)
    assert ask(home, "SELECT count(*) FROM metrics WHERE run = 'coder' AND name = 'rewards_code_mean'") == [(1,)]


def test_prompts_come_with_their_tools_and_every_token_is_counted(home, tmp_path, monkeypatch):
    from trl.trainer.grpo_trainer import GRPOTrainer
    from tuning_toys import add_dataset

    said = lambda n: [{"role": "user", "content": f"Rain at {n}?"}, {"role": "assistant", "content": "yes"}]  # noqa: E731
    tools = [{"type": "function", "function": {"name": "rainfall"}}]
    add_dataset(home, tmp_path, "tooled", [{"messages": said(n), "tools": tools} for n in range(60)])
    seen, real = [], GRPOTrainer._generate_and_score_completions

    def watched(self, inputs):
        made = real(self, inputs)
        seen.append(made)
        return made

    monkeypatch.setattr(GRPOTrainer, "_generate_and_score_completions", watched)
    how = {"generations": 2, "completion_tokens": 4}
    done = tuned(
        home, run="tooled", method="grpo", dataset="tooled", batch_rows=4, max_length=128, max_steps=2, grpo=how
    )
    masks = [sum(int(one[f"{part}_mask"].sum()) for part in ("prompt", "completion")) for one in seen]
    assert measured(home, "tooled", "tokens") == [masks[0], sum(masks)]
    assert done.run.counts["tokens"] == sum(masks)
    chat = load_chat(home.root / "models/tooled/1")
    assert all("rainfall" in text for text in chat.tokenizer.batch_decode(seen[0]["prompt_ids"]))


def test_a_small_model_learns_from_a_large_one(home):
    tuned(home, run="teacher", parent="wide", dataset="asked", max_steps=40, epochs=20)
    for mode in ("logits", "on-policy"):
        how = {"teacher": "teacher", "mode": mode, "weight": 1.0, "completion_tokens": 8}
        many = {"max_steps": 20, "epochs": 20} if mode == "logits" else {"max_steps": 3}
        tuned(home, run=f"pupil-{mode}", method="distill", dataset="asked", distill=how, **many)
    losses = measured(home, "pupil-logits", "heldout/asked/loss")
    assert losses[-1] < losses[0] / 2
    divergence = measured(home, "pupil-on-policy", "loss")
    assert divergence[-1] < divergence[0]


def test_a_classifier_names_classes(home):
    done = tuned(home, run="places", method="classifier", dataset="topics", max_steps=30, epochs=20)
    assert done.model.config["classes"] == ["east", "north", "south", "west"]
    assert measured(home, "places", "heldout/topics/accuracy")[-1] > 0.9
    assert measured(home, "places", "heldout/topics/macro_f1")[-1] > 0.9
    model = load_folder(home.root / "models/places/1", labels=4)
    assert model.config.id2label[0] == "east"


def test_frozen_layers_stay_and_the_rest_moves(home):
    tuned(home, run="frozen", dataset="asked", freeze_layers=1, max_steps=2)
    before, after = weights(home, "base"), weights(home, "frozen")
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == {name for name in before if ".layers.0." in name or "embed_tokens" in name}


@pytest.mark.parametrize("method", ["sft", "dpo", "reward"])
def test_an_adapter_leaves_its_base_and_merges_to_the_same_logits(home, answering, method):
    run, dataset = f"lora-{method}", "asked" if method == "sft" else "liked"
    before = weights(home, "answering")
    done = tuned(
        home, run=run, method=method, parent="answering", dataset=dataset, adapter={"kind": "lora"}, max_steps=3
    )
    assert (done.model.config["kind"], done.model.config["parent"]) == ("adapter", "answering@1")
    folder = home.root / "models" / run / "1"
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == "answering@1"
    record, fresh = merge(home, run)
    assert fresh
    assert record.counts["logit_difference"]["largest"] < 1e-4
    settings = json.loads((home.root / "models" / record.name / "1" / "config.json").read_text())
    assert len(settings["eos_token_id"]) == 2  # the end of a turn, and of a text
    with pytest.raises(BadInput):
        merge(home, run, "a/b")
    assert merge(home, run) == (record, False)
    after = weights(home, "answering")
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(BadInput, match=f"just merge {run}@1"):
        plan(TuneConfig(method="dpo", parent=run, dataset="liked", max_length=64), home)
    with pytest.raises(BadInput, match="is no adapter"):
        merge(home, f"{run}-merged")
    if method == "reward":
        judged = {"method": "grpo", "parent": "answering", "dataset": "asked", "max_length": 96}
        with pytest.raises(BadInput, match=rf"{run}@1 is an adapter: `just merge {run}@1`"):
            plan(TuneConfig.model_validate({**judged, "grpo": {"model": run, "completion_tokens": 8}}), home)


def test_prefix_tuning_learns_a_prefix_alone(home, answering):
    done = tuned(
        home,
        run="prefix",
        parent="answering",
        dataset="said",
        adapter={"kind": "prefix", "virtual_tokens": 4},
        max_steps=6,
        learning_rate=1e-2,
    )
    losses = measured(home, "prefix", "heldout/said/loss")
    assert losses[-1] < losses[0]
    assert done.model.config["parameters"] < 20_000
    with pytest.raises(BadInput, match="is a prefix"):
        merge(home, "prefix")
