"""What writes beside training: one at a time, and what goes wrong is raised where the run asks."""

import errno
import threading

import pytest
from torch.distributed.checkpoint.api import CheckpointException

from training.runs import saving


def test_one_at_a_time_and_what_goes_wrong_is_raised_once():
    writing, may_end, done = saving.Background(), threading.Event(), []

    def slow() -> None:
        may_end.wait(30)
        done.append("slow")

    def wrong() -> None:
        raise OSError(errno.ENOSPC, "full")

    writing.begin(slow)
    writing.look()
    assert done == []
    may_end.set()
    writing.begin(wrong)  # waits for the slow one
    assert done == ["slow"]
    with pytest.raises(OSError, match="full"):
        writing.begin(slow)
    assert done == ["slow"]  # was not begun
    writing.wait()
    with pytest.raises(OSError, match="full"):
        saving.Background(beside=False).begin(wrong)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at inline_container.cc:668] . PytorchStreamWriter failed: unexpected pos 64 vs 0"),
        CheckpointException("", {1: (OSError(errno.ENOSPC, "No space left on device"), None)}),  # pyright: ignore
    ],
)
def test_a_full_disk_is_one_whoever_says_it(error, tmp_path):
    with pytest.raises(OSError, match="No space left") as raised, saving.full_disk_said(tmp_path):
        raise error
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, str(tmp_path))
