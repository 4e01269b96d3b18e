"""What the report asks the catalog: consumed tokens, hosts, the steps and rows with the largest losses.

>>> facts = read_facts(catalog, "zh-small")
"""

from statistics import median
from typing import NamedTuple

from catalog.store import Catalog, quoted
from training.runs.curves import Points

SHOWN_HOSTS, WORST, BESIDE = 15, 5, 16


class Consumed(NamedTuple):
    """Tokens of a domain that a run read, and of how many documents."""

    domain: str
    tokens: int
    documents: int


class Host(NamedTuple):
    """Where tokens come from."""

    host: str
    domain: str
    source: str
    documents: int
    tokens: int
    share: float


class Bad(NamedTuple):
    """A step, or a row of one, whose loss stands out."""

    step: int
    loss: float
    usual: float
    """The median of what stands beside it."""
    samples: tuple[int, ...]


class Span(NamedTuple):
    """A piece of a document in a batch."""

    sample_id: int
    doc_id: str
    url: str
    title: str
    lang: str
    domain: str
    sample_start: int
    length: int


def consumed(catalog: Catalog, run: str) -> list[Consumed]:
    """By domain, most first."""
    rows = catalog.con.execute(
        f"SELECT domain, sum(length)::BIGINT, count(DISTINCT doc_id) FROM consumed WHERE run = {quoted(run)} "
        "GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    return [Consumed(*row) for row in rows]


def hosts(catalog: Catalog, run: str) -> list[Host]:
    """Hosts and crawl files, most tokens first."""
    rows = catalog.con.execute(
        "SELECT coalesce(host, ''), domain, coalesce(source, ''), documents, tokens, share "
        f"FROM run_sources({quoted(run)})"
    ).fetchall()
    return [Host(*row) for row in rows]


def worst_steps(losses: Points, most: int = WORST) -> list[Bad]:
    """The steps furthest above the median of the steps beside them, as many before as after: losses fall."""
    found = []
    values = [value for _, value in losses]
    for at, (step, value) in enumerate(losses):
        reach = min(at, len(values) - 1 - at, BESIDE)
        beside = values[at - reach : at + reach + 1]
        found.append(Bad(step, value, median(beside), ()))
    return sorted(found, key=lambda one: one.usual - one.loss)[:most]


def worst_rows(catalog: Catalog, run: str, most: int = WORST) -> list[Bad]:
    """Rows of batches furthest above the median of their step's neighbours, where a run has recorded row losses."""
    rows = catalog.con.execute(
        f"""WITH each AS (SELECT step, sample_id, loss / tokens AS loss FROM row_losses
                WHERE run = {quoted(run)} AND tokens >= 32),
            usual AS (SELECT step, median(loss) AS loss FROM each GROUP BY step),
            beside AS (SELECT step, median(loss) OVER (ORDER BY step ROWS BETWEEN {BESIDE} PRECEDING
                AND {BESIDE} FOLLOWING) AS loss FROM usual)
        SELECT each.step, each.loss, beside.loss, sample_id FROM each JOIN beside USING (step)
        ORDER BY each.loss - beside.loss DESC, sample_id LIMIT {most}"""
    ).fetchall()
    return [Bad(step, loss, usual, (sample,)) for step, loss, usual, sample in rows]


def spans(catalog: Catalog, run: str, step: int) -> list[Span]:
    """What was in the batch of a step."""
    rows = catalog.con.execute(
        "SELECT sample_id, doc_id, coalesce(url, ''), coalesce(title, ''), coalesce(lang, ''), domain, sample_start, "
        f"length FROM batch_documents({quoted(run)}, {step})"
    ).fetchall()
    return [Span(*row) for row in rows]
