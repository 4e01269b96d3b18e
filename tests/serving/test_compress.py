"""`just quantize`: what cannot be is said in a line before any work; calibration samples are drawn and on record."""

import json
import shutil
import struct
import subprocess
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from mixture_toys import toy_tokens
from serving_toys import add_adapter, add_record, add_shell
from tokens_toys import write_tokenizer
from toys import millrace

from catalog.calibration import write_samples
from catalog.errors import BadInput, Conflict, Damaged, NotFound
from catalog.home import Home
from catalog.index import put_into_catalog
from catalog.records import Record, file_entry, now, write_record
from catalog.store import Catalog
from configs.quantize import main as quantize_main
from configs.quantize import search_main, texts_of
from serving.compress import QuantizeConfig, plan
from serving.engine import EngineConfig
from serving.receipt import MeasureConfig, asked
from serving.schemes import SCHEMES, Machine, Shape, check_layers, chosen, known, layers_of, needs, size_of, why_not
from serving.search import Trial, loss_of, smallest, to_try
from training.loader.excerpts import drawn, heldout
from training.mixtures.build import build
from training.mixtures.config import MixtureConfig
from training.mixtures.reading import load_mixture
from training.sample_ids import whole
from training.tuning.config import TuneConfig
from training.tuning.job import plan as plan_tuning

LAYERS = {
    f"model.layers.{at}.{name}": shape
    for at in (0, 1)
    for name, shape in {
        "self_attn.q_proj": (128, 128),
        "self_attn.k_proj": (64, 128),
        "self_attn.v_proj": (64, 128),
        "self_attn.o_proj": (128, 128),
        "mlp.gate_proj": (320, 128),
        "mlp.up_proj": (320, 128),
        "mlp.down_proj": (128, 320),
    }.items()
}
PLAIN_CPU, AVX512 = Machine("cpu"), Machine("cpu", flags=frozenset({"avx512f"}))
AMX = Machine("cpu", flags=frozenset({"avx512f", "amx_tile", "amx_int8"}))
TURING, HOPPER, BLACKWELL = (Machine("cuda", capability) for capability in ((7, 5), (9, 0), (10, 0)))


def write_head(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file that has no more than its head."""
    head = json.dumps({f"{name}.weight": {"dtype": "BF16", "shape": shape} for name, shape in shapes.items()}).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the heads of its weights, and the mixture m of its tokenizer."""
    folder = tmp_path_factory.mktemp("made")
    home = Home(folder / "lake")
    place, tokenizer = add_shell(home, "base", kind="base"), write_tokenizer(folder / "tokenizer")
    (place / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    write_head(place / "model.safetensors", {"model.embed_tokens": (700, 128), "model.norm": (128,), **LAYERS})
    toy_tokens(home, folder, count=200)
    build(MixtureConfig(name="m", tokens=("toy",), heldout=0.1), home)
    return home.root


@pytest.fixture
def base(made: Path, home: Home) -> Home:
    """A copy of it."""
    shutil.copytree(made, home.root)
    return home


def planned(home: Home, model: str = "base", scheme: str = "w8a8", mixture: str = "m", **fields: object):
    config = QuantizeConfig(model=model, scheme=scheme).variant(**{"calibration": {"mixture": mixture}, **fields})
    return plan(config, home, partial(texts_of, home))


def test_the_layers_of_a_model_are_read_without_loading_it(base: Home):
    found = layers_of(base.artifact("models", "base", "1"))
    assert found == {name: Shape(*shape) for name, shape in LAYERS.items()}


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_every_scheme_says_what_serves_it(scheme):
    assert "compute capability" in needs(scheme)
    assert why_not(scheme, BLACKWELL) == "" or scheme.cuda_before
    assert not scheme.group or scheme.bits == 4


def test_what_a_machine_serves_and_why_not_the_rest():
    tried, skipped = to_try(SCHEMES, PLAIN_CPU)
    assert tried == ["w8a8", "w4a16", "w4a16-awq", "fp8"]
    slow = to_try(SCHEMES, AMX)[1]
    assert slow["fp8"].startswith("emulated on this CPU, which has amx_int8: more than 300 times slower than bf16")
    assert slow.keys() == {"fp8", "fp8-static", "nvfp4"}
    assert why_not(known("fp8"), AMX, kv_cache=True) == slow["fp8"]
    assert needs(known("fp8")).startswith("a CPU without amx_int8 or an NVIDIA GPU of compute capability 8.9")
    assert skipped["kv-fp8"] == "this CPU has no avx512f"
    assert skipped["nvfp4"].startswith("no CPU serves it: an NVIDIA GPU of compute capability 10.0")
    assert to_try(SCHEMES, AVX512)[0][-1] == "kv-fp8"
    assert why_not(known("fp8"), TURING).endswith("this GPU has 7.5")
    assert to_try(SCHEMES, HOPPER)[1].keys() == {"nvfp4"}
    assert to_try(SCHEMES, BLACKWELL)[1].keys() == {"w8a8"}
    assert why_not(known("w8a8"), PLAIN_CPU, kv_cache=True) == "this CPU has no avx512f"
    with pytest.raises(BadInput, match=r"no scheme 'w4a8'\. Did you mean: w8a8, w4a16"):
        to_try(["w4a8"], HOPPER)


@pytest.mark.parametrize(
    ("scheme", "fields", "why"),
    [
        (
            "w4a16",
            {},
            r"groups of 128 do not divide model.layers.0.mlp.down_proj, which has 320 inputs: .*: 64, 32, 16",
        ),
        (
            "w4a16",
            {"group_size": 48},
            "groups of 48 do not divide model.layers.0.self_attn.q_proj, which has 128 inputs",
        ),
        ("w8a8", {"group_size": 64}, "w8a8 has no groups: leave group_size out"),
        ("nvfp4", {"group_size": 32}, "nvfp4 has groups of 16"),
        ("w8a8", {"ignore": ("re:.*expert",)}, "names no layer. .*there are down_proj, gate_proj"),
        ("w8a8", {"ignore": ("re:(",)}, "no regular expression"),
        ("w8a8", {"ignore": ("re:.*q_proj",)}, "leaves out model.layers.0.self_attn.q_proj and not k_proj: vLLM joins"),
        ("w8a8", {"ignore": ("re:.*",)}, "leaves out every layer"),
        ("w4a8", {}, "no scheme 'w4a8'"),
        ("w8a8", {"mixture": "n"}, "no mixtures 'n'"),
        ("w8a8", {"model": "bass"}, "Did you mean: base"),
        ("w8a8", {"name": "a@2"}, "a@2"),
        ("w8a8", {"name": "base"}, "name=base is the name of what it is made from, base@1"),
        ("w8a8", {"calibration": {"mixture": "m", "samples": 99_999}}, r"m@1 has no 99,999 different rows .* at most"),
    ],
)
def test_what_cannot_be_is_said_before_work(base: Home, scheme: str, fields: dict, why: str):
    with pytest.raises(BadInput, match=why):
        planned(base, scheme=scheme, **fields)


def test_groups_that_fit_are_taken(base: Home):
    job = planned(base, scheme="w4a16", group_size=64)
    assert (job.group, len(job.layers), job.name, job.ignore) == (64, 14, "base-w4a16", ("lm_head",))
    down = planned(base, scheme="w4a16", ignore=("re:.*down_proj",))
    assert (down.group, len(down.layers), down.ignore) == (128, 12, ("re:.*down_proj", "lm_head"))
    assert planned(base, scheme="fp8", mixture="").wanted.inputs == ("models/base@1",)
    assert planned(base, scheme="fp8", mixture="", kv_cache=False).wanted.fingerprint != job.wanted.fingerprint


def test_the_size_is_known_beforehand():
    layers = {"a": Shape(128, 256)}
    assert size_of(known("w8a8"), 0, layers, 40_000) == 128 * 256 + 2 * (128 + 40_000 - 128 * 256)
    assert size_of(known("w4a16"), 64, layers, 128 * 256) == 128 * 128 + 2 * 128 * 4
    with pytest.raises(BadInput, match="a is 100 by 128, and kernels of 4-bit weights take multiples of 32"):
        check_layers(known("w4a16"), 128, {"a": Shape(100, 128)})
    assert chosen({"lm_head": Shape(1, 1), "a": Shape(1, 1)}, ["lm_head"]).keys() == {"a"}


def test_models_that_cannot_be_compressed_say_what_to_do(base: Home):
    add_adapter(base, "lora", "base@1")
    add_shell(base, "judge", method="reward")
    add_record(base, "small", kind="quantized", scheme="w8a8", parent="base@1")
    with pytest.raises(BadInput, match="small@1 is quantized: take base@1"):
        plan_tuning(TuneConfig(method="sft", parent="small", dataset="none"), base)
    for model, why in (
        ("lora", "lora@1 is an adapter: `just merge lora@1`"),
        ("judge", "judge@1 is a reward model: it writes no text"),
        ("small", r"small@1 is quantized already \(w8a8\): take base@1"),
    ):
        with pytest.raises(BadInput, match=why):
            planned(base, model)
    with pytest.raises(BadInput, match="base@1 has no mixture in this home"):
        planned(base, mixture="")
    folder = base.artifact("models", "base", "1")
    said = json.loads((folder / "config.json").read_text())
    for more, why in (
        ({"quantization_config": {}, "model_type": "gpt2"}, "family gpt2"),
        ({"quantization_config": {"quant_method": "gptq"}}, "quantized already"),
    ):
        (folder / "config.json").write_text(json.dumps(said | more))
        with pytest.raises(BadInput, match=why):
            planned(base)


def test_a_mixture_of_another_tokenizer_is_refused(base: Home):
    (base.artifact("models", "base", "1") / "tokenizer.json").write_bytes(
        (write_tokenizer(base.root / "other", special=("<|x|>",)) / "tokenizer.json").read_bytes()
    )
    with pytest.raises(BadInput, match="tokens of another tokenizer than that of base@1"):
        planned(base)


def test_disk_and_memory_are_looked_at_first(base: Home):
    path = base.artifact("models", "base", "1") / "model.safetensors"
    write_head(path, {"model.layers.0.mlp.down_proj": (1_000_000, 1_000_000)})
    with pytest.raises(BadInput, match=r"no space: .* MB are free"):
        planned(base)
    write_head(path, {"model.layers.0.mlp.down_proj": (1_000_000, 100_000)})
    with pytest.raises(BadInput, match=r"no space|not enough memory: .* GiB are needed"):
        planned(base)


def test_a_version_that_is_something_else_is_a_conflict(base: Home):
    job = planned(base, name="small", version="3")
    config = {"parent": "base@1", "kind": "quantized", "precision": "bf16", **job.identity, "scheme": "fp8"}
    write_record(base, Record(kind="models", name="small", version="3", config=config, fingerprint="x", created=now()))
    with pytest.raises(Conflict, match='scheme was "fp8", now "w8a8"'):
        planned(base, name="small", version="3")
    assert planned(base, name="small").wanted.version == "4"


# ── Calibration ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_samples_are_drawn_from_what_the_mixture_reads(base: Home):
    mixture = load_mixture(base, "m")
    first = drawn(base, mixture, count=20, length=32, seed=1)
    again, other = (drawn(base, mixture, count=20, length=32, seed=seed) for seed in (1, 2))
    assert [one.sample_id for one in first] == [one.sample_id for one in again]
    assert all(np.array_equal(a.ids, b.ids) for a, b in zip(first, again, strict=True))
    assert {one.sample_id for one in first} != {one.sample_id for one in other}
    assert len({one.sample_id for one in first}) == len(first)
    held = set(np.asarray(mixture.heldout()).tolist())
    assert not held & {int(whole(one.sample_id)) for one in first}
    assert all(1 < len(one.ids) <= 32 for one in first)
    with pytest.raises(BadInput, match=r"m@1 has no 100,000 different rows"):
        drawn(base, mixture, count=100_000, length=32, seed=1)
    with pytest.raises(BadInput, match="too short for samples of 64"):
        drawn(base, mixture, count=1, length=1, seed=1)


def test_held_out_text_is_cut_into_its_documents(base: Home):
    mixture = load_mixture(base, "m")
    found = heldout(base, mixture, rows=1_000)
    assert [one.sample_id for one in sorted(found, key=lambda one: one.sample_id)] == mixture.heldout().tolist()
    one = max(found, key=lambda one: len(one.documents))
    assert len(one.documents) == len(one.starts) > 1
    assert np.array_equal(np.concatenate(one.documents), one.ids)
    assert len(heldout(base, mixture, rows=3)) <= 3 * len({one.domain for one in found})


def test_what_a_model_was_calibrated_on_can_be_asked(base: Home):
    found = drawn(base, load_mixture(base, "m"), count=12, length=32, seed=1)
    samples = [one.sample for one in found]
    folder = add_record(base, "small", kind="quantized", parent="base@1")
    path = folder / "calibration" / "samples.parquet"
    write_samples(path, "small", "1", samples)
    record = Record(
        kind="models",
        name="small",
        version="1",
        inputs=("models/base@1", "mixtures/m@1"),
        config={"parent": "base@1", "kind": "quantized"},
        files=(file_entry(folder, path),),
        created=now(),
    )
    write_record(base, record)
    put_into_catalog(base, record)
    with Catalog.open(base) as catalog:
        rows = catalog.sql("SELECT row, sample_id, tokens FROM calibration_samples ORDER BY row").fetchall()
        spans = catalog.sql(
            "SELECT row, sum(length) FROM calibration_documents('small', '1') GROUP BY row ORDER BY row"
        ).fetchall()
        documents = catalog.sql("SELECT count(doc_id), count(*) FROM calibration_documents('small', '1')").fetchone()
    assert rows == [(at, one.sample_id, len(one.ids)) for at, one in enumerate(samples)]
    assert spans == [(at, len(one.ids)) for at, one in enumerate(samples)]
    assert documents
    assert documents[0] == documents[1] == sum(len(one.starts) for one in found)


# ── Search, and the command ───────────────────────────────────────────────────────────────────────────────────────────


def test_the_smallest_that_holds_is_named():
    trials = [
        Trial(name, name, size, 1, loss, 1, 1) for name, size, loss in (("a", 9, 0), ("b", 5, 0.02), ("c", 7, 0.01))
    ]
    assert [getattr(smallest(trials, loss), "scheme", None) for loss in (0.05, 0.01, 0.005)] == ["b", "c", "a"]
    assert smallest(trials[1:], 0.001) is None
    assert loss_of("1%") == loss_of("0.01") == 0.01
    for text in ("much", "-1%", "100%"):
        with pytest.raises(BadInput, match="max_loss="):
            loss_of(text)


def test_bad_input_is_one_line_and_status_2(base: Home):
    for words in (
        ["quantize", "bass", "w8a8"],
        ["quantize", "base", "w4a8"],
        ["quantize", "base", "w4a16", "mixture=m"],
        ["quantize", "base", "w8a8"],
        ["quantize", "base", "w8a8", "sampels=3"],
        ["quantize", "base", "w8a8", "mixture=m", "samples=100001"],
        ["compress-search", "base", "max_loss=lots", "mixture=m"],
        ["compress-search", "base", "mixture=m", "name=small"],
        ["compress-search", "base"],
    ):
        done = subprocess.run(millrace(*words, "--home", str(base.root)), capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), (words, done.stderr)


def test_what_a_search_cannot_do_is_said_before_work(base: Home):
    at = ["mixture=m", "samples=8", "length=64", "--home", str(base.root)]
    for words, why in (
        (["schemes="], "schemes= names none. Leave it out for all, or name some of w8a8, w4a16"),
        (["receipt=false"], "receipt=false leaves a search nothing to choose by"),
        (["schemes=w4a16"], r"no scheme can be tried. w4a16: groups of 128 do not divide"),
        (["samples=9999"], "m@1 has no 9,999 different rows"),
        (["context=15"], "context=15"),
    ):
        with pytest.raises(BadInput, match=why):
            search_main(["base", *at, *words])
    write_head(
        base.artifact("models", "base", "1") / "model.safetensors", {"model.layers.0.mlp.up_proj": (10**6, 10**6)}
    )
    with pytest.raises(BadInput, match=r"^no space: .* MB are free"):
        search_main(["base", *at])


def test_a_context_that_is_too_small_to_measure_is_refused_before_calibration(base: Home):
    words = ["base", "w8a8", "mixture=m", "samples=8", "length=64", "--home", str(base.root)]
    with pytest.raises(BadInput, match="context=15"):
        quantize_main([*words, "context=15"])
    assert not (base.root / "models" / "base-w8a8").exists()
    with pytest.raises(BadInput, match="context=9 is too small to measure base@1: 16 tokens at least"):
        asked(base, "base", MeasureConfig(), [], EngineConfig().model_copy(update={"context": 9}))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_model_is_said_before_work(base: Home, name: str):
    path = base.artifact("models", "base", "1") / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(Damaged, match="`just verify models/base"):
        planned(base)


def test_a_dry_run_says_what_would_be_done_and_leaves_nothing(base: Home):
    words = ["quantize", "base", "nvfp4", "mixture=m", "--dry-run", "--home", str(base.root)]
    done = subprocess.run(millrace(*words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '"length": 512' in done.stdout
    assert "layers   14 in groups of 16; as they are: lm_head" in done.stdout
    assert "from m@1" in done.stdout
    assert not (base.root / "models" / "base-nvfp4").exists()


def test_a_model_that_is_missing_is_not_found(base: Home):
    with pytest.raises(NotFound):
        planned(base, "base@7")
