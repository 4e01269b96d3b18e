"""Elements, class names, words and entities as tables of numbers, which compiled code looks up by a hash of the name.

>>> bool(tables().elements[0, P] & CLOSES_P)
True
"""

from functools import cache
from html.entities import html5
from typing import NamedTuple

import numpy as np

ABOVE = (
    *("nav", "header", "footer", "aside", "article", "main", "form", "figure", "table", "li", "blockquote", "details"),
    *("section", "p", "pre", "td", "dl", "h1", "h2", "h3", "strong", "figcaption"),
)
"""Elements that are counted above a block."""
OWN = (
    *("p", "h1", "h2", "h3", "h4", "li", "td", "div", "pre", "blockquote", "figcaption", "dt", "dd", "span", "a"),
    *("section", "article", "strong", "em", "time", "label", "b", "body"),
)
"""Elements that a block's first words may lie in."""
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_VOID = (
    *("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"),
    *("basefont", "bgsound", "frame", "keygen"),
)
_RAW = ("script", "style", "iframe", "noembed", "noframes", "xmp", "textarea", "title")
"""Elements that hold no tags: their end is the first closing tag of their name."""
_DROPPED = (
    *("noscript", "template", "svg", "object", "select", "button"),
    *("canvas", "audio", "video", "map", "datalist", "annotation", "annotation-xml", "mphantom", "rp", "mjx-math"),
)
"""Elements with tags in them whose text is not the page's text."""
_FORMATTING = ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u", "form")
"""Closed by their end tag wherever it stands, with the blocks in them left open."""
_INLINE = (
    *("a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "data", "del", "dfn", "em", "font", "i", "ins"),
    *("kbd", "label", "mark", "nobr", "q", "rb", "rp", "rt", "ruby", "s", "samp", "small", "span", "strong", "sub"),
    *("strike", "sup", "time", "tt", "u", "var", "wbr", "img", "input", "script", "style", "noscript", "svg"),
    *("template", "math", "mi", "mo", "mn", "mrow", "msup", "msub", "mfrac", "msqrt", "mtext", "semantics"),
    *("annotation", "mspace", "mover", "munder", "mtable", "mtr", "mtd", "msubsup", "munderover", "mstyle", "mroot"),
    *(
        "annotation-xml",
        "mphantom",
        "mpadded",
        "menclose",
        "merror",
        "ms",
        "mmultiscripts",
        "mjx-math",
        "mjx-container",
    ),
)
_PARTED = ("mfrac", "mroot", "msup", "msub", "msubsup", "mover", "munder", "munderover")
"""Elements of formulas whose parts mean something by their order."""
_TOKENS = ("mi", "mn", "mo", "ms", "mtext", "msqrt", "mroot")
"""Parts of formulas that need no brackets, or bring their own."""
_CLOSES_P = (
    *("address", "article", "aside", "blockquote", "center", "details", "dialog", "dir", "div", "dl", "fieldset"),
    *("figcaption", "figure", "footer", "header", "hgroup", "main", "menu", "nav", "ol", "p", "search", "section"),
    *("summary", "ul", *_HEADINGS, "pre", "listing", "form", "table", "hr", "li", "dd", "dt", "xmp", "plaintext"),
)
_SCOPE = ("table", "td", "th", "caption", "template", "marquee", "object", "applet")
_TABLE_PARTS = ("tr", "td", "th", "tbody", "thead", "tfoot", "caption", "colgroup", "col")
_ROOTS = ("html", "head", "body")
_OTHERS = ("hr", "frameset", "link", "meta", "param", "legend", "button", "rp", "rt")
_FREE = ("address", "div", "p")
"""Blocks that a list item's implied end passes through."""
ELEMENTS = (
    "",
    *dict.fromkeys(
        (
            *_HEADINGS,
            *ABOVE,
            *OWN,
            *_VOID,
            *_RAW,
            *_DROPPED,
            *_FORMATTING,
            *_INLINE,
            *_CLOSES_P,
            *_SCOPE,
            *_TABLE_PARTS,
            *_ROOTS,
            *_OTHERS,
        )
    ),
)
"""By number; 0 is any other element."""

(
    P,
    A,
    LI,
    DT,
    DD,
    TR,
    TD,
    TH,
    TABLE,
    FORM,
    BUTTON,
    PRE,
    UL,
    OL,
    DL,
    BLOCKQUOTE,
    BR,
    BODY,
    BASE,
    TITLE,
    SCRIPT,
    MATH,
) = (
    ELEMENTS.index(name)
    for name in (
        *("p", "a", "li", "dt", "dd", "tr", "td", "th", "table", "form", "button", "pre", "ul", "ol", "dl"),
        *("blockquote", "br", "body", "base", "title", "script", "math"),
    )
)
H1, H6 = ELEMENTS.index("h1"), ELEMENTS.index("h6")
TBODY, THEAD, TFOOT, RT, RP = (ELEMENTS.index(name) for name in ("tbody", "thead", "tfoot", "rt", "rp"))

IMG, SUP, MTD, MFRAC, MSQRT, MROOT, MSUP, MSUBSUP, MOVER, MUNDER, MUNDEROVER, MJX = (
    ELEMENTS.index(name)
    for name in (
        *("img", "sup", "mtd", "mfrac", "msqrt", "mroot", "msup", "msubsup", "mover", "munder", "munderover"),
        "mjx-container",
    )
)

VOID, RAW, DROPPED, FORMATTING, INLINE, CLOSES_P, SCOPE, TABLE_PART, ROOT, HEADING, SPECIAL, UNHINTED, LIST = (
    1 << bit for bit in range(13)
)
NOTED, PARTED, TOKEN = (1 << bit for bit in range(13, 16))
_FLAGS = {
    VOID: _VOID,
    RAW: _RAW,
    DROPPED: _DROPPED,
    FORMATTING: _FORMATTING,
    INLINE: _INLINE,
    CLOSES_P: _CLOSES_P,
    SCOPE: _SCOPE,
    TABLE_PART: _TABLE_PARTS,
    ROOT: _ROOTS,
    HEADING: _HEADINGS,
    SPECIAL: [name for name in ELEMENTS[1:] if name not in _INLINE and name not in _FREE and name not in _DROPPED],
    UNHINTED: ("a", "img", "b", "i", "em", "strong", *_ROOTS),
    LIST: ("ul", "ol", "dl", "table"),
    NOTED: ("math", "img", "sup", "rt"),
    PARTED: _PARTED,
    TOKEN: _TOKENS,
}

(ATTRIBUTE, CLASS, WORD, FORMULA) = (1, 2, 3, 4)
"""Seeds of hashes."""
(HINT, STYLE, HIDDEN, ARIA_HIDDEN, HREF, TYPE, AMOUNT, ROWSPAN, ALT, CLASSES) = range(1, 11)
ATTRIBUTES = {
    **dict.fromkeys(("id", "role", "itemprop", "data-component", "name"), HINT),
    "class": CLASSES,
    "alt": ALT,
    "alttext": ALT,
    "style": STYLE,
    "hidden": HIDDEN,
    "aria-hidden": ARIA_HIDDEN,
    "href": HREF,
    "type": TYPE,
    "colspan": AMOUNT,
    "start": AMOUNT,
    "rowspan": ROWSPAN,
}

CLASS_HINTS = {
    "comment": "comment comments commentlist disqus reply replies respond kommentare kommentar reader "
    "discussion commentbox",
    "menu": "nav menu navigation navbar topbar breadcrumb breadcrumbs toc pagination pager paging skip tabs submenu",
    "share": "share sharing social facebook twitter addthis sharedaddy whatsapp pinterest like follow socials",
    "related": "related recommend recommended recommendation recommendations more also read popular "
    "trending latest similar teaser teasers promo promoted outbrain taboola next prev "
    "previous mehr most hot list cards card carousel grid feed",
    "ad": "ad ads adv advert advertisement banner sponsor sponsored anzeige werbung dfp adsense gpt",
    "frame": "footer foot header head masthead bottom top colophon copyright copy legal impressum",
    "side": "sidebar side aside widget widgets rail secondary right left complementary tertiary",
    "caption": "caption figure image img photo picture gallery credit media thumb video player slide slider slideshow",
    "meta": "meta byline author date time tag tags category categories info dateline published source "
    "postmetadata timestamp bio autor datum",
    "main": "article content entry story post body text main hentry inhalt artikel beitrag paragraph richtext prose",
    "body": "articlebody storybody postbody postcontent entrycontent maincontent contentbody "
    "articletext fulltext storytext postingbody bodytext textbody articlecontent blogpost "
    "posttext newstext entrybody",
    "popup": "cookie consent modal popup overlay newsletter subscribe subscription signup login "
    "register form paywall gdpr alert notice email search abo",
    "title": "title headline heading subtitle lead intro summary standfirst deck dek excerpt",
}
"""Words of class names, ids and roles, by what they say of an element."""
UNSEEN = 1 << len(CLASS_HINTS)
"""The bit of an element that is hidden."""
HINT_COUNT, ABOVE_COUNT, ELEMENT_COUNT = len(CLASS_HINTS) + 1, len(ABOVE), len(ELEMENTS)
COPY = 1 << HINT_COUNT
"""The bit of an element that draws a formula which stands beside it as TeX or MathML."""
COPY_WORDS = ("katex", "mathjax", "mjx")
"""Words of class names that such an element may have."""
IS_COPY, IS_TEX = 1, 2
FORMULA_CLASSES = {
    **dict.fromkeys(("katex-html", "mathjax", "mathjax_preview", "mathjax_display", "mathjax_svg"), IS_COPY),
    **dict.fromkeys(("mathjax_svg_display", "mathjax_chtml", "mjx_assistive_mathml"), IS_COPY),
    **dict.fromkeys(("tex", "latex", "math"), IS_TEX),
    **dict.fromkeys(("mwe-math-fallback-image-inline", "mwe-math-fallback-image-display"), IS_TEX),
}
"""Whole class names, of such an element and of an image whose alternative text is TeX."""
TEXT_HINTS = {
    "stop": "the and of to in is that was for with on as it he she they but der die und das ist den "
    "von zu mit nicht ein eine auf la le et les des que en el los un una est pas pour nie na "
    "się jest di che il per non o e de do da em não com",
    "comment": "comment comments reply replies comentarios comentários commentaires kommentare "
    "kommentar antworten says responses",
    "related": "related recommended popular latest trending more mehr weitere artikel stories articles news posts read",
    "share": "share tweet facebook twitter whatsapp email e-mail print instagram youtube linkedin teilen pinterest",
    "subscribe": "subscribe newsletter sign signup login register account inbox abonnieren anmelden cookies cookie",
    "caption": "photo photos image images credit courtesy getty reuters ap afp foto bild file picture above",
    "meta": "published updated posted by author date edt est gmt pm am january february march april "
    "may june july august september october november december um uhr autor von tags tagged "
    "filed categories",
    "legal": "copyright rights reserved terms privacy policy contact about impressum datenschutz agb "
    "disclaimer advertise ©",
    "ad": "advertisement sponsored anzeige werbung promoted ad",
}
"""Words of texts; `stop` are the commonest of eight languages."""

CJK, SPACE, END, COMMA, DIGIT, UPPER, SIGN, QUOTE, LOWER, SKIPPED = (1 << bit for bit in range(10))
"""Kinds of characters; those that are SKIPPED are no part of a word when words are looked up."""
KINDS = 0x10000
"""What lies beyond is of no kind."""


class Tables(NamedTuple):
    """Hash tables (keys with values), and vectors by number of element and by code point."""

    names: np.ndarray
    name_values: np.ndarray
    """Elements, attributes, class names and words of texts, each kind under its own seed."""
    entities: np.ndarray
    entity_values: np.ndarray
    """First code point, and the second, if any, shifted by 21 bits."""
    elements: np.ndarray
    """For each number of an element: its flags, its column of ABOVE and of OWN, or -1."""
    kinds: np.ndarray
    """For each code point below KINDS, its kinds as bits."""


@cache
def tables() -> Tables:
    """Made once a process, in 30 ms."""
    elements = np.zeros((3, len(ELEMENTS)), dtype=np.int64)
    for flag, names in _FLAGS.items():
        elements[0, [ELEMENTS.index(name) for name in names]] |= flag
    for row, names in ((1, ABOVE), (2, OWN)):
        elements[row] = [names.index(name) if name in names else -1 for name in ELEMENTS]
    names = {name_hash(name.encode()): number for number, name in enumerate(ELEMENTS) if name}
    classes = _bits(CLASS_HINTS) | dict.fromkeys(COPY_WORDS, COPY)
    seeded = ((ATTRIBUTE, ATTRIBUTES), (CLASS, classes), (WORD, _bits(TEXT_HINTS)), (FORMULA, FORMULA_CLASSES))
    for seed, table in seeded:
        names |= {name_hash(name.encode(), seed): value for name, value in table.items()}
    points = [(name, ord(said[0]) | (ord(said[1]) << 21 if said[1:] else 0)) for name, said in html5.items()]
    entities = {name_hash(name.encode()): value for name, value in points}
    return Tables(*_hashed(names), *_hashed(entities), elements, _kinds())


def _bits(hints: dict[str, str]) -> dict[str, int]:
    table: dict[str, int] = {}
    for bit, words in enumerate(hints.values()):
        for word in words.split():
            word = word.replace("-", "")
            table[word] = table.get(word, 0) | 1 << bit
    return table


def name_hash(name: bytes, seed: int = 0) -> int:
    """64-bit FNV-1a, as `scan.hashed` computes it; never 0, which marks a free place."""
    code = (0xCBF29CE484222325 + seed * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    for byte in name:
        code = (code ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return code or 1


def _hashed(values: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values with open addressing, at most a quarter full."""
    size = 1 << (4 * len(values)).bit_length()
    keys, found = np.zeros(size, dtype=np.uint64), np.zeros(size, dtype=np.int64)
    for code, value in values.items():
        at = (code ^ code >> 32) & (size - 1)
        while keys[at]:
            at = (at + 1) & (size - 1)
        keys[at], found[at] = code, value
    return keys, found


def _kinds() -> np.ndarray:
    table = np.zeros(KINDS, dtype=np.int16)
    for bit, characters in (
        (SPACE, " "),
        (END, ".!?。！？…"),
        (COMMA, ",;:，、；："),
        (DIGIT, "0123456789"),
        (SIGN, "|»›•·©→#@/>"),
        (QUOTE, "\"“”„»«’'」』"),
        (SKIPPED, ".,;:!?\"'()[]{}<>/\\|*+=~`#$%^&_-"),
    ):
        table[[ord(c) for c in characters]] |= bit
    letters = [(code, chr(code)) for code in range(0x41, 0x530)]
    table[[code for code, c in letters if c.isupper()]] |= UPPER
    table[[code for code, c in letters if c.islower()]] |= LOWER
    table[0x3040:0xA000] |= CJK
    table[0xAC00:0xD7A4] |= CJK
    return table
