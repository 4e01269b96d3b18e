"""Guards: rooms, recipes, commands and documentation hold together."""

import importlib
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import dill
import pytest

from configs.__main__ import VERBS, main
from configs.corpora import CORPORA
from data.corpus import CorpusConfig

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("catalog", "data", "training", "eval", "serving", "configs")
JUST = Path(sys.prefix) / "bin" / "just"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_resolves_inside_the_checkout_and_has_a_readme(room: str):
    module = importlib.import_module(room)
    assert Path(inspect.getfile(module)).is_relative_to(ROOT)
    assert (ROOT / room / "README.md").read_text().startswith(f"# {room}")


def test_imports_point_from_the_roof_to_the_ground():
    done = subprocess.run([Path(sys.prefix) / "bin" / "lint-imports"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", [name for name in CORPORA if name != "common-crawl"])
def test_every_recipe_builds_checks_and_pickles(name: str):
    config = CORPORA[name]()
    config.check()
    assert pickle.loads(pickle.dumps(config)) == config
    assert dill.loads(dill.dumps(config)) == config
    assert CorpusConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("verb", [verb for verb in VERBS if not verb.endswith("-rank")])
def test_the_help_of_every_verb_runs(verb: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: just {verb} ")


def python_files() -> list[Path]:
    return [path for room in (*ROOMS, "tests") for path in (ROOT / room).rglob("*.py")]


def test_no_file_is_a_giant():
    lines = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in python_files()}
    assert not {path: count for path, count in lines.items() if count > (600 if path.parts[0] == "tests" else 400)}


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_nothing_names_a_machine_or_an_index():
    found = re.compile(r"/roo[t]/|/home/\w+/|pyp[i]\.org|pythonhoste[d]|registry\.npm[j]s|deb\.debia[n]")
    tracked = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT).stdout.split()
    texts = {name: (ROOT / name).read_text(errors="replace") for name in tracked if (ROOT / name).is_file()}
    assert not [name for name, text in texts.items() if found.search(text)]


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "LOG.md", *(f"{room}/README.md" for room in ROOMS)])
def test_links_of_a_page_lead_somewhere_and_nothing_is_left_to_fill_in(page: str):
    text = (ROOT / page).read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert not [link for link in links if not (ROOT / page).parent.joinpath(link).exists()]
    assert not re.search(r"TODO|FIXME|\b[A-Z]+_[A-Z]+_(?:URL|ANSWER)|ANSWER_|WHY_URL", text)
