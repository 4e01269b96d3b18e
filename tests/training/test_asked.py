"""Whether a run was asked to end: real signals to this process."""

import os
import signal

import pytest

from training.runs import asked
from training.runs.asked import Asked


@pytest.fixture(autouse=True)
def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_several_times_at_once_asks_once(number):
    told = Asked()
    told.listen()
    assert not told
    for _ in range(3):  # as `timeout 9 just sft` passes it on
        os.kill(os.getpid(), number)
    assert told


def test_asked_again_later_it_ends_at_once(monkeypatch):
    told = Asked()
    told.listen()
    os.kill(os.getpid(), signal.SIGTERM)
    monkeypatch.setattr(asked, "AGAIN_S", -1.0)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
