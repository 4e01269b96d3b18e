"""`just prune`: the pattern is exact, the scores are Wanda's, what is out stays out, and recovery lowers the loss."""

import shutil
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from run_forks import ask, words

from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from catalog.records import Record, find, now, write_record
from eval import likelihood
from training.models.build import build
from training.models.config import ModelConfig
from training.models.optimizers import OptimizerConfig, adamw
from training.pruning.masks import (
    block_layers,
    check_together,
    check_zeros,
    keep_zeros,
    layers_of,
    lowest,
    matrix,
    zeros_of,
)
from training.pruning.prune import PruneConfig, Sample, plan, prune, zero
from training.runs.heldout import Scorer

SMALL = {"layers": 2, "hidden_size": 128, "heads": 2, "kv_heads": 2, "mlp_size": 256, "context": 64, "vocab_size": 256}


def model(family: str = "llama"):
    return build(ModelConfig.model_validate({"family": family, **SMALL}), seed=3, eos_id=0, pad_id=1)


def samples(count: int = 4) -> list[Sample]:
    random = np.random.default_rng(1)
    return [Sample(number, "web", random.integers(0, 256, 40), 0) for number in range(count)]


def test_the_lowest_of_each_four_of_each_row_or_of_all():
    scores = torch.tensor([[4.0, 1.0, 3.0, 2.0, 5.0, 5.0, 5.0, 0.0], [0.1] * 8])
    four = lowest(scores, "2:4", 0.5, by_row=True)
    assert four.tolist() == [[False, True, False, True, True, False, False, True], [True, True, False, False] * 2]
    assert lowest(scores, "unstructured", 0.25, by_row=True).sum(1).tolist() == [2, 2]
    assert lowest(scores, "unstructured", 0.5, by_row=False).sum(1).tolist() == [1, 7]


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2"])
def test_half_of_each_four_is_out_and_nothing_else_is_touched(family: str):
    hf, whole = model(family), model(family)
    zero(hf, PruneConfig(model="m", pattern="2:4"), samples())
    pruned = {id(layer.weight) for layer in layers_of(hf).values()}
    for name, layer in layers_of(hf).items():
        zeros = (matrix(layer) == 0).reshape(-1, 4).sum(1)
        assert zeros.eq(2).all(), name
    for (name, weight), before in zip(hf.named_parameters(), whole.parameters(), strict=True):
        if id(weight) not in pruned:
            assert torch.equal(weight, before), name


def test_wanda_takes_what_an_independent_formula_takes():
    """Of the second block, whose inputs come from a first one that is pruned."""
    hf, whole = model(), model()
    zero(hf, PruneConfig(model="m", sparsity=0.4), samples())
    seen = defaultdict(list)
    block = hf.model.layers[1]
    handles = [
        layer.register_forward_pre_hook(lambda _, given, name=name: seen[name].append(given[0].numpy()))
        for name, layer in block_layers(block).items()
        if name not in ("self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")
    ]
    with torch.no_grad():
        for sample in samples():
            hf(input_ids=torch.from_numpy(sample.ids)[None])
    for handle in handles:
        handle.remove()
    assert seen.keys() == {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}
    for name, inputs in seen.items():
        given = np.concatenate([rows[0] for rows in inputs]).astype(np.float64)
        weight = whole.model.layers[1].get_submodule(name).weight.detach().numpy()
        scores = np.abs(weight) * np.linalg.norm(given, axis=0)
        found = block.get_submodule(name).weight.detach().numpy() == 0
        for row in range(len(weight)):
            assert set(np.flatnonzero(found[row])) == set(np.argsort(scores[row])[: int(0.4 * weight.shape[1])])


def test_magnitude_takes_the_smallest_of_a_layer():
    hf, whole = model(), model()
    zero(hf, PruneConfig(model="m", method="magnitude", sparsity=0.3))
    for name, layer in layers_of(hf).items():
        before, gone = matrix(layers_of(whole)[name]).abs(), matrix(layer) == 0
        assert int(gone.sum()) == int(0.3 * gone.numel())
        assert before[gone].max() <= before[~gone].min()


def test_what_is_out_stays_out_after_every_step():
    hf = model()
    zero(hf, PruneConfig(model="m", method="magnitude", pattern="2:4"))
    zeros, start = zeros_of(hf), [matrix(layer).detach().clone() for layer in layers_of(hf).values()]
    keep_zeros(hf)
    optimizer = adamw(hf, OptimizerConfig(learning_rate=1e-2, weight_decay=0.5))
    ids = torch.from_numpy(samples(1)[0].ids)[None]
    for _ in range(3):
        hf(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        check_zeros(hf, zeros)
    assert not any(torch.equal(a, matrix(b)) for a, b in zip(start, layers_of(hf).values(), strict=True))
    matrix(layers_of(hf)["1.mlp.up_proj"]).data.fill_(0.5)
    with pytest.raises(Damaged, match=r"weights of 1.mlp.up_proj that were pruned are not 0"):
        check_zeros(hf, zeros)


def test_what_cannot_be_pruned_is_said_before_work(home: Home):
    models: dict[str, dict] = {
        "base": {"kind": "base"},
        "judge": {"kind": "reward", "method": "reward"},
        "graph": {"kind": "onnx", "parent": "base@1"},
        "lora": {"kind": "adapter", "parent": "base@1"},
    }
    for name, config in models.items():
        write_record(home, Record(kind="models", name=name, version="1", config=config, created=now()))
    hf = model()
    hf.save_pretrained(home.artifact("models", "base", "1"))
    (home.artifact("models", "base", "1") / "tokenizer.json").write_text("{}")
    for fields, why in (
        ({"model": "judge"}, "judge@1 is a reward model"),
        ({"model": "graph"}, "graph@1 is an ONNX graph: take base@1"),
        ({"model": "lora"}, "`just merge lora@1`"),
        ({"model": "bass"}, "Did you mean: base"),
        ({"pattern": "2:4", "sparsity": 0.3}, "sparsity=0.3: the pattern 2:4 takes out half"),
        ({}, "base@1 has no mixture in this home"),
        ({"mixture": "none"}, "none"),
        ({"method": "magnitude", "name": "a@2"}, "a@2"),
        ({"method": "magnitude", "name": "base"}, "name=base is the name of what it is made from, base@1"),
    ):
        with pytest.raises(BadInput, match=why):
            plan(PruneConfig.model_validate({"model": "base", **fields}), home)
    assert plan(PruneConfig(model="base", method="magnitude"), home).wanted.inputs == ("models/base@1",)
    pruned = Record(kind="models", name="p", version="1", config={"pruned": {"pattern": "2:4"}}, created=now())
    with pytest.raises(BadInput, match="p@1 is pruned: its zeros are kept with strategy=ddp"):
        check_together(pruned, sharded=True)


def test_room_and_whole_files_are_looked_at_before_work(home: Home, monkeypatch: pytest.MonkeyPatch):
    write_record(home, Record(kind="models", name="base", version="1", config={"kind": "base"}, created=now()))
    folder = home.artifact("models", "base", "1")
    model().save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    asked = PruneConfig(model="base", method="magnitude")
    plan(asked, home)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=12_000_000))
        with pytest.raises(BadInput, match=r"no space: 12 MB are free in .*, 20\d MB are needed"):
            plan(asked, home)
    weights, config = folder / "model.safetensors", folder / "config.json"
    whole = weights.read_bytes()
    for path, cut, why in (
        (weights, whole[:20], "model.safetensors has 20 bytes and no head"),
        (weights, whole[:-20], "model.safetensors is cut"),
        (config, b"{", "config.json cannot be read"),
        (config, b'{"model_type": "llama"}', "config.json says no hidden_size, num_hidden_layers"),
    ):
        kept = path.read_bytes()
        path.write_bytes(cut)
        with pytest.raises(Damaged, match=f"{why}.*`just verify models/base@1`"):
            plan(asked, home)
        path.write_bytes(kept)
    assert not (home.root / "models" / "base-pruned").exists()


def test_an_error_leaves_no_empty_folder(home: Home, monkeypatch: pytest.MonkeyPatch):
    write_record(home, Record(kind="models", name="base", version="1", config={"kind": "base"}, created=now()))
    folder = home.artifact("models", "base", "1")
    model().save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    job = plan(PruneConfig(model="base", method="magnitude"), home)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(NotFound, match=r"no tokenizer\.json"):
        prune(job, Scorer(likelihood.score, likelihood.rates))
    assert not (home.root / "models" / "base-pruned").exists()


@pytest.mark.slow
def test_a_pruned_model_recovers_and_keeps_its_zeros(toy_runs: Home, forks):
    from training.tuning.models import load_folder

    trained = forks.run(*words(toy_runs, "whole-p"), home=toy_runs)
    assert trained.status == 0, trained.err
    fields = ("pattern=2:4", "samples=8", "length=32", "steps=24", "batch_tokens=256", "learning_rate=1e-3", "rows=8")
    done = forks.run("prune", "whole-p", *fields, home=toy_runs)
    assert done.status == 0, done.err
    pruned, tuned = (find(toy_runs, "models", name) for name in ("whole-p-pruned", "whole-p-pruned-tuned"))
    assert (pruned.config["parent"], tuned.config["parent"]) == ("whole-p@1", "whole-p-pruned@1")
    assert pruned.config["pruned"] == tuned.config["pruned"]
    first, last = (load_folder(toy_runs.artifact("models", one.name, "1")) for one in (pruned, tuned))
    check_zeros(last, zeros_of(first))
    assert all((matrix(layer) == 0).reshape(-1, 4).sum(1).eq(2).all() for layer in layers_of(last).values())
    assert not torch.equal(matrix(layers_of(first)["0.mlp.up_proj"]), matrix(layers_of(last)["0.mlp.up_proj"]))
    query = "SELECT value FROM evaluations WHERE model = '{}' AND task = 'heldout/all' AND metric = '{}'"
    before, after, recovered = (
        ask(toy_runs, query.format(name, metric))[0][0]
        for name, metric in (
            ("whole-p-pruned", "parent_loss"),
            ("whole-p-pruned", "loss"),
            ("whole-p-pruned-tuned", "loss"),
        )
    )
    assert before < after
    assert recovered < after
    assert ask(toy_runs, "SELECT count(*) FROM calibration_samples WHERE model = 'whole-p-pruned'") == [(8,)]
    sizes = dict(
        ask(toy_runs, "SELECT metric, value FROM evaluations WHERE model = 'whole-p-pruned' AND task = 'pruned/size'")
    )
    for metric, name in (("bytes", "whole-p-pruned"), ("parent_bytes", "whole-p")):
        assert sizes[metric] == (toy_runs.artifact("models", name, "1") / "model.safetensors").stat().st_size
    assert "zeros are written as other numbers are" in done.out
    assert "is there already" in forks.run("prune", "whole-p", *fields, home=toy_runs).out
