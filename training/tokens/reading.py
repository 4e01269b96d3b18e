"""Open a tokens artifact: what streams it has, and whether its shards are whole.

>>> info = load_tokens(Home.open(), "web@1")
>>> check_shards(info)                       # raises Damaged, naming the shard; hashes=True reads them all
>>> info.stream_path(info.streams[0])        # a folder that streaming reads: index.json and shards
"""

from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from catalog.config import Config
from catalog.errors import Damaged
from catalog.home import Home
from catalog.ids import Ref
from catalog.records import Record, file_entry, find
from training.sample_ids import key_of
from training.tokens.streams import TokenStream


class ShardFile(Config):
    """A file of the artifact that training reads."""

    path: str
    """Relative to the artifact."""
    bytes: int
    sha256: str
    rows: int | None = None
    """Samples in it; none for an index."""


class TokensInfo(Config):
    """A tokens artifact as training needs to know it."""

    ref: str
    """`name@version`: the `tokens_id` of the catalog."""
    folder: Path
    streams: tuple[TokenStream, ...]
    sequence_length: int
    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    eos_id: int
    pad_id: int
    tokenizer: str
    """`name@version`, or the name of a folder."""
    tokenizer_fingerprint: str
    fingerprint: str
    shards: tuple[ShardFile, ...]
    """The MDS shards and the indexes of all streams."""

    @property
    def key(self) -> int:
        """The upper 30 bits of its sample ids."""
        return key_of(self.fingerprint)

    @property
    def samples(self) -> int:
        """Samples of all streams."""
        return sum(stream.samples for stream in self.streams)

    def stream_path(self, stream: TokenStream) -> Path:
        """The folder of a stream."""
        return self.folder / stream.folder


def load_tokens(home: Home, ref: str | Ref) -> TokensInfo:
    """The artifact `name@version`, or the latest. Raises NotFound, or Damaged where its record says too little."""
    record = find(home, "tokens", ref)
    return tokens_info(home, record)


def tokens_info(home: Home, record: Record) -> TokensInfo:
    """What the record of a tokens artifact says."""
    config = record.config
    names = ("sequence_length", "dtype", "vocab_size", "eos_id", "pad_id", "tokenizer", "tokenizer_fingerprint")
    try:
        return TokensInfo.model_validate(
            {
                **{name: config.get(name) for name in names},
                "ref": str(record.ref),
                "folder": home.artifact("tokens", record.name, record.version),
                "streams": TypeAdapter(tuple[TokenStream, ...]).validate_python(config.get("streams")),
                "fingerprint": record.fingerprint,
                "shards": [entry.model_dump() for entry in record.files if entry.path.startswith("streams/")],
            }
        )
    except ValidationError as error:
        what = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise Damaged(
            f"the record of tokens/{record.ref} has no {what}: delete its folder and tokenize again."
        ) from error


def check_shards(info: TokensInfo, hashes: bool = False) -> None:
    """Raise Damaged that names the first shard which is missing, cut or, with `hashes`, changed."""
    for entry in info.shards:
        path = info.folder / entry.path
        where = f"shard {entry.path} of tokens/{info.ref}"
        again = f"Delete {info.folder} and tokenize again, or copy it anew."
        if not path.is_file():
            raise Damaged(f"{where} is missing. {again}")
        if (size := path.stat().st_size) != entry.bytes:
            raise Damaged(f"{where} has {size:,} bytes, its record says {entry.bytes:,}. {again}")
        if hashes and file_entry(info.folder, path).sha256 != entry.sha256:
            raise Damaged(f"{where} does not have the hash of its record. {again}")
