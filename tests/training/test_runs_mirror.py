"""A run with a mirror: everything goes to an object store, and another machine goes on from there."""

import json
import shutil

import pytest
from file_servers import Bucket, serving
from run_forks import STEPS, batches, weights, words

from catalog.home import Home

pytestmark = pytest.mark.slow
KILLED_AT_STEP_8 = """
import os, training.runs.folder as folder
real = folder.RunFolder.close
def close(self, files, state, inputs=()):
    if state.step == 8:
        os.kill(os.getpid(), 9)
    return real(self, files, state, inputs)
folder.RunFolder.close = close
"""


@pytest.fixture
def bucket(tmp_path, monkeypatch):
    """An object store on loopback: the folder of its objects, and the class that answers."""
    with serving(tmp_path / "objects", Bucket) as (address, answers):
        said = f"import os; os.environ['AWS_ENDPOINT_URL'] = {address!r}"
        for name, value in (("ACCESS_KEY_ID", "k"), ("SECRET_ACCESS_KEY", "s"), ("DEFAULT_REGION", "us-east-1")):
            said += f"; os.environ['AWS_{name}'] = {value!r}"
        yield tmp_path / "objects/lake", answers, said + "\n"


def other_home(toy_runs: Home, folder) -> Home:
    """Another machine's home, with the same data and none of the runs; the tokenizer lies at the same path."""
    shutil.copytree(toy_runs.root, folder / "lake", ignore=shutil.ignore_patterns("runs", "models", "cache", "catalog"))
    return Home(folder / "lake")


def names(folder) -> set[str]:
    """Files of an artifact, without those that the mirror is not for."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.startswith("aside/")} - {"live.jsonl", "report.html"}


def test_another_machine_goes_on_from_an_object_store(toy_runs, forks, bucket, tmp_path):
    objects, _, env = bucket
    more = ("checkpoint.mirror=s3://lake/a", "checkpoint.keep_last=1", "checkpoint.keep_best=0")
    one, two = toy_runs, other_home(toy_runs, tmp_path)
    assert forks.run(*words(one, "away", *more), home=one, plant=env + KILLED_AT_STEP_8).status == -9
    there = objects / "a/runs/away/1"
    assert json.loads((there / "record.json").read_text())["counts"]["step"] == 4
    assert [path.name for path in (there / "checkpoints").iterdir()] == ["step-00000004"]
    assert forks.run("resume", "away", home=two, plant=env).error.startswith("error: no run 'away'")
    done = forks.run("resume", "away", "mirror=s3://lake/a", home=two, plant=env)
    assert done.status == 0, done.err
    assert forks.run(*words(one, "unbroken"), home=one).status == 0
    assert batches(two, "away") == batches(one, "unbroken")
    assert weights(two, "away") == weights(one, "unbroken")
    for place in ("runs/away/1", "models/away/1"):  # what is there is what is here
        assert names(objects / "a" / place) == names(two.root / place)
    refused = forks.run("resume", "away", home=one, plant=env)  # it went on elsewhere
    assert refused.status == 2
    assert "and is at step 16. Give another run=…, or take that one" in refused.error
    begun = forks.run(*words(one, "away", *more), home=other_home(one, tmp_path / "three"), plant=env)
    assert (begun.status, "has a run away that was last started" in begun.error) == (2, True), begun.err


def test_a_mirror_that_fails_in_between_is_caught_up_with(toy_runs, forks, bucket):
    objects, answers, env = bucket
    answers.fail = 1
    field = "checkpoint.mirror=s3://lake/b"
    refused = forks.run(*words(toy_runs, "mirrored", field, "max_steps=8"), home=toy_runs, plant=env)
    assert (refused.status, "cannot write to s3://lake/b" in refused.error) == (2, True), refused.err
    answers.refused = "a002"  # the rows of the first checkpoint that the second attempt writes
    done = forks.run("resume", "mirrored", home=toy_runs, plant=env)
    assert done.status == 0, done.err
    assert "not mirrored: cannot write to s3://lake/b" in done.err
    assert names(objects / "b/runs/mirrored/1") == names(toy_runs.root / "runs/mirrored/1")


def test_a_lost_checkpoint_comes_from_the_mirror_and_a_damaged_one_is_named(toy_runs, forks, tmp_path):
    home, place = toy_runs, tmp_path / "disk"
    more = (f"checkpoint.mirror={place}", "checkpoint.keep_last=9")
    assert forks.run(*words(home, "lost", *more), home=home, plant=KILLED_AT_STEP_8).status == -9
    saved = home.root / "runs/lost/1/checkpoints/step-00000004"
    whole = (saved / "state.pt").read_bytes()
    (saved / "state.pt").write_bytes(whole[:-100])
    refused = forks.run("resume", "lost", "mirror=", home=home)
    assert (refused.status, "its record says" in refused.error) == (2, True), refused.err
    content = bytearray(whole)
    content[len(whole) // 2] ^= 0xFF  # torch would load it, and training would go on
    (saved / "state.pt").write_bytes(content)
    refused = forks.run("resume", "lost", "mirror=", home=home)
    assert (refused.status, "does not have the hash of its record" in refused.error) == (2, True), refused.err
    shutil.rmtree(saved)
    refused = forks.run("resume", "lost", "mirror=", home=home)
    assert (refused.status, "is missing. `just resume lost step=N`" in refused.error) == (2, True), refused.err
    done = forks.run("resume", "lost", home=home)
    assert done.status == 0, done.err
    assert {row[0] for row in batches(home, "lost")} == set(range(1, STEPS + 1))
    refused = forks.run(*words(home, "odd", "checkpoint.mirror=gopher://x/y"), home=home)
    assert (refused.status, "Take s3://bucket/prefix, or a path" in refused.error) == (2, True), refused.err
