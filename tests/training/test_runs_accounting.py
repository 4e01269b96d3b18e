"""What a change of data repeats and loses, against sets of tokens; the order's memory."""

import random
import subprocess
import sys

import numpy as np
import pytest

from training.loader.schedule import Schedule
from training.runs.accounting import accounted
from training.runs.config import SpikeConfig
from training.runs.spikes import SpikeWatch
from training.sample_ids import divisor, part, parts, sample_id, whole


def tokens(sample: int) -> set[tuple[int, int]]:
    """The 32nds of whole samples that a sample holds."""
    each = 32 // int(divisor(sample))
    return {(int(whole(sample)), int(part(sample)) * each + n) for n in range(each)}


@pytest.mark.parametrize("seed", range(20))
def test_changes_are_counted_as_sets_of_tokens_say(seed):
    chosen = random.Random(seed)
    everything = sample_id(7, np.arange(40))

    def some(of: int) -> np.ndarray:
        ids = parts(everything, of).ravel().tolist() if of > 1 else everything.tolist()
        return np.array(chosen.choices(ids, k=chosen.randint(0, 60)), np.int64)

    read = np.concatenate([some(1), some(chosen.choice((1, 2, 4)))])
    ahead, rest = some(chosen.choice((1, 2))), some(chosen.choice((1, 4)))
    seen, coming = (set().union(*map(tokens, ids.tolist())) for ids in (read, ahead))
    change = accounted(read, ahead, rest)
    assert change.repeated == len({one for one in ahead.tolist() if tokens(one) & seen})
    assert change.lost == len({one for one in rest.tolist() if tokens(one) - coming - seen})
    assert change.read == len(set(read.tolist()))
    assert accounted(read, ahead, None).lost is None


def test_the_step_at_so_many_samples():
    schedule = Schedule.from_phases([("warm", 32, 21), ("main", 64, 11)], 128, skipped=(2, 7))
    for samples in range(40):
        step = schedule.first_after(samples)
        assert schedule.samples_before(step) <= samples
        assert step == schedule.steps or schedule.samples_before(step + 1) > samples


def test_spikes_are_told_from_the_losses_before_them_and_are_not_among_these():
    watch = SpikeWatch(SpikeConfig(window=8, deviations=6))
    assert [watch.judge(loss) for loss in (9.0, 40.0, 8.0, 9.0)] == [""] * 4  # too few to know
    for number in range(8):
        assert watch.judge(5 + number % 2 / 10) == ""
    assert watch.judge(5.3) == ""
    said = watch.judge(9.0)
    assert said.startswith("the loss is 9.000, above 5.")
    assert "of 8 steps" in said
    assert watch.judge(float("inf")) == "the loss is inf"
    assert 9.0 not in watch.seen
    assert SpikeWatch(SpikeConfig(action="none")).judge(float("nan")) == ""


@pytest.mark.slow
def test_an_order_of_ten_million_samples_takes_no_memory_of_its_own(tmp_path):
    """Private memory over an epoch of ids: the order itself is mapped, and its pages can be dropped."""
    code = f"""
import numpy as np
from pathlib import Path
from training.loader.schedule import Schedule
def private() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1])
made = np.lib.format.open_memmap({str(tmp_path / "o.npy")!r}, "w+", np.int64, (10_000_000,))
made[:] = np.arange(10_000_000) << 6 | 1
order = np.load({str(tmp_path / "o.npy")!r}, mmap_mode="r")
schedule = Schedule.from_phases([("main", 2048, 10_000_000)], 2048 * 256)
seen = []
for step in range(schedule.steps):
    at = schedule.at(step)
    ids = np.array(order[at.start : at.start + at.samples])
    if step in (100, schedule.steps - 1):
        seen.append(private())
print(seen[1] - seen[0])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096  # KiB


def test_the_lines_that_start_a_run_on_two_machines(toy_runs):
    from configs.pretrain import hands
    from training.runs.config import RunConfig
    from training.runs.job import plan

    tokenizer = str(toy_runs.root.parent / "tokenizer")
    fields = {"mixture": "m", "tokenizer": tokenizer, "batch_tokens": 256, "nproc": 2}
    job = plan(RunConfig(run="wide", **fields, nodes=2, address="10.0.0.1:29400"), toy_runs)
    assert job.processes == 4
    line = " ".join(hands().command(job, 1)[3:])
    expected = (
        "-n 2 --world_size 4 --node_rank 1 --master_addr 10.0.0.1 --master_port 29400 -m configs pretrain-rank wide"
    )
    assert line == f"{expected} {toy_runs.root}"
    alone = plan(RunConfig(run="wide", **fields), toy_runs)
    assert hands().command(alone, 0)[3:7] == ["-n", "2", "-m", "configs"]
    with pytest.raises(ValueError, match=r"2 nodes need address=host:port"):
        RunConfig(nodes=2)
