"""Formulas, powers and ruby of pages, as text on one line."""

import time

import pytest

from data.page.main_text import read_page

TEX = r'<annotation encoding="application/x-tex">\frac{1}{2}</annotation>'
MATHML = "<mfrac><mn>1</mn><mn>2</mn></mfrac>"


def _text(html, **options):
    return read_page(html, whole=True, **options).text


def _math(inside):
    return _text(f"<p>so <math>{inside}</math> holds</p>")


def test_what_katex_draws_beside_the_tex_is_left_out():
    hidden = f'<span class="katex-mathml"><math><semantics>{MATHML}{TEX}</semantics></math></span>'
    drawn = '<span class="katex-html" aria-hidden="true"><span class="mord"><span>1</span>2</span></span>'
    html = f'<p>half is <span class="katex">{hidden}{drawn}</span> of it</p>'
    assert _text(html) == r"half is $\frac{1}{2}$ of it"
    assert _text('<body class="html katex-on"><p>one</p></body>') == "one"


@pytest.mark.parametrize("name", ["MathJax", "MathJax_Preview", "MathJax_SVG", "mjx-chtml MathJax_CHTML"])
def test_what_mathjax_2_draws_beside_the_script_is_left_out(name):
    drawn = f'<span class="{name}" id="MathJax-Element-1-Frame"><nobr><span>1</span><span>2</span></nobr>'
    drawn += f'<span class="MJX_Assistive_MathML"><math>{MATHML}</math></span></span>'
    html = rf'<p>half is {drawn}<script type="math/tex" id="MathJax-Element-1">\frac{{1}}{{2}}</script> of it</p>'
    assert _text(html) == r"half is $\frac{1}{2}$ of it"


def test_displays_of_mathjax_2_and_words_of_a_page_itself():
    display = '<div class="MathJax_Display"><span class="MathJax">12</span></div>'
    assert _text(f'<div>one{display}<script type="math/tex; mode=display">x</script></div>') == "one\n\n$x$"
    assert _text('<div class="mathjax">one <span class="with-mathjax">two</span></div>') == "one two"
    assert _text(f'<p>a <script type="math/mml"><math>{MATHML}</math></script> b</p>') == "a 1/2 b"


def test_mathjax_3_is_its_mathml():
    drawn = '<mjx-math class="MJX-TEX"><mjx-mi><mjx-c class="mjx-c1D465">y</mjx-c></mjx-mi></mjx-math>'
    known = f'<mjx-assistive-mml display="inline"><math>{MATHML}</math></mjx-assistive-mml>'
    html = f'<p>half is <mjx-container class="MathJax" jax="CHTML">{drawn}{known}</mjx-container> of it</p>'
    assert _text(html) == "half is 1/2 of it"


def test_tex_of_a_math_element():
    assert _text(rf'<p>a <math alttext="\frac{{a}}{{b}} &lt; c">{MATHML}</math> b</p>') == r"a $\frac{a}{b} < c$ b"
    assert _text(f'<p>a <math alttext="no"><semantics>{MATHML}{TEX}</semantics></math> b</p>') == r"a $\frac{1}{2}$ b"
    assert _text(f'<p>a <math alttext="">{MATHML}</math> b</p>') == "a 1/2 b"
    assert _text('<p>a <math alttext="x"><mi>x</mi> b</p><p>c</p>') == "a x b\n\nc"
    other = '<annotation encoding="StarMath 5.0">no</annotation><annotation-xml><mi>no</mi></annotation-xml>'
    assert _math(f"<semantics><mi>x</mi>{other}</semantics>") == "so x holds"


@pytest.mark.parametrize(
    ("attributes", "meant"),
    [
        (r'class="latex" alt="\frac{a}{b}"', r"$\frac{a}{b}$"),
        ("class='a math' alt=' x &lt; y '", "$x < y$"),
        ('alt="$a$"', "$a$"),
        ('alt="$$a+b$$"', "$a+b$"),
        (r'alt="{\displaystyle a}"', r"${\displaystyle a}$"),
        ('class="latex" alt=""', ""),
        ('alt="a dog"', ""),
        ('alt="$5"', ""),
        ('class="latex-photo" alt="a dog"', ""),
    ],
)
def test_images_of_formulas_are_their_tex(attributes, meant):
    assert _text(f"<p>a<img {attributes} src=x.png>b</p>") == f"a{meant}b"


def test_an_image_beside_its_formula_is_left_out():
    image = r'<img class="mwe-math-fallback-image-inline" alt="\frac{1}{2}" src="x.svg">'
    assert _text(f"<p>{image} is half</p>") == r"$\frac{1}{2}$ is half"
    hidden = f'<span style="display: none;"><math><semantics>{MATHML}{TEX}</semantics></math></span>'
    html = f'<p>half is <span class="mwe-math-element">{hidden}{image}</span> and {image}</p>'
    assert _text(html) == r"half is $\frac{1}{2}$ and $\frac{1}{2}$"
    display = f"<div><div><math><semantics>{MATHML}{TEX}</semantics></math></div>{image}</div>"
    assert _text(display) == r"$\frac{1}{2}$"


@pytest.mark.parametrize(
    ("inside", "meant"),
    [
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mn>1</mn></mrow><mi>b</mi></mfrac>", "(a+1)/b"),
        ("<msup><mi>x</mi><mn>2</mn></msup><mo>+</mo><msub><mi>x</mi><mi>i</mi></msub>", "x^2+x_i"),
        ("<msup><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msup>", "x^(n+1)"),
        (f"<msup>{MATHML}<mn>2</mn></msup>", "(1/2)^2"),
        ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>", "∑_(i=1)^n"),
        ("<msubsup><mi>x</mi><mi>i</mi><mn>2</mn></msubsup>", "x_i^2"),
        ("<mroot><mi>x</mi><mn>3</mn></mroot>", "root(x, 3)"),
        ("<mfrac><msqrt><mi>x</mi></msqrt><msqrt><mi>y</mi></msqrt></mfrac>", "sqrt(x)/sqrt(y)"),
        ("<msup><mi/><mn>2</mn></msup><mfrac><mn>1</mn><mrow/></mfrac><mi>y</mi>", "^21/y"),
        ("<mover><mi>x</mi><mo>→</mo></mover>", "x→"),
        ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr></mtable>", "1 2"),
        (
            "<mi>x</mi><mo>=</mo>\n<mfrac>\n <mrow>\n <mo>-</mo><mi>b</mi><mo>±</mo><msqrt><msup><mi>b</mi><mn>2</mn>"
            "</msup><mo>-</mo><mn>4</mn><mi>a</mi><mi>c</mi></msqrt>\n </mrow>\n <mrow><mn>2</mn><mi>a</mi></mrow>\n"
            "</mfrac>\n",
            "x=(-b±sqrt(b^2-4ac))/(2a)",
        ),
    ],
)
def test_mathml_without_tex_is_linear(inside, meant):
    assert _math(inside) == f"so {meant} holds"


@pytest.mark.parametrize(
    ("html", "meant"),
    [
        ("10<sup>11</sup> stars", "10^11 stars"),
        ("10<sup>-5</sup>, 10<sup>−5</sup>, 10<sup>&minus;5</sup>", "10^-5, 10^−5, 10^−5"),
        ("<i>x</i><sup>2</sup> and 5 m<sup>2</sup>", "x^2 and 5 m^2"),
        ("1<sup>st</sup> H<sub>2</sub>O", "1st H2O"),
        ("in 1921.<sup>2</sup> a word<sup>3</sup> isn't<sup>4</sup>", "in 1921.2 a word3 isn't4"),
        ("10<sup><a href=x>[1]</a></sup> 10 <sup>2</sup>", "10[1] 10 2"),
        ("<sup>2</sup>", "2"),
    ],
)
def test_powers(html, meant):
    assert _text(f"<p>{html}</p>") == meant


def test_ruby_is_in_brackets():
    assert _text("<ruby>北<rt>běi</rt>京<rt>jīng</rt></ruby>") == "北(běi)京(jīng)"
    assert _text("<ruby>北<rp>(</rp><rt>běi</rt><rp>)</rp></ruby>市") == "北(běi)市"
    assert _text("<p><ruby>北<rt>běi</ruby>市<ruby>り<rt></rt></ruby><p>x") == "北(běi)市り\n\nx"


def test_marks_of_links_to_a_heading_are_left_out():
    for mark in ("¶", "&para;", "§", "#"):
        assert _text(f'<h2>Rain<a class="headerlink" href="#rain">{mark}</a></h2><p>fell</p>') == "Rain\n\nfell"
    assert _text('<p>§ 5 <a href="#a">#</a> <a href="#b">¶ 5</a></p>') == "§ 5 # ¶ 5"


@pytest.mark.parametrize(
    "unit", ["<div><math></div>", "<math>", "<div><math alttext=x></div>", "<msqrt>", "<math></math>", "<rt>a"]
)
def test_formulas_take_linear_time(unit):
    read_page(unit)
    start = time.process_time()
    read_page(unit * 100_000, tags=1_000_000)
    assert time.process_time() - start < 2
