"""Main text extraction beside its peers: quality on three sets of real pages, and time, in one run.

    just bench engine --only text

Ours is measured on pages of hosts that its networks have not seen: trained anew for each of six folds, split by host.
The measure is that of scrapinghub/article-extraction-benchmark: 4-grams of words (of characters in Chinese), precision
and recall averaged over pages, F1 of the averages; on `segments` it is the strings that must and must not be in the
text (trafilatura's own evaluation). Time is processor time of one thread, parsing included, over the pages of
`articles`.
"""

import gc
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from resiliparse.extract.html2text import extract_plain_text

from data.page.main_text import read_page
from data.page.train import SEEDS, Example, Gold, example, folds, read_gold, together, train
from data.text.extract import extract
from tests.bench.tables import doing, table

FOLDS = 6
_WORD = re.compile(r"\w+")
_CHINESE = re.compile(r"[\u3040-\u9fff]|[^\W\u3040-\u9fff]+")
Extract = Callable[[str], str]


def precision_recall(gold: str, text: str, word: re.Pattern[str]) -> tuple[float, float]:
    """Of the 4-grams of `text` against those of `gold`, counted with repetitions."""
    wanted, found = _grams(word.findall(gold)), _grams(word.findall(text))
    both = sum((wanted & found).values())
    precision = both / found.total() if found else float(not wanted)
    return precision, both / wanted.total() if wanted else 1.0


def _grams(words: list[str]) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + 4]) for i in range(max(1, len(words) - 3))) if words else Counter()


def scores(golds: list[Gold], texts: list[str]) -> tuple[float, float, float]:
    """F1, precision, recall over the pages of one set."""
    if golds[0].inside or golds[0].outside:
        return _segment_scores(golds, texts)
    word = _CHINESE if golds[0].set == "zh-news" else _WORD
    pairs = [precision_recall(gold.text, text, word) for gold, text in zip(golds, texts, strict=True) if gold.text]
    precision, recall = (statistics.fmean(values) for values in zip(*pairs, strict=True))
    return _f1(precision, recall), precision, recall


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _segment_scores(golds: list[Gold], texts: list[str]) -> tuple[float, float, float]:
    right = missed = wrong = 0
    for gold, text in zip(golds, texts, strict=True):
        flat = " ".join(text.split())
        found = sum(" ".join(string.split()) in flat for string in gold.inside)
        right, missed = right + found, missed + len(gold.inside) - found
        wrong += sum(" ".join(string.split()) in flat for string in gold.outside)
    precision, recall = right / (right + wrong), right / (right + missed)
    return _f1(precision, recall), precision, recall


def held_out(examples: list[Example]) -> list[str]:
    """Our text of each page, by networks trained without its host."""
    fold = folds([example.gold for example in examples], FOLDS)
    texts = [""] * len(examples)
    for held in range(FOLDS):
        known = [example for example, mine in zip(examples, fold, strict=True) if mine != held]
        net = together([train(known, seed) for seed in SEEDS])
        for at, (page, mine) in enumerate(zip(examples, fold, strict=True)):
            if mine == held:
                texts[at] = read_page(page.gold.html, net=net).text
        print(f"fold {held + 1} of {FOLDS}", file=sys.stderr)
    return texts


def ours(html: str) -> str:
    """With the shipped networks, links and title too: for the time only, since they know these pages."""
    return extract(html, url="http://example.org/").text


def peers() -> dict[str, Extract]:
    import justext
    import readability
    import trafilatura
    from lxml.html import fromstring

    stop = frozenset().union(*(justext.get_stoplist(name) for name in ("English", "German", "French", "Spanish")))

    def traf(**options: bool) -> Extract:
        return lambda html: trafilatura.extract(html, include_comments=False, deduplicate=False, **options) or ""

    def just(html: str) -> str:
        return "\n".join(p.text for p in justext.justext(html.encode(), stop, encoding="utf-8") if not p.is_boilerplate)

    def read(html: str) -> str:
        return fromstring(readability.Document(html).summary()).text_content()

    return {
        "trafilatura, favour precision": traf(favor_precision=True),
        "trafilatura": traf(),
        "Resiliparse, main content": lambda html: extract_plain_text(html, preserve_formatting=True, main_content=True),
        "readability-lxml": read,
        "jusText (en, de, fr, es)": just,
    }


def _guarded(extract: Extract) -> Extract:
    def run(html: str) -> str:
        try:
            return extract(html)
        except Exception as error:  # a peer that fails on a page has no text of it
            print(f"{type(error).__name__}: {str(error)[:80]}", file=sys.stderr)
            return ""

    return run


def milliseconds(extract: Extract, pages: list[str], rounds: int = 3) -> float:
    """A page, the best of the rounds; what the benchmark itself holds is kept out of the garbage collector's way."""
    extract(pages[0])
    gc.collect()
    gc.freeze()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for page in pages:
            extract(page)
        best = min(best, time.process_time() - start)
    return best / len(pages) * 1000


def compare(folder: Path) -> str:
    """The whole comparison, as a table in Markdown."""
    golds = read_gold(folder)
    sets = list(dict.fromkeys(gold.set for gold in golds))
    pages = [gold.html for gold in golds if gold.set == "articles"]
    runs: list[tuple[str, list[str], float]] = []
    doing("text: our networks, trained without the hosts of each fold")
    runs.append(("blocks (held-out hosts)", held_out([example(gold) for gold in golds]), milliseconds(ours, pages)))
    for name, peer in peers().items():
        doing(f"text: {name}")
        safe = _guarded(peer)
        runs.append((name, [safe(gold.html) for gold in golds], milliseconds(safe, pages)))
    rows, of_set = [], np.array([gold.set for gold in golds])
    for name, texts, ms in runs:
        figures = []
        for wanted in sets:
            at = np.flatnonzero(of_set == wanted).tolist()
            figures += [f"{value:.3f}" for value in scores([golds[i] for i in at], [texts[i] for i in at])]
        rows.append([name, *figures, f"{ms:.2f}"])
    heads = [f"{name} {what}" for name in sets for what in ("F1", "precision", "recall")]
    return table(["extractor", *heads, "ms a page"], rows)


NOTES = """\
Quality on three sets of real pages: 4-gram F1 against full text written down by people (`articles`), strings that must
and must not be there (`segments`), 4-gram F1 against another extractor's text (`zh-news`; only where it has one).
`blocks` is scored on pages whose hosts its networks have not seen (six folds by host); its time is that of the shipped
networks, links and title included. Time is processor time of one thread over the pages of `articles`, parsing included.
No page goes to a slower extractor: `blocks` is one pass, and what it gives stands.
"""
