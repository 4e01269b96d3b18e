"""`just export-onnx`: onnxruntime says what the model says; what INT8 changes is on record; nothing else takes it."""

import json
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mixture_toys import toy_tokens
from serving_toys import add_adapter, add_record, add_shell, make_home
from toys import millrace

from catalog.errors import BadInput, Conflict, Damaged
from catalog.home import Home
from catalog.records import Record, find, now, write_record
from catalog.store import Catalog
from configs.export_onnx import scores_of
from configs.quantize import texts_of
from serving.compress import Document, QuantizeConfig
from serving.compress import plan as plan_compression
from serving.onnx_export import TYPES, OnnxConfig, plan, scores
from serving.onnx_graph import WITHIN, Beside, Found, Work, check, export_graph, probes
from serving.receipt import Receipt
from serving.target import resolve
from training.mixtures.build import build
from training.mixtures.config import MixtureConfig
from training.runs.job import check_trainable
from training.tuning.config import TuneConfig
from training.tuning.job import plan as plan_tuning


@pytest.fixture
def base(home: Home) -> Home:
    """The shell of a llama, without a mixture."""
    folder = add_shell(home, "base", kind="base")
    _say(folder, model_type="llama")
    return home


def _say(folder: Path, **more: object) -> None:
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | more))
    head = b'{"a.weight": {"dtype": "F32", "shape": [8, 8]}}'
    (folder / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head)


def planned(home: Home, model: str = "base", **fields: object):
    return plan(OnnxConfig(model=model).variant(**fields), home, partial(texts_of, home))


def test_a_graph_has_a_name_and_an_identity(base: Home):
    exact, int8 = planned(base), planned(base, int8=True)
    assert (exact.name, int8.name, exact.wanted.version) == ("base-onnx", "base-onnx-int8", "1")
    assert exact.wanted.fingerprint == planned(base, rows=9, name="other").wanted.fingerprint != int8.wanted.fingerprint
    config = int8.wanted.config
    record = Record(kind="models", name="small", version="3", config=config, fingerprint="x", created=now())
    write_record(base, record)
    with pytest.raises(Conflict, match='precision was "int8", now "fp32"'):
        planned(base, name="small", version="3")


def test_what_cannot_be_exported_is_said_before_work(base: Home):
    add_adapter(base, "lora", "base@1")
    add_shell(base, "judge", method="reward")
    add_record(base, "small", kind="quantized", scheme="w8a8", parent="base@1")
    _say(add_shell(base, "other"), model_type="mamba")
    _say(add_shell(base, "summaries"), model_type="t5", is_encoder_decoder=True)
    for model, why in (
        ("lora", "lora@1 is an adapter: `just merge lora@1`"),
        ("judge", "judge@1 is a reward model: it writes no text"),
        ("small", "small@1 is quantized already"),
        ("other", r"other@1 is a model of the type 'mamba'. Exported are: llama, .*gpt2"),
        ("summaries", "summaries@1 is an encoder-decoder model"),
        ("bass", "Did you mean: base"),
    ):
        with pytest.raises(BadInput, match=why):
            planned(base, model)
    for fields in ({"mixture": "none"}, {"name": "a@2"}, {"version": "a b"}, {"name": "base"}):
        with pytest.raises(BadInput):
            planned(base, **fields)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_model_is_said_before_work(base: Home, name: str):
    path = base.artifact("models", "base", "1") / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(Damaged, match="`just verify models/base"):
        planned(base)


def test_nothing_else_takes_a_graph(base: Home):
    add_shell(base, "graph", kind="onnx", parent="base@1")
    why = "graph@1 is an ONNX graph.*take base@1"
    with pytest.raises(BadInput, match=why):
        resolve(base, "graph")
    with pytest.raises(BadInput, match=why):
        plan_compression(QuantizeConfig(model="graph", scheme="w8a8"), base, partial(texts_of, base))
    with pytest.raises(BadInput, match=why):
        planned(base, "graph")
    with pytest.raises(BadInput, match=f"{why}, and `just export-onnx`"):
        plan_tuning(TuneConfig(method="sft", parent="graph", dataset="none"), base)
    with pytest.raises(BadInput, match=why):
        check_trainable(find(base, "models", "graph"))


def test_logits_that_are_not_the_models_are_refused():
    near = Beside(tokens=4, own_nats=8.0, nats=8.0, difference=1.5e-4, largest=2.0, agreed=5)
    assert check([near]) == 1.5e-4
    for bad in (near._replace(largest=1.0), near._replace(difference=float("nan"))):
        with pytest.raises(Damaged, match="logits of the ONNX graph differ"):
            check([bad])
    with pytest.raises(Damaged, match=r"by 0\.1, and 0\.0002 is allowed"):
        check([near], padded=0.1)


def test_what_int8_changes_is_on_record():
    exact = [Beside(9, 18.0, 18.0, 1e-6, 3.0, 10)] * 5
    int8 = [one._replace(nats=20.0, difference=0.25, agreed=8) for one in exact]
    documents = [Document("web", np.arange(10), 30.0)]
    found = {(row.task, row.metric): row for row in scores(Found(exact, int8, {}), documents, scores_of)}
    assert found["onnx/logits", "fp32_largest_difference"].value == 1e-6
    assert found["onnx/logits", "largest_difference"].value == 0.25
    assert found["onnx/logits", "same_best_token"].value == 0.8
    assert found["onnx/web", "perplexity"].value == pytest.approx(np.exp(20 / 9))
    assert found["onnx/all", "parent_perplexity"].value == pytest.approx(np.exp(2.0))
    assert len(scores(Found(exact[:4], [], {}), [], scores_of)) == 3


def test_bad_input_is_one_line_and_a_dry_run_leaves_nothing(base: Home):
    at = ["--home", str(base.root)]
    for words in (["bass"], ["base", "int4=true"], ["base", "mixture=none"]):
        done = subprocess.run(millrace("export-onnx", *words, *at), capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    done = subprocess.run(millrace("export-onnx", "base", "--dry-run", *at), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "fixed tokens alone" in done.stdout
    assert "makes    models/base-onnx@1 in fp32" in done.stdout
    assert not (base.root / "models" / "base-onnx").exists()


# ── The real onnxruntime ──────────────────────────────────────────────────────────────────────────────────────────────


def toy_model(kind: str):
    """A model of two layers, whose weights are large enough for its answers to differ."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 160}
    if kind != "gpt2":
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
        sizes |= {"num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 160}
    more = {"sliding_window": 24} if kind == "mistral" else {}
    more |= {"sliding_window": 24, "use_sliding_window": True, "max_window_layers": 1} if kind == "qwen3" else {}
    torch.manual_seed(3)
    special = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 1}
    hf = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, vocab_size=300, **sizes, **special, **more))
    for weight in hf.parameters():
        weight.data.mul_(3.0)
    return hf.eval()


@pytest.mark.slow
@pytest.mark.parametrize("kind", TYPES)
def test_a_graph_of_each_family_says_what_the_model_says(kind: str, tmp_path: Path):
    """Texts of other lengths and batches than it was made with, by a session of our own."""
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: requirements/install serving")
    import onnxruntime
    import torch

    hf = toy_model(kind)
    hf.save_pretrained(tmp_path / "model")
    (tmp_path / "out").mkdir()
    random = np.random.default_rng(5)
    rows = [random.integers(0, 300, length) for length in (2, 50, 160)]
    found = export_graph(Work(tmp_path / "model", tmp_path / "out", kind == "gpt2", rows, threads=1))
    assert [one.tokens + 1 for one in found.exact] == [*(len(row) for row in probes(hf.config)), 2, 50, 160]
    assert check(found.exact) < 1e-4
    path = tmp_path / "out" / "model.onnx"
    assert b"/serving/" not in path.read_bytes()  # no folders of this machine
    session = onnxruntime.InferenceSession(str(path))
    ids = random.integers(0, 300, (3, 41))
    said = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    with torch.no_grad():
        own = hf(input_ids=torch.from_numpy(ids)).logits.numpy()
    within = 0.1 if kind == "gpt2" else WITHIN
    assert np.abs(said - own).max() < within * np.abs(own).max()
    if kind == "gpt2":
        assert [name.name for name in (tmp_path / "out").iterdir()] == ["model.onnx"]
        assert max(one.difference for one in found.int8) > 0
        assert sum(one.agreed for one in found.int8) > 0.8 * sum(one.tokens + 1 for one in found.int8)


@pytest.mark.slow
def test_a_model_of_the_home_becomes_a_graph_on_record(tmp_path: Path):
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package, reason=f"{package} is not installed: requirements/install serving")
    home = make_home(tmp_path)
    toy_tokens(home, tmp_path, count=200)
    build(MixtureConfig(name="m", tokens=("toy",), heldout=0.1), home)
    words = ["base", "int8=true", "mixture=m", "--home", str(home.root)]
    done = subprocess.run(millrace("export-onnx", *words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the best next token is the same in" in done.stdout
    record = find(home, "models", "base-onnx-int8")
    assert (record.config["kind"], record.config["parent"], record.config["precision"]) == ("onnx", "base@1", "int8")
    folder, parent = (home.artifact("models", name, "1") for name in ("base-onnx-int8", "base"))
    for kept in ("tokenizer.json", "chat_template.jinja", "generation_config.json", "config.json"):
        assert (folder / kept).read_bytes() == (parent / kept).read_bytes()
    found = Receipt(record)
    assert found.value("onnx/logits", "fp32_largest_difference") < WITHIN * 30
    assert found.value("onnx/all", "perplexity") == pytest.approx(
        found.value("onnx/all", "parent_perplexity"), rel=0.05
    )
    with Catalog.open(home) as catalog:
        rows = catalog.sql("SELECT model FROM evaluations WHERE task = 'onnx/all' AND metric = 'perplexity'").fetchall()
    assert rows == [("base-onnx-int8",)]
    sizes = [(folder / "model.onnx").stat().st_size, (parent / "model.safetensors").stat().st_size]
    assert [found.value("onnx/size", name) for name in ("bytes", "parent_bytes")] == sizes
    before = (folder / "model.onnx").stat().st_mtime_ns
    again = subprocess.run(millrace("export-onnx", *words), capture_output=True, text=True)
    assert "is there already, made in the same way" in again.stdout
    assert (folder / "model.onnx").stat().st_mtime_ns == before
