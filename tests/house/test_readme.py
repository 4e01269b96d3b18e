"""Every command that a README shows goes through the real `just`, as it is written: quotes, `<=` and all."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toys import millrace, write_crawl

from catalog.home import Home
from catalog.store import Catalog

ROOT = Path(__file__).resolve().parents[2]
READMES = sorted([ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("training/*/README.md")])
LONG = {
    "build-corpus": "--dry-run",
    "crawl": "--dry-run",
    "tokenize": "--dry-run",
    "pretrain": "--dry-run batch_tokens=1024",
    "sft": "--dry-run",
    "dpo": "--dry-run",
    "test": "--collect-only -q",
    "bench": "--help",
    "lock": "--help",
}
"""Recipes that run long, and the words that make them only say what they would do."""
SKIPPED = {
    "check": "it runs these tests",
    "common-crawl": "it asks a server of its own choice",
    **dict.fromkeys(re.findall(r'^([\w-]+) .*"serving"\)$', (ROOT / "justfile").read_text(), re.M), "it installs vLLM"),
}
pytestmark = pytest.mark.slow
SHELLS = ("bash", "console", "")


def blocks(path: Path, languages: tuple[str, ...]) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", path.read_text(), re.S | re.M)
    return [text for language, text in found if language in languages]


def commands() -> list[str]:
    """Lines that run `just`, and `just …` between backticks where a word follows."""
    found = []
    for path in READMES:
        lines = [line for text in blocks(path, SHELLS) for line in text.splitlines()]
        found += [re.split(r"\s{2,}#", line)[0].split("&&")[-1].strip() for line in lines]
        found += re.findall(r"`(just [^`…]+)`", path.read_text())
    return sorted({line for line in found if line.startswith("just ")})


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in for the checkout, with a crawl in it and a home that the commands can ask."""
    if not shutil.which("just"):
        pytest.skip("just is not on the path: pip install rust-just")
    place = tmp_path_factory.mktemp("checkout")
    for name in ("justfile", "requirements", "pyproject.toml", "tests", "docs"):
        (place / name).symlink_to(ROOT / name)
    (place / ".venv").symlink_to(sys.prefix)
    write_crawl(place / "crawl" / "one.warc.gz", 0, 6)
    write_crawl(place / "new.warc.gz", 6, 8)
    (place / "pages.jsonl").write_text('{"text": "a page", "url": "https://example.org/a"}\n')
    build = ["build-corpus", "web", f"input={place}/crawl/*.warc.gz"]
    for line in ([*build, "name=docs"], [*build, "version=2026.11"], ["train-tokenizer"]):
        words = millrace(*line, "--home", str(place / "lake"))
        done = subprocess.run(words, capture_output=True, text=True, cwd=place)
        assert done.returncode == 0, done.stderr
    return place


def run(words: str, checkout: Path, folder: Path | None = None) -> subprocess.CompletedProcess:
    """Run a command in a folder (the checkout itself by default), with no home but the checkout's own."""
    environment = {name: value for name, value in os.environ.items() if name != "MILLRACE_HOME"}
    return subprocess.run(
        words,
        shell=True,
        cwd=folder or checkout,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("line", commands())
def test_a_command_of_a_readme_runs(checkout: Path, line: str):
    recipe = line.split()[1]
    for word, why in SKIPPED.items():
        if word in line.split()[1:3]:
            pytest.skip(why)
    done = run(f"{line} {LONG.get(recipe, '')}", checkout)
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"


def test_arguments_reach_a_recipe_as_they_were_written(checkout: Path):
    done = run(
        """just sql "SELECT 'a  b' || '<=' || \"c\" AS x FROM (SELECT 'it' AS c) WHERE 1 <= 2" --format csv""", checkout
    )
    assert done.stdout.splitlines()[-1] == "a  b<=it", done.stderr


def test_paths_mean_what_they_mean_where_the_command_is_called(checkout: Path):
    """In a folder below: input is read there, --out is written there, the home is still the checkout's."""
    folder = checkout / "below"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "__init__.py").write_text("raise SystemExit('a module of the folder was taken')")
    (folder / "rel.jsonl").write_text('{"text": "a page", "url": "https://example.org/a"}\n')
    done = run("just build-corpus raw input=rel.jsonl workers=1", checkout, folder)
    assert done.returncode == 0, done.stderr
    assert (checkout / "lake" / "corpora" / "raw" / "1" / "record.json").exists()
    done = run("just sql \"SELECT uri FROM sources WHERE kind = 'jsonl'\" --out here.csv", checkout, folder)
    assert done.returncode == 0, done.stderr
    assert "rel.jsonl" in (folder / "here.csv").read_text()
    assert not (folder / "lake").exists()


@pytest.mark.parametrize("line", ["just sql SELEC", "just build-corpus --bogus", "just trace nothing", "just near"])
def test_an_error_is_one_line(checkout: Path, line: str):
    done = run(line, checkout)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("error: ")


def test_just_alone_lists_every_recipe_with_a_line(checkout: Path):
    listed = [line for line in run("just", checkout).stdout.splitlines() if line.startswith("    ")]
    assert len(listed) > 10
    assert not [line for line in listed if "#" not in line]


@pytest.mark.parametrize(
    "recipe",
    ["build-corpus", "crawl", "estimate", "sql", "trace", "verify", "gc", "ls", "rebuild", "doctor", "tokenizer"],
)
def test_the_help_of_a_command_shows_examples(checkout: Path, recipe: str):
    done = run(f"just {recipe} --help", checkout)
    assert done.returncode == 0
    assert done.stdout.count(f"just {recipe}") >= 2, done.stdout


@pytest.mark.parametrize("query", [query for path in READMES for query in blocks(path, ("sql",))])
def test_the_sql_of_a_readme_runs(checkout: Path, query: str):
    with Catalog.open(Home(checkout / "lake")) as catalog:
        for statement in re.sub(r"--.*", "", query).split(";"):
            if statement.strip():
                catalog.sql(statement).fetchall()
