"""Loss, bits a byte and perplexity, from sums that add up over batches and processes."""

import math

import pytest
import torch

from eval.likelihood import Sums, rates, score


def test_groups_are_summed_over_batches_and_all_weighs_tokens_alike():
    batches = [("web", ([8.0, 4.0], [4, 2]), 24.0), ("code", ([1.0], [2]), 5.0), ("web", ([6.0], [3]), 12.0)]
    sums = score(lambda batch: (torch.tensor(batch[0]), torch.tensor(batch[1])), batches)
    assert sums == {"web": Sums(18.0, 9.0, 36.0), "code": Sums(1.0, 2.0, 5.0)}
    found = rates(sums)
    assert found["web"]["loss"] == 2.0
    assert found["web"]["bits_per_byte"] == pytest.approx(18 / math.log(2) / 36)
    assert found["all"] == {
        "loss": pytest.approx(19 / 11),
        "bits_per_byte": pytest.approx(19 / math.log(2) / 41),
        "perplexity": pytest.approx(math.exp(19 / 11)),
        "tokens": 11.0,
    }


def test_bits_a_byte_do_not_depend_on_the_tokenizer():
    """The same text in half as many tokens, each with twice the loss."""
    few, many = rates({"x": Sums(12.0, 3.0, 20.0)})["x"], rates({"x": Sums(12.0, 6.0, 20.0)})["x"]
    assert few["bits_per_byte"] == many["bits_per_byte"]
    assert few["loss"] == 2 * many["loss"]


def test_text_without_bytes_or_tokens_gives_no_false_number():
    found = rates({"none": Sums(), "marks": Sums(3.0, 2.0, 0.0)})
    assert "none" not in found
    assert math.isnan(found["marks"]["bits_per_byte"])
    assert math.isfinite(rates({"x": Sums(1e9, 1.0, 1.0)})["x"]["perplexity"])
