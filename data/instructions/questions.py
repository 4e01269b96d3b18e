"""Datasets from a corpus: its pages' questions with their true answers, as instructions or as preferences.

>>> rows = derived(shards, "docs@1", "preferences", 6000)

A rejected answer is wrong in one of several ways; the dataset's ledger says in which, as `detail`. True answers to
other questions alone taught a small model nothing: of held-out pairs it told 0.43 to 0.51 apart.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from catalog.errors import NotFound
from data.instructions.facts import Fact, Page, facts
from data.instructions.files import Place
from data.instructions.form import Row
from data.instructions.messages import Message


class Rejected(NamedTuple):
    """A wrong answer, and how it is wrong."""

    way: str
    answer: str


LONG_CHARS = 16
"""Of an answer that can be cut or shuffled."""
ENOUGH = 0.25
"""The share of all rows that questions of one kind may take while others are left."""


def derived(shards: Iterable[Path], corpus: str, kind: str, most: int) -> list[Row]:
    """Rows of a kind (`instructions` or `preferences`), each with the id of its page, in an order that hashes set.

    Raises NotFound where no rule finds a question in the corpus.
    """
    asked = _chosen(_unambiguous(_all_facts(shards)), most)
    if not asked:
        raise NotFound(f"no page of {corpus} has a form that questions are known for: give input=FILES instead.")
    others = _rejected(asked) if kind == "preferences" else {}
    rows = []
    for number, fact in enumerate(asked, start=1):
        prompt, answer = _said("user", fact.question), _said("assistant", fact.answer)
        parts = {"messages": [prompt, answer], "tools": []}
        if kind == "preferences":
            if fact not in others:
                continue
            parts = {
                "prompt": [prompt],
                "chosen": [answer],
                "rejected": [_said("assistant", others[fact].answer)],
                "tools": [],
            }
        detail = f"rejected: {others[fact].way}" if fact in others else ""
        rows.append(Row(Place(corpus, number, "question"), parts, fact.doc_id, fact.lang, detail))
    return rows


def _said(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _all_facts(shards: Iterable[Path]) -> list[Fact]:
    columns = ["doc_id", "host", "lang", "title", "text"]
    found: list[Fact] = []
    for shard in shards:
        for batch in pq.ParquetFile(shard).iter_batches(512, columns=columns):
            for row in batch.to_pylist():
                found += facts(Page(*(row[name] or "" for name in columns)))
    return found


def _unambiguous(found: Sequence[Fact]) -> list[Fact]:
    """One fact a question; a question to which pages give different answers is not asked."""
    answers: dict[str, set[str]] = defaultdict(set)
    first: dict[str, Fact] = {}
    for fact in sorted(found):
        answers[fact.question].add(fact.answer)
        first.setdefault(fact.question, fact)
    return [fact for question, fact in first.items() if len(answers[question]) == 1]


def _chosen(asked: Sequence[Fact], most: int) -> list[Fact]:
    """At most so many, by hash; Chinese ones all, common kinds no more than their share while others are left."""
    ordered = sorted(asked, key=_order)
    taken: dict[tuple[str, str], int] = defaultdict(int)
    first, rest = [], []
    for fact in ordered:
        taken[fact.kind, fact.lang] += 1
        (first if taken[fact.kind, fact.lang] <= ENOUGH * most else rest).append(fact)
    first.sort(key=lambda fact: (fact.lang != "zh", _order(fact)))
    return sorted([*first, *rest][:most], key=_order)


def _rejected(asked: Sequence[Fact]) -> dict[Fact, Rejected]:
    """For each fact a wrong answer: its hash chooses among the ways that there are for it."""
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in asked:
        groups[fact.kind, fact.lang].append(fact)
    found = {}
    for group in groups.values():
        for at, fact in enumerate(group):
            number = int(_order(fact), 16)
            same = (one for one in _turned(group, at) if one.answer != fact.answer and one.doc_id != fact.doc_id)
            other = (one for one in _turned(asked, number) if (one.kind, one.lang) != (fact.kind, fact.lang))
            elsewhere = [("another_question", next(same, None)), ("another_kind", next(other, None))]
            ways = [Rejected(way, one.answer) for way, one in elsewhere if one]
            ways += [one for one in _wrong(fact.answer) if one.answer not in ("", fact.answer)]
            if ways:
                found[fact] = ways[number % len(ways)]
    return found


def _turned(found: Sequence[Fact], first: int) -> Iterator[Fact]:
    """All of them, from one on."""
    return (found[(first + step) % len(found)] for step in range(len(found)))


def _wrong(answer: str) -> Iterator[Rejected]:
    """What small models write: an answer that stops in its middle, that goes round in circles, without an order."""
    space = " " if " " in answer else ""
    words = answer.split(" ") if space else list(answer)
    if len(answer) >= LONG_CHARS:
        yield Rejected("unfinished", space.join(words[: len(words) // 2]))
        yield Rejected("shuffled", space.join(sorted(words, key=lambda word: hashlib.sha256(word.encode()).digest())))
    yield Rejected("repeated", f"{answer}\n{answer}")


def _order(fact: Fact) -> str:
    return hashlib.sha256(fact.question.encode()).hexdigest()
