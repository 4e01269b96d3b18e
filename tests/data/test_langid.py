"""Language id: accuracy on labelled paragraphs, texts without words, forks."""

import json
import multiprocessing
import random

import pytest

from catalog.errors import NotFound
from data.text import langid
from data.text.fasttext_model import load, predict
from data.text.langid import UNDETERMINED, identify

ODD = ["</s> a b", "a </s> b", "__label__en x", "__label__xx", "a\0b c", "\0", "é" * 300, "x", "<", "> <", "中 文"]


def _rows(folder, name):
    return [json.loads(line) for line in (folder / "langid" / name).open(encoding="utf-8")]


def test_paragraphs_in_twelve_languages(shared_data):
    rows = _rows(shared_data, "wikipedia-paragraphs-12-langs.jsonl")
    found = identify([row["text"] for row in rows])
    right = [answer[0][0] == row["lang"] for answer, row in zip(found, rows, strict=True)]
    assert len(rows) == 1200
    assert sum(right) / len(right) >= 0.97


def test_hard_two_word_strings(shared_data):
    """Far from the paragraphs' figure, and far above chance: 53 languages, two words each."""
    rows = _rows(shared_data, "word-pairs-53-langs.jsonl")[:2000]
    found = identify([row["text"] for row in rows])
    right = [answer[0][0] == row["lang"] for answer, row in zip(found, rows, strict=True)]
    assert 0.65 < sum(right) / len(right) < 0.95


def the_librarys(lines):
    """What fastText itself says."""
    import fasttext_pybind

    model = fasttext_pybind.fasttext()
    model.loadModel(str(langid.model_file()))
    answers = zip(*model.multilinePredict([f"{line}\n" for line in lines], 3, 0.0, "replace"), strict=True)
    return [
        [(label.removeprefix("__label__"), float(share)) for label, share in zip(*answer, strict=True)]
        for answer in answers
    ]


def any_lines(count: int) -> list[str]:
    letters = [*map(chr, (*range(33, 127), *range(161, 0x500), *range(0x4E00, 0x9FFF, 7), 0x1F600)), *" " * 300]
    draw = random.Random(0).choices
    return [" ".join("".join(draw(letters, k=draw(range(1, 60))[0])).split()) or "x" for _ in range(count)]


def test_answers_are_the_librarys_to_the_last_bit():
    lines = [*ODD, *any_lines(1000), "The cat sat on the mat all day. " * 30]
    assert predict(load(langid.model_file()), lines, 3) == the_librarys(lines)


def test_answers_to_paragraphs_are_the_librarys(shared_data):
    lines = [" ".join(row["text"].split()) for row in _rows(shared_data, "wikipedia-paragraphs-12-langs.jsonl")]
    assert predict(load(langid.model_file()), lines, 3) == the_librarys(lines)


def test_three_answers_best_first():
    (answer,) = identify(["今天天气很好，我们一起去公园散步吧。"])
    assert answer[0][0] == "zh"
    assert len(answer) == 3
    scores = [score for _, score in answer]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_texts_without_words_are_undetermined_and_keep_their_place():
    found = identify(
        ["", "Where is the nearest railway station, please?", " \n\t ", "¿Dónde está la estación de tren?"]
    )
    assert [answer[0][0] for answer in found] == ["und", "en", "und", "es"]
    assert found[0] == UNDETERMINED == (("und", 0.0),)
    assert identify([]) == []


def test_line_breaks_do_not_end_the_text():
    text = "Der schnelle braune Fuchs springt über den faulen Hund und läuft davon."
    assert identify([text.replace(" ", "\n")]) == identify([text])


def test_an_answer_does_not_depend_on_the_other_texts():
    texts = ["The cat sat on the mat all day.", "Le chat est sur le tapis.", "吾輩は猫である。名前はまだ無い。"]
    assert identify(texts) == [identify([text])[0] for text in texts] == identify(texts[::-1])[::-1]


def test_the_middle_counts_too_and_no_more_is_read():
    text = "Cookies. " + "这是一个关于中国历史的长篇文章，内容非常丰富。" * 200
    assert identify([text])[0][0][0] == "zh"
    long = "All happy families are alike. " * 100
    assert identify([long]) == identify([long[: len(long) // 2 + 500] + "ж" * (len(long) // 2 - 500)])


def test_what_is_no_unicode_does_not_fail():
    assert identify(["\ud800 broken"])[0][0][0] != "und"


def test_forked_workers_answer_alike():
    texts = ["Good morning, how are you today?"]
    here = identify(texts)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(identify, [texts, texts]) == [here, here]


def test_a_missing_model_says_what_to_do(monkeypatch):
    monkeypatch.setattr(langid, "files", lambda package: [])
    with pytest.raises(NotFound, match="just setup"):
        langid.model_file()
