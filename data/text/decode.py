"""Bytes to text: which character encoding a page is in, and its text, whatever the bytes.

    >>> decode("naïve".encode("latin-1"), http_charset="iso-8859-1")
    Decoded(text='naïve', charset='windows-1252', replaced=0)

Evidence is heard in the order of the HTML standard (https://html.spec.whatwg.org/#determining-the-character-encoding):
byte order mark, HTTP charset, meta or XML declaration, detection (Resiliparse's port of uchardet, then cChardet).
Labels mean what https://encoding.spec.whatwg.org/ says (`gb2312` is GB18030, `iso-8859-1` is windows-1252), then what
Python's codecs say. Two rules overrule a declaration, because pages copied between servers keep the old server's:

- a body that is valid UTF-8 throughout and holds multi-byte characters is UTF-8 (against a double-byte declaration only
  with `MULTIBYTE_EVIDENCE`, since a word or two of GBK can be valid UTF-8);
- a declared encoding that more than `PLAINLY_WRONG` of the non-ASCII bytes do not fit is given up for a detected one,
  if that one leaves at most a quarter of the replacements; declared UTF-8 is not given up for a Latin encoding,
  which any bytes fit, where those that are not UTF-8 are sequences of it cut short.

No input fails: what does not fit becomes U+FFFD and is counted.
"""

import codecs
import re
from functools import cache
from typing import NamedTuple

MULTIBYTE_EVIDENCE = 6
"""Continuation bytes (six letters or three CJK characters) that double-byte text does not make valid by chance."""
PLAINLY_WRONG = 0.1
BROKEN_UTF8 = 0.5
"""Replacements for each byte above ASCII: cut UTF-8 has one for two or more bytes, Western text one for almost each."""
PRESCAN_BYTES = 4096
"""The standard reads 1,024; pages with long comments or scripts before their meta element are common."""
DETECT_BYTES = 65_536


class Decoded(NamedTuple):
    """A page's text, the WHATWG (else Python) name of its encoding, and how many characters were replaced by U+FFFD.

    UTF-8 that writes characters as surrogate pairs is `cesu-8`.
    """

    text: str
    charset: str
    replaced: int

    def is_written_by(self, body: bytes) -> bool:
        """Is `body`, which this was decoded from, the text in UTF-8, byte by byte?"""
        return self.charset == "utf-8" and not self.replaced and not body.startswith(codecs.BOM_UTF8)


# WHATWG name: the Python codec that is nearest to it, then its labels (the name itself is one)
_WHATWG = """
utf-8 utf_8 unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf8 x-unicode20utf8
ibm866 cp866 866 cp866 csibm866
iso-8859-2 iso8859_2 csisolatin2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
iso-8859-3 iso8859_3 csisolatin3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
iso-8859-4 iso8859_4 csisolatin4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
iso-8859-5 iso8859_5 csisolatincyrillic cyrillic iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
iso-8859-6 iso8859_6 arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6-e iso-8859-6-i \
iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
iso-8859-7 iso8859_7 csisolatingreek ecma-118 elot_928 greek greek8 iso-ir-126 iso8859-7 iso88597 iso_8859-7 \
iso_8859-7:1987 sun_eu_greek
iso-8859-8 iso8859_8 csiso88598e csisolatinhebrew hebrew iso-8859-8-e iso-ir-138 iso8859-8 iso88598 iso_8859-8 \
iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical
iso-8859-10 iso8859_10 csisolatin6 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso-8859-13 iso8859_13 iso8859-13 iso885913
iso-8859-14 iso8859_14 iso8859-14 iso885914
iso-8859-15 iso8859_15 csisolatin9 iso8859-15 iso885915 iso_8859-15 l9
iso-8859-16 iso8859_16
koi8-r koi8_r cskoi8r koi koi8 koi8_r
koi8-u koi8_u koi8-ru
macintosh mac_roman csmacintosh mac x-mac-roman
windows-874 cp874 dos-874 iso-8859-11 iso8859-11 iso885911 tis-620
windows-1250 cp1250 cp1250 x-cp1250
windows-1251 cp1251 cp1251 x-cp1251
windows-1252 cp1252 ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591 \
iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii x-cp1252 x-user-defined
windows-1253 cp1253 cp1253 x-cp1253
windows-1254 cp1254 cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5 \
x-cp1254
windows-1255 cp1255 cp1255 x-cp1255
windows-1256 cp1256 cp1256 x-cp1256
windows-1257 cp1257 cp1257 x-cp1257
windows-1258 cp1258 cp1258 x-cp1258
x-mac-cyrillic mac_cyrillic x-mac-ukrainian
gb18030 gb18030 gbk chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 iso-ir-58 x-gbk
big5 big5hkscs big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp euc_jp cseucpkdfmtjapanese x-euc-jp
iso-2022-jp iso2022_jp_ext csiso2022jp
shift_jis cp932 csshiftjis ms932 ms_kanji shift-jis sjis windows-31j x-sjis
euc-kr cp949 cseuckr csksc56011987 iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 windows-949 uhc
utf-16be utf_16_be unicodefffe
utf-16le utf_16_le csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16
hz-gb-2312 hz
iso-2022-kr iso2022_kr csiso2022kr
"""
_EXTRA = re.compile(
    r"(cp\d+|mac_\w+|iso8859_\d+|iso2022_\w+|johab|hz|utf_32\w*|koi8_\w|ptcp154|kz1048|hp_roman8|euc_\w+)"
)
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32le"),
    (codecs.BOM_UTF32_BE, "utf-32be"),
    (codecs.BOM_UTF16_LE, "utf-16le"),
    (codecs.BOM_UTF16_BE, "utf-16be"),
)
_DOUBLE_BYTE = {"gb18030", "big5", "euc-jp", "shift_jis", "euc-kr", "johab"}
_CENTRAL_EUROPEAN = {"windows-1250", "windows-1254", "windows-1257", "iso-8859-2", "iso-8859-13", "iso-8859-15"}
_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_META = re.compile(rb"<meta[\s/]([^>]*)", re.IGNORECASE)
_META_CHARSET = re.compile(rb"charset\s*=\s*[\"']?\s*([\w:.+-]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml[^>]*?\sencoding\s*=\s*[\"']([\w:.+-]+)[\"']")
_PAIR = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")
_HIGH = re.compile(rb"[\x80-\xff]")
_LETTER = re.compile(rb"[A-Za-z]")
_UNDECLARABLE = ("text/plain", "application/json", "text/markdown", "text/csv")


def decode(body: bytes, http_charset: str = "", media_type: str = "") -> Decoded:
    """The text of `body`. `http_charset` and `media_type` are what its Content-Type says, empty where unknown."""
    for mark, charset in _BOMS:
        if body.startswith(mark):
            return _decode_as(body[len(mark) :], charset)
    text = _utf8(body)
    if text is not None and not _wide(body) and not _stateful(body):
        if text.isascii():
            return Decoded(text, "utf-8", 0)
        declared = _declared(body, http_charset, media_type)
        if declared not in _DOUBLE_BYTE or len(body) - len(text) >= MULTIBYTE_EVIDENCE:
            return Decoded(text, "utf-8", 0)
        said = _decode_as(body, declared)
        return said if not said.replaced else Decoded(text, "utf-8", 0)
    return _decode_legacy(body, _declared(body, http_charset, media_type))


def codec_name(label: str) -> tuple[str, str] | None:
    """The WHATWG (else Python) name of an encoding and the Python codec for it; None where the label is unknown."""
    label = label.strip().lower()
    known = _labels().get(label)
    if known:
        return known
    try:
        info = codecs.lookup(label)
    except (LookupError, ValueError):  # ValueError: a label with a null character
        return None
    python = info.name.replace("-", "_")
    if not _EXTRA.fullmatch(python):
        return None
    return _labels().get(python) or (python.replace("_", "-"), python)


@cache
def _labels() -> dict[str, tuple[str, str]]:
    table = {}
    for line in _WHATWG.replace("\\\n", "").strip().splitlines():
        name, python, *labels = line.split()
        for label in (name, *labels):
            table[label] = (name, python)
    table |= {python: (name, python) for name, python in table.values() if python not in table}
    return table | {"utf-32le": ("utf-32le", "utf_32_le"), "utf-32be": ("utf-32be", "utf_32_be")}


def _utf8(body: bytes) -> str | None:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _declared(body: bytes, http_charset: str, media_type: str) -> str:
    """The name of the encoding declared by HTTP, else by the page itself; empty where no known one is."""
    found = codec_name(http_charset) if http_charset else None
    if found is None and media_type not in _UNDECLARABLE:
        found = _prescan(body[:PRESCAN_BYTES])
    return found[0] if found else ""


def _prescan(head: bytes) -> tuple[str, str] | None:
    """What an XML declaration or a meta element says. ASCII was readable, so a declared UTF-16 means UTF-8 (WHATWG)."""
    xml = _XML.match(head)
    found = codec_name(xml[1].decode("ascii")) if xml else None
    for meta in _META.finditer(_COMMENT.sub(b"", head)) if found is None else ():
        charset = _META_CHARSET.search(meta[1])
        found = codec_name(charset[1].decode("latin-1")) if charset else None
        if found:
            break
    return _labels()["utf-8"] if found and found[0].startswith(("utf-16", "utf-32")) and b"\0" not in head else found


def _decode_as(body: bytes, charset: str) -> Decoded:
    found = codec_name(charset)
    if found is None:  # detected, and no codec: every byte that is not ASCII is lost, and counted
        text = body.decode("ascii", "replace")
        return Decoded(text, charset, text.count("\ufffd"))
    name, python = found
    try:
        return Decoded(body.decode(python), name, 0)
    except UnicodeDecodeError:
        text = body.decode(python, _error_handler())
    if python != "utf_8":
        return Decoded(text, name, text.count("\ufffd"))
    name = "cesu-8" if _PAIR.search(body) else name
    return Decoded(text, name, max(0, text.count("\ufffd") - body.count(b"\xef\xbf\xbd")))


@cache
def _error_handler() -> str:
    codecs.register_error("millrace-whatwg", _replace)
    return "millrace-whatwg"


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Replace what does not fit, except where the WHATWG tables hold a character that Python's codec lacks."""
    assert isinstance(error, UnicodeDecodeError)
    body, at = error.object, error.start
    byte = body[at]
    if error.encoding in ("cp1252", "cp1253", "cp1254", "cp1255", "cp1257", "cp1258", "cp874") and 0x80 <= byte < 0xA0:
        return chr(byte), at + 1
    if error.encoding == "utf-8" and byte == 0xED and (pair := _PAIR.match(body, at)):
        return pair[0].decode("utf-8", "surrogatepass").encode("utf-16", "surrogatepass").decode("utf-16"), pair.end()
    if error.encoding == "gb18030" and byte == 0x80:
        return "€", at + 1
    if error.encoding == "euc_jp" and byte >= 0xA1 and at + 1 < len(body) and body[at + 1] >= 0xA1:
        return _nec_or_ibm(byte, body[at + 1]), at + 2
    return "\ufffd", max(error.end, at + 1)


def _nec_or_ibm(lead: int, trail: int) -> str:
    """NEC and IBM extensions of EUC-JP, by way of the same cell in code page 932."""
    row, cell = lead - 0xA1, trail - 0xA1
    first = (0x81 if row < 62 else 0xC1) + row // 2
    second = cell + (0x40 if cell < 63 else 0x41) if row % 2 == 0 else cell + 0x9F
    text = bytes((first, second)).decode("cp932", "replace")
    return text if len(text) == 1 else "\ufffd"


def _decode_legacy(body: bytes, declared: str) -> Decoded:
    """Text that is not plainly UTF-8: as declared unless that is plainly wrong, else as detected."""
    said = _decode_as(body, declared) if declared else None
    if said and (not said.replaced or said.replaced <= PLAINLY_WRONG * _foreign_bytes(body)):
        return said
    if declared in ("", "utf-8"):
        utf8 = said or _decode_as(body, "utf-8")
        if utf8.replaced * 4 <= len(body) - len(utf8.text) and not _wide(body) and not _stateful(body):
            return utf8  # bad bytes in UTF-8, or a character cut at the end
    found = _decode_as(body, detect(body))
    if declared == "utf-8" and said and found.charset in {"windows-1252", *_CENTRAL_EUROPEAN}:  # these fit any bytes
        return said if said.replaced <= BROKEN_UTF8 * _foreign_bytes(body) else found
    return said if said and found.replaced * 4 > said.replaced else found


def _stateful(body: bytes) -> bool:
    """Escape sequences of ISO 2022 or HZ, which are ASCII to the eye of every other check."""
    # one byte is found twenty times as fast as two, and most pages hold neither
    return (b"\x1b" in body and b"\x1b$" in body) or (b"~" in body and b"~{" in body)


def _foreign_bytes(body: bytes) -> int:
    return len(body) - len(body.translate(None, bytes(range(128, 256)))) or len(body)


def detect(body: bytes) -> str:
    """The most likely encoding of undeclared bytes, by the first 64 KiB; windows-1252 where nothing else is likely.

    Of chardet's 215 test files that can be decoded here, their declarations removed, Resiliparse alone gets 206 right,
    cChardet alone 206, the two in this order with the checks below all.
    """
    import cchardet
    from resiliparse.parse.encoding import detect_encoding

    head = body[:DETECT_BYTES]
    if wide := _wide(head):
        return wide
    name = _web_name(detect_encoding(head, html5_compatible=False))
    if name in ("", "windows-1253"):  # the first knows no Johab and takes Greek ISO for Windows
        name = _web_name(cchardet.detect(head)["encoding"]) or name
    if not name or (name not in _CENTRAL_EUROPEAN and _mostly_ascii(head) and not _stateful(head)):
        return "utf-8" if name == "utf-8" else "windows-1252"
    return name


def _web_name(label: str | None) -> str:
    if not label:
        return ""
    found = codec_name(label)
    name = found[0] if found else label.lower()
    return {"iso-8859-16": "windows-1250"}.get(name, name)  # nobody publishes in 8859-16; its letters are Romanian


def _wide(head: bytes) -> str:
    """UTF-16 without a mark: ASCII characters put a null into every other byte."""
    head = head[:PRESCAN_BYTES]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if max(even, odd) * 10 < len(head) or not head:
        return ""
    return "utf-16le" if odd > 3 * even else "utf-16be" if even > 3 * odd else ""


def _mostly_ascii(head: bytes) -> bool:
    """Scattered bytes above ASCII, nowhere a word of them: a Western text, whatever the detectors guess of it."""
    high = len(_HIGH.findall(head))
    return high * 8 < len(_LETTER.findall(head)) and not re.search(rb"[\xa0-\xff]{3}", head)
