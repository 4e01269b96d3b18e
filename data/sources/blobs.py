"""The stored bytes of a source at any offset, on a local disk or behind http(s):// and s3://.

>>> with open_blob(source) as blob:
...     blob.read(0, 5)
b'WARC/'

A remote object is read by ranges of 8 MiB, each tried again when the network fails; where a server gives no ranges it
is copied to a temporary file first.
"""

import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import IO, Any, TypeVar

from catalog.errors import BadInput, Damaged, NotFound
from data.sources.records import Source

T = TypeVar("T")
LOCAL_BLOCK = 1_048_576
REMOTE_BLOCK = 8_388_608
TRIES = 5
"""Attempts at one range, with pauses of 0.5, 1, 2 and 4 seconds between them."""


class Blob:
    """Bytes at any offset; the last block read is kept. `size` is in bytes, as stored.

    Blocks begin at multiples of their size, so that what a read gives depends on its offset alone.
    """

    def __init__(self, fetch: Callable[[int, int], bytes], size: int, block: int) -> None:
        self._fetch, self.size, self._block = fetch, size, block
        self._start, self._held = 0, memoryview(b"")

    def read(self, offset: int, most: int) -> memoryview:
        """At least one byte and at most `most`, fewer at the end of a block; empty only at the end of the file."""
        at = offset - self._start
        if not 0 <= at < len(self._held):
            at = offset % self._block
            self._start = offset - at
            self._held = memoryview(self._fetch(self._start, self._block) if offset < self.size else b"")
        return self._held[at : at + most]

    def exactly(self, offset: int, count: int) -> bytes:
        """`count` bytes, fewer only at the end of the file."""
        parts: list[memoryview] = []
        while count > 0 and (part := self.read(offset, count)):
            parts.append(part)
            offset, count = offset + len(part), count - len(part)
        return b"".join(parts)


class BlobFile(io.RawIOBase):
    """A blob as a file object, for readers that want one."""

    def __init__(self, blob: Blob) -> None:
        self._blob, self._at = blob, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:
        """At most what is left: a damaged file may ask for petabytes, and a buffer would be made for them."""
        left = max(0, self._blob.size - self._at)
        part = bytes(self._blob.read(self._at, left if size < 0 else min(size, left)))
        self._at += len(part)
        return part


def is_remote(uri: str) -> bool:
    """Is it an address that fsspec opens, rather than a path?"""
    return "://" in uri


def is_folder(uri: str) -> bool:
    """Is it a folder on the disk?"""
    return not is_remote(uri) and os.path.isdir(uri)


@contextmanager
def open_blob(source: Source) -> Iterator[Blob]:
    """Open the stored bytes. Raises Damaged where they are no longer what the source was registered as."""
    with ExitStack() as stack:
        if is_remote(source.uri):
            blob, identity = _open_remote(source.uri, stack)
            if identity != source.source_id:
                raise Damaged(f"{source.uri} has changed since it was registered: run the same command again.")
        else:
            blob = stack.enter_context(open_local(source.uri))
            if blob.size != source.size_bytes:
                raise Damaged(
                    f"{source.uri} had {source.size_bytes} bytes when it was registered and has {blob.size} now: "
                    "a source must not change. Run the same command again."
                )
        yield blob


@contextmanager
def open_local(path: str) -> Iterator[Blob]:
    """Open a file of the disk. Raises NotFound."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise NotFound(f"cannot read {path}: {error.strerror}. A registered source must stay where it is.") from error
    try:
        yield _on_disk(handle)
    finally:
        os.close(handle)


def remote_identity(address: str, info: dict[str, Any]) -> str:
    """The id of a streamed object: SHA-256 of address, size and entity tag (or checksum, or date of last change)."""
    tags = ("ETag", "etag", "Content-MD5", "md5Hash", "Digest", "Last-Modified", "LastModified", "mtime")
    tag = next((str(info[name]) for name in tags if info.get(name)), "")
    return hashlib.sha256(f"{address}\n{info.get('size')}\n{tag}".encode()).hexdigest()


def remote_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it. Raises BadInput for a scheme that is not known."""
    import fsspec

    try:
        return fsspec.core.url_to_fs(address, **(_http_options() if address.startswith("http") else {}))
    except (ValueError, ImportError) as error:
        raise BadInput(f"cannot open {address}: {error}. Use a path, http(s):// or s3://.") from error


def _http_options() -> dict[str, Any]:
    """Bytes as stored: servers call .gz files gzip-encoded; a client that decodes them stops at the first member."""
    import aiohttp

    patience = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
    return {
        "headers": {"Accept-Encoding": "identity"},
        "client_kwargs": {"auto_decompress": False, "timeout": patience},
    }


def remote_info(address: str) -> dict[str, Any]:
    """fsspec's description of a remote object: size, and an entity tag where there is one. Raises NotFound."""
    system, path = remote_system(address)
    try:
        return system.info(path)
    except _network_errors() as error:
        reason = _cause(error, address)
        raise NotFound(f"cannot find {address}: {reason}. Check the address and its credentials.") from error


def _cause(error: BaseException, address: str) -> str:
    """What went wrong: the first error of the chain that says more than the address, which is all that fsspec says."""
    at: BaseException | None = error
    while at is not None:
        said = " ".join(str(at).split())
        if said and said != address:
            return said
        at = at.__cause__ or at.__context__
    return "there is nothing" if isinstance(error, FileNotFoundError) else type(error).__name__


def _open_remote(address: str, stack: ExitStack) -> tuple[Blob, str]:
    system, path = remote_system(address)
    info = remote_info(address)
    size = info.get("size")
    if size is not None and info.get("partial", True):
        stream = stack.enter_context(system.open(path, cache_type="none", block_size=REMOTE_BLOCK))
        if size <= REMOTE_BLOCK or _gives_ranges(stream, size):
            return Blob(_ranges(stream, size, address), size, REMOTE_BLOCK), remote_identity(address, info)
    copy = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
    fetch(lambda: _copy(system, path, size, copy), address)
    return _on_disk(copy.fileno()), remote_identity(address, info)


def _on_disk(handle: int) -> Blob:
    return Blob(lambda offset, count: os.pread(handle, count, offset), os.fstat(handle).st_size, LOCAL_BLOCK)


def _gives_ranges(stream: IO[bytes], size: int) -> bool:
    """Does the server answer a range in the middle? (fsspec raises ValueError where it sends the whole file.)"""
    stream.seek(size - 1)
    try:
        return len(stream.read(1)) == 1
    except ValueError:
        return False


def _ranges(stream: IO[bytes], size: int, address: str) -> Callable[[int, int], bytes]:
    def once(offset: int, count: int) -> bytes:
        stream.seek(offset)
        return _all_of(stream.read(count), min(count, size - offset))

    return lambda offset, count: fetch(lambda: once(offset, count), f"{address} at byte {offset}")


def _all_of(got: bytes, count: int) -> bytes:
    """Pass bytes that are as many as were asked for: fewer would read as the end of the file."""
    if len(got) != count:
        raise ConnectionError(f"{count} bytes asked for, {len(got)} came")
    return got


def _copy(system: Any, path: str, size: int | None, copy: IO[bytes]) -> bytes:
    copy.seek(0)
    copy.truncate()
    with system.open(path, block_size=0) as stream:
        shutil.copyfileobj(stream, copy, LOCAL_BLOCK)
    copy.flush()
    if size is not None and copy.tell() != size:
        raise ConnectionError(f"{size} bytes expected, {copy.tell()} came")
    return b""


def fetch(once: Callable[[], T], what: str) -> T:
    """Do what may fail on the way, again after network errors. Raises NotFound; Damaged after TRIES failures."""
    for attempt in range(TRIES):
        try:
            return once()
        except _network_errors() as error:
            if isinstance(error, FileNotFoundError | PermissionError):
                raise NotFound(f"cannot read {what}: {error}. Check the address and its credentials.") from error
            if attempt == TRIES - 1:
                raise Damaged(f"could not read {what}: {error or type(error).__name__}. Try again later.") from error
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


def _network_errors() -> tuple[type[Exception], ...]:
    """What aiohttp and botocore raise beside OSError when a server or the way to it fails."""
    import aiohttp
    from botocore.exceptions import BotoCoreError, ClientError

    return (OSError, aiohttp.ClientError, BotoCoreError, ClientError)
