"""`just watch`: what is said of a run from its closed rows, its live file and its lock."""

import json
import os

import pytest

from catalog.commands import BadInput
from catalog.errors import NotFound
from catalog.home import Home
from catalog.locks import hold, lock_of
from configs import watch
from training.runs.curves import read_curves, thinned
from training.runs.folder import Checkpoint, RunFolder, RunState
from training.runs.outlets import LIVE, LiveFile, check_loggers, read_live
from training.runs.recording import Rows
from training.runs.terminal import plot


@pytest.fixture
def run(home: Home) -> RunFolder:
    """Ten steps of twenty are closed, three more are in the live file."""
    folder = RunFolder(home, "toy")
    state = RunState(steps=20)
    folder.begin({"mixture": "m@1"}, "f", [], state)
    rows = Rows(folder.path, "toy", attempt=1, rank=0, outlets=[LiveFile(folder.path)])
    for step in range(11):
        rows.metrics(step, {"loss": 9 - step / 10, "tokens": 100.0 * step, "seconds": 2.0, "tokens_per_second": 50.0})
        if step % 5 == 0:
            rows.metrics(step, {"heldout/web/loss": 9 - step / 20, "heldout/web/bits_per_byte": 3 - step / 20})
    saved = Checkpoint(step=10, tokens=1000, samples=10, path="runs/toy/1/checkpoints/step-10", bytes=1)
    folder.close(rows.write(10), state.variant(step=10, tokens=1000, checkpoints=(saved,)))
    for step in (11, 12, 13):
        rows.metrics(step, {"loss": 5.0 + step / 100, "tokens": 100.0 * step, "seconds": 2.0})
    rows.outlets[0]._stream.flush()  # pyright: ignore
    return folder


def test_closed_rows_and_the_live_file_make_one_curve(run: RunFolder, home: Home):
    seen = read_curves(home, "toy")
    assert [step for step, _ in seen.series["loss"]] == [*range(14)]
    assert seen.series["loss"][-1] == (13, 5.13)
    assert (seen.step, seen.state.step, seen.domains()) == (13, 10, ["web"])
    assert seen.seconds_left() == 14.0


def test_the_live_file_keeps_what_no_record_names_yet_and_a_half_written_line_waits(home: Home):
    folder = RunFolder(home, "toy")
    folder.path.mkdir(parents=True)
    live = LiveFile(folder.path)
    rows = Rows(folder.path, "toy", attempt=1, rank=0, outlets=[live])
    for step in range(1, 14):
        rows.metrics(step, {"loss": 5.0})
        if step in (5, 10):
            rows.write(step)  # the record of the checkpoint before names its rows by now
    live.saved(7)
    assert [step for step, _ in read_live(folder.path)] == [8, 9, 10, 11, 12, 13]
    rows.metrics(14, {"loss": 5.0})
    rows.write(14)
    assert [step for step, _ in read_live(folder.path)] == [11, 12, 13, 14]
    with (folder.path / LIVE).open("a") as stream:
        stream.write('{"step": 15, "lo')
    assert [step for step, _ in read_live(folder.path)] == [11, 12, 13, 14]


def test_a_frame_says_whether_a_process_is_at_it(run: RunFolder, home: Home, capsys):
    assert watch.main(["toy", "--once", "--home", str(home.root)]) == 0
    shown = capsys.readouterr().out
    assert "no process is at it: just resume toy" in shown
    assert "step 13 of 20, 1,300 tokens, loss 5.130" in shown
    assert "saved at step 10" in shown
    assert next(word for word in shown.splitlines() if word.startswith("web")).split() == [
        "web", "9.000", "8.500", "8.500", "10", "2.500"
    ]  # fmt: skip
    with hold(lock_of(run.path)):
        assert read_curves(home, "toy").alive
        watch.main(["toy", "--once", "--home", str(home.root)])
    assert "a process is at it" in capsys.readouterr().out


def test_watch_ends_with_its_run(run: RunFolder, home: Home):
    assert watch.main(["toy", "--home", str(home.root)]) == 0


def test_an_unknown_run_is_named(home: Home):
    with pytest.raises(NotFound, match="no run 'toys'"):
        watch.main(["toys", "--once", "--home", str(home.root)])


def test_a_plot_has_its_scale_and_stays_in_its_width():
    lines = plot([(1, 9.0), (50, 4.0), (100, 3.0)], width=40, height=4)
    assert (lines[0].split()[0], lines[3].split()[0]) == ("9", "3")
    assert lines[4].split() == ["step", "1", "100"]
    assert max(map(len, lines)) <= 40
    assert plot([(7, 1.0)], width=40) != plot([], width=40) == []


def test_thinned_points_keep_the_last():
    points = [(step, float(step)) for step in range(1000)]
    few = thinned(points, 10, max)
    assert (len(few), few[-1]) == (10, (999, 999.0))


def test_a_logger_that_is_not_installed_is_named():
    try:
        import mlflow  # noqa: F401  # pyright: ignore
    except ImportError:
        with pytest.raises(BadInput, match="uv pip install mlflow-skinny"):
            check_loggers(["mlflow"])


def test_a_line_of_the_live_file_is_plain_json(run: RunFolder):
    assert json.loads((run.path / LIVE).read_text().splitlines()[-1])["step"] == 13
    assert os.path.getsize(run.path / LIVE) < 5000
