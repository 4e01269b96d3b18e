"""Near-duplicates side by side: where the texts differ, marked, and hostile text stays text."""

from pathlib import Path

from near_toys import corpus, edited, prose

from catalog.home import Home
from data.dedup.config import DedupConfig
from data.report.pairs import Piece, differences


def test_differences_are_words_in_their_context():
    (place,) = differences("the mill by the river turns", "the mill by the lake turns")
    assert place == [
        Piece(True, "the mill by the ", "the mill by the "),
        Piece(False, "river ", "lake "),
        Piece(True, "turns", "turns"),
    ]
    (place,) = differences("白日依山尽", "白日倚山尽")
    assert place[1] == Piece(False, "依", "倚")
    assert differences("same", "same") == []
    (place,) = differences("begins alike", "Begins, alike: and goes on")
    assert place == [Piece(True, "begins alike", "Begins, alike: "), Piece(False, "", "and goes on")]
    assert differences("* Two words; 漢字，ＡＢ", "two WORDS 汉字 ab") == []


def test_only_the_first_places_are_shown():
    assert len(differences(prose(1, 900), edited(prose(1, 900), 0.02))) == 3


def test_the_report_shows_a_pair_with_its_proof_and_marks(home: Home, tmp_path: Path):
    kept = f"{prose(1, 200)} and <script>alert(1)</script> at the end"
    corpus(tmp_path, "a", {"kept": kept, "gone": kept.replace("<script>alert(1)</script>", "<b>nothing</b>")}, home)
    page = (home.artifact("corpora", "toy", "1") / "report.html").read_text()
    assert "Near-duplicates side by side" in page
    assert "<b>0.9" in page
    assert "Jaccard (asked for: 0.8)" in page
    assert "&lt;" in page
    assert "<script" not in page
    assert "<ins>script&gt;alert(1)&lt;/script&gt;</ins>" in page
    assert "<del>b&gt;nothing&lt;/b&gt;</del>" in page


def test_the_report_shows_a_pair_across_corpora(home: Home, tmp_path: Path):
    """The older text comes from the intake of its own corpus."""
    corpus(tmp_path, "old", {"old": f"{prose(1, 200)} turned by the river", "other": prose(2)}, home)
    built = corpus(
        tmp_path, "new", {"new": f"{prose(1, 200)} turned by the lake"}, home, dedup=DedupConfig(against=("toy@1",))
    )
    page = (home.artifact("corpora", "toy", built.record.version) / "report.html").read_text()
    assert "Earlier, in corpora/toy@1" in page
    assert "<ins>river</ins>" in page
    assert "<del>lake</del>" in page
    assert "https://example.org/old/old" in page
    assert "is of an earlier corpus, corpora/toy@1" in page
