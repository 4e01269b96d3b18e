"""Shards on their way from a tokens artifact to a cache, safely for any number of processes at once.

Streaming's own `Stream` writes compressed and raw files under fixed names: two jobs that share a cache can unlink what
the other one reads. Here each process writes under a name of its own and renames, after checking the record's hash.
"""

import hashlib
import os
import threading
from collections.abc import Mapping
from pathlib import Path

from streaming import Stream
from streaming.base.compression import decompress
from streaming.base.format import Reader

from catalog.errors import Damaged
from catalog.home import partial_name


class CachedStream(Stream):
    """A stream whose raw shards lie in a cache; they come from `folder`, or what it lacks from the address `remote`."""

    def __init__(self, folder: Path, cache: Path, hashes: Mapping[str, str], remote: str = "", retry: int = 2) -> None:
        """`hashes` holds the SHA-256 of the index and every shard file by its name in `folder`.

        Raises Damaged where the index is missing or not that of the record.
        """
        super().__init__(
            remote=remote or str(folder), local=str(cache), download_retry=retry, download_timeout=60, keep_zip=False
        )
        self._folder, self._cache, self._hashes = folder, cache, dict(hashes)
        self._is_remote = bool(remote)
        index = cache / "index.json"
        if not index.exists():
            index.parent.mkdir(parents=True, exist_ok=True)
            self._write(index, self._checked(index.name))

    def prepare_shard(self, shard: Reader) -> int:
        """Bring a shard into the cache, checked and decompressed; gives the bytes that the cache grew by."""
        grown = 0
        for raw, packed in shard.file_pairs:
            path = self._cache / raw.basename
            if not path.exists():
                source = packed or raw
                data = self._checked(source.basename)
                self._write(path, decompress(shard.compression, data) if packed and shard.compression else data)
                grown += raw.bytes
        return grown

    def _checked(self, name: str) -> bytes:
        """The bytes of a file of the stream, from the artifact or, where it lacks it, from `remote`. Raises Damaged."""
        path, there = self._folder / name, self.remote if self._is_remote else self._folder
        fetched = self._is_remote and not path.is_file()
        try:
            path = Path(self._download_file(name, _own(name))) if fetched else path
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise Damaged(f"{there}/{name} is missing: `just verify` names what is damaged.") from error
        if fetched:
            path.unlink(missing_ok=True)
        if hashlib.sha256(data).hexdigest() != self._hashes[name]:
            raise Damaged(f"{self._folder / name} does not have the hash of its record.")
        return data

    @staticmethod
    def _write(path: Path, data: bytes) -> None:
        partial = path.with_name(_own(path.name))
        partial.write_bytes(data)
        os.replace(partial, path)


def _own(name: str) -> str:
    """The name under which this thread of this process writes a file before it is whole."""
    return partial_name(Path(f"{name}.{threading.get_ident()}")).name
