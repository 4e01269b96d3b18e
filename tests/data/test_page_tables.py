"""Tables and lists of a page as text."""

import pytest

from data.page.main_text import read_page

SENTENCE = "The river rose above the old stone bridge, and the people of the town carried their books upstairs."


def _plain(html):
    return read_page(html, whole=True).text


def _markdown(html):
    return read_page(html, markdown=True, whole=True).text


def test_empty_cells_keep_their_columns():
    html = """<table><tr><th></th><th>2020</th><th>2021</th></tr><tr><td>Gap</td><td></td><td>0.4</td></tr>
    <tr><td colspan=2>both<td>5</tr><tr><td>left<td>1<td><img></tr></table>"""
    assert _plain(html) == "| 2020 | 2021\nGap | | 0.4\nboth | | 5\nleft | 1"
    assert _markdown(html) == (
        "| | 2020 | 2021 |\n| --- | --- | --- |\n| Gap | | 0.4 |\n| both | | 5 |\n| left | 1 | |"
    )


def test_a_cell_covers_the_rows_that_it_spans():
    html = """<table><tr><th rowspan=2>Year<th colspan=2>Sales<tr><th>home<th>abroad<tr><td>2020<td>1<td>2
    <tr><td rowspan=0>2021<td rowspan=x>3<td>4</table><table><tr><td rowspan=9>a<td>b</table>
    <table><tr><td>c<td>d</table>"""
    assert _markdown(html) == (
        "| Year | Sales | |\n| --- | --- | --- |\n| | home | abroad |\n| 2020 | 1 | 2 |\n| 2021 | 3 | 4 |\n\n"
        "| a | b |\n| --- | --- |\n\n| c | d |\n| --- | --- |"
    )


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("<ul><li>one<li>two</ul>", "one two"),
        ("<p>one</p><p>two</p>", "one two"),
        ("one<br>two", "one two"),
        (SENTENCE * 3, SENTENCE * 3),
        ("", ""),
    ],
)
def test_a_row_of_a_data_table_stays_a_row(cell, written):
    html = f"<table><tr><td>a<td>b<tr><td>c<td>{cell}<tr><td>d<td>e<tr><td>f<td>g</table>"
    middle = f"| c | {written} |" if written else "| c | |"
    assert _markdown(html) == f"| a | b |\n| --- | --- |\n{middle}\n| d | e |\n| f | g |"


def test_a_header_is_written_once_a_table():
    rows = "<tr><td>a<td>b<tr><td>c<td>d"
    code = "<tr><td><pre>x\ny</pre><td>e"
    assert _markdown(f"<table>{rows}{code}{rows}</table>").count("---") == 2
    assert _markdown(f"<table>{rows}</table><table>{rows}</table>").count("---") == 4
    assert "```\nx\ny\n```" in _markdown(f"<table>{rows}{code}{rows}</table>")


def test_bars_in_cells_are_escaped_in_markdown():
    html = "<table><tr><td>a|b<td>||</table><p>c|d"
    assert _plain(html) == "a|b | ||\n\nc|d"
    assert _markdown(html) == "| a\\|b | \\|\\| |\n| --- | --- |\n\nc|d"


@pytest.mark.parametrize(
    "rows",
    [
        f"<tr><td>{SENTENCE}<tr><td>b<tr><td>c",
        f"<tr><td><td>{SENTENCE}<tr><td><td>b",
        f"<tr><td>a<td>b<tr><td>c<td><p>{SENTENCE}</p><p>{SENTENCE}</p>",
        f"<tr><td>a<td>b<tr><td>c<td>d<tr><td>e<td>{SENTENCE * 11}",
    ],
)
def test_tables_of_layout_have_paragraphs(rows):
    text = _plain(f"<table>{rows}</table>")
    assert any(SENTENCE in part and "|" not in part for part in text.split("\n\n"))


def test_tables_in_cells():
    inner = "<table><tr><td>k<td>v<tr><td>l<td>w</table>"
    assert _plain(f"<table><tr><th>Name<th>More<tr><td>A<td>{inner}<tr><td>B<td>c</table>") == (
        "Name | More\n\nA\n\nk | v\nl | w\n\nB | c"
    )
    assert _plain(f"<table><tr><td>{inner}text<td>x</td>y<td>z</table>") == "k | v\nl | w\n\ntext\n\nx\n\ny\n\nz"


def test_many_columns_and_spans_stay_within_bounds():
    cells = [str(number) for number in range(200)]
    assert _plain(f"<table><tr><td>{'<td>'.join(cells)}</table>") == " | ".join(cells)
    for html in (
        "<tr><td>a<td colspan=999999999999>b<td>c" * 50,
        "<tr><td rowspan=999999999999>a<td>b" * 200,
        "<tr>" + "<td>a<td>b<table><tr><td>q<td>r</table>" * 400,
    ):
        for text in (_plain(f"<table>{html}</table>"), _markdown(f"<table>{html}</table>")):
            assert text.count("a") == html.count(">a")
            assert len(text) < 64 * 9 * html.count(">a")


def test_lists_are_numbered_as_they_say():
    html = """<ul><li>a<li>b</ul><ol start=5><li>c<pre>x</pre>more<br>lines<li>d<ol><li>e</ol><li>f</ol>
    <ol start=0><li>g<ol start=-3><li>h</ol></ol><ol start=99999999999999999999><li>i</ol>
    <ol start=x><li></li><li>j<table><tr><td><li>k</table></ol>"""
    assert _markdown(html) == (
        "- a\n- b\n5. c\n\n```\nx\n```\n\nmore\nlines\n\n6. d\n  1. e\n7. f\n0. g\n  1. h\n1000000. i\n2. j\n- k"
    )
    assert _plain("<ol start=5><li>a<li>b</ol>") == "- a\n- b"


def test_a_fence_is_longer_than_those_in_the_code():
    assert _markdown("<pre>```x\n`````\ny</pre>") == "``````\n```x\n`````\ny\n``````"
    assert _markdown(f"<pre>{'`' * 500}</pre>") == "\n".join(["`" * 501, "`" * 500, "`" * 501])
    assert _markdown("<pre>a `b` ``c</pre>").startswith("```\n")
