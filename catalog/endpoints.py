"""Which endpoints answer: asked of their processes and servers each time a catalog is opened, never remembered.

>>> up(home)
['tiny-sft']

An endpoint is up where the process that holds its lock lives (a lock dies with its process) and its server answers
`/health` within a second. The view `endpoints` says `unknown` where something else than this code opened the catalog.
"""

import socket
from urllib.parse import urlsplit

from catalog.errors import Damaged
from catalog.home import Home
from catalog.locks import holder, lock_of
from catalog.records import RECORD, load_record, names_of, versions

TIMEOUT_S = 1.0


def up(home: Home) -> list[str]:
    """The names of the endpoints that answer now."""
    return [name for name in names_of(home, "endpoints") if answers(home, name)]


def answers(home: Home, name: str) -> bool:
    """Whether the endpoint's process lives and its server says that it is well."""
    there = versions(home, "endpoints", name)
    who = holder(lock_of(home.root / "endpoints" / name))
    if not there or who is None or not who.alive:
        return False
    try:
        counts = load_record(home.artifact("endpoints", name, there[-1]) / RECORD).counts
    except Damaged:  # `just rebuild` names it; it must not keep the catalog shut
        return False
    return healthy(str(counts.get("local_url" if who.host == socket.gethostname() else "url", "")))


def healthy(url: str) -> bool:
    """Whether a server at `url` (http://host:port) answers `/health` with status 200."""
    place = urlsplit(url)
    try:
        with socket.create_connection((place.hostname or "", place.port or 80), TIMEOUT_S) as to:
            to.sendall(f"GET /health HTTP/1.0\r\nHost: {place.netloc}\r\n\r\n".encode())
            return to.recv(64).split()[1:2] == [b"200"]
    except (OSError, ValueError):
        return False
