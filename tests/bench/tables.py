"""Tables of benchmarks: printed, and kept in docs/benchmarks.md under the benchmark's heading."""

import platform
import re
import sys
from pathlib import Path

import psutil

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def machine() -> str:
    """The machine in a line: processor, cores, memory, Python."""
    names = (
        re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text()) if platform.system() == "Linux" else []
    )
    memory = psutil.virtual_memory().total / 2**30
    processor = names[0] if names else platform.processor()
    return f"{processor}, {psutil.cpu_count()} cores, {memory:.0f} GiB, Python {platform.python_version()}"


def table(columns: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; every column but the first is aligned right."""
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def doing(what: str) -> None:
    """Say on stderr what a benchmark is at: parts take minutes."""
    print(f"… {what}", file=sys.stderr, flush=True)


def publish(title: str, command: str, body: str) -> None:
    """Print a section and put it into docs/benchmarks.md in place of the one with the same title."""
    section = f"## {title}\n\n`{command}` on {machine()}.\n\n{body.strip()}\n"
    print(section)
    page = PAGE.read_text() if PAGE.exists() else "# Benchmarks\n"
    old = re.search(rf"^## {re.escape(title)}\n.*?(?=^## |\Z)", page, re.S | re.M)
    page = page[: old.start()] + section + "\n" + page[old.end() :] if old else page.rstrip() + "\n\n" + section
    PAGE.write_text(page.rstrip() + "\n")
    print(f"Kept under `{title}` in {PAGE.relative_to(PAGE.parents[1])}.", file=sys.stderr)
