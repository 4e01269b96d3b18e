"""The loss on answers, of the logits that it is taken of and no others.

    class Sft(OnAnswers, SFTTrainer): ...

A fifth of the tokens of a conversation are its answers, and on a CPU the output layer is half of a small model's step:
TRL's scores every token there (on a GPU it leaves out the others itself).
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from training.loader.batches import IGNORED


class OnAnswers:
    """Mixed into TRL's SFTTrainer: the same loss and metrics for less work."""

    accelerator: Any
    args: Any
    _metrics: Any

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """TRL's loss and metrics."""
        if self.accelerator.device.type != "cpu":
            return super().compute_loss(model, inputs, *args, **kwargs)  # type: ignore[misc]
        logits, labels = self.answered(model, inputs), answers_of(inputs)
        told = torch.log_softmax(logits, -1)
        with torch.no_grad():
            own = [-(told.exp() * told).sum(), (logits.argmax(-1) == labels).sum(), told.new_tensor(len(labels))]
            gathered: Any = self.accelerator.gather_for_metrics(torch.stack(own)[None])
            entropy, right, count = gathered.sum(0).tolist()
        metrics = self._metrics["train" if model.training else "eval"]
        metrics["entropy"].append(entropy / max(count, 1))
        metrics["mean_token_accuracy"].append(right / max(count, 1))
        return self.mean_of(nn.functional.nll_loss(told, labels, reduction="sum"), labels, args, kwargs)

    def answered(self, model: nn.Module, inputs: Any) -> Tensor:
        """The logits of the tokens that a loss is taken of, fp32 [tokens, vocabulary], of this model or a teacher."""
        counted = shifted(inputs["labels"]) != IGNORED
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        hook = head.register_forward_pre_hook(lambda _, given: (given[0][counted], *given[1:]))
        try:
            given = {name: value for name, value in inputs.items() if name != "labels"}
            return model(**given, use_cache=False).logits.float()
        finally:
            hook.remove()

    def mean_of(self, summed: Tensor, labels: Tensor, args: Sequence[Any], kwargs: dict[str, Any]) -> Tensor:
        """A sum over answers' tokens as their mean over the whole batch: all micro-batches, all processes."""
        count = kwargs.get("num_items_in_batch") or (args[1] if len(args) > 1 else None)
        if count is None:
            return summed / max(len(labels), 1)
        scale = self.accelerator.num_processes if self.args.average_tokens_across_devices else 1
        return summed / torch.as_tensor(count, device=summed.device).clamp(min=1) * scale


def shifted(labels: Tensor) -> Tensor:
    """Labels where they are told: at the token before."""
    return nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def answers_of(inputs: Any) -> Tensor:
    """The tokens that a loss is taken of, in the order of `Sft.answered`."""
    labels = shifted(inputs["labels"])
    return labels[labels != IGNORED]
