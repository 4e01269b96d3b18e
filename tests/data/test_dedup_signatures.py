"""Tokens, n-grams, signatures and bands: what two documents have in common, and what its estimate is worth."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_toys import prose, signed, write_part

from catalog.errors import BadInput
from data.dedup.bands import CALCULATED, Bands, band_keys, bands_for, calculated, curve
from data.dedup.config import CODE_VERSION, NearConfig
from data.dedup.grams import Grams, hash_grams
from data.dedup.minhash import agreement, signatures
from data.dedup.segments import Segment, index_path
from data.dedup.store import Signed
from data.dedup.tokens import hash_tokens
from data.dedup.verify import overlap
from data.text.han_forms import compared_forms


def counts(*texts: str) -> list[int]:
    return np.diff(hash_tokens(texts).first).tolist()


def test_a_token_is_a_word_or_one_character_of_a_script_without_spaces():
    assert counts("Two words.", "两个字。", "iPhone 手机 15", "ひらがな", "", "…!") == [2, 3, 4, 4, 0, 0]


def test_case_width_composition_and_punctuation_make_no_difference():
    one = hash_grams(["Café, MILL — river ABC 123 stone"], 5).hashes.tolist()
    for other in (
        "café mill river abc 123 STONE",
        "Cafe\u0301 mill river ＡＢＣ １２３ stone!",
        "“café” (mill) river; abc 123\n\nstone",
    ):
        assert hash_grams([other], 5).hashes.tolist() == one, other
    assert hash_grams(["cafe mill river abc 123 stone"], 5).hashes.tolist() != one


@given(st.lists(st.text(max_size=40), max_size=12), st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_the_grams_of_a_text_do_not_hang_on_its_neighbours(texts: list[str], n: int):
    together = hash_grams([text.encode("utf-8", "replace").decode() for text in texts], n)
    for at, text in enumerate(texts):
        alone = hash_grams([text.encode("utf-8", "replace").decode()], n)
        assert together.of(at).tolist() == alone.of(0).tolist()


def test_traditional_and_simplified_are_the_same_where_they_are_folded():
    simplified = "软件里的头发，后面发着台湾的声音；众人说为什么。了解途径，答复凭借上腭。"
    for other in (
        "軟件裏的頭髮，後面發着臺灣的聲音；衆人説爲什麼。瞭解途徑，答覆憑藉上齶。",
        "軟件裡的頭髮，後面發著臺灣的聲音；眾人說為什麼。了解途逕，答復憑借上顎。",
    ):
        one, same = (hash_grams([text], 5, fold_han=True).hashes.tolist() for text in (simplified, other))
        assert one == same
        assert hash_grams([simplified], 5).hashes.tolist() != hash_grams([other], 5).hashes.tolist()
    assert NearConfig().signature_key != NearConfig(fold_han=False).signature_key
    forms = compared_forms()
    assert not {ord("像"), ord("象"), ord("座"), ord("坐")} & forms.keys(), "other words in simplified text"
    assert not [char for char, form in forms.items() if forms.get(form, form) != form], "a form has no other form"


def reference(text: str, n: int) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[at : at + n]) for at in range(max(1, len(words) - n + 1))}


@given(
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60),
    st.lists(st.sampled_from("abcdef"), min_size=1, max_size=60),
)
@settings(max_examples=60, deadline=None)
def test_jaccard_and_containment_are_those_of_the_real_sets(left: list[str], right: list[str]):
    texts = [" ".join(left), " ".join(right)]
    grams, at = hash_grams(texts, 3), np.array([0])
    a, b = (reference(text, 3) for text in texts)
    jaccard, containment = overlap(grams, at, grams, at + 1)
    assert jaccard[0] == len(a & b) / len(a | b)
    assert containment[0] == len(a & b) / min(len(a), len(b))


@pytest.mark.parametrize("size", [1, 3, 12, 90, 700])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_signatures_estimate_the_similarity_without_bias(size: int, share: float):
    chosen = np.random.default_rng(size)
    common = max(1, round(2 * size * share / (1 + share)))
    sets = []
    for _ in range(200):
        union = chosen.choice(2**32, 2 * size - common, replace=False).astype(np.uint32)
        sets += [np.sort(union[:size]), np.sort(union[size - common :])]
    made = signatures(Grams(np.concatenate(sets), np.arange(401) * size), 128)
    estimates = agreement(made[::2], made[1::2])
    true = common / (2 * size - common)
    spread = (true * (1 - true) / 128) ** 0.5
    assert abs(estimates.mean() - true) <= 4 * spread / 200**0.5 + 1e-9
    assert estimates.std() <= 1.2 * spread


def test_bands_reach_the_wanted_share_with_real_signatures():
    bands = bands_for(0.8, 128, 0.99)
    assert bands == Bands(21, 6)
    chosen, sets = np.random.default_rng(3), []
    for _ in range(1000):
        union = chosen.choice(2**32, 110, replace=False).astype(np.uint32)  # 90 of 110 shared: 0.818
        sets += [np.sort(union[:100]), np.sort(union[10:])]
    keys = band_keys(signatures(Grams(np.concatenate(sets), np.arange(2001) * 100), 128), bands)
    found = (keys[:, ::2] == keys[:, 1::2]).any(axis=0).mean()
    assert found == pytest.approx(bands.match(90 / 110), abs=0.01)


@pytest.mark.parametrize("similarity", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
def test_any_similarity_may_be_asked(similarity: float):
    bands = bands_for(similarity, 128, 0.99)
    assert bands.match(similarity) >= 0.99
    assert bands.bands * bands.rows <= 128
    points = dict(curve(bands))
    assert (points[0.0], points[1.0]) == (0.0, 1.0)
    assert sorted(points.values()) == list(points.values())


def test_the_cuts_that_are_kept_are_what_the_calculator_gives():
    assert all(calculated(*asked) == bands for asked, bands in CALCULATED.items())


def test_bands_that_cannot_be_are_an_error():
    with pytest.raises(BadInput, match="Give more hashes"):
        bands_for(0.5, 16, 0.999999)


def test_a_signature_file_holds_what_has_a_token_and_is_not_made_again(tmp_path: Path):
    texts = [prose(1), "", "!!!", "短", prose(2)]
    part = write_part(tmp_path, texts, first=70, group=2)
    path = signed(part, NearConfig())
    file, rows = Signed(path), np.arange(3)
    assert file.ordinals.tolist() == [70, 73, 74]
    want = hash_grams([texts[0], texts[3], texts[4]], 5)
    assert file.sizes(rows).tolist() == np.diff(want.first).tolist()
    assert (file.signatures(rows[::-1]) == signatures(want, 128)[::-1]).all()
    bands = bands_for(0.8, 128, 0.99)
    index, keys = Segment(index_path(path, bands)), file.keys(bands)
    for band in range(bands.bands):
        wanted, row_of = np.unique(keys[band], return_index=True)
        assert [found.tolist() for found in index.find(band, wanted)] == [[0, 1, 2], row_of.tolist()]
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()}
    signed(part, NearConfig())
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in path.parent.iterdir()} == before
    signed(part, NearConfig(similarity=0.9))
    assert set(path.parent.iterdir()) - before.keys() == {index_path(path, bands_for(0.9, 128, 0.99))}


def test_a_part_of_no_texts_has_an_empty_signature_file(tmp_path: Path):
    path = signed(write_part(tmp_path, ["", ""]), NearConfig())
    file = Signed(path)
    assert (file.rows, file.ordinals.tolist()) == (0, [])
    index = Segment(index_path(path, bands_for(0.8, 128, 0.99)))
    assert [found.tolist() for found in index.find(0, np.arange(3, dtype=np.uint32))] == [[], []]


def test_a_signing_that_is_interrupted_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import data.dedup.store as store

    part = write_part(tmp_path, [prose(seed) for seed in range(6)], group=2)
    honest, calls = store.signatures, []

    def failing(grams, hashes):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return honest(grams, hashes)

    monkeypatch.setattr(store, "signatures", failing)
    with pytest.raises(KeyboardInterrupt):
        signed(part, NearConfig())
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [part.name]
    monkeypatch.undo()
    again = signed(part, NearConfig()).read_bytes()
    elsewhere = signed(write_part(tmp_path / "b", [prose(seed) for seed in range(6)], group=2), NearConfig())
    assert again == elsewhere.read_bytes()


def test_signatures_are_those_of_the_code_version():
    """Another digest here means that CODE_VERSION must be raised: stores outlive the code that made them."""
    texts = [
        "The quick brown fox jumps over the lazy dog. It's 3.14!",
        "敏捷的棕色狐狸跳过了懒狗。",
        "Ａb\u0301 短",
        "word " * 400,
    ]
    made = signatures(hash_grams(texts, 5), 128).astype("<u4").tobytes()
    assert (CODE_VERSION, hashlib.sha256(made).hexdigest()[:16]) == (4, "9b599a39386c583d")
    every = "".join(map(chr, range(0x3400, 0xA000)))
    made = signatures(hash_grams([every], 1, fold_han=True), 128).astype("<u4").tobytes()
    assert (CODE_VERSION, hashlib.sha256(made).hexdigest()[:16]) == (4, "369196322922e370")
