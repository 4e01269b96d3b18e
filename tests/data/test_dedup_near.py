"""Laws of near-deduplication: the same answer in any order, proof for every removal, history untouched."""

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from near_toys import edited, find, prose, signed, write_part

from data.dedup import clusters, keys, store
from data.dedup import history as dedup_history
from data.dedup.clusters import best_keeper, buckets, choose
from data.dedup.config import NearConfig
from data.dedup.grams import hash_grams
from data.dedup.history import EarlierFile
from data.dedup.near import Ranked, near_duplicates
from data.dedup.spill import HALF, halves, join_halves
from data.dedup.verify import overlap

FEW = NearConfig(hashes=64, recall=0.9)


def jaccard(left: str, right: str, n: int = 5) -> float:
    grams = hash_grams([left, right], n)
    return float(overlap(grams, np.array([0]), grams, np.array([1]))[0, 0])


def families(seed: int) -> list[str]:
    """Some families of near-duplicates, single documents, short ones and exact copies."""
    chosen = random.Random(seed)
    texts = []
    for family in range(chosen.randint(1, 4)):
        original = prose(1000 * seed + family, chosen.choice((3, 30, 90)))
        texts += [original] + [
            edited(original, chosen.choice((0.0, 0.01, 0.02, 0.05, 0.3)), copy) for copy in range(chosen.randint(0, 4))
        ]
    return [*texts, "短", "hello there", ""]


def removed(files: list[list[str]], config: NearConfig = FEW) -> dict[str, tuple[str, float]]:
    """Removed texts, each with the kept text and the similarity."""
    with TemporaryDirectory() as folder:
        found, texts = find(Path(folder), files, config)
    rows = zip(found.document.tolist(), found.keeper.tolist(), found.jaccard.tolist(), strict=True)
    return {texts[gone]: (texts[kept], value) for gone, kept, value in rows}


@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
@settings(max_examples=6, deadline=None)
def test_what_is_removed_does_not_hang_on_order_or_files(seed: int, chosen: random.Random):
    texts = sorted(set(families(seed)))
    once = removed([texts])
    shuffled = texts[:]
    chosen.shuffle(shuffled)
    cut = chosen.randint(0, len(shuffled))
    assert removed([shuffled[:cut], shuffled[cut:]]) == once


@given(st.integers(0, 10_000))
@settings(max_examples=6, deadline=None)
def test_each_removed_document_has_a_kept_partner_above_the_threshold(seed: int):
    texts = sorted(set(families(seed)))
    gone = removed([texts], NearConfig(similarity=0.7))
    for text, (kept, value) in gone.items():
        assert kept not in gone
        assert kept != text
        assert value >= 0.7
        assert value == pytest.approx(jaccard(text, kept))


@given(st.integers(0, 10_000), st.integers(20_000, 30_000))
@settings(max_examples=6, deadline=None)
def test_an_unrelated_document_removes_no_other(seed: int, stranger: int):
    texts = sorted(set(families(seed)))
    assert removed([[*texts, prose(stranger, 100)]]) == removed([texts])


def test_a_document_is_never_its_own_duplicate():
    assert removed([[prose(1), prose(2), "短"]], NearConfig()) == {}


def test_copies_of_short_texts_are_found():
    with TemporaryDirectory() as folder:
        found, _ = find(Path(folder), [["你好", "hello"], ["你好！", "Hello!", "bye"]], NearConfig())
    assert (len(found.document), set(found.jaccard.tolist()), found.cluster.tolist()) == (2, {1.0}, [2, 2])


def test_the_better_ranked_stays_and_the_rank_is_said_by_the_caller():
    long, short = prose(1) + " and more", prose(1)
    assert removed([[short, long]], NearConfig()) == {short: (long, pytest.approx(jaccard(long, short)))}
    with TemporaryDirectory() as folder:
        found, texts = find(Path(folder), [[short, long]], NearConfig(), rank=len)
    assert texts[found.document[0]] == long


def test_a_chain_is_not_fused():
    """Each is like the next one, the first is not like the last: what is unlike every kept one stays."""
    words = prose(5, 400).split()
    chain = [" ".join(words[at : at + 200]) for at in range(0, 120, 15)]
    assert jaccard(chain[0], chain[1]) > 0.8 > jaccard(chain[0], chain[2])
    with TemporaryDirectory() as folder:
        found, texts = find(Path(folder), [chain], NearConfig(), rank=chain.index)
    assert texts == chain
    assert sorted(found.document.tolist()) == [1, 3, 5, 7]
    assert all(abs(gone - kept) == 1 for gone, kept in zip(found.document, found.keeper, strict=True))


def test_pages_of_one_template_are_not_fused():
    template = prose(1, 60)
    pages = [f"{template} {prose(100 + at, 60)}" for at in range(60)]
    assert removed([pages], NearConfig()) == {}


@pytest.mark.parametrize("similarity", [0.5, 0.8, 0.95])
def test_of_the_reference_articles_just_the_true_duplicates_go(shared_data: Path, similarity: float):
    """1,000 news articles, 10 pairs: recall and precision are 1, and each removal names its true partner."""
    folder = shared_data / "neardup"
    articles = [json.loads(line) for line in (folder / "news-articles.jsonl").read_text().splitlines()]
    pairs = [json.loads(line) for line in (folder / "duplicate-pairs.jsonl").read_text().splitlines()]
    name = {article["text"]: article["id"] for article in articles}
    gone = removed([list(name)[:600], list(name)[600:]], NearConfig(similarity=similarity))
    found = {frozenset((name[text], name[kept])) for text, (kept, _) in gone.items()}
    assert found == {frozenset((pair["a"], pair["b"])) for pair in pairs}
    assert len(gone) == len(pairs) == 10


def test_of_the_reference_texts_in_many_languages_just_the_true_duplicates_go(shared_data: Path):
    lines = (shared_data / "neardup" / "tiny-multilingual.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    with TemporaryDirectory() as folder:
        found, ranked = find(Path(folder), [texts], NearConfig(), rank=texts.index)
    pairs = sorted((ranked[kept], ranked[gone]) for kept, gone in zip(found.keeper, found.document, strict=True))
    assert pairs == sorted((texts[a], texts[b]) for a, b in ((6, 11), (7, 8), (9, 10), (12, 13)))


def test_a_page_in_both_forms_of_chinese_is_kept_once():
    page = "软件里的头发后面发着台湾的声音众人说为什么国家图书馆里有许多书籍"
    other = "軟件裡的頭髮後面發著臺灣的聲音眾人說為什麼國家圖書館裡有許多書籍"
    ((gone, (kept, value)),) = removed([[page], [other]], NearConfig()).items()
    assert ({gone, kept}, value) == ({page, other}, 1.0)
    assert removed([[page], [other]], NearConfig(fold_han=False)) == {}


def test_a_cluster_has_its_size_on_record():
    original = prose(1, 300)
    with TemporaryDirectory() as folder:
        found, _ = find(
            Path(folder), [[original, *(edited(original, 0.005, copy) for copy in range(6)), prose(2)]], NearConfig()
        )
    assert found.cluster.tolist() == [7] * 6
    assert found.pairs == 6, "only the kept one is compared with the others"


class Toy:
    """Band keys in memory: uint32[bands, documents], given out in `shares` ranges of the keys."""

    def __init__(self, keys: np.ndarray, shares: int = 1) -> None:
        self.keys, self.bands, self.shares = keys, len(keys), shares

    def sorted(self, band: int):
        tagged = np.sort(join_halves(self.keys[band], np.arange(self.keys.shape[1])))
        yield from (tagged[(tagged >> HALF) % self.shares == share] for share in range(self.shares))

    def of(self, band: int) -> np.ndarray:
        return self.keys[band]


@given(st.integers(1, 6), st.integers(2, 60), st.integers(0, 1000), st.sampled_from([1, 3, 20, 10**6]))
@settings(max_examples=60, deadline=None)
def test_rounds_give_what_a_plain_greedy_walk_gives(bands: int, documents: int, seed: int, at_once: int):
    """Whatever of it is in memory at once."""
    chosen = np.random.default_rng(seed)
    keys = chosen.integers(0, 12, (bands, documents)).astype(np.uint32)
    like = np.triu(chosen.random((documents, documents)) < 0.4, 1)
    asked: list[tuple[int, int]] = []

    def prove(kept, others):
        asked.extend(zip(kept.tolist(), others.tolist(), strict=True))
        holds = like[kept, others]
        return holds, np.ones(holds.sum()), np.ones(holds.sum())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "AT_ONCE", at_once)
        edges = choose(buckets(Toy(keys, shares=1 + seed % 3)), documents, prove, 10**9)
    kept: list[int] = []
    gone = set()
    for document in range(documents):
        mates = [k for k in kept if (keys[:, k] == keys[:, document]).any() and like[k, document]]
        gone |= {document} if mates else set()
        kept += [] if mates else [document]
    assert set(edges.other[best_keeper(edges)].tolist()) == gone
    assert len(asked) == len(set(asked)) == edges.pairs, "no pair is compared twice"


def test_a_bucket_that_asks_for_too_much_is_cut_and_counted(monkeypatch: pytest.MonkeyPatch):
    keys = np.zeros((1, 300), np.uint32)

    def prove(kept, others):
        return np.zeros(len(kept), bool), np.zeros(0), np.zeros(0)

    edges = choose(buckets(Toy(keys)), 300, prove, bucket_pairs=1000)
    assert (edges.cut_buckets, edges.pairs) == (1, 299 + 298 + 297 + 296)
    monkeypatch.setattr(clusters, "LARGE_BUCKET", 10)
    both = np.stack((np.zeros(300, np.uint32), np.arange(300, dtype=np.uint32) // 2))
    (entries,) = buckets(Toy(both)).groups(10**6)
    bucket, document = halves(entries)
    assert np.bincount(bucket).tolist() == [2] * 300, "the large bucket is split by the next band's keys"
    assert document.max() == 299


def test_files_and_stretches_of_any_size_give_one_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What is in memory at once, how many files stay open: none of it is seen in what is found."""
    files = [families(seed)[:-3] for seed in (3, 4, 5, 6)]
    old = write_part(tmp_path, [text for texts in files for text in texts[:1]], source="a" * 12)
    history = [EarlierFile("corpora/web@1", signed(old, FEW))]
    for against in ((), history):
        answers = []
        for few in (False, True):
            if few:
                monkeypatch.setattr(clusters, "AT_ONCE", 5)
                monkeypatch.setattr(keys, "RANGE_ROWS", 4)
                monkeypatch.setattr(store, "MOST_OPEN", 1)
                monkeypatch.setattr(dedup_history, "AT_ONCE", 1)
            found, texts = find(tmp_path / "few", files, FEW, history=against, spill=tmp_path / "spill")
            columns = (found.document, found.keeper, found.jaccard, found.containment, found.cluster)
            rows = zip(*(column.tolist() for column in columns), found.earlier, strict=True)
            answers.append(sorted((texts[row[0]], *row[1:]) for row in rows))
        monkeypatch.undo()
        assert answers[0] == answers[1]
        assert answers[0]
    assert not list((tmp_path / "spill").iterdir()), "its files have no names: nothing is left to clear"


def test_against_history_only_the_new_are_removed_and_the_older_is_named(tmp_path: Path):
    config, old, new = NearConfig(), prose(1), edited(prose(1), 0.01)
    earlier = write_part(tmp_path, [prose(7), old, prose(8)], source="a" * 12, first=10)
    file = EarlierFile("corpora/web@1", signed(earlier, config))
    found, texts = find(tmp_path, [[new, prose(9)]], config, history=[file])
    assert [texts[at] for at in found.document] == [new]
    assert found.keeper.tolist() == [-1]
    assert (found.earlier[0].name, found.earlier[0].doc_id) == ("corpora/web@1", f"{'a' * 12}:11")
    assert found.jaccard[0] == pytest.approx(jaccard(old, new))


def test_earlier_documents_that_were_dropped_do_not_count(tmp_path: Path):
    config = NearConfig()
    path = signed(write_part(tmp_path, [prose(1), prose(2)], source="a" * 12), config)
    found, _ = find(tmp_path, [[prose(1), prose(2)]], config, history=[EarlierFile("x", path, np.array([1]))])
    assert [(said.doc_id, value) for said, value in zip(found.earlier, found.jaccard, strict=True)] == [
        (f"{'a' * 12}:1", 1.0)
    ]


def test_a_document_that_is_part_of_its_own_history_stays(tmp_path: Path):
    config = NearConfig()
    part = write_part(tmp_path, [prose(1), edited(prose(1), 0.005), prose(2)], source="0" * 12)
    path = signed(part, config)
    ranked = Ranked(np.zeros(2, np.int64), np.array([0, 2]))
    found = near_duplicates([path], ranked, config, [EarlierFile("corpora/web@1", path, np.array([0, 2]))])
    assert len(found.document) == 0
