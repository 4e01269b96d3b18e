"""`just demo`, short: told to the end, and told again at once; a start that is killed goes on."""

import math
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from serving_toys import free_port
from toys import dies_with_its_parent, millrace

from catalog.home import Home
from catalog.records import find, versions
from catalog.store import Catalog

SHORT = ("pretrain_steps=12", "sft_epochs=0.1", "dpo_steps=2", "questions=12")

KNOWS_NOTHING = math.log(8192)
"""The loss of a model that finds 8,192 tokens equally likely, 9.01: before its first step it is 9.07, after 12 7.52."""


def started(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(millrace(*words), capture_output=True, text=True)


def test_a_demo_says_what_it_would_type_and_refuses_a_port_that_is_taken(home: Home):
    said = started("demo", "pretrain_steps=7", "--dry-run", "--home", str(home.root))
    assert said.returncode == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == "just crawl docs"
    assert lines[-1] == "just trace endpoint demo-w8a8"
    assert any(line.startswith("just pretrain tiny run=demo") and "max_steps=7" in line for line in lines)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = started("demo", f"port={taken.getsockname()[1]}", "--home", str(home.root))
    assert (refused.returncode, "cannot be had" in refused.stderr) == (2, True)
    assert not home.root.exists()


def test_a_demo_that_is_killed_takes_its_step_along(home: Home, tmp_path: Path):
    command = millrace("demo", f"port={free_port()}", "--home", str(home.root))
    assert dies_with_its_parent(command, "crawl", tmp_path / "plant")


def assert_no_babble(home: Home) -> None:
    """What so short a demo can promise, by its records: it has read English, and tuning and W8A8 took nothing away."""
    counts: dict = find(home, "evaluations", "exam-demo-chat-1").counts
    (over_its_base,) = [one for one in counts["leads"] if (one["over"], one["measure"]) == ("demo@1", "partial")]
    assert over_its_base["high"] >= 0, over_its_base
    query = "SELECT model, task, value FROM evaluations WHERE metric = 'loss' AND task IN ('heldout/all', 'served/all')"
    with Catalog.open(home) as catalog:
        losses = {(model, task): value for model, task, value in catalog.con.execute(query).fetchall()}
    trained = [losses["demo", "heldout/all"], losses["demo-chat", "served/all"], losses["demo-w8a8", "served/all"]]
    assert max(trained) < KNOWS_NOTHING - 0.5, losses
    assert trained[2] == pytest.approx(trained[1], abs=0.1)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_whole_story_ends_at_a_page_whose_bytes_are_compared(tmp_path: Path):
    pytest.importorskip("vllm", reason="vLLM is not installed")
    home, port = Home(tmp_path / "lake"), f"port={free_port()}"
    command = millrace("demo", *SHORT, port, "--home", str(home.root))
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as killed:
        while not versions(home, "crawls", "docs"):  # no longer than the crawl
            assert killed.poll() is None
            time.sleep(0.2)
        os.killpg(killed.pid, signal.SIGKILL)
    told = started(*command[3:])
    assert told.returncode == 0, told.stdout + told.stderr
    assert re.search(r"1/14\] crawl +there already", told.stdout)
    assert "the same text and fields as on record" in told.stdout
    assert_no_babble(home)
    call = next(line for line in told.stdout.splitlines() if line.startswith("call "))
    assert f"http://127.0.0.1:{port.removeprefix('port=')}/v1/chat/completions" in call
    with Catalog.open(home) as catalog:
        hops = catalog.con.execute("SELECT what FROM trace_endpoint('demo-w8a8')").fetchall()
        names = "('demo', 'demo-chat', 'demo-w8a8')"
        scored = f"SELECT count(DISTINCT model) FROM evaluations WHERE task LIKE 'exam/%' AND model IN {names}"
        up = catalog.con.execute("SELECT status FROM endpoints").fetchall()
        assert catalog.con.execute(scored).fetchone() == (3,)
    assert [what for (what,) in hops] == ["endpoint", *["model"] * 4, "batch", "document", "crawl"]
    assert up == [("down",)]
