"""`just serve`: refused in a line before an engine starts; up while it answers, and down however it ends."""

import json
import os
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from serving_toys import add_adapter, add_shell, free_port, make_home
from tokens_toys import write_tokenizer
from toys import millrace

from catalog.endpoints import answers, up
from catalog.errors import BadInput, Busy
from catalog.home import Home
from catalog.index import put_into_catalog
from catalog.locks import hold, lock_of
from catalog.records import Record, now, write_record
from catalog.store import Catalog
from configs.serve import main
from serving.apart import last_words
from serving.endpoint import KEY, ServeConfig, command, plan
from serving.schemes import Machine


def test_a_taken_port_is_refused(home: Home):
    add_shell(home, "base")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(BadInput, match=r"port \d+ of 127\.0\.0\.1 cannot be had"):
            plan(ServeConfig(model="base", port=taken.getsockname()[1]), home)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "example.org", "::"])
def test_an_address_that_others_reach_needs_a_key(home: Home, host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(KEY, raising=False)
    add_shell(home, "base")
    with pytest.raises(BadInput, match=f"set {KEY} to a secret"):
        plan(ServeConfig(model="base", port=free_port(), host=host), home)


def test_the_key_is_not_on_the_command_line(home: Home, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(KEY, "a-secret")
    add_shell(home, "base")
    job = plan(ServeConfig(model="base", port=free_port(), host="0.0.0.0"), home)
    assert job.api_key == "a-secret"
    assert "a-secret" not in " ".join(command(job))


def test_an_adapter_and_its_parent_are_served_together(home: Home):
    add_shell(home, "base", template=False)
    folder = add_adapter(home, "lora", "base@1")
    words = command(plan(ServeConfig(model="lora", name="chat", port=free_port()), home))
    assert words[words.index("--served-model-name") + 1] == "base@1"
    assert words[words.index("--lora-modules") + 1] == f"chat={folder}"
    assert "--enable-lora" in words


def test_several_adapters_are_served_by_their_names(home: Home):
    add_shell(home, "base", template=False)
    for name, rank in (("lora", 4), ("other", 20)):
        (add_adapter(home, name, "base@1", r=rank) / "chat_template.jinja").write_text("x")
    job = plan(ServeConfig(model="base", adapters=("lora", "other"), port=free_port()), home)
    words = command(job)
    at = words.index("--lora-modules")
    assert [word.partition("=")[0] for word in words[at + 1 : at + 3]] == ["lora", "other"]
    assert words[words.index("--served-model-name") + 1] == "base"
    assert [words[words.index(flag) + 1] for flag in ("--max-lora-rank", "--max-loras")] == ["32", "2"]
    assert words[words.index("--chat-template") + 1].endswith("lora/1/chat_template.jinja")
    first = plan(ServeConfig(model="lora", adapters=("other",), port=free_port()), home)
    assert list(first.loras) == ["lora", "other"]


def test_adapters_that_cannot_be_served_together_are_refused(home: Home):
    add_shell(home, "base", template=False)
    add_shell(home, "base2", template=False)
    for name, parent in (("lora", "base@1"), ("far", "base2@1"), ("odd", "base@1")):
        (add_adapter(home, name, parent) / "chat_template.jinja").write_text("y" if name == "odd" else "x")
    for adapters, why in (
        (("base2",), "base2@1 is no adapter"),
        (("far",), "far@1 is over base2@1, not over base@1"),
        (("lora",), "the name lora is there twice"),
        (("odd",), "odd@1 has another chat template than lora@1"),
    ):
        with pytest.raises(BadInput, match=why):
            plan(ServeConfig(model="lora", adapters=adapters, port=free_port()), home)


def test_bad_input_is_one_line_and_status_2(home: Home):
    add_shell(home, "base")
    for words in (
        ["bass"],
        ["base", "prot=1"],
        ["base", "port=0"],
        ["base", "host=0.0.0.0"],
        ["base", "context=9999"],
        ["base", "context=1"],
        ["base", "start_s=inf"],
        ["base", "threads=1000000"],
        ["base", "name=a/b"],
    ):
        line = millrace("serve", *words, "--home", str(home.root))
        environment = {name: value for name, value in os.environ.items() if name != KEY}
        done = subprocess.run(line, capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


def test_a_dry_run_looks_at_the_chat_template_too(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture):
    folder, made = add_shell(home, "base"), write_tokenizer(tmp_path / "t", special=("<|im_start|>", "<|im_end|>"))
    (folder / "tokenizer.json").write_bytes((made / "tokenizer.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    words = ["base", f"port={free_port()}", "--dry-run", "--home", str(home.root)]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].startswith("runs")
    assert "warning: answers of base@1 end with '<|im_end|>'" in said.err
    (folder / "chat_template.jinja").write_text("{% for message in messages %}")
    with pytest.raises(BadInput, match="the chat template of base@1 fails"):
        main(words)


def test_a_scheme_without_kernels_is_warned_of_or_refused(
    home: Home, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("serving.endpoint.machine", lambda: Machine("cpu", flags=frozenset({"amx_int8"})))
    add_shell(home, "small", template=False, kind="quantized", scheme="fp8", parent="base@1")
    assert main(["small", f"port={free_port()}", "--dry-run", "--home", str(home.root)]) == 0
    said = capsys.readouterr().err
    assert said.startswith("warning: small@1 (fp8) is not for this machine, ")
    assert said.count("\n") == 1
    add_shell(home, "static", kind="quantized", scheme="fp8-static", parent="base@1")
    with pytest.raises(BadInput, match="cannot be served here"):
        plan(ServeConfig(model="static", port=free_port()), home)


def test_the_line_that_names_the_error_is_found(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("loading\nValueError: no such scheme\nshutting down\n")
    assert last_words(log) == "ValueError: no such scheme"
    log.write_text("")
    assert last_words(log) == "it said nothing"


class Well(BaseHTTPRequestHandler):
    """Answers /health."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def status(home: Home) -> list[tuple]:
    with Catalog.open(home) as catalog:
        return catalog.con.execute("SELECT endpoint, model, version, url, status FROM endpoints").fetchall()


def test_an_endpoint_is_up_while_process_and_server_are(home: Home):
    add_shell(home, "base")
    server = HTTPServer(("127.0.0.1", 0), Well)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    config = {"model": "base", "version": "1"}
    record = Record(
        kind="endpoints", name="chat", version="1", config=config, counts={"url": url, "local_url": url}, created=now()
    )
    write_record(home, record)
    put_into_catalog(home, record)
    lock = lock_of(home.root / "endpoints" / "chat")
    assert status(home) == [("chat", "base", "1", url, "down")]  # a server answers there, and it is another's
    with hold(lock):
        assert status(home) == [("chat", "base", "1", url, "up")]
        with pytest.raises(Busy, match="the endpoint chat is up already"):
            plan(ServeConfig(model="base", name="chat", port=free_port()), home)
        server.shutdown()
        server.server_close()
        assert status(home)[0][-1] == "down"
        assert up(home) == []


# ── With the real engine ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Home:
    pytest.importorskip("vllm", reason="vLLM is not installed: requirements/install serving")
    return make_home(tmp_path_factory.mktemp("served"))


@pytest.fixture
def served(models: Home) -> Iterator[tuple[subprocess.Popen, str]]:
    """A process that serves two adapters, and its ready lines."""
    words = ["lora", "adapters=lora2", f"port={free_port()}", "cache_gib=1", "threads=1", "--home", str(models.root)]
    process = subprocess.Popen(
        millrace("serve", *words), stdout=subprocess.PIPE, text=True, env={**os.environ, KEY: "a-secret"}
    )
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("try "):
            break
    yield process, said
    below = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.kill()
    psutil.wait_procs(below, 40)


def ask(url: str, key: str, **body: object) -> dict:
    request = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.loads(reply.read())


HALF = "\ufffd"
"""A character that is not whole at the end: transformers writes it, vLLM waits for the rest."""


def answer(url: str, model: str, text: str) -> str:
    body = {"temperature": 0, "max_tokens": 12, "messages": [{"role": "user", "content": text}]}
    reply = ask(url, "a-secret", model=model, **body)
    assert reply["model"] == model
    return reply["choices"][0]["message"]["content"].rstrip(HALF)


def greedy(home: Home, model: str, text: str) -> str:
    """By transformers, in fp32."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = home.artifact("models", model, "1")
    tokenizer, hf = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    given = tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    found = hf.generate(**given, do_sample=False, max_new_tokens=12)[0][given["input_ids"].shape[1] :]
    return tokenizer.decode(found, skip_special_tokens=True).rstrip(HALF)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["TERM", "process", "server", "engine"])
def test_an_endpoint_answers_and_is_down_however_it_ends(
    models: Home, served: tuple[subprocess.Popen, str], victim: str
):
    process, said = served
    url = next(line.split()[1].rstrip(",") for line in said.splitlines() if line.startswith("ready"))
    assert answers(models, "lora")
    assert status(models)[0][:3] == ("lora", "lora", "1")
    messages = [{"role": "user", "content": "the mill"}]
    curl = said.split("try ")[1].strip()
    shown = subprocess.run(curl, shell=True, env={**os.environ, KEY: "a-secret"}, capture_output=True, text=True)
    assert json.loads(shown.stdout)["choices"][0]["finish_reason"] in ("stop", "length")
    said = [answer(url, model, "the mill") for model in ("lora", "lora2", "base@1")]
    assert said == [greedy(models, model, "the mill") for model in ("merged", "merged2", "base")]
    assert len(set(said)) == 3
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(url, "another", model="lora", messages=messages)
    below = psutil.Process(process.pid).children(recursive=True)
    server = next(one for one in below if one.ppid() == process.pid)
    engine = next(one for one in below if one.ppid() == server.pid and one.memory_info().rss > 500e6)
    if victim == "TERM":
        process.send_signal(signal.SIGTERM)
    else:
        {"process": psutil.Process(process.pid), "server": server, "engine": engine}[victim].kill()
    _, alive = psutil.wait_procs([*below], 60)
    assert not alive
    assert process.wait(30) == {"TERM": 0, "process": -signal.SIGKILL}.get(victim, 2)
    assert status(models)[0][-1] == "down"
