"""What a model is asked: the same for any batch size, order and world; shares, spans and losses add up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from model_toys import VOCABULARY, toy_batch, toy_model

from catalog.errors import BadInput
from training.models.build import build
from training.models.language_model import LanguageModel
from training.models.losses import token_losses
from training.models.objectives import (
    IGNORED,
    ObjectiveConfig,
    Vocabulary,
    corrupt,
    count_loss_tokens,
    objective,
    objective_for,
)

MASKED, SPANS = ObjectiveConfig(kind="masked"), ObjectiveConfig(kind="spans")


def row_of(batch: dict, row: int) -> dict:
    return {name: value[row : row + 1] for name, value in batch.items()}


@pytest.mark.parametrize("config", [ObjectiveConfig(), MASKED, SPANS])
def test_a_row_is_asked_the_same_alone_as_in_a_batch(config: ObjectiveConfig):
    prepare, batch = objective(config, VOCABULARY, seed=3), toy_batch(rows=3)
    together, again = prepare(batch), prepare(batch)
    for row in range(3):
        alone = prepare(row_of(batch, row))
        for name in ("input_ids", "labels", "position_ids"):
            width = alone[name].shape[1]
            assert torch.equal(together[name], again[name])
            assert torch.equal(together[name][row, :width], alone[name][0]), (name, row)


@pytest.mark.parametrize("config", [MASKED, SPANS])
def test_another_seed_epoch_or_sample_asks_something_else(config: ObjectiveConfig):
    batch = toy_batch()
    base = objective(config, VOCABULARY, seed=3)(batch)["input_ids"]
    others = [
        objective(config, VOCABULARY, seed=4)(batch),
        objective(config, VOCABULARY, seed=3)({**batch, "epoch": torch.ones(2, dtype=torch.int64)}),
        objective(config, VOCABULARY, seed=3)({**batch, "sample_id": batch["sample_id"] + 1}),
    ]
    for other in others:
        assert base.shape != other["input_ids"].shape or not torch.equal(base, other["input_ids"])


@pytest.mark.parametrize("rate", [0.15, 0.30])
def test_masks_are_80_10_10_of_the_rate(rate: float):
    batch = toy_batch(rows=64, length=512, documents=3)
    out = objective(MASKED.variant(rate=rate), VOCABULARY, seed=1)(batch)
    target = out["labels"] != IGNORED
    ids, free = batch["input_ids"], batch["input_ids"] > VOCABULARY.pad_id
    assert not (target & ~free).any()
    assert torch.equal(out["labels"][target], ids[target])
    assert torch.equal(out["input_ids"][~target], ids[~target])
    assert torch.equal(out["original_ids"], ids)
    share = target.sum() / free.sum()
    masked = (out["input_ids"][target] == VOCABULARY.mask_id).float().mean()
    kept = (out["input_ids"][target] == ids[target]).float().mean()
    assert abs(share - rate) < 0.01
    assert abs(masked - 0.8) < 0.02
    assert abs(kept - 0.1) < 0.02


def test_the_first_token_of_a_document_is_no_label_where_boundaries_hold():
    batch = {**toy_batch(), "labels": toy_batch()["input_ids"]}
    inside, across = (objective(ObjectiveConfig(documents=on), VOCABULARY, 1)(batch) for on in (True, False))
    assert (inside["labels"][batch["position_ids"] == 0] == IGNORED).all()
    assert (across["labels"] != IGNORED).all()
    assert torch.equal(across["position_ids"][0], torch.arange(96))


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 400), st.integers(0, 2**40), st.sampled_from([0.05, 0.15, 0.5]), st.integers(1, 10))
def test_corrupted_tokens_and_targets_hold_the_document(length: int, seed: int, rate: float, mean_span: int):
    """Putting each span back in place of its sentinel gives the document."""
    ids = np.arange(1000, 1000 + length)
    config = ObjectiveConfig(kind="spans", rate=rate, mean_span=mean_span)
    inputs, targets = corrupt(ids, config, VOCABULARY, np.random.default_rng(seed))
    assert targets[-1] == VOCABULARY.eos_id
    spans, current = {}, None
    for token in targets[:-1]:
        if token in VOCABULARY.sentinel_ids:
            current = spans.setdefault(token, [])
        else:
            current.append(token)
    assert list(spans) == list(VOCABULARY.sentinel_ids[: len(spans)])
    whole = [piece for token in inputs for piece in spans.get(token, [token])]
    assert whole == ids.tolist()


def test_spans_have_the_share_and_length_of_the_paper():
    vocabulary = Vocabulary(size=512, eos_id=0, pad_id=1, sentinel_ids=tuple(range(3, 200)))
    inputs, targets = corrupt(np.arange(1000, 2000), SPANS, vocabulary, np.random.default_rng(0))
    spans = int((inputs < 1000).sum())
    assert spans == 50
    assert len(targets) == 150 + spans + 1


def test_a_tokenizer_without_masks_or_sentinels_is_refused():
    plain = Vocabulary(size=512, eos_id=0, pad_id=1)
    with pytest.raises(BadInput, match="no <mask>"):
        objective(MASKED, plain, 1)
    with pytest.raises(BadInput, match="no sentinels"):
        objective(SPANS, plain, 1)
    with pytest.raises(BadInput, match="objective masked is not for llama"):
        LanguageModel(build(toy_model("llama"), device="meta"), MASKED)


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2", "bert", "modernbert", "t5"])
def test_our_loss_is_transformers_own(family: str):
    """One document a row and no padding: transformers' own forward and loss must give the same number."""
    config = objective_for(family)
    model = LanguageModel(build(toy_model(family), seed=2), config)
    batch = toy_batch(rows=2, length=128, documents=1)
    batch["input_ids"][-1, -5:] = 60
    batch["labels"] = batch["input_ids"].masked_fill(batch["position_ids"] == 0, IGNORED)
    prepared = objective(config, VOCABULARY, 5)(batch)
    out = model(prepared)
    if family == "t5":
        whole = prepared["labels"].shape[1]
        mask = (prepared["input_ids"] != VOCABULARY.pad_id).long()
        given = {"attention_mask": mask, "decoder_input_ids": prepared["decoder_input_ids"][:, :whole]}
    else:
        given = {}
    theirs = model.hf(input_ids=prepared["input_ids"], labels=prepared["labels"], **given).loss
    torch.testing.assert_close(out["loss"], theirs, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out["row_losses"].sum() / out["row_tokens"].sum(), theirs.detach(), rtol=1e-5, atol=1e-5)
    assert int(out["row_tokens"].sum()) == count_loss_tokens(prepared)


@pytest.mark.parametrize("bias", [False, True])
def test_chunks_give_the_same_losses_and_gradients(bias: bool):
    torch.manual_seed(0)
    head, hidden = torch.nn.Linear(32, 300, bias=bias), torch.randn(70, 32, requires_grad=True)
    labels = torch.randint(0, 300, (70,))
    labels[::7] = IGNORED
    found = []
    for chunk in (0, 16):
        head.zero_grad()
        hidden.grad = None
        losses, normalizers = token_losses(hidden, head, labels, chunk)
        (losses.sum() + 1e-2 * normalizers.square().sum()).backward()
        found.append((losses, normalizers, hidden.grad, *(weight.grad for weight in head.parameters())))
    for whole, chunked in zip(*found, strict=True):
        torch.testing.assert_close(whole, chunked)
    expected = torch.nn.functional.cross_entropy(head(hidden), labels, ignore_index=IGNORED, reduction="none")
    torch.testing.assert_close(found[0][0], expected)


def test_z_loss_is_its_weight_times_the_squared_normalizer():
    batch = toy_batch()
    plain, with_z = (
        LanguageModel(build(toy_model("llama"), seed=2), ObjectiveConfig(z_loss=weight))(
            objective(ObjectiveConfig(), VOCABULARY, 1)(batch)
        )
        for weight in (0.0, 1e-4)
    )
    assert with_z["z_loss"] > 0
    torch.testing.assert_close(with_z["loss"] - with_z["z_loss"], plain["loss"])
    assert torch.equal(with_z["row_losses"], plain["row_losses"])


def test_activations_computed_again_give_the_same_gradients():
    batch = objective(ObjectiveConfig(), VOCABULARY, 1)(toy_batch())
    grads = []
    for every in (0, 1, 2):
        model = LanguageModel(build(toy_model("llama", layers=3), seed=2), ObjectiveConfig(), "documents")
        if every:
            model.checkpoint_activations(every)
        model(batch)["loss"].backward()
        grads.append(model.hf.get_input_embeddings().weight.grad)
    assert torch.equal(grads[0], grads[1])
    assert torch.equal(grads[0], grads[2])


@pytest.mark.slow
def test_compiled_blocks_and_loss_give_the_same():
    config, found = ObjectiveConfig(chunk_tokens=64), []
    batch = objective(config, VOCABULARY, 1)(toy_batch())
    for compiled in (False, True):
        model = LanguageModel(build(toy_model("llama"), seed=2), config)
        model.checkpoint_activations(2)
        if compiled:
            model.compile_blocks()
        out = model(batch)
        out["loss"].backward()
        found.append((out["row_losses"], model.hf.get_input_embeddings().weight.grad))
    for plain, fused in zip(*found, strict=True):
        torch.testing.assert_close(plain, fused, rtol=1e-4, atol=1e-5)
