"""Near-deduplication: recall, wrong removals, speed and memory, beside datatrove, text-dedup's method and datasketch.

    just bench dedup                       10,000, 100,000 and 1,000,000 documents (a quarter of an hour)
    just bench dedup 10000                 one size

Labelled documents: real ones, edited (tests/bench/near_pairs.py). Large sets: walks over real word pairs, a third of
them copies with words replaced (tests/bench/near_walks.py). A pair is found when at least one of the two is removed; a
removal is wrong when no document of Jaccard similarity 0.8 is kept for it. Similarities are counted apart from the
engine.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from itertools import combinations
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.commands import Parser
from tests.bench.dedup_history import on_history, whole_builds
from tests.bench.near_pairs import TRANSLATED, grams, jaccard, labelled, pairs
from tests.bench.near_walks import write_walks
from tests.bench.tables import publish, table

SIMILARITY = 0.8
SIZES = (10_000, 100_000, 1_000_000)
PEERS = ("datatrove", "text-dedup", "datasketch")
MOST_FOR_PEERS = 100_000
SAMPLE = 3000
ROOT = Path(__file__).resolve().parents[2]

Removed = set[tuple[int, int]]


def main(argv: list[str]) -> None:
    """Measure and publish."""
    parser = Parser(prog="just bench dedup", description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, help="numbers of documents of the large sets")
    sizes = parser.parse_args(argv).sizes or list(SIZES)
    shared = Path(os.environ.get("MILLRACE_SHARED", ROOT.parent / "shared")) / "data"
    with TemporaryDirectory(prefix="millrace-bench-", dir=os.environ.get("MILLRACE_BENCH")) as name:
        folder = Path(name)
        sections = [on_labelled(shared, folder / "labelled"), signing(shared)]
        for size in sizes:
            write_walks(shared, folder / str(size), size)
        sections.append(at_scale([folder / str(size) for size in sizes]))
        sections.append(on_history(folder / str(sizes[-1])))
        sections.append(whole_builds(folder / str(sizes[-1]), folder / "builds"))
    command = " ".join(["just bench dedup", *argv])
    publish("Near-deduplication", command, "\n\n".join(sections))


def run(method: str, folder: Path) -> tuple[dict[str, float], Removed]:
    """One method in a process of its own: its figures and what it removed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.dedup_methods", method, str(folder)],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    removed = {(file, row) for file, row in json.loads((folder / f"{method}.json").read_text())}
    return json.loads(done.stdout.strip().splitlines()[-1]), removed


# ── labelled ──────────────────────────────────────────────────────────────────────────────────────────────────────


def on_labelled(shared: Path, folder: Path) -> str:
    """Recall by language and edit, and wrong removals, on real documents with known edits."""
    documents = labelled(shared, 20_000)
    truth = pairs(documents)
    path = folder / "intake" / ("0" * 12) / "reading" / "part-0000000000.parquet"
    path.parent.mkdir(parents=True)
    texts = [document.text for document in documents]
    pq.write_table(pa.table({"ordinal": np.arange(len(texts)), "text": texts}), path, row_group_size=2048)
    alike = defaultdict(set)
    for left, right, value in truth:
        if value >= SIMILARITY:
            alike[left].add(right)
            alike[right].add(left)
    rows = []
    groups = _groups(documents, [(a, b) for a, b, value in truth if value >= SIMILARITY])
    for method in ("millrace", "forms-apart", *PEERS):
        gone = {row for _, row in run(method, folder)[1]}
        wrong = sum(not (alike[row] - gone) for row in gone)
        found = [sum(a in gone or b in gone for a, b in pairs) / len(pairs) for pairs in groups.values()]
        rows.append([method, *(f"{recall:.4f}" for recall in found), str(len(gone)),
                     f"{wrong} ({wrong / len(documents):.2%})"])  # fmt: skip
    count = sum(map(len, groups.values()))
    head = f"{len(documents):,} labelled documents, {count:,} pairs of Jaccard {SIMILARITY} or more:"
    columns = ["method", *(f"recall, {name} ({len(pairs):,})" for name, pairs in groups.items())]
    note = (
        "`forms-apart` is Millrace with `fold_han=false`; the translations are OpenCC's (Taiwan, Hong Kong, phrases)."
    )
    return f"{head}\n\n{table([*columns, 'removed', 'wrongly (of all)'], rows)}\n\n{note}"


def _groups(documents: list, true: list[tuple[int, int]]) -> dict[str, list[tuple[int, int]]]:
    """The pairs by language, those of a text and its translation to the other form of Chinese apart."""
    groups: dict[str, list[tuple[int, int]]] = {"English": [], "Chinese": [], "traditional ↔ simplified": []}
    for a, b in true:
        across = (documents[a].edit == TRANSLATED) != (documents[b].edit == TRANSLATED)
        name = "traditional ↔ simplified" if across else "English" if documents[a].lang == "en" else "Chinese"
        groups[name].append((a, b))
    return groups


# ── signatures ────────────────────────────────────────────────────────────────────────────────────────────────────


def signing(shared: Path) -> str:
    """Documents per core-second for signatures alone, on real documents."""
    from data.dedup.grams import hash_grams
    from data.dedup.minhash import signatures
    from tests.bench.near_pairs import passages

    rows = []
    for lang in ("en", "zh"):
        texts = [text for text, _ in zip(passages(shared, lang), range(2000), strict=False)]
        signatures(hash_grams(texts[:50], 5, fold_han=True), 128)
        ours = _seconds(lambda texts=texts: signatures(hash_grams(texts, 5, fold_han=True), 128)) / len(texts)
        peers = _datatrove_seconds(texts, "english" if lang == "en" else "chinese")
        size = sum(map(len, texts)) / len(texts)
        rows.append([f"{lang}, {size:.0f} characters", f"{1 / ours:,.0f}",
                     *(f"{1 / peer:,.0f} ({peer / ours:.1f})" for peer in peers)])  # fmt: skip
    columns = ["documents", "Millrace, 128 hashes", "datatrove, 112, white space", "datatrove, its own words"]
    note = "At white space a Chinese document here is 3 words; Millrace hashes 537 tokens of it."
    return f"Signatures, documents per core-second (in brackets: times as fast):\n\n{table(columns, rows)}\n\n{note}"


def _seconds(work) -> float:
    best = float("inf")
    for _ in range(3):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def _datatrove_seconds(texts: list[str], language: str) -> list[float]:
    """Seconds a document: words at white space, then datatrove's own words (spaCy for English, jieba for Chinese)."""
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.utils.word_tokenizers import SpaCyTokenizer

    from tests.bench.dedup_methods import WhiteSpace

    found, some = [], texts[:300]
    with TemporaryDirectory() as name:
        step = MinhashDedupSignature(name)
        for words in (WhiteSpace(), SpaCyTokenizer("en" if language == "english" else "zh")):
            step.word_tokenizer = words  # type: ignore[assignment]
            step.get_shingles(some[0])
            found.append(_seconds(lambda: [step.get_signature(step.get_shingles(text)) for text in some]) / len(some))
    return found


# ── scale ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def at_scale(folders: list[Path]) -> str:
    """Recall, wrong removals, speed and memory by number of documents."""
    rows, last = [], dict[str, tuple[int, dict[str, float]]]()
    for folder in folders:
        size = int(folder.name)
        truth = Truth(folder)
        for method in ("millrace", "millrace-2", *(PEERS if size <= MOST_FOR_PEERS else ())):
            for old in folder.glob("intake/*/*/signatures/*/*"):
                old.unlink()
            took, gone = run(method, folder)
            last[method] = size, took
            recall, wrong = truth.judge(gone)
            sign = f"{size / took['sign_s']:,.0f}" if method != "millrace-2" else ""
            costs = [f"{took['cpu_s']:.0f} s", f"{took['wall_s']:.0f} s", f"{took['peak_mb']:,.0f} MB"]
            judged = [f"{recall:.4f}", f"{wrong:.2%}", sign, f"{size / took['cpu_s']:,.0f}"]
            rows.append([f"{size:,}", method, *judged, *costs])
        rows += [_not_run(size, method, *last[method]) for method in PEERS if size > MOST_FOR_PEERS and method in last]
    columns = ["documents", "method", "recall", "wrong, of removed", "signatures / core-s", "whole / core-s"]
    columns += ["CPU", "time", "memory"]
    note = (
        "`millrace-2` is the same with two workers for the signatures; time is the clock's, beside whatever else ran."
    )
    return f"Walks of about 200 words:\n\n{table(columns, rows)}\n\n{note}"


def _not_run(size: int, method: str, measured: int, took: dict[str, float]) -> list[str]:
    """What a peer would take, if each document cost what it cost in the largest set that it was given."""
    minutes = took["cpu_s"] * size / measured / 60
    return [f"{size:,}", method, "not run here", "", "", "", f"about {minutes:.0f} min by extrapolation", "", ""]


class Truth:
    """The true similarities within a sample of the families."""

    def __init__(self, folder: Path) -> None:
        families: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.paths = sorted(folder.glob("intake/*/*/part-*.parquet"))
        for file, path in enumerate(self.paths):
            for row, family in enumerate(pq.read_table(path, columns=["family"])["family"].to_pylist()):
                families[family].append((file, row))
        several = [members for _, members in sorted(families.items()) if len(members) > 1]
        self.families = Random(0).sample(several, min(SAMPLE, len(several)))
        self.alone = {members[0] for members in families.values() if len(members) == 1}
        texts = self._texts({at for members in self.families for at in members})
        self.similarities = [self._pairs(members, texts) for members in self.families]

    def _texts(self, wanted: Removed) -> dict[tuple[int, int], str]:
        found = {}
        for file, path in enumerate(self.paths):
            rows = sorted(row for number, row in wanted if number == file)
            texts = pq.read_table(path, columns=["text"])["text"].take(pa.array(rows, pa.int64())).to_pylist()
            found |= {(file, row): text for row, text in zip(rows, texts, strict=True)}
        return found

    def _pairs(self, members: list[tuple[int, int]], texts: dict) -> list[tuple]:
        sets = {at: grams(texts[at]) for at in members}
        return [(a, b) for a, b in combinations(members, 2) if jaccard(sets[a], sets[b]) >= SIMILARITY]

    def judge(self, gone: Removed) -> tuple[float, float]:
        """(share of true pairs found, share of removals that are wrong) within the sample and the single documents."""
        true = [pair for found in self.similarities for pair in found]
        alike = defaultdict(set)
        for a, b in true:
            alike[a].add(b)
            alike[b].add(a)
        removed = [at for members in self.families for at in members if at in gone]
        share = len(removed) / max(1, len(gone - self.alone))
        wrong = sum(not (alike[at] - gone) for at in removed) + share * len(gone & self.alone)
        return sum(a in gone or b in gone for a, b in true) / len(true), wrong / max(1, len(removed))
