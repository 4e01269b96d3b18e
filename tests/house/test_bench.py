"""The command line of the benchmarks: what `just bench` and `--help` say, and what is missing, without running one."""

import pytest

from catalog.errors import BadInput, NotFound
from tests.bench import engine, tables
from tests.bench.__main__ import NAMES, main

OPTIONS = {
    "engine": ("--gold", "just bench engine --only text"),
    "signals": ("--documents", "just bench signals --documents 60"),
    "dedup": ("sizes", "just bench dedup 10000"),
    "tokens": ("--tokenizer", "just bench tokens docs --only text"),
    "train": ("--models", "just bench train --models 350m,1b"),
    "tune": ("--blocks", "just bench tune --only speed"),
    "serve": ("--schemes", "just bench serve --schemes w8a8"),
}


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"]])
def test_the_bare_command_lists_every_benchmark(argv, capsys):
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert all(f"just bench {name} " in said for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_help_of_a_benchmark_shows_its_options_and_an_example(name, capsys):
    pytest.importorskip("torch" if name == "train" else "datatrove")
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert said.startswith(f"usage: just bench {name} ")
    for wanted in OPTIONS[name]:
        assert wanted in said


def test_an_option_that_no_benchmark_has_is_refused():
    with pytest.raises(BadInput, match="just bench engine --help"):
        main(["engine", "--sises", "1"])


def test_main_text_without_real_pages_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(engine, "GOLD", tmp_path / "none")
    with pytest.raises(NotFound, match=r"none; `just bench engine --help` says where they come from\.$"):
        engine.main(["--only", "text"])
    with pytest.raises(NotFound, match="elsewhere"):  # a folder that was asked for
        engine.main(["--gold", str(tmp_path / "elsewhere")])


def test_what_is_left_out_without_real_pages_is_said(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(engine, "GOLD", tmp_path)
    monkeypatch.setattr(engine, "_on_crawls", lambda parts, arguments, has_gold: ran.append((parts, has_gold)))
    for argv in ([], ["--only", "speed"], ["--only", "growth"]):
        engine.main(argv)
    assert ran == [(engine.PARTS, False), (("speed",), False), (("growth",), False)]
    everything, speed = capsys.readouterr().err.splitlines()
    assert everything.startswith("left out: the rows `real pages` of Read to publish and Main text (no pages ")
    assert speed.startswith("left out: the rows `real pages` of Read to publish (no pages ")


def test_a_table_goes_where_the_last_line_says(tmp_path, monkeypatch, capsys):
    page = tmp_path / "docs" / "benchmarks.md"
    page.parent.mkdir()
    page.write_text("# Benchmarks\n\n## Old\n\nolder\n\n## Other\n\nstays\n")
    monkeypatch.setattr(tables, "PAGE", page)
    tables.publish("Old", "just bench engine", "newer")
    assert page.read_text().startswith("# Benchmarks\n\n## Old\n\n`just bench engine` on ")
    assert page.read_text().endswith("\n\nnewer\n\n## Other\n\nstays\n")
    assert capsys.readouterr().err == "Kept under `Old` in docs/benchmarks.md.\n"


def test_real_pages_that_are_there_are_used(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(engine, "_on_crawls", lambda parts, arguments, has_gold: ran.append(has_gold))
    (tmp_path / "articles" / "html").mkdir(parents=True)
    (tmp_path / "articles" / "html" / "1.html.gz").write_bytes(b"")
    engine.main(["--only", "speed", "--gold", str(tmp_path)])
    assert ran == [True]
    assert capsys.readouterr().err == ""
