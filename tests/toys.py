"""Toy crawls and home-made text: what tests make themselves (`from toys import Crawl, english, page`)."""

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

WORDS = [
    "the",
    "river",
    "and",
    "mill",
    "house",
    "have",
    "been",
    "of",
    "that",
    "town",
    "with",
    "an",
    "old",
    "wheel",
    "which",
    "turns",
    "slowly",
    "under",
    "stone",
    "bridge",
    "while",
    "people",
    "carry",
    "grain",
    "from",
    "fields",
    "they",
    "know",
    "to",
    "market",
    "every",
    "morning",
    "because",
    "bread",
    "is",
    "what",
    "children",
    "want",
    "before",
    "school",
    "begins",
]
HAN = "水流经过古老的磨坊人们在清晨把粮食送到市场因为面包是孩子上学前最想要的东西河边有一座石桥桥下的轮子慢慢转动"


def english(seed: int, sentences: int = 14) -> str:
    """Prose that every rule of the recipe `web` keeps."""
    chosen = random.Random(seed)
    lines = []
    for _ in range(sentences):
        words = [chosen.choice(WORDS) + chosen.choice(("", "", "ing", "s")) for _ in range(chosen.randint(9, 16))]
        lines.append(" ".join(["The", *words]).capitalize() + f" of number {chosen.randint(1000, 999999)}.")
    return "".join(f"<p>{line}</p>\n" for line in lines)


def chinese(seed: int, sentences: int = 14) -> str:
    """The same in Chinese."""
    chosen = random.Random(seed)
    return "".join(
        f"<p>{''.join(chosen.sample(HAN, 30))}的第{chosen.randint(1, 9999)}年。</p>\n" for _ in range(sentences)
    )


def page(body: str, title: str = "A page") -> bytes:
    main = f"<main><article>{body}</article></main>"
    return f"<!doctype html><html><head><title>{title}</title></head><body>{main}</body></html>".encode()


class Crawl:
    """A WARC file in the making."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self.stream = path, path.open("wb")
        self.writer = WARCWriter(self.stream, gzip=True)
        self.writer.write_record(self.writer.create_warcinfo_record(path.name, {"software": "a test"}))

    def response(
        self,
        url: str,
        body: bytes,
        status: str = "200 OK",
        kind: str = "text/html; charset=utf-8",
        date: str = "2026-01-02T03:04:05Z",
    ) -> "Crawl":
        headers = StatusAndHeaders(status, [("Content-Type", kind)], protocol="HTTP/1.1")
        record = self.writer.create_warc_record(
            url, "response", payload=io.BytesIO(body), http_headers=headers, warc_headers_dict={"WARC-Date": date}
        )
        self.writer.write_record(record)
        return self

    def revisit(self, url: str) -> "Crawl":
        self.writer.write_record(
            self.writer.create_revisit_record(url, "sha1:AAAA", "http://first.example/", "2026-01-01T00:00:00Z")
        )
        return self

    def close(self) -> Path:
        self.stream.close()
        return self.path


def write_crawl(path: Path, first: int, pages: int) -> Path:
    """A WARC of so many good pages, English and Chinese in turn."""
    warc = Crawl(path)
    for seed in range(first, first + pages):
        body = chinese(seed) if seed % 3 == 0 else english(seed)
        warc.response(f"https://example.org/page/{seed}", page(body, f"Page {seed}"))
    return warc.close()


def dead_pid() -> int:
    """The pid of a process that is over."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def millrace(*words: str) -> list[str]:
    """The command line of a verb of configs."""
    return [sys.executable, "-m", "configs", *words]


def planted(folder: Path, code: str) -> dict[str, str]:
    """The environment of Python processes, children's too, that run `code` before anything else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(folder)}


def dies_with_its_parent(command: list[str], word: str, folder: Path) -> bool:
    """Whether a child of `command`, whose own command line has `word` and which never ends, ends when it is killed."""
    env = planted(folder, f"import sys, time\nif {word!r} in sys.orig_argv: time.sleep(600)")
    with subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as parent:
        while not (found := [child for child in psutil.Process(parent.pid).children() if word in child.cmdline()]):
            assert parent.poll() is None, parent.stderr and parent.stderr.read()
            time.sleep(0.05)
        parent.kill()
    for _ in range(200):
        if not found[0].is_running() or found[0].status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    found[0].kill()
    return False
