"""A small polite crawler: pages of the hosts that a config names, as WARC files in an artifact `crawls/name@version`.

    >>> config = CrawlConfig(name="ours", seeds=("https://www.example.org/",))
    >>> crawl(config, Home.open()).counts["fetched"]

Pages are fetched side by side from different hosts, and committed one by one in an order that no clock decides: the
same site and config give the same pages in the same order. `crawl_log.jsonl` has a line for every URL that was
discovered: fetched, refused or failed, with the reason, and the three add up.
"""

import asyncio
import json
import os
import shutil
from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from pydantic import JsonValue

from catalog.config import Config
from catalog.errors import BadInput, Conflict, NotFound, Unbalanced
from catalog.home import Home, partial_name, sync
from catalog.locks import hold, lock_of
from catalog.records import Record, file_entry, fingerprint, next_version
from catalog.wanted import Wanted
from data.crawl.fetch import Exchange
from data.crawl.frontier import Bounds, Candidate, Frontier
from data.crawl.links import PageLinks, fetchable, page_links
from data.crawl.polite import Manners, Visit, Visitor, redirect_target
from data.crawl.warc_files import WarcFiles

KIND = "crawls"
LOG = "crawl_log.jsonl"
WINDOW = 32
"""Pages on their way at once, over all hosts; one per host has a request out."""
WAIT_S = 86_400.0
"""A crawl waits this long for another one of the same version."""

Progress = Callable[[int, int], None]
"""Called with the number of pages done and of pages still waiting."""


class CrawlConfig(Config):
    """What is crawled, and how."""

    name: str
    """Of the artifact and its files."""
    seeds: tuple[str, ...]
    """Where to start."""
    hosts: tuple[str, ...] = ()
    """Only these are fetched from, `host` or `host:port`. Empty: the hosts of the seeds."""
    manners: Manners = Manners()
    bounds: Bounds = Bounds()
    obey_nofollow: bool = True
    """Leave links alone that ask for it (`rel=nofollow`, robots meta element, X-Robots-Tag)."""
    sitemaps: bool = True
    """Start from the sitemaps that the robots.txt of the seeds' hosts names, too."""
    drop_parameters: tuple[str, ...] = ("utm_*", "gclid", "fbclid", "*sessid", "*sessionid")
    """Query parameters that make no other page."""
    file_bytes: int = 100_000_000
    """A WARC file is closed when it is longer."""


def crawl(
    config: CrawlConfig,
    home: Home,
    version: str | None = None,
    resolve: Mapping[str, str] | None = None,
    on_progress: Progress | None = None,
    description: str = "",
) -> Record:
    """Crawl to `crawls/<name>@<version>` (without a version the next free one) and return its record.

    A version that is there with the same config is returned as it is; with another config, Conflict is raised. A second
    crawl of the same version waits for the first; what a killed one left behind is removed. `resolve` maps a host to
    the `address:port` that answers for it. `description` goes into the warcinfo records.
    Raises BadInput for seeds that are no web addresses, NotFound where not one page could be fetched.
    """
    seeds = _seeds(config)
    version = version or next_version(home, KIND, config.name)
    key = fingerprint(KIND, config, ())
    wanted = Wanted(home, KIND, config.name, version, (), config.model_dump(mode="json"), key)
    folder = wanted.folder
    with hold(lock_of(folder), wait_s=WAIT_S):
        if found := wanted.found():
            return found
        _clear(folder)
        partial = partial_name(folder)
        partial.mkdir(parents=True)
        try:
            run = _Run(config, seeds, partial, description, on_progress)
            asyncio.run(run.run(resolve))
            counts = run.counts()
            os.rename(partial, folder)
            sync(folder.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        files = [file_entry(folder, folder / name, rows) for name, rows in sorted(run.rows.items())]
        return wanted.write(counts, files)


def _seeds(config: CrawlConfig) -> list[str]:
    seeds = [fetchable(seed, drop=config.drop_parameters) for seed in config.seeds]
    wrong = [seed for seed, url in zip(config.seeds, seeds, strict=True) if not url]
    if wrong or not seeds:
        raise BadInput(f"not a web address to start from: {wrong or '(none)'}. Write for example https://example.org/.")
    return seeds


def _clear(folder: Path) -> None:
    """Remove what a dead crawl of this version left (a live one would hold the lock). Conflict for other files."""
    for leftover in folder.parent.glob(f".{folder.name}.*.partial"):
        shutil.rmtree(leftover)
    if folder.exists() and any(folder.iterdir()):
        if not (folder / LOG).exists():
            raise Conflict(f"{folder} holds files of something else. Move them away, or give another version=….")
        shutil.rmtree(folder)  # killed between the rename and the record


class _Run:
    """One crawl in progress: the frontier, the files that are written, and what came of every URL."""

    def __init__(
        self, config: CrawlConfig, seeds: list[str], folder: Path, description: str, on_progress: Progress | None
    ) -> None:
        self._config, self._seeds, self._folder = config, seeds, folder
        self._description, self._on_progress = description, on_progress
        self._hosts = [host.lower() for host in config.hosts] or [urlsplit(seed).netloc for seed in seeds]
        self._frontier = Frontier(config.bounds, self._hosts)
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._by_host: Counter[str] = Counter()
        self._first_trouble = ""
        self.rows: dict[str, int] = {}
        """Records or lines of each file."""

    async def run(self, resolve: Mapping[str, str] | None) -> None:
        """Crawl until nothing is waiting or the bound on pages is reached."""
        visitor = Visitor(self._config.manners, self._hosts, resolve)
        info = {
            "software": self._config.manners.user_agent,
            "format": "WARC File Format 1.1",
            "robots": "obey",
            "isPartOf": self._config.name,
            "description": self._description,
        }
        log_path = self._folder / LOG
        with (
            log_path.open("x", encoding="utf-8") as log,
            WarcFiles(self._folder, self._config.name, self._config.file_bytes, info) as files,
        ):
            try:
                await self._start(visitor)
                await self._pages(visitor, files, log)
            finally:
                visitor.close()
            self._refusals(log)
        sync(log_path)
        self.rows = {path.name: count for path, count in files.records.items()}
        self.rows[LOG] = self._outcomes.total()

    async def _start(self, visitor: Visitor) -> None:
        for seed in self._seeds:
            self._frontier.offer(seed, depth=0)
        if self._config.sitemaps:
            for site in dict.fromkeys(fetchable("/", seed) for seed in self._seeds):
                for address in (await visitor.robots(site)).sitemaps:
                    if url := fetchable(address, site):
                        self._frontier.offer(url, depth=0)

    async def _pages(self, visitor: Visitor, files: WarcFiles, log: TextIO) -> None:
        """Keep a window of pages on their way; commit them in the order in which they were taken.

        What is taken depends on what is committed and on nothing else, so that timing decides no order.
        """
        pending: deque[tuple[Candidate, asyncio.Task[Visit]]] = deque()
        while True:
            while len(pending) < WINDOW and self._outcomes["fetched"] + len(pending) < self._config.bounds.max_pages:
                candidate = self._frontier.take()
                if candidate is None:
                    break
                pending.append((candidate, asyncio.create_task(visitor.visit(candidate.url))))
            if not pending:
                break
            candidate, task = pending.popleft()
            self._commit(candidate, await task, files, log)
        self._frontier.refuse_rest("max_pages")

    def _commit(self, candidate: Candidate, visit: Visit, files: WarcFiles, log: TextIO) -> None:
        """Write down what came of a page and offer its links."""
        if visit.exchange:
            files.write(visit.exchange)
            self._discover(candidate, visit.exchange)
            self._by_host[urlsplit(visit.url).netloc] += 1
        elif not self._first_trouble:
            self._first_trouble = f"{visit.url}: {visit.reason} {visit.detail}".strip()
        self._log(log, visit, candidate.depth)
        if self._on_progress:
            self._on_progress(self._outcomes.total(), self._frontier.waiting)

    def _discover(self, candidate: Candidate, exchange: Exchange) -> None:
        target = redirect_target(exchange)
        if target:
            self._frontier.offer(target, candidate.depth, candidate.hops + 1)
        links = self._links(exchange)
        for url in links.urls:
            self._frontier.offer(url, candidate.depth + 1)
        for url in links.nofollow:
            self._frontier.offer(url, candidate.depth + 1, nofollow=self._config.obey_nofollow)

    def _links(self, exchange: Exchange) -> PageLinks:
        body = exchange.body(self._config.manners.max_bytes)
        no_follow = "nofollow" in exchange.header("x-robots-tag").lower()
        drop = self._config.drop_parameters
        return page_links(body, exchange.media_type, exchange.charset, exchange.url, drop, no_follow)

    def _log(self, log: TextIO, visit: Visit, depth: int) -> None:
        self._outcomes[visit.outcome] += 1
        self._reasons[f"{visit.outcome}:{visit.reason}" if visit.reason else visit.outcome] += 1
        line: dict[str, JsonValue] = {
            "url": visit.url,
            "outcome": visit.outcome,
            "reason": visit.reason,
            "depth": depth,
        }
        if visit.exchange:
            line |= {"status": visit.exchange.status, "bytes": len(visit.exchange.raw_body)}
        if visit.detail:
            line["detail"] = visit.detail
        log.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _refusals(self, log: TextIO) -> None:
        for refusal in self._frontier.refusals():
            self._log(log, Visit(refusal.url, "refused", refusal.reason), refusal.depth)

    def counts(self) -> dict[str, JsonValue]:
        """URLs by outcome, reason and host. Raises Unbalanced where they do not add up, NotFound where none was had."""
        discovered = self._frontier.discovered
        if discovered != self._outcomes.total():
            raise Unbalanced(f"crawl {self._config.name}: {discovered} URLs discovered, but {dict(self._outcomes)}.")
        if not self._outcomes["fetched"]:
            raise NotFound(
                f"not one page could be fetched: {self._first_trouble}. Check the seeds and their robots.txt."
            )
        outcomes = {word: self._outcomes[word] for word in ("fetched", "refused", "failed")}
        return {
            "discovered": discovered,
            **outcomes,
            "reasons": dict(sorted(self._reasons.items())),
            "hosts": dict(sorted(self._by_host.items())),
        }
