"""Cost of a document and memory of a worker as the input grows: real pages, perturbed, in any number.

    grown_crawl(folder, paragraphs, 100_000)      # folder/pages-00000.warc.gz …

A page is the frame of a small site (menu, footer) around three to six paragraphs of the default crawl, in each of which
three words are others: no two pages are alike, and every page goes through every stage of a build.
"""

import gzip
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pyarrow.parquet as pq

from tests.bench.dedup_methods import pss
from tests.bench.tables import doing, table

PAGES_A_FILE = 25_000
WORKERS = 2
WATCH_S = 1.0
_FRAME = (
    "<!doctype html><html><head><title>{title}</title></head><body><nav><ul><li><a href='/'>Home</a></li>"
    "<li><a href='/news'>News</a></li><li><a href='/about'>About us</a></li></ul></nav><main><h1>{title}</h1>{body}"
    "</main><footer><p>Copyright 2024 <a href='/imprint'>Imprint</a></p></footer></body></html>"
)


def grow(home: Path, sizes: Sequence[int]) -> str:
    """A build of each size, as a table; `home` holds a corpus `web` of the default crawl, whose paragraphs are used."""
    paragraphs = _paragraphs(home)
    rows = []
    for size in sizes:
        doing(f"growth: {size:,} pages, made and built")
        with TemporaryDirectory() as folder:
            grown_crawl(Path(folder) / "crawl", paragraphs, size)
            rows.append(_build(Path(folder), size))
        print(*rows[-1], sep=" | ", file=sys.stderr)
    columns = [
        "pages",
        "MB of HTML",
        "CPU s",
        "read, ms a page",
        "all, ms a page",
        "clock s",
        "a worker",
        "main process",
    ]
    return table(columns, rows)


def _paragraphs(home: Path) -> list[str]:
    """English ones of 80 to 600 characters, each once."""
    found: dict[str, None] = {}
    for part in sorted(home.glob("intake/*/*/part-*.parquet")):
        for row in pq.read_table(part, columns=["text", "lang"]).to_pylist():
            if row["lang"] == "en":
                found.update(dict.fromkeys(text for text in row["text"].split("\n\n") if 80 <= len(text) <= 600))
    return list(found)


def grown_crawl(folder: Path, paragraphs: list[str], pages: int) -> None:
    """WARC files of 25,000 pages each; the same for the same paragraphs."""
    folder.mkdir()
    words = sorted({word for text in paragraphs for word in text.split() if word.isalpha()})
    cut = [text.split() for text in paragraphs]
    for number, first in enumerate(range(0, pages, PAGES_A_FILE)):
        chance = random.Random(number)
        with (folder / f"pages-{number:05d}.warc.gz").open("wb") as out:
            for page in range(first, min(first + PAGES_A_FILE, pages)):
                out.write(gzip.compress(_record(_page(page, cut, words, chance), page), 1, mtime=0))


def _page(number: int, paragraphs: list[list[str]], words: list[str], chance: random.Random) -> bytes:
    body = []
    for _ in range(chance.randrange(3, 7)):
        text = list(chance.choice(paragraphs))
        for _ in range(3):
            text[chance.randrange(len(text))] = chance.choice(words)
        body.append(f"<p>{escape(' '.join(text))}</p>")
    return _FRAME.format(title=f"Page {number}", body="".join(body)).encode()


def _record(page: bytes, number: int) -> bytes:
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\n"
        f"WARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Target-URI: http://host{number % 997}.example/{number}\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def _build(folder: Path, size: int) -> list[str]:
    command = [sys.executable, "-m", "configs", "build-corpus", "web", f"input={folder}/crawl/*.warc.gz"]
    started = time.perf_counter()
    process = subprocess.Popen(
        [*command, f"workers={WORKERS}", "--home", str(folder / "home")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    peaks: dict[int, int] = {}
    watcher = threading.Thread(target=_watch, args=(process, peaks))
    watcher.start()
    if process.wait():
        raise subprocess.CalledProcessError(process.returncode, command)
    clock = time.perf_counter() - started
    watcher.join()
    record = json.loads((folder / "home/corpora/web/1/record.json").read_text())
    spent = {stage["stage"]: stage["cpu_seconds"] for stage in record["counts"]["stages"]}
    html = sum(_bytes(path) for path in (folder / "crawl").iterdir()) / 1e6
    cpu, main = sum(spent.values()), peaks.pop(process.pid)
    return [
        f"{size:,}",
        f"{html:,.0f}",
        f"{cpu:.1f}",
        f"{spent['read'] / size * 1000:.3f}",
        f"{cpu / size * 1000:.3f}",
        f"{clock:.0f}",
        f"{max(peaks.values()) / 1e6:,.0f} MB",
        f"{main / 1e6:,.0f} MB",
    ]


def _bytes(path: Path) -> int:
    """Of a file, decompressed; `gzip.decompress` copies the rest of the file at each of its members."""
    with gzip.open(path) as stream:
        return sum(len(block) for block in iter(lambda: stream.read(1 << 20), b""))


def _watch(process: subprocess.Popen, peaks: dict[int, int]) -> None:
    """The most memory that each process of a build had, its share of what it shares with others counted."""
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            family = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for one in family:
            peaks[one.pid] = max(peaks.get(one.pid, 0), pss(one))
        time.sleep(WATCH_S)
