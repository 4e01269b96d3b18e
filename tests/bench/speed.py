"""Pages per core-second from raw crawl to published corpus, beside stock datatrove's FineWeb recipe on the same files.

    compare(folder_of_warcs, repeats=3)

Both sides run in one process; CPU seconds are those of the process and its children, imports left out on both sides.
Ours reads, decodes, extracts, identifies and measures every page, also those that the peer drops early, decides,
removes near-duplicates, and writes shards and ledger; the peer extracts, filters, and writes JSONL and signatures.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from warcio.archiveiterator import ArchiveIterator
from warcio.warcwriter import WARCWriter

LEAST_SCORE = 0.65
"""Of a language, as the peer has it."""


class Compared(NamedTuple):
    """Medians over the repeats."""

    html: "Html"
    ours_s: float
    stock_s: float
    times: float
    stages: dict[str, float]

    def rows(self, name: str) -> list[list[str]]:
        """Two rows of a table: ours and the peer's."""
        sides = (("millrace", self.ours_s, self.times), ("stock datatrove", self.stock_s, 1.0))
        return [
            [
                f"{name}: {side}",
                f"{self.html.pages:,}",
                f"{self.html.megabytes:.1f}",
                f"{cpu:.1f}",
                f"{self.html.pages / cpu:.1f}",
                f"{self.html.megabytes / cpu:.2f}",
                f"{times:.1f}",
            ]
            for side, cpu, times in sides
        ]


COLUMNS = ["", "pages", "MB of HTML", "CPU s", "pages / core-second", "MB / core-second", "times stock"]


def compare(folder: Path, repeats: int, home: Path | None = None) -> Compared:
    """Both sides in turn; the first of our builds stays in `home`, if that is given."""
    runs = [(build(folder, None if turn else home), _stock(folder)) for turn in range(repeats)]
    ours, stock = ([run[side] for run in runs] for side in (0, 1))
    stages = {name: _median([run["stages"][name] for run in ours]) for name in ours[0]["stages"]}
    times = _median([theirs["cpu_s"] / mine["cpu_s"] for mine, theirs in runs])
    medians = (_median([run["cpu_s"] for run in side]) for side in (ours, stock))
    return Compared(html_of(sorted(folder.glob("*.warc.gz"))), *medians, times, stages)


def english_only(folder: Path, home: Path, into: Path) -> None:
    """A WARC of the pages that a build in `home` found to be English."""
    english = {
        row["url"]
        for part in home.glob("intake/*/*/part-*.parquet")
        for row in pq.read_table(part, columns=["url", "lang", "lang_score"]).to_pylist()
        if row["lang"] == "en" and row["lang_score"] >= LEAST_SCORE
    }
    into.mkdir()
    with (into / "english.warc.gz").open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for file in sorted(folder.glob("*.warc.gz")):
            with file.open("rb") as stream:
                for record in ArchiveIterator(stream):
                    if record.rec_type == "response" and record.rec_headers.get_header("WARC-Target-URI") in english:
                        writer.write_record(record)


class Html(NamedTuple):
    """The HTML responses of WARC files."""

    pages: int
    megabytes: float


def html_of(files: list[Path]) -> Html:
    """Counted by warcio, which neither side uses for this."""
    pages = size = 0
    for file in files:
        with file.open("rb") as stream:
            for record in ArchiveIterator(stream):
                kind = record.http_headers.get_header("Content-Type", "") if record.http_headers else ""
                if record.rec_type == "response" and "html" in kind:
                    pages, size = pages + 1, size + len(record.content_stream().read())
    return Html(pages, size / 1e6)


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _stock(folder: Path) -> dict:
    with tempfile.TemporaryDirectory() as out:
        done = subprocess.run(
            [sys.executable, "-m", "tests.bench.stock_fineweb", str(folder), out],
            capture_output=True,
            text=True,
            check=True,
        )
    return json.loads(done.stdout.splitlines()[-1])


def build(folder: Path, home: Path | None = None) -> dict:
    """A build of the WARC files in a folder, which stays in `home`, if that is given."""
    with tempfile.TemporaryDirectory() as scratch:
        root = home or Path(scratch)
        command = [sys.executable, "-m", "configs", "build-corpus", "web", f"input={folder}/*.warc.gz", "workers=1"]
        subprocess.run([*command, "--home", str(root)], capture_output=True, check=True)
        record = json.loads((root / "corpora/web/1/record.json").read_text())
    stages = {stage["stage"]: stage["cpu_seconds"] for stage in record["counts"]["stages"]}
    return {"cpu_s": sum(stages.values()), "stages": stages}
