"""WARC and WET: gzip, zstd, lz4 or plain, whole or damaged, to raw records with their offsets.

>>> skipped = Counter()
>>> for record in read_warc(blob, source, Span(), ReadBounds(), skipped):
...     print(record.doc_id, record.offset, record.url, record.failure or len(record.body))

ISO 28500:2017; zstd with a dictionary as in https://iipc.github.io/warc-specifications/specifications/warc-zstd/.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from data.sources.blobs import Blob
from data.sources.codecs import HEAD_BYTES, codec_of
from data.sources.feeds import Feed
from data.sources.framing import Frame, Grammar, Head, frames
from data.sources.http import content_type, parse_head, parse_response
from data.sources.records import RawRecord, ReadBounds, Source, Span

DOCUMENTS = frozenset({"response", "resource", "conversion", "revisit"})
HEADER_BYTES = 1_048_576
"""A header longer than this is none."""

_END = re.compile(rb"\n\r*\n")
_DATE = re.compile(r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d))?)?)?)?")
_NAMES = {
    name: name.lower()
    for name in (
        *("WARC-Type", "WARC-Record-ID", "WARC-Target-URI", "WARC-Date", "WARC-Payload-Digest", "WARC-Block-Digest"),
        *("WARC-IP-Address", "WARC-Concurrent-To", "WARC-Identified-Payload-Type", "WARC-Warcinfo-ID"),
        *("Content-Type", "Content-Length"),
    )
}
"""Names of fields as nearly all archives write them."""
_EARLIEST = (1, 1, 1, 0, 0, 0)
_KIND = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_HTML = re.compile(
    rb"[\s\xef\xbb\xbf\xff\xfe\x00]*(?:<!--(?:(?!-->).)*-->\s*|<\?xml[^>]*>\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)


class WarcGrammar:
    """What WARC looks like."""

    start = re.compile(rb"WARC/\d\.\d+\r*\n(?=[A-Za-z][A-Za-z0-9-]*[ \t]*:)")
    end_marks = (b"\r\n\r\n", b"\n\n")

    def starts(self, piece: bytes) -> bool:
        """Do these bytes begin with a record, blank lines aside?"""
        return piece.startswith(b"WARC/") or piece[:64].lstrip(b"\r\n").startswith(b"WARC/")

    def head(self, feed: Feed) -> Head | None:
        """Read the header at the feed's place."""
        feed.want(5)
        if not feed.window.startswith(b"WARC/", feed.pos):
            return None
        while not (end := _END.search(feed.window, feed.pos, feed.pos + HEADER_BYTES)):
            if feed.left > HEADER_BYTES:
                return Head("damaged", 0, 5, {}, "bad_header", f"no blank line in {HEADER_BYTES} bytes")
            if not feed.want(feed.left + 1):
                return Head("damaged", 0, 5, {}, "truncated", f"the header ends after {feed.left} bytes")
        size = end.end() - feed.pos
        another = self.start.search(feed.window, feed.pos + 5, end.end())
        if another:
            return Head("damaged", 0, another.start() - feed.pos, {}, "bad_header", "a record begins inside the header")
        return _head(feed.window[feed.pos : end.start()], size)


def _head(raw: bytes, size: int) -> Head:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    if "\n " in text or "\n\t" in text:
        text = re.sub(r"\r*\n[ \t]+", " ", text)
    fields: dict[str, str] = {}
    for line in text.split("\n")[:0:-1]:  # backwards: the first of a repeated field stays
        name, _, value = line.partition(":")
        fields[_NAMES.get(name) or name.strip().lower()] = value.strip()
    kind, length = fields.get("warc-type", "").lower(), fields.get("content-length", "")
    if not kind:
        return Head("damaged", 0, size, fields, "bad_header", "no WARC-Type")
    kind = kind if _KIND.fullmatch(kind) else "unknown"
    if not (length.isascii() and length.isdecimal() and len(length) < 19):
        return Head(kind, 0, size, fields, "bad_length", f"Content-Length is {length!r}")
    return Head(kind, int(length), size, fields)


def read_warc(
    blob: Blob, source: Source, span: Span, bounds: ReadBounds, skipped: Counter[str], grammar: Grammar | None = None
) -> Iterator[RawRecord]:
    """The documents of a span and all that is damaged; records of other types are counted in `skipped` by type."""
    limit = bounds.record_bytes + HEADER_BYTES
    for ordinal, frame in archive_frames(blob, source, span, grammar or WarcGrammar(), limit, _is_document):
        if frame.failure or (frame.head and frame.head.kind in DOCUMENTS):
            yield _record(source, ordinal, frame, bounds)
        elif frame.head:
            skipped[frame.head.kind] += 1


def archive_frames(
    blob: Blob, source: Source, span: Span, grammar: Grammar, limit: int, wanted: Callable[[Head], bool]
) -> Iterator[tuple[int, Frame]]:
    """The frames of a span with their ordinals; blocks of those that are wanted."""
    feed = Feed(blob, codec_of(blob.exactly(0, HEAD_BYTES), source.uri), grammar.starts, span.offset)
    for ordinal, frame in enumerate(frames(feed, grammar, limit, wanted), span.first):
        if span.stop is not None and ordinal >= span.stop:
            return
        yield ordinal, frame


def plan_archive(blob: Blob, source: Source, grammar: Grammar, span_bytes: int) -> list[tuple[int, int]]:
    """(ordinal, byte offset) where spans of about `span_bytes` stored bytes begin, at records that can be entered."""
    cuts = [(0, 0)]
    for ordinal, frame in archive_frames(blob, source, Span(), grammar, HEADER_BYTES, lambda _: False):
        if frame.enterable and ordinal and frame.offset - cuts[-1][1] >= span_bytes:
            cuts.append((ordinal, frame.offset))
    return cuts


def _is_document(head: Head) -> bool:
    return head.kind in DOCUMENTS


def _record(source: Source, ordinal: int, frame: Frame, bounds: ReadBounds) -> RawRecord:
    head = frame.head
    record = RawRecord(source.source_id, ordinal, frame.offset, head.kind if head else "damaged")
    record.failure, record.detail = frame.failure, frame.detail
    if head is None:
        return record
    fields = head.fields
    record.url = fields.get("warc-target-uri", "").strip("<> ")
    record.fetched_at = parse_date(fields.get("warc-date", ""))
    if head.kind == "revisit":
        record.refers_to = fields.get("warc-payload-digest") or fields.get("warc-refers-to", "")
    if _is_http(head, frame.block):
        _take_response(record, frame, bounds)
    else:
        _take_block(record, frame, bounds)
    if not record.media_type:
        record.media_type = content_type(fields.get("warc-identified-payload-type", ""))[0] or sniff(record.body)
    return record


def _is_http(head: Head, block: bytes) -> bool:
    kind = head.fields.get("content-type", "")
    return head.kind in ("response", "revisit") and (
        "application/http" in kind.lower() or not kind or block.startswith(b"HTTP/")
    )


def _take_response(record: RawRecord, frame: Frame, bounds: ReadBounds) -> None:
    """Fill in what the HTTP message says. A block that ends early is no failure where the message in it is whole."""
    if record.record_type == "revisit" or frame.failure not in ("", "truncated"):
        response = parse_head(frame.block)._replace(failure="", detail="")
    else:
        cut = bool(frame.head and "warc-truncated" in frame.head.fields)
        response = parse_response(frame.block, bounds.record_bytes, cut)
    record.http_status, record.media_type, record.http_charset = response.status, response.media_type, response.charset
    if frame.failure and not (frame.failure == "truncated" and response.whole and not response.failure):
        return
    record.body, record.failure = response.body, response.failure
    record.detail = response.detail or frame.detail
    if frame.detail and response.short and not response.failure:  # the length was mended, and this is less than all
        record.body, record.failure = b"", "truncated"


def _take_block(record: RawRecord, frame: Frame, bounds: ReadBounds) -> None:
    """Fill in a block that is the payload itself. Of a WET record the text is ready, where it is UTF-8."""
    kind = frame.head.fields.get("content-type", "") if frame.head else ""
    record.media_type, record.http_charset = content_type(kind)
    if frame.failure or record.record_type == "revisit":
        return
    if len(frame.block) > bounds.record_bytes:
        record.failure, record.detail = "too_large", f"the block has {len(frame.block)} bytes"
        return
    if record.record_type == "conversion" and record.media_type in ("text/plain", ""):
        record.media_type = "text/plain"
        try:
            record.text = frame.block.decode("utf-8")
            return
        except UnicodeDecodeError:
            pass  # the bytes go on, to be decoded as those of any other document
    record.body = frame.block


def parse_date(text: str) -> datetime | None:
    """A WARC or ARC date, in UTC; parts that are missing at the end are the earliest; None where it is no date."""
    if len(text) == 20 and text.endswith("Z"):  # as nearly all are: 2019-08-15T14:06:11Z
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    match = _DATE.match(text)
    if not match:
        return None
    year, month, day, hour, minute, second = (
        int(part) if part else least for part, least in zip(match.groups(), _EARLIEST, strict=True)
    )
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None


def sniff(body: bytes) -> str:
    """text/html where the bytes begin as a page does, else ""."""
    return "text/html" if _HTML.match(body[:1024].replace(b"\0", b"")) else ""
