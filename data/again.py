"""Read a document's record again where the catalog says it lies, and compare what comes out with what is on record.

>>> read_again(home, "b08a53b33598:42")
Again(doc_id='b08a53b33598:42', url='http://…', uri='crawls/docs/1/docs-00000.warc.gz', offset=59859, differs=())

The record goes through the same steps as when it was read first, with the config of that time. Newer code may read a
page differently: what it reads differently is named.
"""

from collections.abc import Iterator
from typing import NamedTuple

from datatrove.data import Document

from catalog.errors import NotFound
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.records import find
from catalog.store import Catalog, quoted
from data.intake import Unit
from data.read import ReadConfig, read_pipeline
from data.sources.blobs import is_remote
from data.sources.records import Source, Span

COMPARED = ("url", "http_status", "media_type", "charset", "title", "lang", "text_key", "text", "failure")


class Again(NamedTuple):
    """A record that was read a second time."""

    doc_id: str
    url: str
    uri: str
    offset: int
    """Of the record in the stored bytes; -1 where its format has none."""
    differs: tuple[str, ...]
    """The columns of COMPARED that came out otherwise; none where all is as on record."""


def read_again(home: Home, doc_id: str) -> Again:
    """Read one document's record again. Raises NotFound for an unknown id or a source that is gone."""
    with Catalog.open(home) as catalog:
        columns = ", ".join(("intake", "ordinal", "record_offset", *COMPARED))
        found = catalog.con.execute(f"SELECT {columns} FROM documents WHERE doc_id = {quoted(doc_id)}").fetchone()
    if found is None:
        raise NotFound(f"no document {doc_id} in the catalog. Find one: FROM why('https://…').")
    intake, ordinal, offset, *values = found
    record = find(home, "intake", intake)
    source, read = Source.model_validate(record.config["source"]), record.config["read"]
    assert isinstance(read, dict)
    config = ReadConfig.model_validate({name: read[name] for name in ReadConfig.model_fields if name in read})
    here = source if is_remote(source.uri) else source.variant(uri=str(home.root / source.uri))
    folder, was = home.artifact("intake", *parse_ref(intake)), dict(zip(COMPARED, values, strict=True))
    spans = [Span(first=ordinal, stop=ordinal + 1, offset=offset)] if offset > 0 else []
    differs: tuple[str, ...] = COMPARED
    for span in (*spans, Span(stop=ordinal + 1)):  # a record within a compressed block is reached from the start alone
        row = _row(Unit(here, span, folder), config, doc_id)
        differs = tuple(name for name in COMPARED if row.get(name) != was[name])
        if not differs:
            break
    return Again(doc_id, str(was["url"]), source.uri, offset, differs)


def _row(unit: Unit, config: ReadConfig, doc_id: str) -> dict:
    """The row that reading makes of a document, as if nothing had been read before; empty where there is none."""
    documents: Iterator[Document] = iter(())
    for step in read_pipeline(config, [unit])[:-1]:  # all but writing
        documents = step.run(documents)  # pyright: ignore[reportAssignmentType]
    rows = [document for document in documents if document.id == doc_id]
    return rows[0].metadata["row"] if rows else {}
