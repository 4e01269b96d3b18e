"""Bytes to text: order of evidence, labels, wrong declarations, and the labelled files."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.text.decode import Decoded, codec_name, decode

NO_CODEC = {"EUC-TW"}
"""Labelled encodings that no codec here knows: the text is lost, and counted."""
CHINESE = "天地玄黄，宇宙洪荒。日月盈昃，辰宿列张。"
RUSSIAN = "Все счастливые семьи похожи друг на друга."
_LANGUAGE = re.compile(
    r"-(hebrew|bulgarian|russian|hungarian|slovak|czech|greek|turkish|arabic|croatian|polish|romanian)$"
)
_DECLARATION = re.compile(rb"((?:charset|encoding)\s*=\s*[\"']?)[\w:.-]+", re.IGNORECASE)


def _labelled(folder: Path) -> list[tuple[str, str, bytes]]:
    rows = [json.loads(line) for line in (folder / "charsets" / "index.jsonl").open(encoding="utf-8")]
    return [(row["file"], row["label"], (folder / "charsets" / row["file"]).read_bytes()) for row in rows]


def _as_labelled(body: bytes, label: str) -> str:
    """The text by the labelled encoding, in the superset of it that the WHATWG gives the label to."""
    if label in ("UTF-32", "utf-8-sig"):
        return body.decode(label)
    found = codec_name(_LANGUAGE.sub("", label))
    assert found, label
    return body.decode(found[1]).removeprefix("\ufeff")


def test_every_labelled_file_decodes_to_its_labelled_text(shared_data):
    wrong = []
    for file, label, body in _labelled(shared_data):
        found = decode(body)
        if label in NO_CODEC:
            assert found.charset == label.lower()
            assert found.replaced > 100
        elif found.text != _as_labelled(body, label) or found.replaced:
            wrong.append((file, label, found.charset, found.replaced))
    assert wrong == []


def test_detection_alone_finds_the_labelled_text(shared_data):
    wrong = []
    for file, label, body in _labelled(shared_data):
        body = body if label.startswith("UTF-") else _DECLARATION.sub(rb"\1", body)
        if label not in NO_CODEC and decode(body).text != _as_labelled(body, label):
            wrong.append(file)
    assert wrong == []


def test_text_as_python_has_it_where_the_standard_agrees(shared_data):
    """An oracle that is not our own label table: Python's codec of the label's own name."""
    agree = {"EUC-KR", "KOI8-R", "IBM855", "IBM866", "MacCyrillic", "Johab", "iso-2022-kr", "UTF-16LE", "UTF-32"}
    files = [row for row in _labelled(shared_data) if row[1] in agree]
    assert len(files) > 40
    for file, label, body in files:
        assert decode(body).text == body.decode(label).removeprefix("\ufeff"), file


@pytest.mark.parametrize(
    ("body", "http", "text", "charset"),
    [
        ("\ufeffé".encode(), "windows-1251", "é", "utf-8"),  # the mark comes before HTTP
        ("\ufeffé".encode("utf-16-le"), "utf-8", "é", "utf-16le"),
        ("\ufeffé".encode("utf-32-le"), "utf-8", "é", "utf-32le"),  # and is not taken for UTF-16
        (
            f'<meta charset="koi8-r">{RUSSIAN}'.encode("cp1251"),
            "windows-1251",
            RUSSIAN,
            "windows-1251",
        ),  # HTTP over meta
        (f'<meta charset="big5">{CHINESE}'.encode("gb18030"), "no-such-label", "", "big5"),  # unknown HTTP label: meta
        (
            f"<meta http-equiv=content-type content='text/html; charset=gb2312'>{CHINESE}€".encode("gb18030"),
            "",
            "€",
            "gb18030",
        ),
        (f'<?xml version="1.0" encoding="koi8-r"?><p>{RUSSIAN}'.encode("koi8-r"), "", RUSSIAN, "koi8-r"),
        (
            f'<!-- <meta charset="big5"> --><meta charset="cp1251">{RUSSIAN}'.encode("cp1251"),
            "",
            RUSSIAN,
            "windows-1251",
        ),
        (f'<meta charset="utf-16">{CHINESE}'.encode(), "", CHINESE, "utf-8"),  # read as ASCII, so it is not UTF-16
        ("<p>plain".encode("utf-16-le"), "", "<p>plain", "utf-16le"),  # no mark: by its nulls
        ("naïve".encode("latin-1"), "iso-8859-1", "naïve", "windows-1252"),
        ("“quoted” — text".encode("cp1252"), "iso-8859-1", "“quoted” — text", "windows-1252"),
        ("①株".encode("cp932"), "shift_jis", "①株", "shift_jis"),  # NEC's row, in Windows' superset only
        (b"\xad\xa1 \xb3\xf4", "euc-jp", "① 株", "euc-jp"),  # the same in EUC-JP, which Python's codec lacks
        (b"\x80 100 " + CHINESE.encode("gb18030"), "gbk", "€ 100 " + CHINESE, "gb18030"),
        ("똠방각하".encode("cp949"), "euc-kr", "똠방각하", "euc-kr"),
        (f"~{{{CHINESE[:2].encode('hz').decode()[2:]}".encode(), "hz-gb-2312", CHINESE[:2], "hz-gb-2312"),
        (b"", "", "", "utf-8"),
    ],
)
def test_order_of_evidence(body, http, text, charset):
    found = decode(body, http_charset=http)
    assert text in found.text
    assert found.charset == charset


def test_valid_utf8_is_not_destroyed_by_a_wrong_declaration():
    for label in ("iso-8859-1", "windows-1251", "gbk", "big5", "shift_jis", "utf-16"):
        assert decode(CHINESE.encode(), label) == Decoded(CHINESE, "utf-8", 0)


def test_a_word_of_gbk_that_is_valid_utf8_stays_gbk():
    word = bytes([0xC4, 0xA3, 0xD0, 0xA1])  # 模小: two characters of GBK, or two letters of UTF-8
    word.decode("utf-8")
    assert decode(word, "gb2312").text == "模小"


def test_a_declaration_that_does_not_fit_gives_way_to_detection():
    body = f"<html><meta charset=utf-8><p>{CHINESE * 20}".encode("gb18030")
    found = decode(body)
    assert found.charset == "gb18030"
    assert CHINESE in found.text
    assert found.replaced == 0


def test_a_few_bad_bytes_are_replaced_and_counted():
    cut = (CHINESE * 20).encode()[:-1]
    assert decode(cut).replaced == 1
    assert decode(cut, "utf-8").charset == "utf-8"
    stray = (CHINESE * 20).encode("gb18030") + b"\xff" + b"<p>"
    assert decode(stray, "gbk").replaced == 1
    assert decode(stray, "gbk").text.count(CHINESE) == 20


ENGLISH = b"<p>It rains in the north, and the sun shines in the south of the country, as it did on Monday.</p>"


@pytest.mark.parametrize("letter", "’“”–—…•€™→😀你的。、안한あ")
def test_declared_utf8_with_characters_cut_short_stays_utf8(letter):
    whole = letter.encode()
    for cut in range(2, len(whole)):
        for times in (1, 2, 5):
            for tail in (b" here", b"here", b"</p>"):
                body = ENGLISH + (b" truncated " + whole[:cut] + tail) * times
                wanted = Decoded(body.replace(whole[:cut], "\ufffd".encode()).decode(), "utf-8", times)
                assert decode(body, "utf-8") == wanted, (cut, times, tail)
                assert decode(b"<meta charset=utf-8>" + body).charset == "utf-8"


def test_declared_utf8_with_some_whole_characters_and_one_cut_stays_utf8():
    for body in ("é \u4f60".encode()[:-1], "你好你".encode()[:-1] + b"!", "naïve “quote".encode() + b"\xe2\x80 "):
        found = decode(ENGLISH + body + ENGLISH, "utf-8")
        assert (found.charset, found.replaced) == ("utf-8", 1)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("a café", "cp1252"),
        ("“quoted”, it’s said", "cp1252"),
        ("le café « d’été » à côté", "cp1252"),
        ("NÃO", "cp1252"),
        ("die Straße über größere Äcker", "cp1252"),
    ],
)
def test_western_text_declared_utf8_is_still_read_as_western(text, codec):
    found = decode(ENGLISH + text.encode(codec), "utf-8")
    assert found.text.endswith(text)
    assert found.replaced == 0


def test_surrogate_pairs_written_in_utf8_are_their_characters():
    cesu = "\ud83d\ude00\ud800\udc00\udbff\udfff".encode("utf-8", "surrogatepass")
    assert cesu[:6] == b"\xed\xa0\xbd\xed\xb8\x80"
    for charset in ("utf-8", ""):
        found = decode(ENGLISH + cesu + "é".encode(), charset)
        assert found == Decoded(ENGLISH.decode() + "😀𐀀\U0010ffffé", "cesu-8", 0)
        assert not found.is_written_by(ENGLISH + cesu + "é".encode())
    assert decode("é".encode() * 40 + cesu[:6] + cesu[:3], "utf-8").text == "é" * 40 + "😀\ufffd\ufffd\ufffd"
    assert decode("é".encode() * 40 + cesu[3:6] + cesu[:3], "utf-8").replaced == 6


def test_a_replacement_character_of_the_page_itself_is_not_counted():
    body = "\ufffd".encode() * 3 + CHINESE.encode() * 20
    assert decode(body).replaced == 0
    assert decode(body + b"\xff", "utf-8").replaced == 1


def test_plain_text_declares_nothing():
    body = f'about <meta charset="big5">: {RUSSIAN * 5}'.encode("cp1251")
    assert decode(body, media_type="text/plain").charset == "windows-1251"
    assert decode(body, media_type="text/html").charset == "big5"


def test_labels():
    assert codec_name(" GB2312 ") == ("gb18030", "gb18030")
    assert codec_name("Latin1") == ("windows-1252", "cp1252")
    assert codec_name("TIS-620") == ("windows-874", "cp874")
    assert codec_name("IBM855") == ("cp855", "cp855")
    for nothing in ("", "rot13", "unicode_escape", "utf-7", "idna", "hex", "a\0b", "no such"):
        assert codec_name(nothing) is None, nothing


@given(
    st.binary(max_size=300), st.sampled_from(["", "utf-8", "gbk", "euc-jp", "iso-2022-kr", "hz", "utf-16", "big5", "x"])
)
def test_no_bytes_fail_and_the_text_can_be_written(body, charset):
    found = decode(body, charset, "text/html")
    found.text.encode("utf-8")
    assert 0 <= found.replaced <= len(body) + 1


@given(st.text(alphabet=st.characters(min_codepoint=0x20, max_codepoint=0x24F)), st.sampled_from(["cp1250", "gb18030"]))
def test_what_an_encoding_can_write_is_read_back(text, codec):
    text = text.encode(codec, "ignore").decode(codec)
    body = text.encode(codec)
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        assert decode(body, codec).text == text
