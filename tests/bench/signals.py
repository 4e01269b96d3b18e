"""Processor time of every signal, beside datatrove's filters on the same documents in the same run.

    just bench signals                       # 300 documents a language, of the shared sample data
    just bench signals --documents 60

Figures are milliseconds a document, on one core. Documents are pieces of about 5.2 KB of the sample texts. datatrove's
filters run as they stand: `alone` each cuts the words itself, `in a row` its cache hands the words of a text from one
filter to the next, as in a pipeline.
"""

import json
import os
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_parts

from catalog.commands import Parser
from data.signals.c4 import c4_measures, cut_lines
from data.signals.measures import CHUNK_CHARS, measure
from data.signals.prose import (
    character_measures,
    fineweb_measures,
    line_measures,
    repetition_measures,
    word_measures,
)
from data.signals.repetition import group, ngram_measures
from data.signals.words import split

DOCUMENT_BYTES = 5_200
STOCK = {"en": "en", "zh": "cmn_Hani"}
"""datatrove's names of the languages; for `zh` it would cut at spaces."""
SHARED = Path(os.environ.get("MILLRACE_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data"


def documents(lang: str, count: int) -> list[str]:
    """Pieces of the texts of a language, at most a fifth of them from one file."""
    size = DOCUMENT_BYTES // (3 if lang == "zh" else 1)
    pieces: list[str] = []
    for path in sorted((SHARED / "text" / lang).glob("*.jsonl")):
        texts = "\n".join(json.loads(line)["text"] for line in path.open())
        own = [texts[at : at + size] for at in range(0, len(texts) - size, size)]
        pieces += own[: count // 5]
    random.Random(0).shuffle(pieces)
    return pieces[:count]


def median_ms(work: Callable[[], object], documents: int, repeats: int = 7) -> float:
    """Median milliseconds of processor time a document, after one run that warms caches."""
    work()
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds) / documents * 1000


def ours(texts: list[str], lang: str) -> dict[str, float]:
    """Each group of measures over chunks of the size that `measure` takes, and `measure` itself."""
    step = max(1, CHUNK_CHARS // (sum(map(len, texts)) // len(texts)))
    chunks = [texts[at : at + step] for at in range(0, len(texts), step)]
    words = [split(chunk, [lang] * len(chunk)) for chunk in chunks]
    groups, lines = [group(each) for each in words], [cut_lines(each) for each in words]
    paired = list(zip(words, groups, strict=True))
    parts: dict[str, Callable[[], object]] = {
        "lay out and cut words": lambda: [split(chunk, [lang] * len(chunk)) for chunk in chunks],
        "group equal words": lambda: [group(each) for each in words],
        "cut lines": lambda: [cut_lines(each) for each in words],
        "characters, addresses, signs": lambda: [character_measures(each) for each in words],
        "words (Gopher quality)": lambda: [word_measures(w, g) for w, g in paired],
        "n-grams (Gopher repetition)": lambda: [ngram_measures(w, g) for w, g in paired],
        "lines (Gopher)": lambda: [(line_measures(each), repetition_measures(each)) for each in lines],
        "C4": lambda: [c4_measures(each) for each in lines],
        "FineWeb": lambda: [fineweb_measures(each) for each in lines],
        "ALL SIGNALS": lambda: measure(texts, [lang] * len(texts)),
    }
    return {name: median_ms(work, len(texts)) for name, work in parts.items()}


def stock(texts: list[str], lang: str) -> dict[str, float]:
    """datatrove's four filters alone, and in a row."""
    steps = {
        "Gopher repetition": GopherRepetitionFilter(language=lang),
        "Gopher quality": GopherQualityFilter(language=lang),
        "C4": C4QualityFilter(language=lang),
        "FineWeb": FineWebQualityFilter(language=lang),
    }

    def run(names: list[str], forget: bool) -> None:
        for text in texts:
            if forget:
                split_into_parts.cache_clear()
            for name in names:
                steps[name].filter(Document(text=text, id=""))

    times = {f"{name}, alone": median_ms(lambda name=name: run([name], True), len(texts), 3) for name in steps}
    times["ALL FOUR, ALONE"] = sum(times.values())
    return times | {"ALL FOUR, IN A ROW": median_ms(lambda: run(list(steps), True), len(texts), 3)}


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = Parser(prog="just bench signals", description=__doc__)
    parser.add_argument("--documents", type=int, default=300, help="of each language; datatrove takes a sixth of them")
    count = parser.parse_args(argv).documents
    for lang in ("en", "zh"):
        texts = documents(lang, count)
        chars = sum(map(len, texts)) / len(texts)
        print(f"\n{lang}: {len(texts)} documents of {chars:.0f} characters; ms a document")
        mine, theirs = ours(texts, lang), stock(texts[: count // 6], STOCK[lang])
        for title, times in (("Millrace", mine), ("datatrove (a sixth of the documents)", theirs)):
            print(f"  {title}")
            for name, ms in times.items():
                print(f"    {name:32}{ms:8.3f}")
        for name in ("ALL FOUR, ALONE", "ALL FOUR, IN A ROW"):
            print(f"  {name.lower()}: {theirs[name] / mine['ALL SIGNALS']:.0f} times our time for all signals")
