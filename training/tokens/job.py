"""Tokenize: pieces, packing, shards, record, catalog.

>>> done = tokenize(config, Home.open())
>>> done.record.counts["tokens"], done.fresh

Whatever is there already is not done again; a killed run goes on where it was. On any error nothing is published.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import JsonValue

from catalog.errors import BadInput, Unbalanced
from catalog.home import Home, written
from catalog.index import put_into_catalog
from catalog.locks import clear_partials, hold, lock_of
from catalog.progress import stage_progress
from catalog.records import (
    RECORD,
    FileEntry,
    Record,
    file_entry,
    fingerprint,
    load_record,
    now,
    same_or_conflict,
    version_for,
    walk,
    write_record,
)
from training.sample_ids import key_of
from training.tokenizers.load import FILE, LoadedTokenizer, load_tokenizer
from training.tokens.config import TokensConfig
from training.tokens.cut import Cut, GroupDone, ShardDone, plan_groups
from training.tokens.encode import Encode, check_end_of_text
from training.tokens.inputs import Inputs, find_inputs
from training.tokens.mds import INDEX, Shape, shard_entry, write_index
from training.tokens.packing import Packing, pack
from training.tokens.pieces import Piece, PieceTotals
from training.tokens.pool import run_tasks
from training.tokens.streams import TokenStream

WORK = ".work"
BEGUN = "begun.json"


@dataclass(frozen=True)
class Tokenized:
    """A tokens artifact, and whether this call made it."""

    record: Record
    fresh: bool


@dataclass(frozen=True)
class Job:
    """One tokenization at work."""

    config: TokensConfig
    home: Home
    inputs: Inputs
    tokenizer: LoadedTokenizer
    version: str = ""

    @property
    def dtype(self) -> str:
        """The narrowest type that holds every id."""
        return "uint16" if self.tokenizer.vocab_size <= 1 << 16 else "uint32"

    @property
    def identity(self) -> dict[str, JsonValue]:
        """The config as the record keeps it."""
        config, tokenizer = self.config, self.tokenizer
        plain: dict[str, JsonValue] = {
            "corpus": list(self.inputs.refs),
            "sources": [source.model_dump() for source in self.inputs.sources],
            "tokenizer": tokenizer.folder.name if self.tokenizer_is_a_folder else tokenizer.ref,
            "tokenizer_fingerprint": tokenizer.fingerprint,
            "sequence_length": config.sequence_length,
            "shard_mb": config.shard_mb,
            "vocab_size": tokenizer.vocab_size,
            "dtype": self.dtype,
            "eos_id": tokenizer.eos_id,
            "pad_id": tokenizer.pad_id,
        }
        plain |= {"leave_out": config.leave_out} if config.leave_out else {}
        return plain if config.corpus else {**plain, "fields": config.fields.model_dump()}

    @property
    def fingerprint(self) -> str:
        return fingerprint("tokens", self.identity | {"name": self.config.name}, self.inputs.content)

    @property
    def tokenizer_is_a_folder(self) -> bool:
        """Whether the tokenizer is none of the home's: its name is then that of its folder."""
        return not self.tokenizer.folder.is_relative_to(self.home.root / "tokenizers")

    @property
    def tokenizer_json(self) -> Path:
        return self.tokenizer.folder / FILE

    @property
    def record_inputs(self) -> tuple[str, ...]:
        """The artifacts it is made from."""
        return (*self.inputs.refs, *([] if self.tokenizer_is_a_folder else [f"tokenizers/{self.tokenizer.ref}"]))

    @property
    def folder(self) -> Path:
        return self.home.artifact("tokens", self.config.name, self.version)

    @property
    def work(self) -> Path:
        return self.folder / WORK

    @property
    def pieces(self) -> Path:
        return self.work / "pieces"

    @property
    def ref(self) -> str:
        return f"{self.config.name}@{self.version}"

    @property
    def shape(self) -> Shape:
        return Shape(self.config.sequence_length, self.dtype, int(self.config.shard_mb * 1e6))


def tokenize(config: TokensConfig, home: Home) -> Tokenized:
    """Make (or find) a tokens artifact."""
    with ExitStack() as stack:
        with hold(lock_of(home.root / "tokens" / config.name), wait_s=60):  # versions are chosen one at a time
            job = plan(config, home)
            stack.callback(clear_partials, job.folder)  # also where all is there: its writer may have been killed
            if (job.folder / RECORD).exists():
                return Tokenized(_found(job), fresh=False)
            check_end_of_text(job.tokenizer_json, job.tokenizer.eos_id)
            _check_key(job)
            stack.enter_context(hold(lock_of(job.folder)))
            _start_afresh_if_other(job)
        try:
            record = _run(job)
        except BadInput:  # the same input fails again, another one is another job: nothing here is of use
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
    return Tokenized(record, fresh=True)


def plan(config: TokensConfig, home: Home) -> Job:
    """What would be made of what, with the version that it has or would have; nothing is written."""
    config.check()
    tokenizer = load_tokenizer(home, config.tokenizer)
    job = Job(config, home, find_inputs(config, home), tokenizer)
    return replace(job, version=version_for(home, "tokens", config.name, config.version, job.fingerprint))


def _found(job: Job) -> Record:
    """The version that is there already, if it is this very job; put into the catalog if that was left undone."""
    record = load_record(job.folder / RECORD)
    asked = record.variant(config={name: value for name, value in record.config.items() if name != "streams"})
    same_or_conflict(asked, job.fingerprint, job.identity, job.record_inputs)
    shutil.rmtree(job.work, ignore_errors=True)
    put_into_catalog(job.home, record)
    return record


def _check_key(job: Job) -> None:
    """Refuse the key of another artifact: their samples would have the same ids."""
    for record in walk(job.home, ["tokens"]):
        if key_of(record.fingerprint) == key_of(job.fingerprint) and str(record.ref) != job.ref:
            same = record.fingerprint == job.fingerprint
            raise BadInput(
                f"tokens/{record.ref} holds these very tokens already: use it, or give no version."
                if same
                else f"the sample ids of {job.ref} would be those of tokens/{record.ref}: give it another name."
            )


def _start_afresh_if_other(job: Job) -> None:
    """What a dead run of the same fingerprint left is used; of another one, removed."""
    begun = job.work / BEGUN
    if job.folder.exists() and (not begun.exists() or json.loads(begun.read_text())["fingerprint"] != job.fingerprint):
        shutil.rmtree(job.folder)
    with written(begun) as partial:
        partial.write_text(json.dumps({"fingerprint": job.fingerprint}))


def _run(job: Job) -> Record:
    pieces = _encode(job)
    packing = pack(pieces, job.config.sequence_length)
    if not packing.tokens:
        raise BadInput(f"there is no text in {', '.join(job.config.corpus or job.config.input)}: nothing to tokenize.")
    groups = _cut(job, packing)
    record = _described(job, pieces, packing, groups)
    write_record(job.home, record)
    shutil.rmtree(job.work, ignore_errors=True)
    put_into_catalog(job.home, record)
    return record


def _encode(job: Job) -> list[PieceTotals]:
    """Every unit as a piece."""
    folder, units = job.pieces, job.inputs.units
    stage = Encode(job.tokenizer_json, job.tokenizer.eos_id, job.dtype, units, folder, job.config.leave_out)
    todo = [number for number in range(len(units)) if not Piece(folder, number).there]
    with stage_progress("tokenize", total=job.inputs.documents, unit="documents") as bar:
        bar.skip(sum(Piece(folder, number).totals.read for number in set(range(len(units))) - set(todo)))
        run_tasks(stage, todo, job.config.processes, bar)
    return [Piece(folder, number).totals for number in range(len(units))]


def _cut(job: Job, packing: Packing) -> list[GroupDone]:
    """Every stream as shards."""
    groups = plan_groups(packing, job.shape)
    key, pad = key_of(job.fingerprint), job.tokenizer.pad_id
    stage = Cut(packing, groups, job.shape, job.pieces, job.folder, job.work / "shards", job.ref, key, pad)
    with stage_progress("pack", total=packing.samples, unit="samples") as bar:
        return run_tasks(stage, range(len(groups)), job.config.processes, bar)


def _described(job: Job, pieces: Sequence[PieceTotals], packing: Packing, groups: Sequence[GroupDone]) -> Record:
    """The record, with the index of every stream. Raises Unbalanced where tokens are missing."""
    streams, files = [], []
    by_stream: dict[int, list[ShardDone]] = defaultdict(list)
    for shard in (shard for group in groups for shard in group.shards):
        by_stream[shard.stream].append(shard)
    for index, stream in enumerate(packing.streams):
        shards = by_stream[index]
        described = TokenStream(
            domain=stream.domain,
            lang=stream.lang,
            first=stream.first,
            samples=stream.samples,
            tokens=sum(shard.tokens for shard in shards),
            documents=sum(shard.documents for shard in shards),
        )
        files += _files(job, described.folder, [shard.entry for shard in shards])
        streams.append(described)
    counts = _counts(pieces, packing, streams)
    return Record(
        kind="tokens",
        name=job.config.name,
        version=job.version,
        inputs=job.record_inputs,
        config={**job.identity, "streams": [stream.model_dump() for stream in streams]},
        fingerprint=job.fingerprint,
        files=(*files, *(group.samples for group in groups)),
        counts=counts,
        created=now(),
    )


def _files(job: Job, root: str, entries: Sequence[dict]) -> list[FileEntry]:
    write_index(job.folder / root / INDEX, entries)
    return [*(shard_entry(root, entry) for entry in entries), file_entry(job.folder, job.folder / root / INDEX)]


def _counts(pieces: Sequence[PieceTotals], packing: Packing, streams: Sequence[TokenStream]) -> dict[str, JsonValue]:
    encoded = sum(total.tokens for piece in pieces for total in piece.streams)
    packed = sum(stream.tokens for stream in streams)
    if encoded != packed:
        raise Unbalanced(f"{encoded:,} tokens were made, {packed:,} are in samples: nothing is published.")
    languages: dict[tuple[str, str], list[int]] = {}
    for piece in pieces:
        for total in piece.streams:
            row = languages.setdefault((total.domain, total.lang), [0, 0])
            row[0] += total.documents
            row[1] += total.tokens
    return {
        "documents": sum(piece.read for piece in pieces),
        "empty_documents": sum(piece.empty for piece in pieces),
        "left_out_documents": sum(piece.left_out for piece in pieces),
        "tokens": encoded,
        "samples": packing.samples,
        "padding": packing.padding,
        "cut": {},
        "cut_safely": sum(piece.cut_safely for piece in pieces),
        "cut_blindly": sum(piece.cut_blindly for piece in pieces),
        "languages": [
            {"domain": domain, "lang": lang, "documents": documents, "tokens": tokens}
            for (domain, lang), (documents, tokens) in sorted(languages.items())
        ],
    }
