"""What must not begin, and what must not be learned: losses that cannot be, damaged shards, words that do not fit."""

import shutil
import subprocess
from pathlib import Path

import pytest
from run_forks import FORKED_RANKS, ask, batches, counts, weights, words
from safetensors.torch import load_file
from tokens_toys import write_tokenizer

from catalog.home import Home
from catalog.index import rebuild
from catalog.store import Catalog

pytestmark = pytest.mark.slow
SPOILT = """
import torch, training.models.composer_model as m
real, seen = m.PretrainedModel.forward, []
def forward(self, batch):
    out = real(self, batch)
    if self.training and BAD in batch["sample_id"].tolist():
        out["loss"] = out["loss"] * float("nan")
    return out
m.PretrainedModel.forward = forward
"""


def test_a_loss_that_is_not_finite_stops_the_run_and_its_batch_can_be_left_out(toy_runs, forks):
    from training.mixtures.reading import load_mixture

    home = toy_runs
    order = load_mixture(home, "m").order(0)
    bad = order[4 * 5 : 4 * 6].tolist()  # the batch of step 6
    plant = SPOILT.replace("BAD", str(bad[0]))
    more = ("max_steps=8", "checkpoint.every_steps=4")
    done = forks.run(*words(home, "nan", *more), home=home, plant=plant)
    assert done.status == 2
    assert "step 6: the loss is nan. Its batch holds" in done.error
    assert ask(home, f"SELECT DISTINCT doc_id FROM samples WHERE sample_id = {bad[0]}")[0][0] in done.error
    assert {row[0] for row in batches(home, "nan")} == {1, 2, 3, 4}
    again = forks.run("resume", "nan", home=home)
    assert (again.status, "nan diverged. step 6" in again.error) == (2, True)
    done = forks.run("resume", "nan", "skip=true", home=home, plant=plant)
    assert done.status == 0, done.err
    read = [row[2] for row in batches(home, "nan")]
    assert sorted(read) == sorted(order[:20].tolist() + order[24:36].tolist())
    assert counts(home, "nan")["readings"][0]["skipped"] == [5]


def test_a_bad_batch_that_is_passed_over_changes_no_weight_and_is_not_in_batches(toy_runs, forks):
    from training.mixtures.reading import load_mixture

    home = toy_runs
    bad = load_mixture(home, "m").order(0)[4 * 3 : 4 * 4].tolist()  # the batch of the last step
    plant = SPOILT.replace("BAD", str(bad[0]))
    more = ("spikes.action=skip", "schedule.kind=constant", "schedule.warmup_tokens=1")
    done = forks.run(*words(home, "over", "max_steps=4", *more), home=home, plant=plant)
    assert done.status == 0, done.err
    assert "step 4: the loss is nan; its batch is left out of the weights" in done.err
    assert forks.run(*words(home, "three", "max_steps=3", *more), home=home).status == 0
    over, three = (load_file(home.root / "models" / run / "1" / "model.safetensors") for run in ("over", "three"))
    assert all((over[name] == three[name]).all() for name in three)
    assert counts(home, "over")["passed_over"] == [4]
    assert not set(bad) & {row[2] for row in batches(home, "over")}
    assert ask(home, "SELECT step FROM metrics WHERE run = 'over' AND name = 'left_out'") == [(4,)]


@pytest.fixture
def copy(toy_runs, tmp_path) -> Home:
    """The home without runs and cache, to be spoilt."""
    _copied(toy_runs, tmp_path)
    return Home(tmp_path / "lake")


def test_bad_input_ends_with_one_line_and_leaves_nothing(copy, forks):
    shard = next((copy.root / "tokens/toy").rglob("*.mds.zstd"))
    data = shard.read_bytes()
    stranger = write_tokenizer(copy.root.parent / "stranger", vocab=500)
    cases = [
        (("mixture=nowhere",), "no mixtures 'nowhere'"),
        (("max_steps=9999",), "too few tokens: max_steps=9,999"),
        (("batch_tokens=1000",), "is no whole number of samples of 64"),
        (("batch_tokens=1000000",), "too few tokens: 13,440 do not fill one batch"),
        (("model.context=32",), "samples of 64 tokens for a context of 32"),
        ((f"tokenizer={stranger}",), "is not the one that toy@1 was made with"),
        (("nproc=3",), "cannot be dealt out to 3 processes evenly"),
        (("precision=fp16",), "precision=fp16 needs a GPU"),
        (("parent=nobody@1",), "no models 'nobody'"),
    ]
    spoilt = [(data[:-7], "bytes, its record says"), (bytes([data[0] ^ 1]) + data[1:], "does not have the hash")]
    for fields, said in cases:
        done = forks.run(*words(copy, "bad", *fields), home=copy)
        assert (done.status, said in done.error) == (2, True), (fields, done.err)
    for content, said in spoilt:
        shard.write_bytes(content)
        done = forks.run(*words(copy, "bad"), home=copy)
        assert (done.status, said in done.error, shard.name in done.error) == (2, True, True), done.err
    shard.unlink()
    assert f"{shard.name} of tokens/toy@1 is missing" in forks.run(*words(copy, "bad"), home=copy).error
    assert not (copy.root / "runs" / "bad").exists() or not list((copy.root / "runs" / "bad").glob("*/*"))


@pytest.mark.parametrize(("more", "plant"), [((), ""), (("strategy=fsdp2", "nproc=2"), FORKED_RANKS)])
def test_a_full_disk_is_said_and_a_resume_goes_on(toy_runs, forks, tmp_path, more, plant):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        home = _on(disk, toy_runs)
        little = shutil.disk_usage(disk).used + (1 << 20)  # less than a checkpoint
        subprocess.run(["mount", "-o", f"remount,size={little}", disk], check=True)
        done = forks.run(*words(home, "full", "max_steps=4", "checkpoint.every_steps=2", *more), home=home, plant=plant)
        assert done.status == 2, done.err
        assert "disk is full" in done.err
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert forks.run("resume", "full", home=home, plant=plant).status == 0
        assert {row[0] for row in batches(home, "full")} == {1, 2, 3, 4}
        assert weights(home, "full")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def _on(disk: Path, toy_runs: Home) -> Home:
    _copied(toy_runs, disk)
    home = Home(disk / "lake")
    with Catalog.open(home, read_only=False) as catalog:
        rebuild(catalog)
    return home


def _copied(toy_runs: Home, folder: Path) -> None:
    """The home without its runs, and so without a catalog that knows of them."""
    left_out = shutil.ignore_patterns("runs", "models", "cache", "catalog")
    shutil.copytree(toy_runs.root, folder / "lake", ignore=left_out)
    shutil.copytree(toy_runs.root.parent / "tokenizer", folder / "tokenizer")
