"""A model with its objective: batch in, loss and each row's share of it out. What is trained, sharded and compiled.

    >>> model = LanguageModel(build(config, seed=17), ObjectiveConfig(), kernel="sdpa")
    >>> out = model(prepare(batch))
    >>> out["loss"].backward()

It calls the stacks of the Hugging Face model itself: a mask for each stack and a loss without all logits need that.
"""

from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from catalog.errors import BadInput
from training.models.attention import document_mask, document_masks, document_numbers, use_kernel
from training.models.losses import IGNORED, token_losses
from training.models.objectives import Batch, ObjectiveConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Precision = Literal["fp32", "bf16", "fp16"]


class Losses(TypedDict):
    """What a forward pass gives. The rows are for the record and carry no gradient."""

    loss: Tensor
    """Scalar: mean over the batch's counted tokens, z-loss included."""
    row_losses: Tensor
    """fp32 [B]: sum of the negative log-likelihoods (nats) of a row's counted tokens."""
    row_tokens: Tensor
    """int64 [B]: how many tokens were counted."""
    z_loss: Tensor
    """Scalar: the part of the loss that is z-loss."""


class LanguageModel(nn.Module):
    """A Hugging Face model, its objective and its kernel. `hf` is what is exported; it holds all weights."""

    def __init__(self, hf: "PreTrainedModel", config: ObjectiveConfig, kernel: str = "sdpa") -> None:
        super().__init__()
        if (config.kind == "spans") != (hf.config.model_type == "t5"):
            raise BadInput(f"objective {config.kind} is not for {hf.config.model_type}.")
        if (config.kind == "masked") != (hf.config.model_type in ("bert", "modernbert")):
            raise BadInput(f"objective {config.kind} is not for {hf.config.model_type}.")
        use_kernel(hf, kernel)
        self.hf: Any = hf
        self.config, self.kernel = config, kernel
        self._token_losses = token_losses

    def forward(self, batch: Batch) -> Losses:
        """The losses of a prepared batch (`objectives.objective`). Raises BadInput for rows longer than the context."""
        hidden, labels = self._states(batch), batch["labels"]
        if self.config.kind == "causal":  # the state before a token tells it
            labels = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)
        rows, length = labels.shape
        flat = hidden.reshape(rows * length, -1)
        losses, normalizers = self._token_losses(flat, self._head(), labels.reshape(-1), self.config.chunk_tokens)
        counted = (labels != IGNORED).sum(-1)
        tokens = counted.sum().clamp(min=1)
        z_loss = self.config.z_loss * normalizers.square().sum() / tokens
        return {
            "loss": losses.sum() / tokens + z_loss,
            "row_losses": losses.detach().view(rows, length).sum(-1),
            "row_tokens": counted,
            "z_loss": z_loss.detach(),
        }

    def logits(self, batch: Batch) -> Tensor:
        """All logits, [B, L, rows of the vocabulary], unshifted: for tests and evaluation."""
        return self._head()(self._states(batch))

    @property
    def layers(self) -> list[nn.Module]:
        """The repeated blocks: what is sharded, checkpointed and compiled one by one."""
        return block_list(self.hf)

    def checkpoint_activations(self, every: int = 1) -> None:
        """Compute every n-th block's activations again in the backward pass instead of keeping them."""
        self.hf.gradient_checkpointing_enable({"use_reentrant": False})
        for number, layer in enumerate(self.layers):
            layer.gradient_checkpointing = number % every == 0  # pyright: ignore[reportArgumentType]

    def compile_blocks(self, mode: str | None = None) -> None:
        """Compile each block and the loss: quick, since all blocks share one graph, and the masks stay outside."""
        for layer in self.layers:
            layer.compile(mode=mode)
        self._token_losses = torch.compile(token_losses, mode=mode)

    def fsdp_wrap_fn(self, module: nn.Module) -> bool:
        """Composer's question which modules are sharded one by one; the rest goes with the root."""
        return any(module is layer for layer in self.layers)

    def _head(self) -> nn.Linear:
        return self.hf.get_output_embeddings()

    def _states(self, batch: Batch) -> Tensor:
        """The states that the output layer reads, [B, L, width]."""
        kind, positions = self.hf.config.model_type, batch["position_ids"]
        if kind == "t5":
            return self._encoder_decoder(batch)
        if positions.shape[1] > (longest := self.hf.config.max_position_embeddings):
            raise BadInput(f"rows of {positions.shape[1]} tokens for a context of {longest}: set model.context.")
        given = document_masks(self.hf, positions, self.kernel) if self.config.documents else {}
        stack = self.hf.base_model
        found = stack(input_ids=batch["input_ids"], position_ids=positions, **given).last_hidden_state
        if kind == "bert":
            return self.hf.cls.predictions.transform(found)
        return self.hf.head(found) if kind == "modernbert" else found

    def _encoder_decoder(self, batch: Batch) -> Tensor:
        # without boundaries the objective made one document of a row, so that the numbers still set padding apart
        read, written = document_numbers(batch["position_ids"]), document_numbers(batch["decoder_position_ids"])
        encoded = self.hf.encoder(input_ids=batch["input_ids"], attention_mask=document_mask(read, read, False))
        decoded = self.hf.decoder(
            input_ids=batch["decoder_input_ids"],
            attention_mask=document_mask(written, written, True),
            encoder_hidden_states=encoded.last_hidden_state,
            encoder_attention_mask=document_mask(written, read, False),
            use_cache=False,
        ).last_hidden_state
        scaled = self.hf.config.scale_decoder_outputs
        return decoded * self.hf.config.d_model**-0.5 if scaled else decoded


def block_list(hf: Any) -> list[nn.Module]:
    """The repeated blocks of a model, encoder before decoder."""
    if hf.config.model_type == "t5":
        return [*hf.encoder.block, *hf.decoder.block]
    stack = hf.base_model
    for name in ("layers", "h"):
        if hasattr(stack, name):
            return list(getattr(stack, name))
    return list(stack.encoder.layer)
