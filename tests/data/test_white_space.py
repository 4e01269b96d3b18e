"""Texts up to case, composition and white space: as Python has them, on any text."""

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from data.text.white_space import folded

BLANKS = [chr(point) for point in range(0x110000) if chr(point).isspace()]
MARKS = ["\u0301", "\u0338", "\u3099", "\u1161", "\u11a8", "\u0323", "\U000110ba"]
any_text = st.text(
    st.one_of(
        st.sampled_from([*BLANKS, *MARKS, *"aZéÉßµ中が가ｱＡ，“—", "\u1fff", "\u2070", "\u2126"]), st.characters()
    ),
    max_size=40,
)


def known(text: str) -> bytes:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split()).encode("utf-8", "surrogatepass")


@settings(max_examples=500, deadline=None)
@given(any_text)
def test_texts_are_folded_as_python_does(text):
    assert folded(text) == known(text)


def test_every_blank_and_its_neighbours():
    for point in {ord(blank) + step for blank in BLANKS for step in (-1, 0, 1, 64)}:
        text = f"a{chr(point)}b"
        assert folded(text) == known(text)


def test_every_character_alone_between_letters_and_under_marks():
    for point in range(0x110000):
        letter = chr(point)
        assert folded(letter) == known(letter)
        assert folded(f"E{letter}") == known(f"E{letter}")
    for point in range(0x20000):
        text = "".join(chr(point) + mark for mark in MARKS)
        assert folded(text) == known(text)
