"""Normal forms: what each changes, that it changes nothing else, and that a text rests in all of them."""

import json
import re
import unicodedata

import ftfy
import pytest
from ftfy.badness import is_bad
from hypothesis import example, given
from hypothesis import strategies as st

from data.edits import EditRule, apply_edits, find_edits
from data.rule_sets import BOILERPLATE_LINES, CHOSEN_FORMS, NORMAL_FORMS
from data.text.han_forms import simplified_forms
from data.text.normalize import FORMS, _mojibake_suspects

HARD = (
    "aAzé œŒÂÃØÙ€™“”‘’´…—-'\"`.,:;!?0１２：．，Ａｚ％　ｶﾞｷﾟ"
    "中文發漢约，。（）\n\r\t\x00\x07\x1b[31m\x85\x92\xa0\xad\u200b\u200e\u2028"
    "\u0301\u0323\u0307\u0344\u0f71\u0f72\u0f73\u1100\u1161\u11a8가각İıſΣςÅ\u212bﬁ㎏½²\ufeff\ufffd🙂\U0001d15e\U0002f800вЂГЎ"
)
texts = st.text(alphabet=HARD, max_size=40) | st.text(max_size=30)
broken = st.builds(
    lambda text, encoding, rest: text.encode().decode(encoding, "replace") + rest,
    st.text(alphabet="éüñ“”’—…中文字 aе\xa0è", max_size=12),
    st.sampled_from(["latin-1", "windows-1252", "windows-1251", "macroman"]),
    texts,
)


def formed(text, form):
    return apply_edits(text, FORMS[form].changes(text))


@pytest.mark.parametrize(
    ("form", "text", "becomes"),
    [
        ("mojibake", "Itâ€™s a cafÃ© – naïve", "It’s a café – naïve"),
        ("mojibake", "标题ä¸­æ–‡正文", "标题中文正文"),
        ("mojibake", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "привет"),
        ("mojibake", "Its\x92 over\x85", "Its’ over…"),
        ("mojibake", "el niño, “œuvre” – £5 «là»", "el niño, “œuvre” – £5 «là»"),
        ("control", "a\x00b\x07c\xadd\ufeffe\x1b[31mf", "abcdef"),
        ("control", "one\r\ntwo\rthree\u2028four\tfive\x85", "one\ntwo\nthree\nfour\tfive\n"),
        ("invisible", "zero\u200bwidth\u200f", "zerowidth"),
        ("invisible", "👩\u200d👩\u200d👧 می\u200cخواهم", "👩\u200d👩\u200d👧 می\u200cخواهم"),
        ("spaces", "10\xa0km\u2009or\u202fso", "10 km or so"),
        ("fullwidth", "ＧＤＰ增长３．５％，约１２　万元（全年）。", "GDP增长3．5%，约12 万元（全年）。"),
        ("fullwidth", "ｶﾞｽ ｡", "ガス 。"),
        ("quotes", "“It’s”, don´t, non‑stop ‘x’", "\"It's\", don't, non-stop 'x'"),
        ("quotes", "5´ and «là»", "5´ and «là»"),
        ("marks", "你好,世界!他说:好的?是;对", "你好，世界！他说：好的？是；对"),
        ("marks", "v1.2, a,b 和C,D; 3:2, 第1,2页", "v1.2, a,b 和C,D; 3:2, 第1,2页"),
        ("marks", "比分3：2，增长3．5%；注：好", "比分3:2，增长3.5%；注：好"),
        ("nfc", "e\u0301te\u0301 \u1100\u1161\u11a8 \u212b", "été 각 Å"),
        ("nfkc", "ﬁne ㎏ Ａ ½", "fine kg A 1⁄2"),
        ("lower", "ΟΔΟΣ İZMİR Abc", "οδος i̇zmi̇r abc"),
        ("simplified", "乾隆吃餅乾", "乾隆吃饼干"),
        ("simplified", "漢語與臺灣：後來發現頭髮著色", "汉语与台湾：后来发现头发著色"),
    ],
)
def test_a_form_changes_what_it_says_and_leaves_the_rest(form, text, becomes):
    assert formed(text, form) == becomes


def test_changes_are_no_larger_than_what_is_wrong():
    def changed(form):
        return [(text[at : at + length], new) for at, length, new in FORMS[form].changes(text)]

    text = "Long plain words, then cafÃ© and e\u0301, “so”."
    assert changed("mojibake") == [("Ã©", "é")]
    assert changed("nfc") == [("e\u0301", "é")]
    assert changed("quotes") == [("“", '"'), ("”", '"')]


@given(texts | broken, st.sampled_from(sorted(FORMS)))
def test_changes_are_in_order_disjoint_and_suspected(text, form):
    changes = list(FORMS[form].changes(text))
    ends = [0, *(change.start + change.length for change in changes)]
    assert all(change.start >= end and change.length > 0 for change, end in zip(changes, ends, strict=False))
    assert ends[-1] <= len(text)
    if changes and (suspects := FORMS[form].suspects):
        assert re.search(f"[{suspects()}]", text)


@given(texts)
@example("\u0f71\u0f73\u0f72")
@example("a\u0344\u0301")
@example("İΣ aİ")
@example("ｶ\uff9e\u3099")
def test_unicode_forms_and_case_are_those_of_python(text):
    assert formed(text, "nfc") == unicodedata.normalize("NFC", text)
    assert formed(text, "nfkc") == unicodedata.normalize("NFKC", text)
    assert formed(text, "lower") == text.lower()


@given(broken | texts)
def test_mojibake_is_repaired_as_ftfy_repairs_each_line(text):
    assert formed(text, "mojibake") == "\n".join(ftfy.fix_encoding(line) for line in text.split("\n"))
    assert not is_bad(text) or _mojibake_suspects().search(text)


def test_many_suspects_in_a_row_are_looked_at_together(monkeypatch):
    calls = []
    monkeypatch.setattr("data.text.normalize.is_bad", lambda text: calls.append(len(text)) or is_bad(text))
    assert formed("Ã©" * 20_000, "mojibake") == "é" * 20_000
    assert len(calls) < 100
    assert sum(calls) < 100_000
    line = "Ã©" * 50
    for text in (f"{line}\nplain\n{line}", f"{line}x", "Ã " * 300 + "\n" + line, f"Ã é\n{line}\nÃ©\n" * 20):
        assert formed(text, "mojibake") == "\n".join(ftfy.fix_encoding(line) for line in text.split("\n"))


@given(broken | texts, st.sampled_from(["en", "zh"]), st.sets(st.sampled_from(["nfkc", "simplified", "lower"])))
def test_a_text_rests_in_all_forms(text, lang, chosen):
    rules = (*NORMAL_FORMS, *(rule.variant(enabled=rule.name in chosen) for rule in CHOSEN_FORMS), *BOILERPLATE_LINES)
    edits = find_edits(text, lang, "web", rules)
    left = apply_edits(text, edits)
    assert find_edits(left, lang, "web", rules) == []
    assert unicodedata.is_normalized("NFC", left)


def test_code_is_not_touched():
    text = "print(“x”)\r\n\x00ＡＢ e\u0301 cafÃ©\nRead more\nimport javascript"
    assert find_edits(text, "en", "code", (*NORMAL_FORMS, *CHOSEN_FORMS, *BOILERPLATE_LINES)) == []


def test_by_choice_means_off_until_chosen():
    assert find_edits("漢 Ａb", "zh", "web", CHOSEN_FORMS) == []
    on = tuple(rule.variant(enabled=True) for rule in CHOSEN_FORMS)
    assert apply_edits("漢 Ａb", find_edits("漢 Ａb", "zh", "web", on)) == "汉 ab"


def test_simplified_characters_stay_and_none_leads_to_another_traditional_one():
    forms = simplified_forms()
    assert len(forms) > 1_800
    assert not set(forms) & set(forms.values())
    for form in map(chr, forms.values()):
        form.encode("gb2312")


def test_real_traditional_text_becomes_simplified(shared_data):
    pages = [
        path.read_bytes().decode("big5", "ignore") for path in sorted((shared_data / "charsets/files/Big5").iterdir())
    ]
    text = "".join(re.findall("[\u4e00-\u9fff]", "".join(pages)))
    left = [char for char in formed(text, "simplified") if not _in_gb2312(char)]
    assert len(text) > 10_000
    assert len(left) / len(text) < 0.01


def _in_gb2312(char):
    try:
        return bool(char.encode("gb2312"))
    except UnicodeEncodeError:
        return False


def test_real_text_is_changed_only_where_it_should_be(shared_data):
    rules = (EditRule(name="mojibake", scope="form", pattern="mojibake"),)
    found = []
    for path in sorted((shared_data / "text").glob("*/encyclopedia-*.jsonl")):
        for line in path.read_text().splitlines():
            text = json.loads(line)["text"]
            found += [text[e.start : e.start + e.length] for e in find_edits(text, "en", "web", rules)]
    assert found == []
