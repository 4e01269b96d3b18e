"""Attention that stops at document boundaries: a token sees the tokens of its own document and no other.

    >>> hf = build(config)
    >>> use_kernel(hf, "documents")
    >>> masks = document_masks(hf, position_ids, "documents")       # arguments for the model's forward

Documents are where `position_ids` restart at 0. What transformers 5.17 does alone is not enough: `create_causal_mask`
finds restarts for any batch size, but only with no attention mask and no cache of keys (it is on by default, and
then boundaries are ignored without a word); encoders (bert, modernbert, t5) never look at positions; the flash kernels
look at them for a batch of one row only. So the masks are made here, for every family.

Two kernels: `sdpa` takes a dense boolean mask (any device and dtype, memory grows with the square of the length), and
`documents` computes each document by itself: `torch.nn.attention.varlen` on a GPU in bf16 or fp16, one call a document
elsewhere. t5 adds a position bias to every score, which `varlen` cannot, and has `sdpa` only.
"""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from catalog.errors import BadInput

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kernel = Literal["auto", "sdpa", "documents"]
NAME = "millrace_documents"
HALF = (torch.bfloat16, torch.float16)


def document_numbers(position_ids: Tensor) -> Tensor:
    """The number of each token's document within its row, from 1; int64 [B, L]."""
    return (position_ids == 0).cumsum(-1)


def document_mask(queries: Tensor, keys: Tensor, causal: bool, window: int = 0) -> Tensor:
    """Which key each query may see: bool [B, 1, Q, K], from the document numbers of both ([B, Q] and [B, K]).

    A window of w tokens lets a causal query see itself and w - 1 before it, any other w - 1 each side. A query with
    no key at all (padding of an encoder-decoder) sees every key: an empty row would be NaN in some kernels.
    """
    mask = queries[:, :, None] == keys[:, None, :]
    if causal or window:
        distance = (
            torch.arange(queries.shape[1], device=mask.device)[:, None]
            - torch.arange(keys.shape[1], device=mask.device)[None]
        )
        if causal:
            mask = mask & (distance >= 0)
        if window:
            mask = mask & (distance.abs() < window)
    return (mask | ~mask.any(-1, keepdim=True))[:, None]


def cumulative_lengths(position_ids: Tensor) -> Tensor:
    """Where documents start in the flattened batch, and its end: int32 [documents + 1]."""
    starts = position_ids == 0
    starts[:, 0] = True
    ends = torch.tensor([position_ids.numel()], device=position_ids.device)
    return torch.cat([starts.flatten().nonzero().flatten(), ends]).to(torch.int32)


def chosen_kernel(kernel: Kernel, family: str, device: str, precision: str) -> str:
    """`sdpa` or `documents`; auto takes `documents` where it can. Raises BadInput where what is asked for cannot be."""
    refused = ""
    if family == "t5":
        refused = "t5 adds a position bias to every score"
    elif device == "cuda" and precision == "fp32":
        refused = "the GPU's kernel has bf16 and fp16 only"
    if kernel == "documents" and refused:
        raise BadInput(f"attention.kernel=documents: {refused}. Take attention.kernel=sdpa.")
    return ("sdpa" if refused else "documents") if kernel == "auto" else kernel


def use_kernel(hf: "PreTrainedModel", kernel: str) -> None:
    """Let a model attend by a kernel."""
    from transformers import AttentionInterface

    if kernel == "documents":
        AttentionInterface.register(NAME, _documents)
    hf.set_attn_implementation(NAME if kernel == "documents" else "sdpa")


def document_masks(hf: "PreTrainedModel", position_ids: Tensor, kernel: str) -> dict[str, object]:
    """What a decoder or encoder of one stack is given so that its attention stops at boundaries."""
    if kernel == "documents":
        return {"cu_seq_lens_q": cumulative_lengths(position_ids), "attention_mask": None}
    documents, kind = document_numbers(position_ids), hf.config.model_type
    causal = kind not in ("bert", "modernbert")
    full = document_mask(documents, documents, causal)
    window = getattr(hf.config, "sliding_window", None) or 0
    if kind == "modernbert":  # its layers see `sliding_window` tokens to either side, and themselves
        near = document_mask(documents, documents, False, window + 1)
        return {"attention_mask": {"full_attention": full, "sliding_attention": near}}
    if window and kind == "mistral":  # every layer has the window
        return {"attention_mask": document_mask(documents, documents, True, window)}
    if kind in ("qwen2", "qwen3"):
        masks = {"full_attention": full}
        if window and "sliding_attention" in hf.config.layer_types:
            masks["sliding_attention"] = document_mask(documents, documents, True, window)
        return {"attention_mask": masks}
    return {"attention_mask": full}


def _documents(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention by documents, as transformers calls it: [B, heads, L, width] in, [B, L, heads, width] out."""
    batch, _heads, length, _width = query.shape
    causal = bool(getattr(module, "is_causal", True))
    if cu_seq_lens_q is None:  # no boundaries asked for: every row is one document
        cu_seq_lens_q = torch.arange(0, batch * length + 1, length, device=query.device, dtype=torch.int32)
    flat = [states.transpose(1, 2).flatten(0, 1) for states in (query, key, value)]
    run = _varlen if query.device.type == "cuda" else _one_by_one
    out = run(flat, cu_seq_lens_q, length, causal, sliding_window or 0, scaling)
    return out.unflatten(0, (batch, length)), None


def _varlen(
    flat: list[Tensor], starts: Tensor, length: int, causal: bool, window: int, scaling: float | None
) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # rotary positions leave queries and keys in fp32 under autocast, values in half: the kernel wants one dtype
    dtype = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else flat[2].dtype
    query, key, value = (states.to(dtype) for states in flat)
    back = window - 1 if window else -1
    return varlen_attn(  # pyright: ignore[reportReturnType]
        query,
        key,
        value,
        starts,
        starts,
        length,
        length,
        scale=scaling,
        window_size=(back, 0 if causal else back),
        enable_gqa=query.shape[1] != key.shape[1],
    )


def _one_by_one(
    flat: list[Tensor], starts: Tensor, length: int, causal: bool, window: int, scaling: float | None
) -> Tensor:
    """A call a document: on a CPU that is less work than a dense mask, whose masked scores are computed too."""
    lengths = starts.diff().tolist()
    outs = []
    for query, key, value in zip(*(states.split(lengths) for states in flat), strict=True):
        mask = None
        if window and query.shape[0] > window:
            number = torch.zeros(1, query.shape[0], dtype=torch.int64, device=query.device)
            mask = document_mask(number, number, causal, window)
        out = torch.nn.functional.scaled_dot_product_attention(
            *(states.transpose(0, 1)[None] for states in (query, key, value)),
            attn_mask=mask,
            is_causal=causal and mask is None,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        outs.append(out[0].transpose(0, 1))
    return torch.cat(outs)
