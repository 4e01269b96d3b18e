"""The streams of a tokens artifact: one folder of MDS shards for each domain and language.

>>> stream_folder("web", "en")
'streams/web/en'
"""

import hashlib
from urllib.parse import quote

from catalog.config import Config

REST = "mul"
"""The language under which a domain keeps the ends of all its streams, packed together (ISO 639-2: several)."""
REST_DOMAIN = "rest"
"""The domain, with that language, of what is left over of those: less than a sample of each domain."""

MAX_NAME = 150


class TokenStream(Config):
    """A domain and language of a tokens artifact, as its record lists it."""

    domain: str
    lang: str
    first: int
    """Ordinal of its first sample; the samples of an artifact are numbered through all its streams."""
    samples: int
    tokens: int
    """Tokens in the samples, padding left out."""
    documents: int
    """Documents that have tokens in it; one that a cut divides is counted on both sides."""

    @property
    def folder(self) -> str:
        """Where its MDS shards lie, relative to the artifact."""
        return stream_folder(self.domain, self.lang)


def stream_folder(domain: str, lang: str) -> str:
    """The folder of a stream; any text makes a name, and no two make the same."""
    return f"streams/{_folder_name(domain)}/{_folder_name(lang)}"


def _folder_name(text: str) -> str:
    """Percent-encoded as in an address; a dot in front too, and what is too long ends in its hash."""
    name = quote(text, safe="") or "%"
    name = f"%2E{name[1:]}" if name.startswith(".") else name
    if len(name) > MAX_NAME:
        return f"{name[:MAX_NAME]}%-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    return name
