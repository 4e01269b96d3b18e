"""Cues of expressions: every match holds one of them."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.boilerplate import CHINESE_LINES, ENGLISH_LINES
from data.text.cues import cues_of, small

CUES = {rule: rule.cues or cues_of(rule.pattern) for rule in (*ENGLISH_LINES, *CHINESE_LINES)}


@pytest.mark.parametrize(
    ("pattern", "cues"),
    [
        (r"(?i)\bjavascript\b", ("javascript",)),
        (r"(?i)^\W*(?:read (?:more|less)|continue reading[^.]{0,60})$", ("read ", "continue reading")),
        (r"(?:terms|rules) of use", (" of use",)),
        (r"cookies?\s+notice|(?:a|b)+", ()),
        (r"(?:maybe)?x\d+", ()),
        (r"(?:more)+|(?:阅读|赞)全文", ("more", "全文")),
        (r"(?i)ΟΔΟΣ", ()),
        (r"(?!never)(?=always)", ()),
    ],
)
def test_cues_are_what_a_match_must_have(pattern, cues):
    assert cues_of(pattern) == cues


def test_all_rules_on_lines_have_some():
    assert all(CUES.values())


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_matches_holds_a_cue(data):
    rule = data.draw(st.sampled_from(list(CUES)))
    line = data.draw(st.from_regex(re.compile(rule.pattern), fullmatch=True))
    if re.search(rule.pattern, line):
        assert any(cue in small(line) for cue in CUES[rule])
