"""Make a mixture: settle its plan, compile its order, write both with their record.

>>> made = build(MixtureConfig(name="balanced", tokens=("web",), shares="web=0.5, *=0.5"), home)
>>> made.record.ref
"""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.lib.format import write_array_header_1_0
from numpy.typing import NDArray
from pydantic import JsonValue

from catalog.errors import BadInput
from catalog.home import Home, written
from catalog.progress import Bar, stage_progress
from catalog.records import Record, file_entry, fingerprint, version_for
from catalog.wanted import Wanted
from training.mixtures import heldout
from training.mixtures.config import MixtureConfig
from training.mixtures.order import compiled
from training.mixtures.plan import Plan, StreamKey, make_plan, warnings
from training.mixtures.reading import HELDOUT, phase_file
from training.sample_ids import sample_id
from training.tokens.reading import TokensInfo, check_shards, load_tokens

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Draft:
    """A mixture that is settled and not yet written."""

    config: MixtureConfig
    home: Home
    tokens: dict[str, TokensInfo]
    """By the words that the config uses."""
    plan: Plan
    read: dict[StreamKey, Ids] = field(repr=False)
    """Sample ids that phases may read."""
    held: dict[StreamKey, Ids] = field(repr=False)
    guards: int

    @property
    def infos(self) -> list[TokensInfo]:
        """The tokens artifacts, each once, in the order in which they are named."""
        return list({info.ref: info for info in self.tokens.values()}.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for every group that is read too often."""
        return warnings(self.plan, self.config.warn_epochs)

    @property
    def identity(self) -> dict:
        """The config of the record: what was asked, with versions said, and what came of it."""
        asked = self.config.identity()
        asked["tokens"] = [self.tokens[name].ref for name in self.config.tokens]
        for phase in asked["phases"]:
            phase["tokens"] = [self.tokens[name].ref for name in phase["tokens"]]
        return {**asked, "plan": self.plan.model_dump(mode="json")}

    @property
    def wanted(self) -> Wanted:
        name, identity, inputs = self.config.name, self.identity, tuple(f"tokens/{info.ref}" for info in self.infos)
        key = fingerprint("mixtures", identity, [info.fingerprint for info in self.infos])
        version = version_for(self.home, "mixtures", name, self.config.version, key)
        return Wanted(self.home, "mixtures", name, version, inputs, identity, key)


@dataclass(frozen=True)
class Built:
    """A mixture's record, whether it was made just now, and a line for every group that is read too often."""

    record: Record
    fresh: bool
    warnings: tuple[str, ...]


def draft(config: MixtureConfig, home: Home) -> Draft:
    """Settle a mixture without writing anything. Raises BadInput for what cannot be."""
    names = [*config.tokens, *(name for phase in config.phases for name in phase.tokens)]
    tokens = {name: load_tokens(home, name) for name in dict.fromkeys(names)}
    infos = {info.ref: info for info in tokens.values()}.values()
    ids = {
        StreamKey(info.ref, stream.domain, stream.lang): sample_id(info.key, stream.first + np.arange(stream.samples))
        for info in infos
        for stream in info.streams
    }
    held = heldout.choose(ids, config.heldout, config.seed)
    everything = np.sort(np.concatenate(list(held.values()))) if held else np.empty(0, np.int64)
    files = [path for info in infos for path in sorted((info.folder / "samples").glob("*.parquet"))]
    guards = heldout.guards(files, everything)
    kept_back = np.concatenate([everything, guards])
    read = {key: of[~np.isin(of, kept_back)] for key, of in ids.items()}
    plan = make_plan(config, tokens, {key: len(of) for key, of in read.items()})
    return Draft(config, home, tokens, plan, read, held, len(guards))


def build(config: MixtureConfig, home: Home) -> Built:
    """Make a mixture, or find it made. Raises BadInput, Conflict, Damaged (a shard that is missing), Busy."""
    drafted = draft(config, home)
    wanted = drafted.wanted
    with wanted.making() as found:
        if found:
            return Built(found, False, drafted.warnings)
        for info in drafted.infos:
            check_shards(info)
        _check_room(drafted.plan, home)
        return Built(_write(drafted, wanted), True, drafted.warnings)


def _check_room(plan: Plan, home: Home) -> None:
    """Raise BadInput where the order, 8 bytes a sample, is more than the disk has left."""
    needed, free = 8 * sum(phase.samples for phase in plan.phases), shutil.disk_usage(home.root).free
    if needed > free:
        raise BadInput(
            f"the order of {plan.tokens:,} tokens takes {needed / 1e9:,.1f} GB, and {home.root} has "
            f"{free / 1e9:,.1f} GB left: lower the budget, or plan longer samples."
        )


def _write(drafted: Draft, wanted: Wanted) -> Record:
    plan, folder = drafted.plan, wanted.folder
    held = np.sort(np.concatenate(list(drafted.held.values())))
    paths = [folder / phase_file(number) for number in range(len(plan.phases))]
    with stage_progress("order", total=sum(phase.samples for phase in plan.phases), unit="samples") as bar:
        blocks = compiled(plan, drafted.read, drafted.config.seed)
        for number, of_phase in groupby(blocks, key=lambda block: block[0]):
            samples = plan.phases[number].samples
            _write_ids(paths[number], samples, (ids for _, ids in of_phase), bar)
    with written(folder / HELDOUT) as partial, partial.open("wb") as stream:
        np.save(stream, held, allow_pickle=False)
    counts: dict[str, JsonValue] = {
        "samples": sum(phase.samples for phase in plan.phases),
        "tokens": plan.tokens,
        "heldout": len(held),
        "guards": drafted.guards,
        "shares": [row.model_dump(mode="json") for row in plan.rows()],
    }
    return wanted.publish(counts, [file_entry(folder, path) for path in [*paths, folder / HELDOUT]])


def _write_ids(path: Path, samples: int, blocks: Iterable[Ids], bar: Bar) -> None:
    """Write blocks of ids as one `.npy` file, one block in memory at a time."""
    with written(path) as partial, partial.open("wb") as stream:
        write_array_header_1_0(stream, {"descr": "<i8", "fortran_order": False, "shape": (samples,)})
        for block in blocks:
            stream.write(block.tobytes())
            bar.advance(len(block))
