"""Main text, title, links, and bounds on hostile pages."""

import gzip
import re
import resource
import subprocess
import sys
from pathlib import Path
from urllib.parse import urljoin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadInput
from data.sources.records import ReadBounds
from data.text.bounds import _depth_and_nodes, exceeded
from data.text.decode import decode
from data.text.extract import EXTRACTORS, Extracted, extract
from data.text.tags import find_tags, page_bytes

BOUNDS = ReadBounds()
PARAGRAPHS = [
    f"On day {day} the river rose above the old stone bridge, and the people of the town, who had seen worse, "
    "carried their books upstairs, counted their chickens, and waited for the rain to end."
    for day in range(1, 7)
]
MENU = "".join(f"<li><a href='/{word}'>{word.title()}</a></li>" for word in ("sport", "politics", "weather", "culture"))
PAGE = f"""<!doctype html><html><head><title> The  river
 rose </title><script>var text = "This is not text, it is a script.";</script></head>
<body><header><nav><ul>{MENU}</ul></nav></header><main><article><h1>The river rose</h1>
{"".join(f"<p>{text}</p>" for text in PARAGRAPHS[:4])}
<ul><li>Bring a lamp</li><li>Bring a rope</li></ul>
<pre>def boat(n):
    if n:
        return boat(n - 1)
</pre><table><tr><th>Day</th><th>Metres</th></tr><tr><td>1</td><td>4.2</td></tr></table>
{"".join(f"<p>{text}</p>" for text in PARAGRAPHS[4:])}</article></main>
<footer><p>Copyright 2024 <a href="/imprint">Imprint</a> <a href="/privacy">Privacy</a></p></footer></body></html>"""


@pytest.mark.parametrize("extractor", sorted(EXTRACTORS))
def test_main_text_without_navigation(extractor):
    found = extract(PAGE, BOUNDS, extractor, url="https://example.org/news/1.html")
    assert found.title == "The river rose"
    assert found.failure == ""
    for text in PARAGRAPHS:
        assert text in found.text
    for noise in ("Politics", "Imprint", "not text"):
        assert noise not in found.text
    assert "4.2" in found.text


def test_code_keeps_its_indentation_and_lists_and_tables_their_parts():
    code = "def boat(n):\n    if n:\n        return boat(n - 1)"
    parts = ("- Bring a lamp\n- Bring a rope", "Day | Metres\n1 | 4.2")
    assert all(part in extract(PAGE, BOUNDS).text for part in (code, *parts))
    marked = extract(PAGE, BOUNDS, markup="markdown").text
    assert f"```\n{code}\n```" in marked
    assert "| Day | Metres |\n| --- | --- |\n| 1 | 4.2 |" in marked


def test_links_are_absolute():
    page = """<a href="/a">1</a>
    <a href='b?x=1&amp;y=2#z'>2</a><a href="../c">3</a><a href="//other.org/d">4</a>
    <a href="https://x.org/e#top">5</a><a href="#here">6</a><a href="mailto:a@b.c">7</a><a href="JavaScript:go()">8</a>
    <a name="f">9</a><a href="http://[bad/">10</a>
    <a class="g" href=" /g/./h ">11</a><a href="/a">12</a><a href="">13</a>"""
    assert extract(page, BOUNDS, url="https://example.org/news/1.html").links == [
        "https://example.org/a",
        "https://example.org/news/b?x=1&y=2",
        "https://example.org/c",
        "https://other.org/d",
        "https://x.org/e",
        "http://[bad/",
        "https://example.org/g/h",
    ]


def test_a_base_element_moves_links():
    page = '<base href="/docs/v2/"><a href="intro.html">x</a>'
    assert extract(page, BOUNDS, url="https://example.org/x").links == ["https://example.org/docs/v2/intro.html"]
    assert extract('<a href="intro.html">x</a>', BOUNDS).links == []


@given(st.text(alphabet="ab/.?#:&%[] ", max_size=12))
def test_quick_links_are_what_urljoin_says(href):
    base = "https://example.org/x/y?z"
    found = extract(f'<a href="{href.replace("&", "&amp;")}">', BOUNDS, url=base).links
    assert all(re.match("https?://", link) and "#" not in link for link in found)
    stripped = href.strip().partition("#")[0]
    if found and not stripped.startswith("http") and not href.strip().startswith("#"):
        assert found == [urljoin(base, stripped)]


def test_plain_text_passes_through():
    text = "if a <b then\n    c = d\n"
    assert extract(text, BOUNDS, media_type="text/plain") == Extracted(text)
    assert extract("{}", BOUNDS, media_type="application/json").text == "{}"
    assert extract("no markup, 1 < 2", BOUNDS, media_type="").text == "no markup, 1 < 2"
    assert extract("<p>some markup</p>", BOUNDS, media_type="").text == "some markup"


def test_an_unknown_extractor_is_bad_input():
    with pytest.raises(BadInput, match="Did you mean: trafilatura"):
        extract("<p>", BOUNDS, "trafilature")


def test_text_over_its_bound_is_a_failure():
    found = extract("word " * 100, ReadBounds(text_chars=100), media_type="text/plain")
    assert (found.failure, found.text) == ("text_chars", "")
    assert "500 characters of text, of at most 100" in found.detail


HOSTILE = {
    "nested": ("'<div>' * 100_000 + 'x'", "depth"),
    "nested templates": ("'<template>' * 100_000", "depth"),
    "nested and stray": ("'<span>' * 100_000 + '</x>' * 100_000", "depth"),
    "never closed by another name": ("'<div></x>' * 100_000", "depth"),
    "foreign": ("'<svg>' + '<x>' * 100_000 + '</y>' * 100_000", "depth"),
    "attributes": ("'<p ' + ' '.join(f'a{i}=1' for i in range(200_000)) + '>x'", "attributes"),
    "attributes like tags": ("'<p ' + ' '.join(f'a{i}=\"<a></a>\"' for i in range(100_000)) + '>x'", "attributes"),
    "attributes of many bodies": ("''.join(f'<body a{i}=1>' for i in range(100_000))", "attributes"),
    "formatting reopened": ("''.join(f'<b id={i}>' for i in range(1_900)) + '<p>x</p>' * 50_000", "nodes"),
    "too many tags": ("'<p>x</p>' * 200_000", "nodes"),
    "many tags": ("'<p>text</p>' * 100_000", ""),
    "fifty megabytes": ("'<p>' + 'many words ' * 4_600_000", "text_chars"),
    "one endless line": ("'<p>' + 'x' * 9_000_000", ""),
    "broken entities": ("'<p>' + '&#x;&;&#99999999;&nosuch;&amp&#0;' * 200_000", ""),
    "only less-than signs": ("'<' * 250_000", ""),
    "script like text": ("'<p>Hello.</p><script>' + 'This is a sentence, and this is another. ' * 200_000", ""),
    "comment without end": ("'<p>Hello.</p><!-- ' + 'This is a sentence. <div>' * 200_000", ""),
    "unclosed formatting, all alike": ("'<font color=red><p>old page</p>' * 1_900", ""),
    "mismatched": ("'<b><i></b><p></i><table><a><td></b></table>' * 8_000", ""),
    "nulls": ("'<p>a\\0b</p>' * 10_000", ""),
}
NO_WORSE = {"attributes of many bodies": "", "formatting reopened": ""}
"""What costs our own reading of a page no more than any other."""
_ALONE = """
from data.text.extract import extract
for name, (page, _) in {pages}.items():
    found = extract(eval(page), extractor={extractor!r})
    print(name, found.failure, sep=": ", flush=True)
"""


def _limit_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))


@pytest.mark.parametrize("extractor", ["blocks", "resiliparse"])
def test_hostile_pages_end_within_bounds(extractor):
    """In a process of its own with 3 GB of address space: a crash of the parser would end its list."""
    done = subprocess.run(
        [sys.executable, "-c", _ALONE.format(pages=HOSTILE, extractor=extractor)],
        capture_output=True,
        text=True,
        timeout=250,
        preexec_fn=_limit_memory,
        cwd=Path(__file__).resolve().parents[2],
    )
    expected = {name: failure for name, (_, failure) in HOSTILE.items()} | (NO_WORSE if extractor == "blocks" else {})
    assert done.stdout.splitlines() == [f"{name}: {failure}" for name, failure in expected.items()]
    assert done.returncode == 0, done.stderr[-500:]


def _page(path: Path) -> str:
    return decode(gzip.decompress(path.read_bytes())).text


def test_real_pages_are_within_bounds(shared_data):
    pages = sorted((shared_data / "html-gold").glob("*/html/*.gz"))
    assert len(pages) > 400
    assert [page.name for page in pages if exceeded(_page(page), BOUNDS)] == []


def test_bounds_say_what_was_counted():
    assert exceeded("<p>" * 11, ReadBounds(nodes=10)) == ("nodes", "11 tags, of at most 10")
    assert exceeded("<i>" * 30, ReadBounds(depth=20)) == ("depth", "30 open elements, of at most 20")
    assert exceeded("<i></i>" * 30, ReadBounds(depth=20)) is None
    assert exceeded("<br>" * 30 + "<li>" * 30, ReadBounds(depth=20)) is None
    in_script = "<script>" + "'<div>'" * 30 + "</script>"
    assert exceeded(in_script, ReadBounds(depth=20)) is None
    assert exceeded(in_script + "<div>" * 21, ReadBounds(depth=20)) == ("depth", "21 open elements, of at most 20")


@given(st.lists(st.sampled_from(["<a>", "</a>", "<div>", "</div>", "<b>", "</b>", "x", "<p>", "</x>"]), max_size=40))
def test_depth_is_never_understated(parts):
    """Against a loop that says the same in words: names opened and not closed, each name by itself."""
    page = "".join(parts)
    open_now: dict[str, int] = {}
    deepest = 0
    for part in parts:
        if part in ("x", "<p>", "</p>"):
            continue
        name = part.strip("</>")
        open_now[name] = max(0, open_now.get(name, 0) + (-1 if part[1] == "/" else 1))
        deepest = max(deepest, sum(open_now.values()))
    assert _depth_and_nodes(find_tags(page_bytes(page)))[0] == deepest


def test_order_of_pages_does_not_matter(shared_data):
    pages = [_page(page) for page in sorted(shared_data.glob("html-gold/articles/html/*"))[:6]]
    for extractor in EXTRACTORS:
        once = [extract(page, BOUNDS, extractor) for page in pages]
        assert [extract(page, BOUNDS, extractor) for page in pages[::-1]][::-1] == once
