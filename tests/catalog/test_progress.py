"""Progress and tables as people and logs read them."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from catalog.progress import PlainBar, duration, rate, stage_progress, time_left
from catalog.tables import size, table


def test_logs_get_plain_lines():
    out = io.StringIO()
    with stage_progress("read", total=30, unit="documents", out=out) as bar:
        for _ in range(30):
            bar.advance()
    line = out.getvalue()
    assert line.startswith("read: done, 30/30 documents in ")
    assert line.endswith(" documents/s\n")
    assert line.count("\n") == 1
    assert "\x1b" not in line


def test_a_plain_line_now_and_then_with_the_time_left():
    out = io.StringIO()
    bar = PlainBar("read", 4, "documents", out, every_s=0.0)
    bar.start()
    bar.advance(2, note="a.warc.gz")
    line = out.getvalue()
    assert line.startswith("read: 2/4 documents, ")
    assert " left (a.warc.gz)" in line


def test_what_was_done_before_is_not_in_the_pace():
    out = io.StringIO()
    bar = PlainBar("train", 1000, "steps", out, every_s=0.0)
    bar.start()
    bar.skip(998)
    bar._began -= 10  # ten seconds for one step
    bar.advance(1)
    assert out.getvalue() == "train: 999/1,000 steps, 0.1 steps/s, 10 s left\n"


def test_a_stage_that_fails_says_how_far_it_came():
    out = io.StringIO()

    def fail_after_three():
        with stage_progress("read", total=9, out=out) as bar:
            bar.advance(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_three()
    assert "read: stopped, 3/9 documents" in out.getvalue()


def test_a_terminal_gets_one_live_line():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    with stage_progress("write", total=1200, unit="documents", out=out) as bar:
        bar.advance(1200, note="[odd] name")
    assert "1,200/1,200 documents" in out.getvalue()


def test_a_total_may_come_later():
    out = io.StringIO()
    with stage_progress("crawl", unit="pages", out=out) as bar:
        bar.advance(5)
        bar.grow(10)
    assert "5/10 pages" in out.getvalue()


def test_numbers_to_be_read():
    assert [duration(s) for s in (0.44, 12, 59.6, 185, 7800)] == [
        "0.4 s",
        "12 s",
        "1 min 00 s",
        "3 min 05 s",
        "2 h 10 min",
    ]
    assert [rate(done, 2.0) for done in (0, 1, 24_600)] == ["0", "0.5", "12,300"]
    assert time_left(25, 100, 10.0) == "30 s"
    assert time_left(0, 100, 10.0) == time_left(5, None, 10.0) == time_left(9, 9, 1.0) == ""
    assert [size(n) for n in (0, 812, 3400, 250_000_000, 5e15)] == ["0 B", "812 B", "3.4 kB", "250 MB", "5,000.0 TB"]


@given(
    st.lists(st.tuples(st.text(alphabet="ab中文 \n", max_size=30), st.integers() | st.none()), min_size=1, max_size=5)
)
def test_columns_are_aligned_whatever_the_script(rows):
    lines = table(["name", "n"], rows, max_cell=12).split("\n")
    assert len(lines) == len(rows) + 1
    widths = {cell_len(line) for line, row in zip(lines[1:], rows, strict=True) if row[1] is not None}
    assert len(widths) <= 1
    assert all(cell_len(line.split("  ")[0]) <= 12 for line in lines[1:])
