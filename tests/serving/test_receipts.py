"""Compressed models with the real llm-compressor and the real vLLM: same bytes, served, and within their receipts."""

import hashlib
import json
import math
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from mixture_toys import toy_tokens
from serving_toys import make_home
from toys import millrace

from catalog.home import Home
from catalog.records import find, write_record
from catalog.store import Catalog
from catalog.weights import heads_of
from configs.quantize import texts_of
from data.instructions.config import DatasetConfig
from data.instructions.prepare import prepare
from serving.receipt import Receipt
from serving.schemes import known, machine, why_not
from training.mixtures.build import build
from training.mixtures.config import MixtureConfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMALL = ["mixture=m", "samples=16", "length=64", "threads=1", "cache_gib=1", "repeats=1", "rows=8"]
WITHIN = 0.01
"""The most by which perplexity of engine and transformers differs: integer kernels round activations elsewhere."""


def run(home: Home, *words: str) -> str:
    done = subprocess.run(millrace(*words, "--home", str(home.root)), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The model base, said to be tuned on the dataset mills, and the mixture m; base-w8a8, compressed and measured."""
    for package in ("vllm", "llmcompressor"):
        pytest.importorskip(package, reason=f"{package} is not installed: requirements/install serving")
    folder = tmp_path_factory.mktemp("compressed")
    home = make_home(folder)
    toy_tokens(home, folder, count=200)
    build(MixtureConfig(name="m", tokens=("toy",), heldout=0.1), home)
    path = folder / "mills.jsonl"
    path.write_text(
        "".join(json.dumps({"instruction": f"Mill {n}?", "output": f"Brook {n}."}) + "\n" for n in range(40))
    )
    prepare(DatasetConfig(name="mills", input=(str(path),), held_out=0.25), home)
    write_record(home, find(home, "models", "base").model_copy(update={"inputs": ("datasets/mills@1",)}))
    (folder / "said").write_text(run(home, "quantize", "base", "w8a8", *SMALL))
    return home


def weights(home: Home, name: str) -> dict[str, str]:
    folder = home.artifact("models", name, "1")
    names = ("model.safetensors", "config.json", "chat_template.jinja", "generation_config.json")
    return {file: hashlib.sha256((folder / file).read_bytes()).hexdigest() for file in names}


def test_the_same_input_gives_the_same_bytes_also_after_a_kill(models: Home):
    words = ["quantize", "base", "w8a8", *SMALL, "name=again", "receipt=false"]
    folder = models.artifact("models", "again", "1")
    process = subprocess.Popen(millrace(*words, "--home", str(models.root)), stderr=subprocess.DEVNULL)
    while not folder.exists() and process.poll() is None:
        time.sleep(0.1)
    below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert not psutil.wait_procs(below, 30)[1]  # they die with it
    assert not (folder / "record.json").exists()
    said = run(models, *words)
    assert "next     just serve again@1" in said
    assert weights(models, "again") == weights(models, "base-w8a8")
    parent = weights(models, "base")
    for kept in ("chat_template.jinja", "generation_config.json"):
        assert weights(models, "again")[kept] == parent[kept]
    with Catalog.open(models) as catalog:
        rows = [
            catalog.sql(f"SELECT sample_id, tokens_hash FROM calibration_samples WHERE model = '{name}' ORDER BY row")
            for name in ("again", "base-w8a8")
        ]
        assert rows[0].fetchall() == rows[1].fetchall() != []
        known = catalog.sql("SELECT model, version, parent, kind FROM models WHERE model = 'again'").fetchall()
    assert known == [("again", "1", "base@1", "quantized")]


@pytest.mark.parametrize("model", ["base", "base-w8a8"])
def test_perplexity_is_within_the_receipt(models: Home, model: str):
    """Of the same held-out documents, by transformers."""
    import torch
    from transformers import AutoModelForCausalLM

    receipt = Receipt(find(models, "evaluations", f"{model}-served"))
    texts = texts_of(models, find(models, "models", "base"), "m")
    assert texts
    hf = AutoModelForCausalLM.from_pretrained(models.artifact("models", model, "1")).eval()
    sums: dict[str, list[float]] = {}
    with torch.no_grad():
        for document in texts.heldout(8):
            ids = torch.from_numpy(document.ids)[None]
            logits = hf(input_ids=ids).logits[0, :-1].float()
            nats = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum")
            for domain in (document.domain, "all"):
                lost, count = sums.get(domain, [0.0, 0])
                sums[domain] = [lost + float(nats), count + ids.shape[1] - 1]
    assert {f"served/{domain}" for domain in sums} == set(receipt.tasks("perplexity"))
    within = WITHIN if model != "base" else 1e-4
    for domain, (lost, count) in sums.items():
        assert receipt.value(f"served/{domain}", "perplexity") == pytest.approx(math.exp(lost / count), rel=within)
    size = (models.artifact("models", model, "1") / "model.safetensors").stat().st_size
    assert receipt.value("served/size", "bytes") == size


def test_its_answers_are_scored_as_an_exam_scores_them(models: Home):
    run(models, "exam", "base", "base-w8a8", "dataset=mills")
    exam = find(models, "evaluations", "exam-base-1")
    assert isinstance(own := exam.counts["models"], dict)
    for model in ("base", "base-w8a8"):
        receipt = Receipt(find(models, "evaluations", f"{model}-served"))
        for measure in ("exact", "partial"):
            assert receipt.value("served/exam/mills@1", f"{measure}_match") == own[f"{model}@1"][measure]["value"]  # type: ignore


def test_a_compressed_model_answers(models: Home, tmp_path: Path):
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": "the mill"}, {"messages": [{"role": "user", "content": "river"}]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(models, "generate", "base-w8a8", str(path), "temperature=0", "max_tokens=8", "threads=1", "cache_gib=1")
    answers = [json.loads(line) for line in (tmp_path / "prompts.answers.jsonl").read_text().splitlines()]
    assert [row["tokens"] for row in answers] == [8, 8] or all(row["finish_reason"] == "stop" for row in answers)


def test_what_cannot_be_served_here_is_written_all_the_same(models: Home):
    said = run(models, "quantize", "base", "fp8-static", *SMALL)
    assert "served   not here: no CPU serves it" in said
    assert "next     serve it elsewhere: no CPU serves it: an NVIDIA GPU of compute capability 8.9 or more" in said
    config = json.loads((models.artifact("models", "base-fp8-static", "1") / "config.json").read_text())
    assert config["quantization_config"]["format"] == "float-quantized"
    assert not (models.root / "evaluations" / "base-fp8-static-served").exists()


@pytest.mark.parametrize(
    ("scheme", "name", "bits", "tensors"),
    [
        ("w4a16-awq", "base-w4a16-awq-kv", 4, ("q_proj.weight_packed", "q_proj.weight_zero_point")),
        ("kv-fp8", "base-kv-fp8", None, ("q_proj.weight",)),
        ("fp8", "base-fp8", 8, ("q_proj.weight", "q_proj.weight_scale")),
    ],
)
def test_other_schemes_are_made_served_and_measured(models: Home, scheme: str, name: str, bits: int, tensors: tuple):
    """AWQ with the key-value cache in FP8 besides, that cache alone, and FP8: where this machine can serve them."""
    cache = scheme != "fp8"
    said = run(models, "quantize", "base", scheme, *SMALL, *(["kv_cache=true"] if cache else []))
    record, folder = find(models, "models", name), models.artifact("models", name, "1")
    assert (record.config["scheme"], record.config["kv_cache"], record.config["parent"]) == (scheme, cache, "base@1")
    assert ("mixtures/m@1" in record.inputs) == cache == (record.counts["calibration_samples"] == 16)
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    assert [group["weights"]["num_bits"] for group in config["config_groups"].values()] == ([bits] if bits else [])
    assert bool(config.get("kv_cache_scheme")) == cache
    there = heads_of(folder)
    scales = ("k_scale", "v_scale") if cache else ()
    for tensor in (*tensors, *scales):
        assert f"model.layers.0.self_attn.{tensor}" in there
    if why := why_not(known(scheme), machine(), cache):
        assert f"next     serve it elsewhere: {why}" in said
        return
    assert f"next     just serve {name}@1" in said
    own, made = (Receipt(find(models, "evaluations", f"{one}-served")) for one in ("base", name))
    assert made.value("served/all", "perplexity") == pytest.approx(own.value("served/all", "perplexity"), rel=0.1)
    assert made.value("served/size", "bytes") == (folder / "model.safetensors").stat().st_size


def test_a_search_names_the_smallest_that_holds(models: Home):
    words = ["compress-search", "base", *SMALL, "schemes=w8a8,w4a16,fp8-static", "max_loss=50%"]
    said = run(models, *words)
    assert "skipped  fp8-static: no CPU serves it" in said
    best = next(line for line in said.splitlines() if line.startswith("smallest "))
    assert best.startswith("smallest base-w4a16@1, w4a16:")
    assert said.splitlines()[-1] == "next     just serve base-w4a16@1"
    none = run(models, *words, "max_loss=0%", "schemes=w4a16")  # found made and measured: no engine starts
    assert "none holds: w4a16 loses least" in none.splitlines()[-1] or "smallest base-w4a16" in none
    with Catalog.open(models) as catalog:
        tasks = catalog.sql("SELECT DISTINCT metric FROM evaluations WHERE model = 'base-w4a16' ORDER BY 1").fetchall()
    assert [name for (name,) in tasks] == [
        "bits_per_byte",
        "bytes",
        "decode_tokens_per_second",
        "exact_match",
        "loss",
        "partial_match",
        "perplexity",
        "prefill_tokens_per_second",
    ]
