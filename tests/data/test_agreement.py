"""Our Gopher, C4 and FineWeb measures against datatrove's own filters, given the same words.

On real documents verdict and reason are equal for every text; for random texts EXPLAINED lists why they may differ.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from prose_toys import chinese_texts, english_texts

from data.signals.c4 import CITATION
from data.signals.measures import measure_words

pytest.importorskip("spacy", reason="datatrove's words need spaCy, of the group `bench`")

from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.text import split_into_words
from resiliparse.extract.html2text import extract_plain_text

Values = dict[str, float]
Rule = tuple[str, str, float, str]
"""Signal, comparison that drops, threshold, datatrove's reason."""

REPETITION: list[Rule] = [
    ("n_chars", "==", 0, "empty"),
    ("dup_paragraph_ratio", ">", 0.3, "dup_para_frac"),
    ("dup_paragraph_char_ratio", ">", 0.2, "dup_para_char_frac"),
    ("dup_line_ratio", ">", 0.3, "dup_line_frac"),
    ("dup_line_char_ratio", ">", 0.2, "dup_line_char_frac"),
    *((f"top_{n}gram_char_ratio", ">", limit, f"top_{n}_gram") for n, limit in ((2, 0.2), (3, 0.18), (4, 0.16))),
    *(
        (f"dup_{n}gram_char_ratio", ">", limit, f"duplicated_{n}_n_grams")
        for n, limit in ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10))
    ),
]
QUALITY: list[Rule] = [
    ("n_words", "<", 50, "gopher_short_doc"),
    ("n_words", ">", 100_000, "gopher_long_doc"),
    ("mean_word_length", "<", 3, "gopher_below_avg_threshold"),
    ("mean_word_length", ">", 10, "gopher_above_avg_threshold"),
    ("hash_word_ratio", ">", 0.1, "gopher_too_many_hashes"),
    ("ellipsis_word_ratio", ">", 0.1, "gopher_too_many_ellipsis"),
    ("bullet_line_ratio", ">", 0.9, "gopher_too_many_bullets"),
    ("ellipsis_line_ratio", ">", 0.3, "gopher_too_many_end_ellipsis"),
    ("alpha_word_ratio", "<", 0.8, "gopher_below_alpha_threshold"),
    ("stop_words", "<", 2, "gopher_enough_stop_words"),
]
FINEWEB: list[Rule] = [
    ("n_lines", "==", 0, "empty"),
    ("line_punct_ratio", "<", 0.12, "line_punct_ratio"),
    ("short_line_ratio", ">", 0.67, "short_line_ratio"),
    ("line_dup_char_ratio", ">", 0.01, "char_dup_ratio"),
    ("newline_word_ratio", ">", 0.3, "list_ratio"),
]
C4: list[Rule] = [
    ("c4_lorem_lines", ">", 0, "lorem_ipsum"),
    ("c4_curly_lines", ">", 0, "curly_bracket"),
    ("c4_sentences", "<", 5, "too_few_sentences"),
]
CHINESE_QUALITY = [  # FineWeb-2, configs/cmn_Hani.yml
    (name, op, {3: 1, 10: 5, 0.8: 0.735}.get(limit, limit), reason) for name, op, limit, reason in QUALITY
]
CHINESE = "cmn_Hani"  # as FineWeb-2 calls it: for "zh" datatrove cuts at spaces
STOP_WORDS_ZH = list("的年在是和月日了於·為有被人中为他與後也而由")
DROPS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda value, limit: value < limit,
    ">": lambda value, limit: value > limit,
    "==": lambda value, limit: value == limit,
}


def first_reason(values: Values, rules: list[Rule]) -> str:
    """The reason of the first rule that drops; empty for a kept document."""
    return next((reason for name, op, limit, reason in rules if DROPS[op](values[name], limit)), "")


def stock_reason(step, text: str) -> str:
    verdict = step.filter(Document(text=text, id="0"))
    return "" if verdict is True else verdict[1]


def english(shared: Path) -> Iterator[str]:
    for path in sorted((shared / "text" / "en").glob("*.jsonl")):
        for line in path.open():
            yield json.loads(line)["text"][:60_000]  # books whole take spaCy minutes


def chinese(shared: Path) -> Iterator[str]:
    for name in ("web-commoncrawl-2021-43", "encyclopedia-wikipedia", "academic-abstracts", "books-xiyouji"):
        lines = (shared / "text" / "zh" / f"{name}.jsonl").open()
        yield from (json.loads(line)["text"][:20_000] for line in islice(lines, 60))


def pages(shared: Path) -> Iterator[str]:
    """Every fourth gold page as Resiliparse extracts it, with and without its navigation: spaCy takes 0.1 s a text."""
    for path in sorted((shared / "html-gold").glob("*/html/*.html.gz"))[::4]:
        html = gzip.decompress(path.read_bytes()).decode("utf-8", "replace")
        yield extract_plain_text(html, main_content=True)
        yield extract_plain_text(html, main_content=False)


def reasons(texts: list[str], lang: str, sets: dict) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Of each filter, datatrove's reason and ours for every text, given datatrove's words."""
    words = [split_into_words(text, lang) for text in texts]
    columns = measure_words(texts, words, ["zh" if lang == CHINESE else lang] * len(texts))
    rows = [{name: float(column[i]) for name, column in columns.items()} for i in range(len(texts))]
    for name, (step, rules) in sets.items():
        yield (
            name,
            [(stock_reason(step, text), first_reason(row, rules)) for text, row in zip(texts, rows, strict=True)],
        )


def compare(texts: list[str], lang: str, sets: dict) -> None:
    """Assert that our verdict and reason are datatrove's for every text."""
    for name, pairs in reasons(texts, lang, sets):
        differing = [(text[:60], *pair) for text, pair in zip(texts, pairs, strict=True) if pair[0] != pair[1]]
        assert not differing, (name, len(differing))
        assert "" in {stock for stock, _ in pairs}, f"{name} keeps nothing: the comparison says nothing"
        assert len({stock for stock, _ in pairs}) > 1, f"{name} drops nothing: the comparison says nothing"


def curly_before_lorem(text: str, pair: tuple[str, str]) -> bool:
    """datatrove goes line by line and stops at the first that drops; our rules are asked one after the other."""
    return pair == ("curly_bracket", "lorem_ipsum") and 0 <= text.find("{") < text.lower().rfind("lorem ipsum")


def sentences_beside_citations(text: str, pair: tuple[str, str]) -> bool:
    """Words of a line that citations are taken out of are cut anew: by datatrove as it cuts words, by us as we do."""
    return "too_few_sentences" in pair and "" in pair and CITATION.search(text) is not None


EXPLAINED = {"c4": (curly_before_lorem, sentences_beside_citations)}
"""Why verdict or reason of a filter may differ, by filter: what holds for a text where one does."""


def compare_random(texts: list[str], lang: str, sets: dict) -> None:
    """Assert that 99 % of our verdicts are datatrove's, that each difference is explained, and that much is dropped."""
    for name, pairs in reasons(texts, lang, sets):
        differing = [(text, pair) for text, pair in zip(texts, pairs, strict=True) if pair[0] != pair[1]]
        unexplained = [each for each in differing if not any(why(*each) for why in EXPLAINED.get(name, ()))]
        assert not unexplained, (name, unexplained[0])
        assert sum(("" in pair) for _, pair in differing) <= 0.01 * len(texts), name
        kept = sum(not stock for stock, _ in pairs)
        assert 0.1 < kept / len(texts) < 0.9, (name, kept)
        assert len({stock for stock, _ in pairs}) >= 4, f"{name} drops for few reasons: the comparison says little"


def stock_english() -> dict:
    return {
        "repetition": (GopherRepetitionFilter(), REPETITION),
        "quality": (GopherQualityFilter(), QUALITY),
        "fineweb": (FineWebQualityFilter(), FINEWEB),
        "c4": (C4QualityFilter(), C4),
    }


def stock_chinese() -> dict:
    quality = GopherQualityFilter(
        language=CHINESE,
        min_avg_word_length=1,
        max_avg_word_length=5,
        max_non_alpha_words_ratio=0.735,
        stop_words=STOP_WORDS_ZH,
    )
    return {
        "repetition": (GopherRepetitionFilter(language=CHINESE), REPETITION),
        "quality": (quality, CHINESE_QUALITY),
        "fineweb": (FineWebQualityFilter(language=CHINESE), FINEWEB),
        "c4": (C4QualityFilter(language=CHINESE), C4),
    }


def test_some_english_agree(shared_data):
    texts = [text for text in english(shared_data) if len(text) < 3_000][:60]
    assert len(texts) == 60
    compare(texts, "en", stock_english())


def test_random_english_agrees():
    compare_random(list(english_texts(200)), "en", stock_english())


def test_of_a_curly_bracket_and_lorem_ipsum_the_first_is_datatroves_reason():
    curly, lorem = "It has a { in it.", "It says lorem ipsum here."
    texts = [f"{curly}\n{lorem}", f"{lorem}\n{curly}", curly, lorem]
    (_, pairs), *_ = reasons(texts, "en", {"c4": stock_english()["c4"]})
    assert pairs[0] == ("curly_bracket", "lorem_ipsum")
    assert [curly_before_lorem(text, pair) for text, pair in zip(texts, pairs, strict=True)] == [True, *[False] * 3]
    assert [stock for stock, _ in pairs[1:]] == ["lorem_ipsum", "curly_bracket", "lorem_ipsum"]
    assert all(stock == ours for stock, ours in pairs[1:])


def test_random_chinese_agrees():
    pytest.importorskip("jieba", reason="datatrove's Chinese words need jieba")
    compare_random(list(chinese_texts(200)), CHINESE, stock_chinese())


@pytest.mark.slow
def test_more_random_texts_agree():
    pytest.importorskip("jieba", reason="datatrove's Chinese words need jieba")
    compare_random(list(english_texts(2_000, seed=1_000)), "en", stock_english())
    compare_random(list(chinese_texts(2_000, seed=1_000)), CHINESE, stock_chinese())


@pytest.mark.slow
def test_english_agree(shared_data):
    compare(list(english(shared_data)), "en", stock_english())


@pytest.mark.slow
def test_pages_agree(shared_data):
    texts = list(pages(shared_data))
    assert len(texts) > 250
    compare(texts, "en", stock_english())


@pytest.mark.slow
def test_chinese_agree(shared_data):
    pytest.importorskip("jieba", reason="datatrove's Chinese words need jieba")
    compare(list(chinese(shared_data)), CHINESE, stock_chinese())
