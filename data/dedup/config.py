"""What deduplication is asked for.

    DedupConfig(near=NearConfig(similarity=0.9), against=("web@2026.10",))

Any similarity from 0.5 to 0.95; bands and rows follow from it (`data.dedup.bands`).
"""

from typing import Literal

import duckdb
from pydantic import Field

from catalog.config import Config
from catalog.errors import BadInput, near
from catalog.ids import SHORT, key
from data.intake import SCHEMA, empty_rows

CODE_VERSION = 4
"""Raise it when signatures come out otherwise for the same text: earlier signature files are then made again."""


class NearConfig(Config):
    """Near-duplicates among the documents that rules and exact deduplication keep."""

    enabled: bool = True
    similarity: float = Field(default=0.8, ge=0.5, le=0.95)
    """Remove a document whose n-grams have this Jaccard similarity, or more, with those of one that is kept."""
    tokens: int = Field(default=5, ge=1, le=50)
    """Tokens of an n-gram: words, or characters of Chinese, Japanese, Thai, … (see `data.dedup.tokens`)."""
    fold_han: bool = True
    """Traditional and simplified characters count as the same: sites that offer both make one from the other by
    machine, so the second form is the same page again. `fold_han=false` where a corpus is to keep a page in both."""
    hashes: int = Field(default=128, ge=16, le=1024)
    """Places of a signature."""
    recall: float = Field(default=0.99, ge=0.5, lt=1.0)
    """The share of pairs exactly at the similarity that bands must bring together."""
    bucket_pairs: int = Field(default=2_000_000, ge=1)
    """Pairs that one bucket may ask for: a template with very many pages is cut there; the record says how often."""

    @property
    def signature_key(self) -> str:
        """What signatures under this config are filed under: the similarity is no part of it. `just gc` reads the
        version before the hyphen."""
        return f"{CODE_VERSION}-{key('signatures', CODE_VERSION, self.tokens, self.fold_han, self.hashes)[:SHORT]}"


class DedupConfig(Config):
    """Duplicates among the records that the rules keep, and of earlier ones."""

    url: bool = True
    """Keep one record of those with the same canonical URL."""
    url_keep: Literal["first", "newest"] = "newest"
    """By `fetched_at`; ties go by `rank`. Against history, `first` drops every record whose URL is there already;
    `newest` drops it unless it was fetched later than the earlier one, which stays in its own corpus."""
    text: bool = True
    """Keep the best ranked of those with the same text, up to case, Unicode composition and white space."""
    near: NearConfig = NearConfig()
    against: tuple[str, ...] = ()
    """Earlier corpora (`web@2026.10`: what it keeps) or intakes (`intake/…@…`: all of it), by version: new documents
    like theirs are removed, theirs stay as they are."""
    rank: tuple[str, ...] = ("replaced_chars", "n_chars DESC", "fetched_at DESC NULLS LAST")
    """SQL over the intake's columns: which of duplicates is kept, the first in this order (here the fewest characters
    lost, then the longest, then the newest; sources can be ranked too: `host LIKE '%.gov' DESC`). Ties go by the
    text's hash, then the URL, then the document's id."""

    def order(self) -> str:
        """SQL: the order of rank."""
        return ", ".join([*self.rank, "text_key", "url", "doc_id"])

    def check(self) -> None:
        """Raise BadInput for a rank that is no SQL over the intake's columns."""
        con = empty_rows()
        for expression in self.rank:
            try:
                con.execute(f"SELECT 1 FROM intake_rows ORDER BY {expression}")
            except duckdb.Error as error:
                words = near(expression.split()[0] if expression.split() else "", SCHEMA.names)
                raise BadInput(f"rank {expression!r}: {str(error).splitlines()[0]}. {words}") from error
