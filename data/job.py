"""One build at work: what it is, its version, where it lies, how long its stages took.

job = job_for(config, home, sources)
with job.timed("read"): ...
"""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from catalog.home import Home, written
from catalog.ids import SHORT, parse_ref
from catalog.records import (
    RECORD,
    fingerprint,
    load_record,
    versions,
)
from data.corpus import CorpusConfig
from data.dedup.earlier import EarlierPart, earlier_inputs
from data.intake import read_key
from data.run.pool import Crew
from data.sources.records import Source

BUILD = "build.json"
WORK = ".work"


@dataclass
class Job:
    """One build at work."""

    config: CorpusConfig
    home: Home
    sources: list[Source]
    version: str
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Wall and CPU seconds by stage."""
    workers_cpu_s: float = 0.0
    crew: Crew | None = None
    """The workers of all stages."""
    command: str = ""
    earlier: list[EarlierPart] = field(default_factory=list)
    """Parts that the build is matched against."""
    near: dict[str, int] = field(default_factory=dict)
    """What near-deduplication counted."""

    @property
    def folder(self) -> Path:
        return self.home.artifact("corpora", self.config.name, self.version)

    @property
    def work(self) -> Path:
        return self.folder / WORK

    @property
    def fingerprint(self) -> str:
        return fingerprint("corpora", self.config.identity(), [source.source_id for source in self.sources])

    @property
    def inputs(self) -> list[str]:
        """The intakes that this build reads, and what it is matched against, as records name them."""
        identity = self.config.read.identity()
        keys = [(source.source_id, read_key(identity, source.source_id)) for source in self.sources]
        intakes = [f"intake/{source_id[:SHORT]}@{reading[:SHORT]}" for source_id, reading in keys]
        return intakes + [name for name in earlier_inputs(self.config.dedup.against) if name not in intakes]

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        start, cpu = time.monotonic(), time.process_time() + self.workers_cpu_s
        yield
        self.seconds[stage] = (time.monotonic() - start, time.process_time() + self.workers_cpu_s - cpu)


def job_for(config: CorpusConfig, home: Home, sources: list[Source]) -> Job:
    """The job with its version: the one given, or the one that is this very build, or the next free number."""
    job = Job(config, home, sources, config.version)
    parse_ref(f"{config.name}@{config.version}" if config.version else config.name)
    if config.version:
        return job
    folder = home.root / "corpora" / config.name
    for version in reversed(versions(home, "corpora", config.name)):
        if load_record(folder / version / RECORD).fingerprint == job.fingerprint:
            job.version = version
            return job
    begun = {path.parent.name: json.loads(path.read_text())["fingerprint"] for path in folder.glob(f"*/{BUILD}")}
    same = [version for version, begun_fingerprint in begun.items() if begun_fingerprint == job.fingerprint]
    taken = [int(name) for name in (*begun, *versions(home, "corpora", config.name)) if name.isdigit()]
    job.version = same[0] if same else str(max(taken, default=0) + 1)
    return job


def start_afresh_if_other(job: Job) -> None:
    """Leftovers of a dead build of the same fingerprint are used; of another one, removed."""
    begun = job.folder / BUILD
    if job.folder.exists() and (not begun.exists() or json.loads(begun.read_text())["fingerprint"] != job.fingerprint):
        shutil.rmtree(job.folder)
    with written(begun) as partial:
        partial.write_text(json.dumps({"fingerprint": job.fingerprint}))
