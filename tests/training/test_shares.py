"""Shares: bounds are kept, sizes decide the rest, what cannot be is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import BadInput
from training.mixtures.config import Bounds, parse_shares
from training.mixtures.shares import apportion, solve

SIZES = {"web": 700, "encyclopedia": 250, "code": 50}


def test_without_bounds_shares_follow_sizes():
    assert solve(SIZES, {}) == pytest.approx({"web": 0.7, "encyclopedia": 0.25, "code": 0.05})


def test_the_example_of_the_readme():
    found = solve(SIZES, parse_shares("web=0.5, encyclopedia<=0.4, code=0.1"))
    assert found == pytest.approx({"web": 0.5, "encyclopedia": 0.4, "code": 0.1})


def test_a_star_stands_for_groups_that_are_not_named():
    assert solve(SIZES, parse_shares("code=20%, *<=0.5")) == pytest.approx(
        {"web": 0.5, "encyclopedia": 0.3, "code": 0.2}
    )
    assert solve(SIZES, parse_shares("web=1,*=0"))["code"] == 0


def test_temperature_gives_small_groups_more():
    shares = solve({"a": 900, "b": 100}, {}, temperature=2)
    assert shares == pytest.approx({"a": 0.75, "b": 0.25})  # 30 : 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web", "not a share: 'web'"),
        ("web=1.5", "between 0 and 1"),
        ("web>=0.5,web<=0.2", "a floor not above its cap"),
        ("web=1e", "not a number"),
        ("web=0.5;code=0.5", "not a share"),
    ],
)
def test_shares_that_are_not_understood(text, said):
    with pytest.raises(BadInput, match=said):
        parse_shares(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("web=0.9,code=0.2", "sum to 1.1: more than 1"),
        ("web<=0.5,*<=0.1", "sum to 0.7, less than 1"),
        ("wev=0.5", "no tokens of wev. Did you mean: web"),
    ],
)
def test_shares_that_cannot_be(text, said):
    with pytest.raises(BadInput, match=said):
        solve(SIZES, parse_shares(text))


def test_a_bound_on_epochs_gives_to_others():
    assert solve({"a": 900, "b": 100}, {}, caps={"a": 1.0, "b": 0.04}) == pytest.approx({"a": 0.96, "b": 0.04})
    with pytest.raises(BadInput, match=r"b: a share of 0.5 is more epochs over it than max_epochs allows"):
        solve({"a": 900, "b": 100}, {"b": Bounds(0.5, 0.5)}, caps={"a": 1.0, "b": 0.04})


def test_temperatures_of_any_size_keep_bounds():
    sizes = {"a": 10**12, "b": 10**11, "c": 10}
    assert solve(sizes, {}, 1e-6) == pytest.approx({"a": 1, "b": 0, "c": 0})
    assert solve(sizes, {"a": Bounds(0, 0.5)}, 1e-6) == pytest.approx({"a": 0.5, "b": 0.5, "c": 0})
    assert solve(sizes, {}, float("inf")) == pytest.approx(dict.fromkeys(sizes, 1 / 3))


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 10**12), min_size=1, max_size=6),
    bounds=st.lists(st.tuples(st.integers(0, 50), st.integers(50, 100)), min_size=6, max_size=6),
    temperature=st.floats(0.5, 5),
)
def test_shares_sum_to_one_within_their_bounds(sizes, bounds, temperature):
    groups = {str(number): size for number, size in enumerate(sizes)}
    percent = [bounds[int(name)] for name in groups]
    asked = {name: Bounds(least / 100, most / 100) for name, (least, most) in zip(groups, percent, strict=True)}
    if sum(least for least, _ in percent) > 100 or sum(most for _, most in percent) < 100:
        with pytest.raises(BadInput):
            solve(groups, asked, temperature)
        return
    shares = solve(groups, asked, temperature)
    assert sum(shares.values()) == pytest.approx(1)
    free = {name for name, share in shares.items() if asked[name].least + 1e-6 < share < asked[name].most - 1e-6}
    for name, share in shares.items():
        assert asked[name].least - 1e-6 <= share <= asked[name].most + 1e-6
    weights = {name: groups[name] ** (1 / temperature) for name in free}
    for name in free:  # free groups share in proportion to their weights
        assert shares[name] / sum(shares[n] for n in free) == pytest.approx(
            weights[name] / sum(weights.values()), rel=1e-3
        )


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 1000), min_size=1), st.integers(0, 10**6))
def test_whole_numbers_sum_up_and_are_near(weights, total):
    shares = {name: weight / sum(weights.values()) for name, weight in weights.items()}
    dealt = apportion(shares, total)
    assert sum(dealt.values()) == total
    assert all(abs(dealt[name] - shares[name] * total) < 1 + 1e-6 for name in shares)
