"""Servers of files on loopback: a web server, an object store (`from file_servers import Files, Bucket`)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape


class Files(BaseHTTPRequestHandler):
    """A web server, and as much of S3 as reading asks for. Options are set on a subclass by `serve`."""

    protocol_version = "HTTP/1.1"
    root: Path
    ranges = True
    encoding = ""
    fail = 0
    seen: list[tuple[str, str, str]]

    def log_message(self, format, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        asked, path = self.headers.get("Range", ""), unquote(urlsplit(self.path).path)
        self.seen.append((self.command, path, asked))
        query = parse_qs(urlsplit(self.path).query)
        file = self.root / path.lstrip("/")
        if "list-type" in query:
            return self.answer(200, self.listing(path.strip("/"), query), {"Content-Type": "application/xml"})
        if not file.is_file():
            return self.answer(404, b"", {})
        if type(self).fail and self.command == "GET":
            type(self).fail -= 1
            return self.answer(503, b"", {})
        return self.give(file.read_bytes(), asked, formatdate(file.stat().st_mtime, usegmt=True))

    def give(self, data: bytes, asked: str, date: str):
        fields = {"ETag": f'"{_sha(data)[:16]}"', "Last-Modified": date}
        fields |= {"Content-Encoding": self.encoding} if self.encoding else {}
        if not self.ranges or not asked:
            return self.answer(200, data, fields)
        first, _, last = asked.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        return self.answer(
            206, part, fields | {"Content-Range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"}
        )

    def listing(self, bucket: str, query: dict) -> bytes:
        prefix, mark = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        keys = sorted(path.relative_to(self.root / bucket).as_posix() for path in (self.root / bucket).rglob("*.*"))
        keys = [key for key in keys if key.startswith(prefix)]
        deeper = [key[len(prefix) :] for key in keys if mark and "/" in key[len(prefix) :]]
        under = sorted({prefix + key.split("/")[0] + "/" for key in deeper})
        shown = [key for key in keys if not any(key.startswith(folder) for folder in under)]
        rows = "".join(self.listed(key, self.root / bucket / key) for key in shown)
        rows += "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in under)
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()

    def listed(self, key: str, path: Path) -> str:
        tag = f"<ETag>&quot;{_sha(path.read_bytes())[:16]}&quot;</ETag><Size>{path.stat().st_size}</Size>"
        return f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-01T00:00:00Z</LastModified>{tag}</Contents>"

    def answer(self, status: int, data: bytes, fields: dict[str, str]):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


class Bucket(Files):
    """And as much of S3 as writing asks for: objects are put whole, and removed, one or many."""

    refused = ""
    """The next object whose name has this in it is not taken."""

    def do_PUT(self):
        path = self.root / unquote(urlsplit(self.path).path).lstrip("/")
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.command, urlsplit(self.path).path, ""))
        kind = type(self)
        if kind.fail or (kind.refused and kind.refused in path.name):
            kind.fail, kind.refused = max(0, kind.fail - 1), ""
            return self.answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", {})
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return self.answer(200, b"", {"ETag": f'"{_sha(data)[:16]}"'})

    def do_POST(self):
        asked = ElementTree.fromstring(self.rfile.read(int(self.headers["Content-Length"])))
        bucket = self.root / urlsplit(self.path).path.strip("/")
        for key in asked.iter("{http://s3.amazonaws.com/doc/2006-03-01/}Key"):
            self.seen.append(("DELETE", f"/{bucket.name}/{key.text}", ""))
            if (bucket / str(key.text)).is_file():  # a key that is not there is no error, as in S3
                (bucket / str(key.text)).unlink()
        return self.answer(200, b"<DeleteResult/>", {"Content-Type": "application/xml"})


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def serving(root: Path, handler: type[Files], **options) -> Iterator[tuple[str, type[Files]]]:
    """Serve a folder: gives the address and the class that answers, whose options may be changed meanwhile."""
    answers = type("Site", (handler,), {"root": root, "seen": [], **options})
    with ThreadingHTTPServer(("127.0.0.1", 0), answers) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()
