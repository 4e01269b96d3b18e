"""A small run from start to end: its report, its event files, its rows of `evaluations`, its model card, its trace."""

import re
from html.parser import HTMLParser

import pytest
from mixture_toys import toy_tokens

from catalog.__main__ import main as catalog_main
from catalog.home import Home
from catalog.store import Catalog
from configs.pretrain import hands
from training.mixtures.build import build
from training.mixtures.config import MixtureConfig
from training.models.config import ModelConfig
from training.runs.config import RunConfig
from training.runs.curves import read_curves
from training.runs.pretrain import pretrain
from training.runs.report.lines import Line, chart, ticks
from training.runs.report.numbers import worst_steps
from training.runs.report.page import SECTIONS, write_report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    folder = tmp_path_factory.mktemp("run")
    home = Home(folder / "lake")
    toy_tokens(home, folder)
    build(MixtureConfig(name="toy", tokens=("toy",), heldout=0.05), home)
    config = RunConfig(
        run="toy",
        mixture="toy",
        tokenizer=str(folder / "tokenizer"),
        model=ModelConfig(hidden_size=128, layers=1, heads=2, kv_heads=2, mlp_size=128, context=64),
        batch_tokens=256,
        max_steps=8,
        evaluate_steps=4,
        row_losses=True,
        loggers=("tensorboard",),
    )
    pretrain(config, home, hands())
    return home


class Seen(HTMLParser):
    """What a page loads, and its anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given["id"]} if given.get("id") else set()
        self.loads += [tag] if tag in ("script", "link", "img", "iframe") or "src" in given else []


def test_the_report_is_one_file_with_every_section(home: Home):
    path = write_report(home, "toy")
    text = path.read_text()
    seen = Seen()
    seen.feed(text)
    assert (seen.loads, set(SECTIONS) - seen.ids) == ([], set())
    assert "url(" not in text
    assert "@import" not in text
    for word in ("web", "code", "books"):
        assert word in text
    assert re.search(r"8</dd><dd class=\"note\">of 8", text)


def test_the_worst_rows_are_named_with_their_documents(home: Home):
    with Catalog.open(home) as catalog:
        step, doc = catalog.con.execute(
            "SELECT step, doc_id FROM row_losses JOIN consumed USING (run, step, sample_id) "
            "ORDER BY loss / tokens DESC LIMIT 1"
        ).fetchone() or ("", "")
    assert step
    assert doc
    text = (write_report(home, "toy")).read_text()
    shown = re.findall(r"<b>Step (\d+)</b>.*?document ([0-9a-f]+:\d+)", text, re.S)
    assert len(shown) == 5


def test_the_event_file_holds_the_losses_of_the_record(home: Home):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(home.artifact("runs", "toy", "1") / "tensorboard"))
    events.Reload()
    seen = read_curves(home, "toy").series
    for name in ("loss", "heldout/all/loss", "heldout/web/bits_per_byte"):
        found = [(event.step, event.value) for event in events.Scalars(name)]
        assert found == [(step, pytest.approx(value, rel=1e-6)) for step, value in seen[name]]
    assert [step for step, _ in seen["heldout/all/loss"]] == [0, 4, 8]


def test_held_out_results_of_the_model_are_rows_of_evaluations(home: Home):
    seen = read_curves(home, "toy").series
    with Catalog.open(home) as catalog:
        rows = catalog.con.execute(
            "SELECT task, metric, value, n FROM evaluations WHERE model = 'toy' AND version = '1' ORDER BY ALL"
        ).fetchall()
    for task, metric, value, n in rows:
        assert value == seen[f"{task}/{metric}"][-1][1]
        assert n == seen[f"{task}/tokens"][-1][1]
    assert {task for task, *_ in rows} == {name.rpartition("/")[0] for name in seen if name.startswith("heldout/")}
    assert {task for task, *_ in rows} >= {"heldout/all", "heldout/web"}


def test_the_model_card_says_what_the_catalog_knows(home: Home):
    card = (home.artifact("models", "toy", "1") / "README.md").read_text()
    assert "license: unknown" in card
    for heading in ("## Held-out text", "## Mixture", "## Sources", "## Licence"):
        assert heading in card
    assert "| main | web | en |" in card


@pytest.mark.parametrize("words", [["trace", "run", "toy"], ["trace", "runs/toy"]])
def test_a_run_is_traced_down_to_hosts(home: Home, capsys, words: list[str]):
    assert catalog_main([*words, "--home", str(home.root)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("runs/toy@1")
    for word in ("mixtures/toy@1", "tokens/toy@1", "corpora/toy@1", "host", "tokens"):
        assert word in shown


def test_a_step_stands_out_against_its_neighbours_not_against_the_start():
    losses = [(step, 9.0 - step / 20) for step in range(1, 101)]
    losses[69] = (70, 7.5)
    assert (worst_steps(losses)[0].step, worst_steps([])) == (70, [])


def test_a_chart_of_little_or_strange_data_is_drawn():
    assert "Nothing was measured" in chart([Line("x", [])], "x")
    for points in ([(1, 2.0)], [(1, 2.0), (2, float("nan"))], [(n, 1.0) for n in range(1000)]):
        assert "nan" not in chart([Line("x", points)], "x").lower()
    assert ticks(0, 100, 5) == [0, 20, 40, 60, 80, 100]
