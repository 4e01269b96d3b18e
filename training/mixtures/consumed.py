"""What a run really consumed of a mixture, beside what was planned of it.

>>> shares(catalog, mixture, run="tiny")
[Share(group='web', planned=0.5, consumed=0.4998, tokens=1204224), …]
"""

from collections import defaultdict
from typing import NamedTuple

from catalog.errors import NotFound
from catalog.store import Catalog, quoted
from training.mixtures.plan import Plan
from training.mixtures.reading import Mixture
from training.sample_ids import MAX_SAMPLES, ORDINAL_BITS, PART_BITS


class Share(NamedTuple):
    """A group's share of the tokens that a run has consumed so far."""

    group: str
    planned: float
    """Of as many samples from the start of the plan."""
    consumed: float
    tokens: int


def shares(catalog: Catalog, mixture: Mixture, run: str) -> list[Share]:
    """Every group, the largest first. Raises NotFound where no batch of the run is on record."""
    groups = {stream.key: stream.group for phase in mixture.plan.phases for stream in phase.streams}
    rows = [
        f"({info.key}, {stream.first}, {stream.first + stream.samples}, {info.sequence_length}, {quoted(group)})"
        for info in mixture.tokens
        for stream in info.streams
        for key, group in groups.items()
        if key == (info.ref, stream.domain, stream.lang)
    ]
    found = catalog.sql(
        f"WITH streams(key, low, high, length, name) AS (VALUES {', '.join(rows)}), "
        f"read AS (SELECT sample_id, sample_id >> {ORDINAL_BITS + PART_BITS} AS key, "
        f"(sample_id >> {PART_BITS}) & {MAX_SAMPLES - 1} AS ordinal FROM batches WHERE run = {quoted(run)}) "
        "SELECT name, count(*), sum(length // sample_divisor(sample_id))::BIGINT FROM read "
        "JOIN streams ON read.key = streams.key AND ordinal >= low AND ordinal < high GROUP BY ALL"
    ).fetchall()
    if not found:
        raise NotFound(f"no batch of run {run!r} is on record for {mixture.ref}. `just ls runs` lists the runs.")
    planned = _planned(mixture.plan, sum(samples for _, samples, _ in found))
    total = sum(tokens for *_, tokens in found)
    read = {group: tokens for group, _, tokens in found}
    listed = [Share(group, share, read.get(group, 0) / total, read.get(group, 0)) for group, share in planned.items()]
    return sorted(listed, key=lambda one: (-one.planned, one.group))


def _planned(plan: Plan, samples: int) -> dict[str, float]:
    """The share of every group in the first so many samples of the plan."""
    tokens: dict[str, float] = defaultdict(float)
    for phase in plan.phases:
        part = min(samples, phase.samples) / phase.samples
        samples -= min(samples, phase.samples)
        for stream in phase.streams:
            tokens[stream.group] += part * stream.tokens
    total = sum(tokens.values())
    return {group: read / total for group, read in tokens.items()}
