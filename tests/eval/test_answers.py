"""Exact and partial match, and their intervals."""

import pytest

from eval.answers import match, mean


@pytest.mark.parametrize(
    ("answer", "truth", "exact", "partial"),
    [
        ("None", "None", 1, 1),
        ("  the MIT  License. ", "The MIT License", 1, 1),
        ("The MIT license", "MIT License.", 0, 0.8),  # 2 of 3 and 2 of 2 words
        ("", "None", 0, 0),
        ("a a a a", "a b", 0, 2 / 6),  # a word counts as often as both have it
        ("f(self, a=None)", "f(self, b=None)", 0, 14 / 16),  # brackets, commas and signs are words
        ("\u662f\u5426\u4e25\u683c\u3002", "\u662f\u5426\u4e25\u683c", 1, 1),
        ("\u662f\u5426", "\u662f\u5426\u4e25\u683c", 0, 4 / 6),  # a Chinese character is a word
    ],
)
def test_matches(answer: str, truth: str, exact: float, partial: float):
    found = match(answer, truth)
    assert found.exact == exact
    assert found.partial == pytest.approx(partial)


def test_an_interval_holds_the_mean_and_narrows_with_questions():
    few, many = mean([0.0, 1.0] * 10), mean([0.0, 1.0] * 1000)
    assert few.value == many.value == 0.5
    assert few.low < 0.5 < few.high
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(10, rel=0.15)  # the root of 100
    assert many.high - many.low == pytest.approx(4 * many.stderr, rel=0.05)  # 1.96 standard errors to each side
    assert mean([1.0, 1.0])[:3] == (1, 1, 1)
    assert mean([0.25]).stderr == 0
    with pytest.raises(ValueError, match="nothing"):
        mean([])
