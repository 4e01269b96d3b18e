"""`just generate`: rows checked before an engine starts; answers equal to transformers', also after kill -9."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from pydantic import ValidationError
from serving_toys import TEMPLATE, add_reader, add_shell, make_home
from toys import millrace

from catalog.errors import BadInput, Conflict
from catalog.home import Home
from serving.generate import GenerateConfig, SamplingConfig, generate, plan
from serving.prompts import read_prompts
from serving.schemes import Machine

ASKED = {"id": "a", "messages": [{"role": "user", "content": "the mill"}]}


def prompts_file(folder: Path, *rows: object) -> Path:
    path = folder / "prompts.jsonl"
    lines = [row if isinstance(row, str | bytes) else json.dumps(row) for row in rows]
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
    return path


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "not JSON"),
        ({"text": "x"}, "either prompt or messages"),
        ({"prompt": "x", "messages": []}, "either prompt or messages"),
        ({"prompt": ""}, "no text, or an empty one"),
        ({"messages": []}, "messages are a list"),
        ({"messages": [{"role": "user"}]}, "messages are a list"),
        ({"id": 1.5, "prompt": "x"}, "neither a text nor a whole number"),
        ({"id": True, "prompt": "x"}, "neither a text nor a whole number"),
        ({"id": "a", "prompt": "x"}, "the id 'a' is there twice"),
        ({"prompt": "x", "temprature": 5}, "a row has no 'temprature'"),
        ({"prompt": "x", "promt": "y"}, "a row has no 'promt'. Did you mean: prompt"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "no role 'robot'. Allowed: system, developer, user"),
        ({"prompt": "x \ud800"}, r"\\ud800 is half a character"),
        ({"id": "\ud83d", "prompt": "x"}, r"\\ud83d is half a character"),
        ({"messages": [{"role": "user", "content": "\udfff"}]}, r"\\udfff is half a character"),
        ("[" * 100_000, "not JSON"),
        (b'{"prompt": "caf\xe9"}', "not UTF-8, at byte 16 of the line"),
    ],
)
def test_a_row_that_cannot_be_answered_is_named_by_its_line(tmp_path: Path, row: object, why: str):
    with pytest.raises(BadInput, match=f"prompts.jsonl:2: .*{why}"):
        list(read_prompts(prompts_file(tmp_path, ASKED, row)))


def test_rows_without_an_id_are_named_by_their_line(tmp_path: Path):
    assert [row.id for row in read_prompts(prompts_file(tmp_path, {"prompt": "x"}, "", {"prompt": "y"}))] == [1, 3]


def test_a_job_is_cut_into_parts_and_named_by_what_is_asked(home: Home, tmp_path: Path):
    add_shell(home, "base")
    path = prompts_file(tmp_path, *({"prompt": str(row)} for row in range(10)))
    config = GenerateConfig(model="base", prompts=str(path), chunk_rows=4)
    job = plan(config, home)
    assert [len(rows) for _, rows in job.chunks] == [4, 4, 2]
    assert job.out == tmp_path / "prompts.answers.jsonl"
    other = plan(config.variant(sampling={"temperature": 0}), home)
    assert other.parts != job.parts
    assert plan(config.variant(engine={"threads": 1}), home).parts == job.parts
    job.out.write_text("something else\n")
    with pytest.raises(Conflict, match="with other answers"):
        plan(config, home)


def test_messages_need_a_template(home: Home, tmp_path: Path):
    add_shell(home, "base", template=False)
    with pytest.raises(BadInput, match="base@1 has no chat template"):
        plan(GenerateConfig(model="base", prompts=str(prompts_file(tmp_path, ASKED))), home)


def test_a_row_that_the_template_refuses_is_named_before_an_engine(home: Home, tmp_path: Path):
    folder = add_reader(home, "base")
    strict = "{% if messages[0]['role'] != 'user' %}{{ raise_exception('users begin') }}{% endif %}"
    (folder / "chat_template.jinja").write_text(strict + TEMPLATE)
    path = prompts_file(tmp_path, ASKED, "", {"messages": [{"role": "assistant", "content": "x"}]})
    with pytest.raises(BadInput, match=r"prompts.jsonl:3: the chat template of base@1 fails: users begin"):
        plan(GenerateConfig(model="base", prompts=str(path)), home)


@pytest.mark.parametrize("name", ["temperature", "top_p", "repetition_penalty"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_sampling_is_by_finite_numbers(name: str, value: float):
    with pytest.raises(ValidationError):
        SamplingConfig.model_validate({name: value})


def test_answers_of_another_or_a_broken_receipt_are_not_taken(home: Home, tmp_path: Path):
    add_shell(home, "base")
    config = GenerateConfig(model="base", prompts=str(prompts_file(tmp_path, {"prompt": "x"})))
    job = plan(config, home)
    job.out.write_text("{}\n")
    for said, done in ((json.dumps({"identity": job.identity}), True), ("garbage", False), ("[]", False)):
        job.receipt.write_text(said)
        assert job.done is done
    with pytest.raises(Conflict, match="with other answers"):
        plan(config, home)


def test_a_place_that_cannot_be_written_is_refused(home: Home, tmp_path: Path):
    add_shell(home, "base")
    config = GenerateConfig(model="base", prompts=str(prompts_file(tmp_path, {"prompt": "x"})))
    for out, why in (
        (tmp_path, "is a folder"),
        (tmp_path / ("x" * 300), "cannot be a file"),
        (tmp_path / "prompts.jsonl" / "a.jsonl", "nothing can be written in"),
        ("/proc/none/a.jsonl", "/proc"),
    ):
        with pytest.raises(BadInput, match=why):
            plan(config.variant(out=str(out)), home)
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(BadInput, match="its folder cannot be made"):
        generate(plan(config.variant(out=str(tmp_path / "link" / "a.jsonl")), home))


def test_a_scheme_without_kernels_is_warned_of_or_refused(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("serving.generate.machine", lambda: Machine("cpu", flags=frozenset({"amx_int8"})))
    path = str(prompts_file(tmp_path, {"prompt": "x"}))
    add_shell(home, "small", kind="quantized", scheme="fp8", parent="base@1")
    assert plan(GenerateConfig(model="small", prompts=path), home).warning.startswith("small@1 (fp8) is not for this")
    add_shell(home, "static", kind="quantized", scheme="fp8-static", parent="base@1")
    with pytest.raises(BadInput, match="cannot be served here"):
        plan(GenerateConfig(model="static", prompts=path), home)


def test_bad_input_is_one_line_and_status_2(home: Home, tmp_path: Path):
    add_shell(home, "base")
    prompts_file(tmp_path, {"prompt": "x"}).rename(tmp_path / "good.jsonl")
    for words in (
        ["bass", "p.jsonl"],
        ["base", "p.jsonl"],
        ["base", "p.jsonl", "temprature=0"],
        ["base", "good.jsonl", "temperature=inf"],
        ["base", "good.jsonl", "context=1"],
    ):
        done = subprocess.run(
            millrace("generate", *words, "--home", str(home.root)), capture_output=True, text=True, cwd=tmp_path
        )
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


# ── With the real engine ──────────────────────────────────────────────────────────────────────────────────────────────

WORDS = ["the mill", "river", "a stone wheel", "grain and flour", "north", "dam"]
ROWS = [{"id": f"p{at}", "prompt": word} for at, word in enumerate(WORDS)] + [
    ASKED,
    {"id": "long", "prompt": "x " * 900},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Home:
    pytest.importorskip("vllm", reason="vLLM is not installed: requirements/install serving")
    return make_home(tmp_path_factory.mktemp("served"))


def command(home: Home, model: str, path: Path, *words: str) -> list[str]:
    greedy = ["temperature=0", "max_tokens=24", "threads=1", "cache_gib=1"]
    return millrace("generate", model, str(path), *greedy, *words, "--home", str(home.root))


def answers(home: Home, model: str, path: Path, *words: str) -> list[dict]:
    done = subprocess.run(command(home, model, path, *words), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    out = Path(done.stdout.splitlines()[-1].removeprefix("answers  "))
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.slow
def test_greedy_answers_are_those_of_transformers(models: Home, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    found = answers(models, "merged", prompts_file(tmp_path, *ROWS), "token_ids=true")
    assert [row["id"] for row in found] == [row["id"] for row in ROWS]
    assert found[-1]["answer"] is None
    assert "the context 256" in found[-1]["error"]
    folder = models.artifact("models", "merged", "1")
    tokenizer, hf = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    for row, given in zip(found[:-1], ROWS, strict=False):
        text = given.get("prompt") or tokenizer.apply_chat_template(
            given["messages"], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids
        with torch.no_grad():
            wanted = hf.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=24)[0]
        wanted = wanted[ids.shape[1] :].tolist()
        assert (row["prompt_tokens"], row["token_ids"]) == (ids.shape[1], wanted)
        assert tokenizer.decode(wanted, skip_special_tokens=True).startswith(row["answer"])


@pytest.mark.slow
def test_in_bf16_other_tokens_are_taken_only_where_the_best_two_are_within_rounding(models: Home, tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [row for row in ROWS if "prompt" in row][:-1]
    found = answers(models, "merged", prompts_file(tmp_path, *rows), "token_ids=true", "precision=bf16")
    folder = models.artifact("models", "merged", "1")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    load = AutoModelForCausalLM.from_pretrained
    exact, rounded = load(folder).eval(), load(folder, dtype=torch.bfloat16).eval()
    same = total = 0
    for row, given in zip(found, rows, strict=True):
        ids, taken = tokenizer.encode(given["prompt"]), row["token_ids"]
        with torch.no_grad():
            wanted, other = (
                hf(torch.tensor([ids + taken])).logits[0, len(ids) - 1 : -1].float() for hf in (exact, rounded)
            )
        gap = wanted.max(-1).values - wanted[torch.arange(len(taken)), torch.tensor(taken)]
        rounding = (wanted - other).abs().max(-1).values  # of transformers' own bf16
        assert (gap <= 2 * rounding).all(), (gap.tolist(), rounding.tolist())
        same, total = same + int((gap == 0).sum()), total + len(taken)
    assert same > 0.8 * total


@pytest.mark.slow
def test_an_adapter_answers_as_the_merged_model(models: Home, tmp_path: Path):
    path = prompts_file(tmp_path, *ROWS)
    adapted = answers(models, "lora", path, f"out={tmp_path}/lora.jsonl")
    assert adapted == answers(models, "merged", path, f"out={tmp_path}/merged.jsonl")
    assert adapted != answers(models, "base", path, f"out={tmp_path}/base.jsonl")


@pytest.mark.slow
def test_a_killed_run_goes_on_and_no_row_is_lost_or_doubled(models: Home, tmp_path: Path):
    path = prompts_file(tmp_path, *({"id": at, "prompt": WORDS[at % 6] + " of" * at} for at in range(40)))
    process = subprocess.Popen(command(models, "base", path, "chunk_rows=1"), stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while len(parts := sorted(tmp_path.glob(".*.parts/part-*"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 3 <= len(parts) < 40
    assert not (tmp_path / "prompts.answers.jsonl").exists()
    said = subprocess.run([*command(models, "base", path, "chunk_rows=1"), "--dry-run"], capture_output=True, text=True)
    there = int(said.stdout.split("parts, ")[1].split()[0])
    assert len(parts) <= there < 40
    resumed = answers(models, "base", path, "chunk_rows=1")
    assert [row["id"] for row in resumed] == list(range(40))
    assert not list(tmp_path.glob(".*.parts"))
    assert resumed == answers(models, "base", path, "chunk_rows=1", f"out={tmp_path}/unbroken.jsonl")
    assert resumed == answers(models, "base", path, "chunk_rows=1")  # nothing to do


@pytest.mark.slow
def test_a_failed_start_leaves_no_folder(models: Home, home: Home, tmp_path: Path):
    add_shell(home, "base")
    job = plan(GenerateConfig(model="base", prompts=str(prompts_file(tmp_path, {"prompt": "x"}))), home)
    (home.artifact("models", "base", "1") / "config.json").unlink()
    with pytest.raises(Exception):  # noqa: B017, PT011
        generate(job)
    assert not list(tmp_path.glob(".*"))
