"""The signals: their definitions on toy texts, their laws on any text."""

import json
import math
import re
from collections import Counter

import numpy as np
import pytest
from datatrove.pipeline.filters.gopher_repetition_filter import (
    find_all_duplicate,
    find_duplicates,
    find_top_duplicate,
    get_n_grams,
)
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import BadInput
from data.signals import measures as signals
from data.signals.c4 import cut_lines
from data.signals.characters import ALPHA, ENDS_LINE, NOT_MARK, SPACE, WORD, classes, lay_out
from data.signals.lines import LINES, LONGEST
from data.signals.measures import SIGNALS, measure, measure_words
from data.signals.repetition import group
from data.signals.words import place, split

LANGS = ("en", "zh", "ja", "fr", "th", "")
any_text = st.text(
    st.one_of(
        st.sampled_from("ab .\n\r\t'’,-=#…•[]{}@0123中文日ひらカタกا\u3000\x85\u2028\v\ufffd"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=80,
)
repetitive = st.lists(st.sampled_from(["a", "b", "cc", "d.", "\n", "\n\n", "a b cc a b"]), max_size=60).map(" ".join)


def one(text: str, lang: str = "en") -> dict[str, float]:
    return {name: float(column[0]) for name, column in measure([text], [lang]).items()}


def words_of(text: str, lang: str = "en") -> list[str]:
    return split([text], [lang]).strings(0)


def test_every_signal_is_a_number_column_in_order():
    columns = measure(["One.", ""], ["en", ""])
    assert list(columns) == [signal.name for signal in SIGNALS]
    assert len(set(columns)) == len(columns)
    assert all(column.dtype == np.float64 and column.shape == (2,) for column in columns.values())
    assert all(signal.unit and signal.meaning and signal.source for signal in SIGNALS)


def test_an_empty_text_measures_zero_everywhere():
    assert set(one("").values()) == {0.0}
    assert measure([], [])["n_chars"].shape == (0,)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(any_text | repetitive, st.sampled_from(LANGS)), max_size=12), st.integers(1, 12))
def test_a_text_does_not_depend_on_its_batch(pairs, cut):
    texts, langs = [text for text, _ in pairs], [lang for _, lang in pairs]
    whole = measure(texts, langs)
    parts = [measure(texts[i : i + cut], langs[i : i + cut]) for i in range(0, len(texts), cut)]
    for name, column in whole.items():
        assert np.isfinite(column).all(), name
        pieces = np.concatenate([part[name] for part in parts]) if parts else np.zeros(0)
        assert column.tobytes() == pieces.tobytes(), name


@pytest.mark.parametrize("chars", [1, 50, 5_000])
def test_chunks_do_not_change_real_documents(shared_data, monkeypatch, chars):
    lines = (shared_data / "langid" / "wikipedia-paragraphs-12-langs.jsonl").read_text().splitlines()[::20]
    texts = [json.loads(line)["text"] for line in lines]
    langs = [json.loads(line)["lang"] for line in lines]
    before = measure(texts, langs)
    monkeypatch.setattr(signals, "CHUNK_CHARS", chars)
    after = measure(texts, langs)
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@settings(max_examples=200, deadline=None)
@given(any_text | repetitive)
def test_repetition_is_datatroves_on_any_text(text):
    words, found = words_of(text), one(text)
    chars = len(text) or 1
    for n in (2, 3, 4):
        grams = get_n_grams(words, n)
        assert found[f"top_{n}gram_char_ratio"] == (find_top_duplicate(grams) / chars if grams else 0)
    for n in range(5, 11):
        assert found[f"dup_{n}gram_char_ratio"] == find_all_duplicate(words, n) / chars


@settings(max_examples=200, deadline=None)
@given(any_text | repetitive)
def test_lines_are_pythons_on_any_text(text):
    found, lines = one(text), cut_lines(split([text], ["en"]))
    characters = lines.words.characters
    spans = zip(lines.c4.start, lines.c4.end, strict=True)
    assert [characters.text(a, b) for a, b in spans] == [line for line in text.splitlines() if line.strip()]
    assert lines.counts[0, LINES] == len(text.splitlines())
    assert lines.counts[0, LONGEST] == max(map(len, text.splitlines()), default=0)
    pieces = zip(lines.words.piece_start, lines.words.piece_end, strict=True)
    assert [characters.text(a, b) for a, b in pieces] == text.split()
    written = [line for line in text.split("\n") if line.strip()]
    assert found["n_lines"] == len(written)
    if text:
        repeated, chars = find_duplicates(re.split("\n+", text))
        assert found["dup_line_ratio"] == repeated / len(re.split("\n+", text))
        assert found["dup_line_char_ratio"] == chars / len(text)
        paragraphs = re.split("\n{2,}", text.strip())
        repeated, chars = find_duplicates(paragraphs)
        assert found["dup_paragraph_ratio"] == repeated / len(paragraphs)
        assert found["dup_paragraph_char_ratio"] == chars / len(text)
    if written:
        assert found["line_dup_char_ratio"] == find_duplicates(written)[1] / len(text.replace("\n", ""))
        assert found["short_line_ratio"] == sum(len(line) <= 30 for line in written) / len(written)


@settings(max_examples=200, deadline=None)
@given(any_text, st.sampled_from(LANGS))
def test_words_cover_all_but_white_space(text, lang):
    words = words_of(text, lang)
    assert "".join(words) == "".join(text.split())
    assert all(word and not any(char.isspace() for char in word) for word in words)
    assert place([text], [words], [lang]).strings(0) == words


@settings(max_examples=100, deadline=None)
@given(any_text, st.sampled_from(LANGS))
def test_words_given_back_measure_the_same(text, lang):
    own, given_back = measure([text], [lang]), measure_words([text], [words_of(text, lang)], [lang])
    assert all(own[name].tobytes() == given_back[name].tobytes() for name in own)


@settings(max_examples=100, deadline=None)
@given(any_text)
def test_characters_are_counted_as_python_does(text):
    found, letters = one(text), sum(char.isalpha() for char in text)
    assert found["n_chars"] == len(text)
    assert found["space_ratio"] == sum(char.isspace() for char in text) / (len(text) or 1)
    upper = sum(char.isupper() and char != "\u212a" for char in text)
    assert found["upper_ratio"] == pytest.approx(upper / (letters or 1))
    scripts = [value for name, value in found.items() if name.endswith("_ratio") and name.split("_")[0] in
               ("latin", "han", "kana", "hangul", "cyrillic", "arabic", "other")]  # fmt: skip
    assert not letters or sum(scripts) == pytest.approx(1, abs=0.2)  # 〇 is a numeral with a script
    assert found["unique_word_ratio"] == len(set(words_of(text))) / (len(words_of(text)) or 1)


def test_classes_are_pythons_unicode():
    chars = [chr(point) for point in (*range(0x600), *range(0x600, 0x110000, 31)) if not 0xD800 <= point < 0xE000]
    codes = classes().of_point[lay_out(chars).points[::2]]
    shape, trait = (np.frombuffer(table, np.uint8)[codes] for table in (classes().shape, classes().trait))
    spaces = [char.isspace() for char in chars]
    assert ((shape & SPACE) > 0).tolist() == spaces
    assert ((trait & ALPHA) > 0).tolist() == [char.isalpha() for char in chars]
    assert ((trait & ENDS_LINE) > 0).tolist() == [char in TERMINAL_PUNCTUATION for char in chars]
    marks = [char in PUNCTUATION_SET or char.isspace() for char in chars]
    assert ((trait & NOT_MARK) == 0).tolist() == marks
    assert all(shape[i] & WORD for i, char in enumerate(chars) if char.isalnum())


def test_entropy_is_shannons():
    words = ["a", "a", "a", "b", "b", "c"]
    expected = -sum(n / 6 * math.log2(n / 6) for n in Counter(words).values())
    assert one(" ".join(words))["word_entropy"] == pytest.approx(expected, abs=1e-5)


def test_equal_words_of_a_text_are_numbered_in_order():
    groups = group(split(["b a b", "a", "", "c b c"], ["en"] * 4))
    assert groups.ids.tolist() == [0, 1, 0, 2, 3, 4, 3]
    assert groups.sizes.tolist() == [2, 1, 1, 2, 1]
    assert groups.firsts.tolist() == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    ("text", "lang", "words"),
    [
        ("It's 3.14, e.g. 1,000!", "en", ["It", "'s", "3.14", ",", "e.g.", "1,000", "!"]),
        ("See example.com... end.Start -- ok", "en", ["See", "example.com", "...", "end", ".", "Start", "--", "ok"]),
        (
            "Don't (U.S.) x^2 a-b 20-inch",
            "en",
            ["Do", "n't", "(", "U.S.", ")", "x^2", "a", "-", "b", "20", "-", "inch"],
        ),
        ("O'Brien foo(bar) \\pi, key=5 a=b", "en", ["O'Brien", "foo(bar", ")", "\\pi", ",", "key=5", "a", "=", "b"]),
        ("l’homme d'or", "fr", ["l’", "homme", "d'", "or"]),
        ("我们来到北京大学。GPT-4 很好", "zh", ["我们", "来到", "北京大学", "。", "GPT-4", "很", "好"]),
        ("我们来到北京大学", "", ["我们", "来到", "北京大学"]),
        ("the 大学 of", "en", ["the", "大", "学", "of"]),
        ("東京タワーに行った", "ja", ["東京", "タワー", "に", "行", "った"]),
        ("กิน ข้าว", "th", ["กิ", "น", "ข้", "า", "ว"]),
    ],
)
def test_words_by_language(text, lang, words):
    assert words_of(text, lang) == words


def test_gopher_quality_by_hand():
    found = one("• the # and\n- of ...\n\nto … be 12 34…")
    assert found["n_words_symbols"] == 13
    assert found["n_words"] == 8  # the round bullet is no punctuation to datatrove
    assert found["mean_word_length"] == pytest.approx((1 + 3 + 3 + 2 + 2 + 2 + 2 + 2) / 8)
    assert found["hash_word_ratio"] == pytest.approx(1 / 13)
    assert found["ellipsis_word_ratio"] == pytest.approx(3 / 13)
    assert found["bullet_line_ratio"] == 0.5
    assert found["ellipsis_line_ratio"] == 0.5
    assert found["alpha_word_ratio"] == pytest.approx(5 / 13)
    assert found["stop_words"] == 5


def test_stop_words_are_the_languages_own():
    assert one("der Hund und die Katze", "de")["stop_words"] == 3
    assert one("der Hund und die Katze", "en")["stop_words"] == 0
    assert one("他是被我们的人了", "zh")["stop_words"] >= 3


C4_TEXT = """Home
This line stays here. It has two sentences.
Two words.
We say lorem ipsum to all of you.
Please enable JavaScript to see this page.
The set { a, b } is small.
Read our Privacy Policy before you go.
This site use cookies for your comfort.
It ends in an ellipsis...
A fact that is cited.[12]
A space before a citation. [3]
"""


def test_c4_takes_each_line_by_its_first_rule():
    found = one(C4_TEXT + "x" * 1001 + " is a long word.\n")
    taken = {name: value for name, value in found.items() if name.startswith("c4_")}
    assert taken == {
        "c4_long_word_lines": 1,
        "c4_unended_lines": 3,
        "c4_few_word_lines": 1,
        "c4_lorem_lines": 1,
        "c4_javascript_lines": 1,
        "c4_curly_lines": 1,
        "c4_policy_lines": 2,
        "c4_kept_lines": 2,
        "c4_kept_line_ratio": pytest.approx(2 / 12),
        "c4_sentences": 3,
    }


def test_fineweb_by_hand():
    found = one("Menu\nMenu\n   \nA line that is surely longer than thirty characters.\n")
    assert found["line_punct_ratio"] == pytest.approx(1 / 3)
    assert found["short_line_ratio"] == pytest.approx(2 / 3)
    assert found["line_dup_char_ratio"] == pytest.approx(4 / (4 + 4 + 3 + 52))
    assert found["newline_word_ratio"] == pytest.approx(4 / 12)


def test_addresses_and_lost_characters():
    found = one("Write to a.b@example.org or see https://x.org/www.a and www.y.org. No@mail \ufffd\ufffd {}")
    assert (found["n_urls"], found["n_emails"], found["replaced_chars"], found["curly_brackets"]) == (2, 1, 2, 2)


def test_scripts_are_shares_of_letters():
    found = one("ab 漢字 ひカ 한국 да مر ΑΒ")
    names = ("latin", "han", "kana", "hangul", "cyrillic", "arabic", "other_script")
    assert [found[f"{name}_ratio"] for name in names] == pytest.approx([2 / 14] * 7)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: measure(["a"], []), "1 texts and 0 languages"),
        (lambda: measure(["ok", "\ud800"], ["en", "en"]), "lone surrogate"),
        (lambda: measure_words(["a b"], [["b", "a"]], ["en"]), "not a word of its text, in order: 'a'"),
    ],
)
def test_bad_input_says_what_is_wrong(call, says):
    with pytest.raises(BadInput, match=says):
        call()


def test_one_endless_line_and_one_repeated_word():
    found = one("x" * 200_000)
    assert (found["longest_word"], found["longest_line"], found["c4_long_word_lines"]) == (200_000, 200_000, 1)
    found = one("spam " * 100_000)
    assert found["top_2gram_char_ratio"] == pytest.approx(99_999 * 9 / 500_000)
    assert found["dup_5gram_char_ratio"] == pytest.approx(0.8, abs=1e-3)
