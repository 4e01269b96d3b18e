"""A document's logits do not depend on its neighbours: every family, objective and kernel."""

import pytest
import torch
from model_toys import VOCABULARY, toy_batch, toy_model

from catalog.errors import BadInput
from training.models.attention import chosen_kernel, cumulative_lengths, document_mask, document_numbers
from training.models.build import build
from training.models.language_model import LanguageModel
from training.models.objectives import objective, objective_for

CASES = [
    ("llama", "sdpa", {}),
    ("llama", "documents", {}),
    ("llama", "documents", {"kv_heads": 2}),
    ("qwen", "sdpa", {}),
    ("qwen", "documents", {}),
    ("qwen", "sdpa", {"sliding_window": 8, "full_every": 2}),
    ("qwen", "documents", {"sliding_window": 8, "full_every": 2}),
    ("gpt2", "sdpa", {}),
    ("gpt2", "documents", {}),
    ("bert", "sdpa", {}),
    ("bert", "documents", {}),
    ("modernbert", "sdpa", {"sliding_window": 16}),
    ("modernbert", "documents", {"sliding_window": 16}),
    ("t5", "sdpa", {}),
]


def model_of(family: str, kernel: str, fields: dict, documents: bool = True) -> LanguageModel:
    config = objective_for(family).variant(documents=documents)
    return LanguageModel(build(toy_model(family, **fields), seed=3), config, kernel).eval()


def changed_logits(model: LanguageModel, place: str) -> tuple[torch.Tensor, torch.Tensor]:
    """How much the logits of row 0 change when its second document is another one, and each place's document."""
    before = objective(model.config.variant(documents=True), VOCABULARY, seed=7)(toy_batch())
    after = {name: value.clone() for name, value in before.items()}
    for ids, positions in (("input_ids", "position_ids"), ("decoder_input_ids", "decoder_position_ids")):
        if ids in after:
            second = document_numbers(after[positions])[0] == 2
            after[ids][0, second] = (after[ids][0, second] * 31 + 7) % 400 + 50
    documents = document_numbers(before[place])[0]
    if "decoder_input_ids" in before:  # padding of the decoder sees what it likes: nothing is counted there
        documents = documents.masked_fill(before["labels"][0] == -100, 2)
    if not model.config.documents:
        for batch in (before, after):
            for positions in {"position_ids", "decoder_position_ids"} & set(batch):
                batch[positions] = torch.arange(batch[positions].shape[1]).expand_as(batch[positions])
    with torch.no_grad():
        return (model.logits(after) - model.logits(before))[0].abs().amax(-1), documents


@pytest.mark.parametrize(("family", "kernel", "fields"), CASES)
def test_changing_a_document_changes_no_other(family: str, kernel: str, fields: dict):
    """Bit-equal, not close: a masked score adds an exact zero, and a document by itself never meets the others."""
    place = "decoder_position_ids" if family == "t5" else "position_ids"
    change, documents = changed_logits(model_of(family, kernel, fields), place)
    assert change[documents != 2].max() == 0
    assert change[documents == 2].max() > 0


@pytest.mark.parametrize("family", ["llama", "qwen", "gpt2", "bert", "modernbert", "t5"])
def test_without_boundaries_documents_see_each_other(family: str):
    change, _ = changed_logits(
        model_of(family, "sdpa", {}, documents=False), "decoder_position_ids" if family == "t5" else "position_ids"
    )
    assert (change > 0).float().mean() > 0.5


@pytest.mark.parametrize(
    ("family", "fields"), [(family, fields) for family, kernel, fields in CASES if kernel == "documents"]
)
def test_both_kernels_give_the_same_losses_and_gradients(family: str, fields: dict):
    found = []
    for kernel in ("sdpa", "documents"):
        model = model_of(family, kernel, fields)
        out = model(objective(model.config, VOCABULARY, seed=7)(toy_batch()))
        out["loss"].backward()
        weight = model.hf.get_input_embeddings().weight
        found.append((out["row_losses"], weight.grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "modernbert"])
def test_a_document_is_what_it_is_alone(family: str):
    """The logits of a packed document are those of a row that holds it alone."""
    model = model_of(family, "sdpa", {})
    packed = toy_batch()
    packed["original_ids"] = packed["input_ids"]
    third = document_numbers(packed["position_ids"])[0] == 3
    alone = {name: value[:1, third] for name, value in packed.items() if value.ndim == 2}
    with torch.no_grad():
        torch.testing.assert_close(model.logits(packed)[0, third], model.logits(alone)[0], rtol=1e-4, atol=1e-5)


def test_masks_by_hand():
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    documents = document_numbers(positions)
    seen = document_mask(documents, documents, causal=True, window=2)[0, 0].int().tolist()
    assert seen == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]]
    assert cumulative_lengths(torch.tensor([[0, 1, 0], [3, 4, 0]])).tolist() == [0, 2, 3, 5, 6]
    nobody = document_mask(torch.tensor([[9]]), documents, causal=False)
    assert nobody.all()


def test_a_kernel_that_cannot_be_is_refused():
    assert chosen_kernel("auto", "llama", "cpu", "fp32") == "documents"
    assert chosen_kernel("auto", "llama", "cuda", "bf16") == "documents"
    assert chosen_kernel("auto", "llama", "cuda", "fp32") == "sdpa"
    assert chosen_kernel("auto", "t5", "cuda", "bf16") == "sdpa"
    with pytest.raises(BadInput, match="t5 adds a position bias"):
        chosen_kernel("documents", "t5", "cpu", "fp32")
    with pytest.raises(BadInput, match="bf16 and fp16 only"):
        chosen_kernel("documents", "gpt2", "cuda", "fp32")


@pytest.mark.gpu
@pytest.mark.parametrize("fields", [{}, {"kv_heads": 2}])
def test_the_gpus_kernel_agrees_with_the_dense_mask(fields: dict):
    found = []
    for kernel in ("sdpa", "documents"):
        model = model_of("llama", kernel, fields).cuda()
        batch = {name: value.cuda() for name, value in objective(model.config, VOCABULARY, 7)(toy_batch()).items()}
        with torch.autocast("cuda", torch.bfloat16):
            found.append(model(batch)["row_losses"])
    torch.testing.assert_close(found[0], found[1], rtol=2e-2, atol=1e-1)
