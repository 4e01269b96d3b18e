"""A `StreamingDataset` over a mixture: batches in the mixture's exact order, each with its sample ids.

>>> dataset = MixtureDataset(load_mixture(home, "docs@1"), batch_tokens=16_384, cache=home.root / "cache")
>>> dataset.start_at(1234)                    # a resume is one integer
>>> for batch in loader(dataset): ...         # the same batches for 1, 2 or 4 ranks and any number of workers

Streaming keeps what it does well, shards that are fetched, cached and evicted; the order is ours, so nothing that
streaming shuffles, partitions or keeps in shared memory decides what is read. A worker computes its batches from the
order on the disk when it needs them: the loader's memory does not grow with the length of a run.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from streaming import StreamingDataset
from torch.utils.data import DataLoader

from catalog.errors import BadInput, Damaged
from training.loader.batches import Batch, Sample, collate
from training.loader.schedule import Schedule
from training.loader.shards import OpenShards, read_sample
from training.loader.shared_memory import own_names
from training.loader.streams import CachedStream
from training.mixtures.reading import Mixture
from training.sample_ids import ORDINAL_BITS, PART_BITS, divisor, part, parts, whole
from training.tokens.reading import TokensInfo
from training.tokens.streams import TokenStream

Ids = NDArray[np.int64]
_REMOTE = 1
"""Streaming's state of a shard that is not in the cache."""
AHEAD = 4
"""Batches that are read ahead of the one in use."""


class MixtureDataset(StreamingDataset):
    """Yields whole batches of this rank: `DataLoader(dataset, batch_size=None)`, or `loader(dataset)`."""

    def __init__(
        self,
        mixture: Mixture,
        batch_tokens: int,
        cache: Path,
        *,
        remote: str = "",
        prepare: Callable[[Batch], Batch] | None = None,
        skipped: Sequence[int] = (),
        earlier: tuple[int, int] = (0, 0),
        cache_limit: str | None = None,
    ) -> None:
        """`batch_tokens`: tokens of a global batch. `cache`: a folder for raw shards, which jobs may share. `remote`:
        the address of another home, when the shards are not in this one. `prepare`: what an objective makes of a batch.
        `skipped`: batches of the plan, counted from 0, that are left out. `earlier`: steps and samples of the run that
        came before this mixture.

        Raises BadInput where the batch does not fit the phases or the ranks, Damaged for a shard that is not whole.
        """
        self.mixture, self.prepare = mixture, prepare
        self.steps_earlier, self.samples_earlier = earlier
        self.schedule = Schedule.of(mixture, batch_tokens, skipped)
        self._pads = {info.key: info.pad_id for info in mixture.tokens}
        chosen = [(info, stream) for info in mixture.tokens for stream in info.streams]
        chosen.sort(key=lambda pair: (pair[0].ref, pair[1].domain, pair[1].lang))
        with own_names():
            super().__init__(
                streams=[_stream(info, stream, cache, remote) for info, stream in chosen],
                batch_size=1,
                shuffle=False,
                num_canonical_nodes=1,
                cache_limit=cache_limit,
            )
        self.schedule.check_world(self._unique_rank_world.num_ranks)
        self.first = 0
        """The step at which an iteration begins."""
        self._open = OpenShards()
        self._orders = [mixture.order(phase) for phase in range(len(mixture.plan.phases))]
        self._index = _Index(chosen, self.sample_offset_per_stream)

    def __len__(self) -> int:
        """Batches of the whole plan, and of the run before it."""
        return self.steps_earlier + self.schedule.steps

    def start_at(self, step: int) -> None:
        """Go on from a step: the next iteration begins there, in every worker that it starts."""
        self.first = step

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, int]:
        """What a checkpoint keeps: samples read in the run by all ranks together.

        `num_samples` counts from the beginning of the run, or else from where this iteration started.
        """
        before = 0 if from_beginning else self.samples_earlier + self.schedule.samples_before(self.first)
        return {"sample_in_epoch": before + num_samples}

    def load_state_dict(self, obj: dict[str, int]) -> None:
        """Go on from a checkpoint. Raises BadInput where it is not at the end of a batch."""
        self.start_at(self.schedule.step_after(obj["sample_in_epoch"] - self.samples_earlier))

    def ids_of(self, step: int, rank: int = 0, ranks: int = 1) -> Ids:
        """The sample ids that a rank reads in a step, int64."""
        at = self.schedule.at(step)
        each = at.samples // ranks
        start = at.start + rank * each
        return np.array(self._orders[at.phase][start : start + each])

    def __iter__(self) -> Iterator[Batch]:
        """This worker's batches, each read ahead of its use."""
        world = self._unique_rank_world.detect_workers()
        steps = range(self.first + world.worker_of_rank, self.schedule.steps, world.workers_per_rank)
        with ThreadPoolExecutor(1, "read-ahead") as ahead:
            pending: deque[Future[Batch]] = deque()
            for step in steps:
                pending.append(ahead.submit(self.read_step, step, world.rank, world.num_ranks))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def read_step(self, step: int, rank: int = 0, ranks: int = 1) -> Batch:
        """The batch of a step for one rank, prepared; `epoch` [B] holds the run's step: masks differ in a repeat."""
        length = self.schedule.stretches[self.schedule.at(step).phase].sequence_length
        batch = self.read(self.ids_of(step, rank, ranks), length)
        batch["epoch"] = torch.full_like(batch["sample_id"], self.steps_earlier + step)
        return self.prepare(batch) if self.prepare else batch

    def read_whole(self, ids: Ids, sequence_length: int) -> Batch:
        """Whole samples, each row as many of its parts as make `sequence_length` tokens a row."""
        (packed,) = {info.sequence_length for info in self.mixture.tokens}
        return self.read(parts(ids, packed // sequence_length).ravel(), sequence_length)

    def streams_of(self, ids: Ids) -> Ids:
        """The number of each sample's stream, as in `mixture.streams`."""
        return self._index.find(ids)[0]

    def read(self, ids: Ids, sequence_length: int) -> Batch:
        """The samples with these ids as one batch of `sequence_length` tokens a row."""
        streams, places = self._index.find(ids)
        samples = [self._sample(*pair) for pair in zip(places.tolist(), whole(ids).tolist(), strict=True)]
        pad = self._pads[int(ids[0]) >> (ORDINAL_BITS + PART_BITS)]
        cut = zip(samples, part(ids).tolist(), divisor(ids).tolist(), strict=True)
        rows = [sample.cut(number, of) for sample, number, of in cut]
        return collate(rows, ids, streams, sequence_length, pad)

    def prepare_shard(self, shard_id: int, blocking: bool = True) -> None:
        """Bring a shard into the cache; one that fails is not left as "in preparation", on which others would wait."""
        try:
            super().prepare_shard(shard_id, blocking)
        except BaseException:
            self._shard_states[shard_id] = _REMOTE
            raise

    def _sample(self, place: int, sample_id: int) -> Sample:
        """A whole sample by its place among all samples of the dataset; its own id is checked."""
        shard_id, row = self.spanner[place]
        reader = self.shards[shard_id]
        while (shard := self._open.get(shard_id, reader)) is None:  # again where another process evicts it meanwhile
            self.prepare_shard(shard_id)
        sample = read_sample(reader, shard, row)
        if sample.sample_id != sample_id:
            raise Damaged(f"sample {sample_id} of the order is {sample.sample_id} in shard {reader.raw_data.basename}.")
        return sample


def loader(dataset: MixtureDataset, workers: int = 0) -> DataLoader:
    """A loader of the dataset's batches. Without workers a thread reads them ahead, which is fastest for tokens."""
    return DataLoader(dataset, batch_size=None, num_workers=workers)


class _Index:
    """From sample ids to streams and places in the dataset."""

    def __init__(self, chosen: Sequence[tuple[TokensInfo, TokenStream]], offsets: Ids) -> None:
        first = np.array([(info.key << ORDINAL_BITS) | stream.first for info, stream in chosen], np.int64)
        self._by_first = np.argsort(first)
        self._first = first[self._by_first]
        self._samples = np.array([stream.samples for _, stream in chosen], np.int64)[self._by_first]
        self._offsets = np.asarray(offsets, np.int64)[self._by_first]

    def find(self, ids: Ids) -> tuple[Ids, Ids]:
        """The number of each id's stream, and its place among all samples. Raises BadInput for an id of no stream."""
        ordinals = np.asarray(ids, np.int64) >> PART_BITS
        found = np.searchsorted(self._first, ordinals, "right") - 1
        within = ordinals - self._first[found]
        if (found < 0).any() or (within >= self._samples[found]).any():
            raise BadInput("the order names samples that its tokens do not have: plan the mixture again.")
        return self._by_first[found], self._offsets[found] + within


def _stream(info: TokensInfo, stream: TokenStream, cache: Path, remote: str) -> CachedStream:
    folder = info.stream_path(stream)
    name = f"{info.ref}-{info.fingerprint[:12]}"
    prefix = f"{stream.folder}/"
    hashes = {entry.path.removeprefix(prefix): entry.sha256 for entry in info.shards if entry.path.startswith(prefix)}
    there = f"tokens/{info.ref.replace('@', '/')}/{stream.folder}"
    there = f"{remote.removeprefix('file://').rstrip('/')}/{there}" if remote else ""
    return CachedStream(folder, cache / "tokens" / name / stream.folder, hashes, there)
