"""Datasets from a corpus: its pages' questions with their true answers, as instructions or as preferences.

>>> rows = derived(shards, "docs@1", "preferences", 6000)

A rejected answer is the true answer to another question of the same kind and language, from another page.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from catalog.errors import NotFound
from data.instructions.facts import Fact, Page, facts
from data.instructions.files import Place
from data.instructions.form import Row
from data.instructions.messages import Message

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
                "rejected": [_said("assistant", others[fact])],
                "tools": [],
            }
        rows.append(Row(Place(corpus, number, "question"), parts, fact.doc_id, fact.lang))
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


def _rejected(asked: Sequence[Fact]) -> dict[Fact, str]:
    """For each fact another answer of its kind and language: of the next fact, in the order of hashes, that has one."""
    groups: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in asked:
        groups[fact.kind, fact.lang].append(fact)
    found = {}
    for group in groups.values():
        for at, fact in enumerate(group):
            after = (group[(at + step) % len(group)] for step in range(1, len(group)))
            other = next((one for one in after if one.answer != fact.answer and one.doc_id != fact.doc_id), None)
            if other:
                found[fact] = other.answer
    return found


def _order(fact: Fact) -> str:
    return hashlib.sha256(fact.question.encode()).hexdigest()
