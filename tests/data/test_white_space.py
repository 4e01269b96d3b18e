"""White space joined as bytes: as str.split() has it, on any text."""

from hypothesis import given, settings
from hypothesis import strategies as st

from data.text.white_space import joined

BLANKS = [chr(point) for point in range(0x110000) if chr(point).isspace()]
any_text = st.text(
    st.one_of(st.sampled_from([*BLANKS, "a", "é", "中", "\u1fff", "\u2070"]), st.characters()), max_size=40
)


@settings(max_examples=300, deadline=None)
@given(any_text)
def test_words_are_joined_as_python_does(text):
    assert joined(text) == " ".join(text.split()).encode("utf-8", "surrogatepass")


def test_every_blank_and_its_neighbours():
    for point in {ord(blank) + step for blank in BLANKS for step in (-1, 0, 1, 64)}:
        text = f"a{chr(point)}b"
        assert joined(text) == " ".join(text.split()).encode("utf-8", "surrogatepass")
