"""The texts that a tokenizer is learnt from and measured on: a sample of corpora or files, the same every time.

>>> inputs = find_texts(home, config)              # raises NotFound with near names
>>> with Sample(inputs, config) as sample:
...     for text in sample.learnt(): ...

Documents are taken in the order of a hash of their id, so a sample does not depend on the order of files, and a larger
budget holds the smaller one's documents. DuckDB reads, so a corpus larger than memory is no matter.
"""

import glob
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import duckdb

from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from catalog.records import Record, find
from catalog.store import quoted, texts
from training.tokenizers.config import TextsConfig

UNKNOWN = "unknown"
_ROWS = 256


class Document(NamedTuple):
    """A document to measure on."""

    domain: str
    lang: str
    text: str


class Group(NamedTuple):
    """A domain's documents in one language, and what of them is learnt from."""

    domain: str
    lang: str
    documents: int
    chars: int
    budget: int


@dataclass(frozen=True)
class Inputs:
    """Files to read, and how a record names them."""

    files: tuple[Path, ...]
    refs: tuple[str, ...]
    """Corpora as kind/name@version."""
    keys: tuple[str, ...]
    """What of their content the fingerprint counts."""


def find_texts(home: Home, config: TextsConfig) -> Inputs:
    """The files of corpora and paths. Raises NotFound with near names, Damaged where a shard is missing."""
    records = [find(home, "corpora", name) for name in config.corpus]
    files = [path for record in records for path in _shards(home, record)]
    given = [path for text in config.input for path in _paths(text)]
    refs = tuple(f"corpora/{record.ref}" for record in records)
    keys = [f"{ref} {record.fingerprint}" for ref, record in zip(refs, records, strict=True)]
    keys += [f"file {_sha256(path)}" for path in given]
    if not files and not given:
        raise BadInput(f"no texts in {', '.join(config.corpus) or 'nothing'}: the corpus has no documents.")
    return Inputs((*files, *given), refs, tuple(keys))


def _shards(home: Home, record: Record) -> list[Path]:
    folder = home.artifact(record.kind, record.name, record.version)
    entries = [entry for entry in record.files if entry.path.startswith("shards/") and entry.rows]
    for entry in entries:
        path = folder / entry.path
        if not path.exists() or path.stat().st_size != entry.bytes:
            raise Damaged(f"{path} is missing or cut: `just verify corpora/{record.ref}` names what is damaged.")
    return [folder / entry.path for entry in entries]


def _paths(text: str) -> list[Path]:
    found = sorted(Path(name) for name in glob.glob(text, recursive=True) if Path(name).is_file())
    if not found:
        raise NotFound(f"no such file: {text}. Give Parquet, JSONL or text files, as paths or globs.")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Sample:
    """An open sample: which documents are learnt from, which are measured on."""

    def __init__(self, inputs: Inputs, config: TextsConfig, threads: int = 0) -> None:
        self.config = config
        self._con = duckdb.connect()
        if threads:
            self._con.execute(f"SET threads = {threads}")
        try:
            self._con.execute(f"CREATE VIEW documents AS {_union(inputs.files, self._con)}")
            self._rank()
            self.groups = self._plan()
            self._pick()
        except duckdb.Error as error:
            self._con.close()
            raise BadInput(f"the texts cannot be read: {str(error).splitlines()[0]}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._con.close()

    def learnt(self) -> Iterator[str]:
        """The texts to learn from."""
        return (document.text for document in self._read("learnt"))

    def held_out(self) -> Iterator[Document]:
        """The documents to measure on."""
        return self._read("held")

    def _read(self, use: str) -> Iterator[Document]:
        found = self._con.cursor().execute(
            "SELECT domain, lang, text FROM documents WHERE key IN "
            f"(SELECT key FROM picked WHERE picked.use = {quoted(use)})"
        )
        while rows := found.fetchmany(_ROWS):
            yield from map(Document._make, rows)

    def _rank(self) -> None:
        """Number the documents of each group in the order of a hash, the held-out ones first."""
        self._con.execute(
            f"""CREATE TABLE ranked AS
            WITH once AS (
                SELECT key, any_value(domain) AS domain, any_value(lang) AS lang, max(n_chars) AS n_chars
                FROM documents WHERE n_chars > 0 GROUP BY key),
            hashed AS (SELECT *, md5(key || {quoted(f"/{self.config.seed}")}) AS rank FROM once)
            SELECT key, domain, lang, n_chars, rank,
                row_number() OVER (PARTITION BY domain, lang ORDER BY rank)
                    <= ceil({self.config.held_out} * count(*) OVER (PARTITION BY domain, lang))
                    AND count(*) OVER (PARTITION BY domain, lang) > 1 AS held
            FROM hashed"""
        )

    def _plan(self) -> list[Group]:
        rows = self._con.execute(
            "SELECT domain, lang, count(*), sum(n_chars)::BIGINT FROM ranked WHERE NOT held GROUP BY ALL ORDER BY ALL"
        ).fetchall()
        sizes = {(domain, lang): chars for domain, lang, _, chars in rows}
        budgets = shared_out(sizes, self.config.chars, self.config.asked_shares())
        return [Group._make((*row, budgets[row[0], row[1]])) for row in rows]

    def _pick(self) -> None:
        """Documents of each group until its budget is reached."""
        self._con.execute("CREATE TABLE budgets (domain VARCHAR, lang VARCHAR, budget BIGINT)")
        for group in self.groups:
            self._con.execute(
                f"INSERT INTO budgets VALUES ({quoted(group.domain)}, {quoted(group.lang)}, {group.budget})"
            )
        self._con.execute(
            f"""CREATE TABLE picked AS
            WITH summed AS (
                SELECT *, sum(n_chars) OVER (PARTITION BY domain, lang, held ORDER BY rank) - n_chars AS before
                FROM ranked LEFT JOIN budgets USING (domain, lang))
            SELECT key, if(held, 'held', 'learnt') AS use FROM summed
            WHERE before < if(held, {self.config.held_out_chars}, coalesce(budget, 0))"""
        )


def shared_out(sizes: dict[tuple[str, str], int], chars: int, shares: dict[str, float]) -> dict[tuple[str, str], int]:
    """Characters to take of each (domain, language): what was asked, as far as it goes, and the rest by size.

    A share names a domain, a language or domain/language; the most exact name wins. Raises BadInput for an unknown one.
    """
    claimed: dict[str, list[tuple[str, str]]] = {name: [] for name in shares}
    rest = []
    for domain, lang in sizes:
        name = next((name for name in (f"{domain}/{lang}", lang, domain) if name in shares), None)
        (claimed[name] if name else rest).append((domain, lang))
    for name, groups in claimed.items():
        if not groups:
            there = ", ".join(f"{domain}/{lang}" for domain, lang in sorted(sizes)[:12])
            raise BadInput(f"shares name {name!r}, of which there are no texts. There are: {there}.")
    budgets = {}
    total = min(chars, sum(sizes.values()))
    for groups, share in [
        *((claimed[name], share) for name, share in shares.items()),
        (rest, 1 - sum(shares.values())),
    ]:
        size = sum(sizes[group] for group in groups)
        for group in groups:
            budgets[group] = min(sizes[group], round(total * share * sizes[group] / size))
    return budgets


def _union(files: tuple[Path, ...], con: duckdb.DuckDBPyConnection) -> str:
    """One relation (key, domain, lang, n_chars, text) over files of several kinds."""
    kinds: dict[str, list[Path]] = {}
    for path in files:
        name = path.name.lower().removesuffix(".gz").removesuffix(".zst")
        kind = "parquet" if name.endswith(".parquet") else "json" if name.endswith((".jsonl", ".json")) else "text"
        kinds.setdefault(kind, []).append(path)
    return " UNION ALL ".join(_relation(kind, paths, con) for kind, paths in kinds.items())


def _relation(kind: str, paths: list[Path], con: duckdb.DuckDBPyConnection) -> str:
    if kind == "text":
        return (
            f"SELECT md5(content) AS key, {quoted(UNKNOWN)} AS domain, {quoted(UNKNOWN)} AS lang, "
            f"length(content) AS n_chars, content AS text FROM read_text({texts(paths)})"
        )
    source = f"read_parquet({texts(paths)}, union_by_name := true)"
    if kind == "json":
        source = f"read_json({texts(paths)}, format := 'newline_delimited', union_by_name := true)"
    columns = {name: str(kind) for (name, kind, *_) in con.execute(f"DESCRIBE FROM {source}").fetchall()}
    if "text" not in columns:
        raise BadInput(f"{paths[0]} has no column text. It has: {', '.join(sorted(columns)[:12])}.")
    if columns["text"] not in ("VARCHAR", "JSON", '"NULL"'):
        raise BadInput(f"column text of {paths[0]} is not text but {columns['text']}.")
    key = "doc_id" if "doc_id" in columns else "md5(text)"
    chars = "n_chars" if "n_chars" in columns else "length(text)"
    named = [
        f"coalesce(nullif({name}::VARCHAR, ''), {quoted(UNKNOWN)}) AS {name}"
        if name in columns
        else f"{quoted(UNKNOWN)} AS {name}"
        for name in ("domain", "lang")
    ]
    return f"SELECT {key} AS key, {', '.join(named)}, {chars} AS n_chars, text FROM {source} WHERE text IS NOT NULL"
