"""The paired bootstrap, the page, and what is held out of both arms."""

import numpy as np
import pytest
from mixture_toys import toy_tokens

from catalog.home import Home
from configs.stories.ablate import small
from eval.comparison import printed, write_page
from eval.paired import compare
from training.tokens.config import TokensConfig
from training.tokens.job import tokenize
from training.tokens.reading import load_tokens
from training.tokens.texts import left_out

SIZES = np.full(200, 100.0)


def nats(mean: float, spread: float = 5.0, seeds: int = 3, seed: int = 0) -> np.ndarray:
    """Documents of different difficulty, the same for both arms, and seeds that differ a little."""
    hard = np.random.default_rng(99).normal(0, 40, 200)
    chosen = np.random.default_rng(seed)
    return 150 + mean + hard + chosen.normal(0, spread, (seeds, 200)) + chosen.normal(0, 0.5, (seeds, 1))


def test_a_real_difference_is_found_though_documents_differ_far_more():
    found = compare(nats(-5), nats(0, seed=1), SIZES, ["web"] * 200, replicates=2000)["web"]
    assert (found.verdict, found.documents) == ("a", 200)
    assert found.low < found.difference < found.high < 0
    assert found.difference == pytest.approx(-5 / 100 / np.log(2), abs=0.02)
    assert compare(nats(0, seed=1), nats(-5), SIZES, ["web"] * 200, replicates=2000)["web"].verdict == "b"


def test_no_difference_is_an_answer():
    both = nats(0)
    same = compare(both, both, SIZES, ["web"] * 200, replicates=500)["web"]
    assert (same.verdict, same.difference, same.low, same.high) == ("no difference", 0, 0, 0)
    verdicts = [
        compare(nats(0, seed=n), nats(0, seed=n + 100), SIZES, ["web"] * 200, replicates=500)["web"].verdict
        for n in range(20)
    ]
    assert verdicts.count("no difference") >= 14


def test_seeds_that_disagree_widen_the_interval():
    a, b = nats(-2), nats(0, seed=1)
    calm = compare(a, b, SIZES, ["web"] * 200, replicates=2000)["web"]
    wild = compare(a + np.array([[-10.0], [0], [10]]), b, SIZES, ["web"] * 200, replicates=2000)["web"]
    assert wild.high - wild.low > 2 * (calm.high - calm.low)


def test_groups_are_compared_apart_and_together_and_the_page_says_so(tmp_path):
    groups = ["code"] * 50 + ["web"] * 150
    a, b = nats(0), nats(0, seed=1)
    a[:, :50] -= 20
    found = compare(a, b, SIZES, groups, replicates=1000)
    assert [*found] == ["code", "web", "all"]
    assert (found["code"].verdict, found["code"].documents, found["all"].documents) == ("a", 50, 200)
    shown = printed({"all held-out text": found}, ("docs@1", "raw@1"))
    assert "docs@1 is better" in shown
    write_page(tmp_path / "report.html", "x", ("docs@1", "<raw>@1"), {"all": found}, [("Seeds", "1, 2, 3")])
    page = (tmp_path / "report.html").read_text()
    assert "docs@1 is better" in page
    assert "<raw>" not in page
    assert "<script" not in page


def test_documents_left_out_get_no_tokens_and_the_rest_all(home: Home, tmp_path):
    toy_tokens(home, tmp_path)
    whole = load_tokens(home, "toy@1")
    config = TokensConfig(name="part", corpus=("toy",), tokenizer=str(tmp_path / "tokenizer"), sequence_length=64)
    done = tokenize(config.variant(leave_out=0.25, workers=1), home).record
    from catalog.store import Catalog

    with Catalog.open(home) as catalog:
        sums = "SELECT doc_id, sum(length) FROM samples WHERE tokens_id = '{}' GROUP BY 1"
        every = dict(catalog.con.execute(sums.format(whole.ref)).fetchall())
        part = dict(catalog.con.execute(sums.format("part@1")).fetchall())
    assert part == {doc_id: tokens for doc_id, tokens in every.items() if not left_out(doc_id, 0.25)}
    assert 0 < len(part) < len(every)
    assert done.counts["documents"] == 300
    assert 30 < int(str(done.counts["left_out_documents"])) < 120
    assert "leave_out" in done.config


def test_what_is_left_out_does_not_depend_on_the_corpus():
    ids = [f"{number:012d}:7" for number in range(2000)]
    assert sum(left_out(one, 0.1) for one in ids) == pytest.approx(200, abs=50)
    assert {one for one in ids if left_out(one, 0.1)} <= {one for one in ids if left_out(one, 0.2)}
    assert not any(left_out(one, 0.0) for one in ids)


def test_a_preset_gives_both_arms_their_shape():
    assert small("tiny").shape.hidden_size == 256
    assert small("tiny").variant(tokens=20_000, batch_tokens=8192).steps == 2
