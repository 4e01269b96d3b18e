"""Edit rules: what they take out, and that their edits never overlap; lines of furniture."""

import pickle
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.config import set_fields
from catalog.errors import BadInput
from data.corpus import CorpusConfig
from data.edits import Edit, EditRule, add_edits, apply_edits, check_edits, find_edits
from data.rule_sets import BOILERPLATE_LINES, CLEANING

JAVASCRIPT = EditRule(name="javascript_line", pattern=r"(?i)javascript")
NUMBER = EditRule(name="number", pattern=r"\d+", scope="span", replacement="<n>")


def test_a_line_goes_with_its_break():
    text = "first\nplease enable JavaScript now\nlast javascript"
    edits = find_edits(text, "en", "web", (JAVASCRIPT,))
    assert edits == [Edit("javascript_line", 6, 29, ""), Edit("javascript_line", 35, 15, "")]
    assert apply_edits(text, edits) == "first\n"


def test_positions_count_code_points_beyond_the_basic_plane():
    edits = find_edits("𝄞中12文", "zh", "web", (NUMBER,))
    assert edits == [Edit("number", 2, 2, "<n>")]
    assert apply_edits("𝄞中12文", edits) == "𝄞中<n>文"


def test_of_two_that_overlap_the_earlier_rule_stands():
    edits = find_edits("javascript 42\nkeep 7", "en", "web", (JAVASCRIPT, NUMBER))
    assert [edit.rule for edit in edits] == ["javascript_line", "number"]
    assert apply_edits("javascript 42\nkeep 7", edits) == "keep <n>"


def test_a_rule_sees_what_the_rules_before_it_leave_and_the_larger_edit_gives_the_name():
    quotes = EditRule(name="quotes", scope="form", pattern="quotes")
    text = "“Read”\nDon’t read javascript’s “book”\nend"
    assert find_edits(text, "en", "web", (quotes, JAVASCRIPT)) == [
        Edit("quotes", 0, 1, '"'),
        Edit("quotes", 5, 1, '"'),
        Edit("javascript_line", 7, 31, ""),
    ]


def test_what_a_later_rule_undoes_is_no_edit():
    there = EditRule(name="there", scope="span", pattern="a", replacement="b")
    back = EditRule(name="back", scope="span", pattern="b", replacement="a")
    assert find_edits("xax", "en", "web", (there, back)) == []


def test_rules_are_chosen_by_language_and_domain():
    rule = NUMBER.variant(languages=("zh",), except_domains=("code",))
    assert find_edits("1", "en", "web", (rule,)) == []
    assert find_edits("1", "zh", "code", (rule,)) == []
    assert find_edits("1", "zh", "web", (rule,)) != []


def test_a_pattern_that_is_none_is_named():
    with pytest.raises(BadInput, match="edit rule broken"):
        check_edits((EditRule(name="broken", pattern="("),))


def test_a_form_that_is_none_is_named_with_its_neighbours():
    with pytest.raises(BadInput, match=r"no form 'nfcc'.*nfc"):
        check_edits((EditRule(name="broken", scope="form", pattern="nfcc"),))


def test_rules_by_choice_are_turned_on_by_a_field_and_all_of_them_check_and_travel():
    config = set_fields(CorpusConfig(name="tiny", edits=CLEANING), ["edits.simplified.enabled=true"])
    check_edits(config.edits)
    assert [old.name for old, new in zip(CLEANING, config.edits, strict=True) if old != new] == ["simplified"]
    assert pickle.loads(pickle.dumps(config.edits)) == config.edits
    assert config.identity() != CorpusConfig(name="tiny", edits=CLEANING).identity()


def test_of_the_blank_lines_around_lines_that_go_one_side_stays():
    rules = tuple(EditRule(name=pattern, pattern=f"^{pattern}$") for pattern in ("gone", "lost"))
    for text, left in [
        ("a\n\ngone\n\nb", "a\n\nb"),
        ("a\n\n" + "gone\n\nlost\n\n" * 11 + "b", "a\n\nb"),
        ("a\n\ngone\ngone\nlost\n\n\nb", "a\n\nb"),
        ("a\ngone\n\nb\n\nlost\nc", "a\n\nb\n\nc"),
        ("gone\n\na\n\nlost", "a\n\n"),
        ("\nlost\n\na", "\na"),
    ]:
        edits = find_edits(text, "en", "web", rules)
        assert apply_edits(text, edits) == left
        assert all(a.start + a.length <= b.start for a, b in pairwise(edits))


def test_a_rule_may_take_blank_lines_themselves():
    assert apply_edits(
        "a\n\nx\n\n\nb", find_edits("a\n\nx\n\n\nb", "en", "web", (EditRule(name="e", pattern="^x?$"),))
    ) == ("a\nb")


CODE = """if (a < 1) {
  // Read more
  console.log("javascript");
}
import javascript
$ npm install javascript
<!-- Advertisement -->"""


@pytest.mark.parametrize("line", CODE.split("\n"))
def test_lines_of_code_stay(line):
    assert find_edits(f"Some text.\n{line}\nend", "en", "web", BOILERPLATE_LINES) == []


def test_in_a_fence_code_keeps_its_lines_and_characters():
    text = "“x”\n```\nRead more\nsay “x” ＡＢ\n```\nRead more\n“y”\n```\nRead more\n“z”"
    left = apply_edits(text, find_edits(text, "en", "web", CLEANING))
    assert left == '"x"\n```\nRead more\nsay “x” ＡＢ\n```\n"y"\n```\n"z"'


@given(st.text(alphabet="a1\n中 ", max_size=30), st.data())
def test_more_edits_take_the_place_of_what_they_hold_and_leave_what_they_cut(text, data):
    def spans(name):
        marks = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
        pairs = list(zip(marks[::2], marks[1::2], strict=False))
        return [Edit(name, start, end - start, "") for start, end in pairs]

    first, second = spans("first"), spans("second")
    both = add_edits(first, second)
    assert all(a.start + a.length <= b.start for a, b in pairwise(both))
    for edit in first:
        swallowed = any(s.start <= edit.start and edit.start + edit.length <= s.start + s.length for s in second)
        assert edit in both or swallowed
    for edit in second:
        cuts = [f for f in first if f.start < edit.start + edit.length and edit.start < f.start + f.length]
        if all(edit.start <= f.start and f.start + f.length <= edit.start + edit.length for f in cuts):
            assert edit in both or sum(f.length for f in cuts) > 0
        else:
            assert edit not in both


@given(
    st.text(alphabet="ab1\n中", max_size=40),
    st.lists(
        st.tuples(st.sampled_from(["a", "1+", "中", "a.?b", "b+", "a1"]), st.sampled_from(["", "b", "a中", "1b1"])),
        max_size=5,
    ),
    st.lists(st.sampled_from(["line", "span"]), min_size=5, max_size=5),
)
def test_edits_make_what_the_rules_make_one_after_the_other(text, replacements, scopes):
    rules = tuple(
        EditRule(name=f"r{i}", pattern=pattern, scope=scope, replacement=new)
        for i, ((pattern, new), scope) in enumerate(zip(replacements, scopes, strict=False))
    )
    step_by_step = text
    for rule in rules:
        step_by_step = apply_edits(step_by_step, find_edits(step_by_step, "en", "web", (rule,)))
    edits = find_edits(text, "en", "web", rules)
    assert apply_edits(text, edits) == step_by_step
    assert all(edit.length > 0 and text[edit.start :][: edit.length] != edit.replacement for edit in edits)
    assert all(a.start + a.length <= b.start for a, b in pairwise(edits))


@given(
    st.text(alphabet="a1\n中𝄞 ", max_size=60),
    st.lists(st.sampled_from(["a", "1+", "中", r"\s+", "a1", "1.*a", "𝄞?a"]), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from(["line", "span"]), min_size=4, max_size=4),
)
def test_edits_are_in_order_disjoint_and_leave_the_rest_alone(text, patterns, scopes):
    rules = tuple(
        EditRule(name=f"r{i}", pattern=p, scope=s, replacement="" if s == "line" else "<>")
        for i, (p, s) in enumerate(zip(patterns, scopes, strict=False))
    )
    edits = find_edits(text, "en", "web", rules)
    ends = [0, *(edit.start + edit.length for edit in edits)]
    assert all(edit.start >= end and edit.length > 0 for edit, end in zip(edits, ends, strict=False))
    untouched = [text[end : edit.start] for edit, end in zip(edits, ends, strict=False)] + [text[ends[-1] :]]
    left = apply_edits(text, edits)
    for piece in untouched:
        assert left.startswith(piece)
        left = left[len(piece) :]
        left = left.removeprefix("<>") if left.startswith("<>") else left
    assert left == ""
