"""`just near`: is this text already here, what do bands find, how many n-grams are different."""

from pathlib import Path

import numpy as np
import pytest
from near_toys import corpus, edited, prose

from catalog.errors import BadInput, NotFound
from catalog.home import Home
from configs import near
from data.dedup.config import NearConfig
from data.dedup.distinct import PRECISION, add, different
from data.dedup.lookup import look_up


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a corpus of three documents, one of which was dropped."""
    folder = tmp_path_factory.mktemp("near")
    home = Home(folder / "lake")
    texts = {
        "one": prose(1, 150) + " with a tail",
        "two": prose(2),
        "copy": prose(1, 150),
        "zh": "两个黄鹂鸣翠柳一行白鹭上青天窗含西岭千秋雪",
    }
    corpus(folder, "a", texts, home)
    return home


def test_a_text_that_is_there_is_found_with_its_similarity(filled: Home):
    (match,) = look_up(filled, "toy@1", edited(prose(1, 150), 0.01), NearConfig())
    assert match.doc_id.endswith(":0"), "the dropped copy is no part of the corpus"
    assert 0.8 < match.jaccard < match.containment < 1.0
    (chinese,) = look_up(filled, "toy@1", "两个黄鹂鸣翠柳，一行白鹭上青天。窗含西岭千秋雪！", NearConfig())
    assert (chinese.jaccard, chinese.doc_id[-2:]) == (1.0, ":3")


@pytest.mark.parametrize("text", ["", "…", prose(77)])
def test_a_text_that_is_not_there_is_not_found(filled: Home, text: str):
    assert look_up(filled, "toy@1", text, NearConfig()) == []


def test_the_command_answers_for_text_and_file(filled: Home, tmp_path: Path, capsys: pytest.CaptureFixture):
    page = tmp_path / "page.txt"
    page.write_text(edited(prose(2), 0.01))
    for given in (prose(2), str(page)):
        assert near.main([given, "--in", "toy", "--home", str(filled.root)]) == 0
        assert "https://example.org/a/two" in capsys.readouterr().out
    near.main(["nothing like it", "--in", "toy@1", "--home", str(filled.root)])
    assert "not in toy@1" in capsys.readouterr().out
    near.main(["pgae.txt", "--in", "toy", "--home", str(filled.root)])
    assert "there is no file pgae.txt" in capsys.readouterr().out


def test_the_curve_says_bands_and_rows(capsys: pytest.CaptureFixture):
    near.main(["--curve", "0.8"])
    out = capsys.readouterr().out
    assert "21 bands of 6 rows" in out
    assert "0.80        0.9983" in out


def test_the_command_counts_different_grams(filled: Home, capsys: pytest.CaptureFixture):
    near.main(["--count", "toy", "--home", str(filled.root)])
    assert "3 documents" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        ([], BadInput),
        (["--curve", "0.2"], BadInput),
        (["x", "--in", "no@1"], NotFound),
        (["x", "--in", "no"], NotFound),
    ],
)
def test_what_cannot_be_is_one_clear_error(home: Home, argv: list[str], error: type):
    with pytest.raises(error):
        near.main([*argv, "--home", str(home.root)])


@pytest.mark.parametrize("count", [0, 10, 1000, 300_000])
def test_distinct_counts_are_within_three_standard_errors(count: int):
    registers = np.zeros(1 << PRECISION, np.int8)
    hashes = np.random.default_rng(count).choice(2**32, count, replace=False).astype(np.uint32)
    for _ in range(2):  # the second time nothing is new
        add(registers, hashes)
    assert different(registers) == pytest.approx(count, rel=0.025)
