"""READ and MEASURE: every record of a source becomes a row with text, language and signals.

A datatrove pipeline of our own steps, one task a span of a source:

    ReadSpan → ToText → formatters → Identify → filters → Measure → WriteIntake

One bad document is a row with a `failure`, never a failed task. Nothing is dropped here.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.base import PipelineStep
from pydantic import Field, field_validator

from catalog.config import Config
from catalog.errors import Unbalanced, near
from catalog.home import written
from data.datatrove_steps import DatatroveStep, Formatted
from data.domains import DomainRule, domain_of
from data.failures import failing_alone
from data.intake import SCHEMA, PartWriter, Unit, stored_outcomes, text_key
from data.run import heartbeat
from data.run.executors import Careful
from data.signals.measures import SIGNALS, measure
from data.sources.kinds import is_text
from data.sources.readers import read_records
from data.sources.records import RawRecord, ReadBounds
from data.text.decode import decode
from data.text.extract import EXTRACTORS, Markup, extract
from data.text.langid import identify
from data.urls import canonical, host_of

CODE_VERSION = 5
"""Raise it when reading gives other rows for the same source and config: earlier intakes are then read again."""

BATCH = 256
BATCH_CHARS = 16_000_000


class ReadConfig(Config):
    """How records become rows: part of the identity of every intake."""

    extractor: str = "blocks"
    """One of `data.text.extract.EXTRACTORS`."""
    markup: Markup = "plain"
    """plain or markdown: how headings, lists, tables and code are written (not by resiliparse)."""
    bounds: ReadBounds = ReadBounds()
    text_field: str = ""
    """The column of JSONL and Parquet that holds the text; empty looks for text, content, body, …"""
    domains: tuple[DomainRule, ...] = ()
    """The first rule that matches host and path names the domain of a document; else its source does."""
    steps: tuple[DatatroveStep, ...] = ()
    """datatrove filters and formatters: formatters change text before it is measured, filters add an answer."""
    span_mb: float = Field(default=64.0, gt=0)
    """Inputs above this size are split into ranges of records, so that workers can share one file."""

    @field_validator("extractor")
    @classmethod
    def _known(cls, extractor: str) -> str:
        if extractor not in EXTRACTORS:
            raise ValueError(f"no extractor {extractor!r}. {near(extractor, EXTRACTORS)}")
        return extractor

    def identity(self) -> dict:
        """What a read key is made from."""
        return {"code": CODE_VERSION, "signals": [signal.name for signal in SIGNALS], **self.model_dump(mode="json")}


def read_pipeline(config: ReadConfig, units: list[Unit]) -> list[PipelineStep]:
    """The steps of reading; task `rank` reads `units[rank]`."""
    reader = ReadSpan(config, units)
    steps = [step.pipeline_step() for step in config.steps]
    formatters = [step for step in steps if isinstance(step, Formatted)]
    judges = [step for step in steps if not isinstance(step, Formatted)]
    return [reader, ToText(config), *formatters, Identify(), *judges, Measure(), WriteIntake(reader)]


class ReadSpan(PipelineStep):
    """Raw records of one span, as documents whose row is begun."""

    name = "read"
    type = "MILLRACE"

    def __init__(self, config: ReadConfig, units: list[Unit]) -> None:
        super().__init__()
        self.config, self.units = config, units
        self.skipped: Counter[str] = Counter()
        self.read = 0

    def run(self, data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        unit = self.units[rank]
        self.skipped, self.read = Counter(), 0
        outcomes = stored_outcomes(unit.folder)
        for record in read_records(unit.source, unit.span, self.config.bounds, self.skipped, self.config.text_field):
            heartbeat.beat(0, record.ordinal)
            self.read += 1
            if record.ordinal in outcomes:
                record.failure, record.body, record.text = outcomes[record.ordinal], b"", None
            yield Document(text="", id=record.doc_id, metadata={"raw": record, "row": self._row(unit, record)})

    def _row(self, unit: Unit, record: RawRecord) -> dict:
        host = host_of(record.url)
        return {
            "intake": unit.intake,
            "doc_id": record.doc_id,
            "source_id": unit.source.source_id,
            "ordinal": record.ordinal,
            "record_offset": record.offset,
            "record_type": record.record_type,
            "http_status": record.http_status,
            "url": record.url,
            "url_key": canonical(record.url),
            "host": host,
            "fetched_at": record.fetched_at,
            "media_type": record.media_type,
            "charset": "",
            "title": record.title,
            "lang": "und",
            "lang_score": 0.0,
            "langs": [],
            "domain": domain_of(self.config.domains, host, record.url) or unit.source.domain,
            "text": "",
            "text_key": "",
            "links": [],
            "refers_to": record.refers_to,
            "failure": record.failure,
            "detail": record.detail,
            "steps": [],
        }


class ToText(PipelineStep):
    """Decode and extract."""

    name = "extract"
    type = "MILLRACE"

    def __init__(self, config: ReadConfig) -> None:
        super().__init__()
        self.config = config

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for document in data:
            raw, row = document.metadata.pop("raw"), document.metadata["row"]
            if not row["failure"]:
                with failing_alone(row, "extract_error"):
                    document.text = self._text(raw, row)
            yield document

    def _text(self, raw: RawRecord, row: dict) -> str:
        if raw.text is not None:
            row["charset"] = raw.http_charset
            return raw.text
        if not raw.body or not is_text(raw.media_type):
            return ""
        page, config = decode(raw.body, raw.http_charset, raw.media_type), self.config
        row["charset"] = page.charset
        utf8 = raw.body if page.is_written_by(raw.body) else b""
        found = extract(page.text, config.bounds, config.extractor, raw.url, raw.media_type, config.markup, utf8)
        row.update(title=found.title, links=found.links, failure=found.failure, detail=found.detail)
        return found.text


def batches(documents: Iterator[Document], most: int) -> Iterator[list[Document]]:
    """Documents in lists of at most so many and about 16 million characters, so that memory stays bounded."""
    batch, chars = [], 0
    for document in documents:
        batch.append(document)
        chars += len(document.text)
        if len(batch) >= most or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


class _Batched(Careful):
    """A step that works on many documents at once; their results never depend on each other."""

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        for batch in batches(data, 1 if self.careful else BATCH):
            heartbeat.beat(0, batch[0].metadata["row"]["ordinal"])
            try:
                self.work(batch)
            except MemoryError:
                raise
            except Exception:  # one of them is at fault: alone, it fails alone
                for document in batch:
                    with failing_alone(document.metadata["row"], f"{self.name}_error"):
                        self.work([document])
            yield from batch

    def work(self, batch: list[Document]) -> None:
        """Fill in the rows of these documents."""
        raise NotImplementedError


class Identify(_Batched):
    """The three most likely languages of every document."""

    name = "language"

    def work(self, batch: list[Document]) -> None:
        for document, langs in zip(batch, identify([document.text for document in batch]), strict=True):
            row = document.metadata["row"]
            row["langs"] = [{"lang": lang, "score": score} for lang, score in langs]
            row["lang"], row["lang_score"] = langs[0]


class Measure(_Batched):
    """Every signal of every document, words segmented once."""

    name = "measure"

    def work(self, batch: list[Document]) -> None:
        texts = [document.text for document in batch]
        columns = measure(texts, [document.metadata["row"]["lang"] for document in batch])
        for document, signals in zip(batch, np.column_stack(list(columns.values())), strict=True):
            row, document.metadata["signals"] = document.metadata["row"], signals
            row["text"], row["text_key"] = document.text, text_key(document.text)


class WriteIntake(PipelineStep):
    """One Parquet part a span, whole or not at all."""

    name = "intake"
    type = "MILLRACE"

    def __init__(self, reader: ReadSpan) -> None:
        super().__init__()
        self.reader = reader

    def run(self, data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        unit = self.reader.units[rank]
        with written(unit.part) as partial:
            writer = PartWriter(partial)
            for batch in batches(data, BATCH):
                writer.add(_table(batch))
                heartbeat.advance(len(batch))
            if writer.rows != self.reader.read:
                raise Unbalanced(f"{unit.source.uri}: {self.reader.read} records were read, {writer.rows} arrived.")
            writer.finish(self.reader.skipped)
        yield from ()


def _table(batch: list[Document]) -> pa.Table:
    """Rows as columns; a row that failed before it was measured has its signals at 0, its text empty."""
    rows, nothing = [document.metadata["row"] for document in batch], np.zeros(len(SIGNALS))
    measured = np.array([document.metadata.get("signals", nothing) for document in batch]).T.copy()
    columns = dict(zip([signal.name for signal in SIGNALS], map(pa.array, measured), strict=True))
    for name in SCHEMA.names[: -len(SIGNALS)]:
        values = [row[name] for row in rows]
        columns[name] = [_storable(value) for value in values] if name in _FROM_PAGES else values
    return pa.table({name: columns[name] for name in SCHEMA.names}, schema=SCHEMA)


_FROM_PAGES = ("text", "title", "url", "detail", "refers_to")


def _storable(text: str) -> str:
    """Parquet strings are UTF-8: lone surrogates, which JSON can bring, become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
