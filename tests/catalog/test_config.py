"""Setting fields from a command line: paths, short names, near names, types."""

import pytest
from pydantic import model_validator

from catalog.config import Config, set_fields
from catalog.errors import BadInput, UnknownField


class Limit(Config):
    name: str
    threshold: float
    op: str = "<"


class Inner(Config):
    depth: int = 3
    on: bool = True
    files: tuple[str, ...] = ()


class Outer(Config):
    title: str = "x"
    depth: int = 1
    inner: Inner = Inner()
    limits: tuple[Limit, ...] = (Limit(name="min_words", threshold=50), Limit(name="max_words", threshold=9))


def test_dotted_and_short_names():
    config = set_fields(Outer(), ["inner.depth=7", "title=3", "on=false", "files=a b,c"])
    assert (config.inner.depth, config.depth, config.title) == (7, 1, "3")
    assert (config.inner.on, config.inner.files) == (False, ("a b", "c"))


def test_the_shallowest_of_equal_names_is_meant():
    assert set_fields(Outer(), ["depth=5"]).depth == 5


def test_an_element_is_named_by_its_name_and_its_threshold_set():
    config = set_fields(Outer(), ["min_words=80", "limits.max_words.op=>"])
    assert [limit.threshold for limit in config.limits] == [80, 9]
    assert config.limits[1].op == ">"


def test_an_unknown_field_lists_near_names():
    with pytest.raises(UnknownField, match="min_words"):
        set_fields(Outer(), ["min_word=3"])


def test_a_name_that_could_be_two_asks_which():
    with pytest.raises(BadInput, match=r"limits\.min_words\.op, limits\.max_words\.op"):
        set_fields(Outer(), ["op=>"])


@pytest.mark.parametrize("bad", ["inner.depth=many", "on=perhaps"])
def test_a_value_that_does_not_fit_is_named(bad: str):
    with pytest.raises(BadInput, match="does not fit"):
        set_fields(Outer(), [bad])


def test_what_is_no_assignment_is_refused():
    with pytest.raises(BadInput, match="field=value"):
        set_fields(Outer(), ["depth"])


class Even(Config):
    heads: int = 4
    groups: int = 4

    @model_validator(mode="after")
    def _fits(self):
        if self.heads % self.groups:
            raise ValueError(f"{self.groups} groups of {self.heads} heads")
        return self


def test_fields_that_fit_only_together_are_set_together_in_any_order():
    for order in (["heads=6", "groups=6"], ["groups=6", "heads=6"]):
        assert set_fields(Even(), order) == Even(heads=6, groups=6)
    with pytest.raises(BadInput, match=r"heads='6', groups='5' does not fit: Value error, 5 groups of 6 heads"):
        set_fields(Even(), ["heads=6", "groups=5"])
