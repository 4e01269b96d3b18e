"""The adapters between our runs and TRL: one function fills the arguments, one each makes a method's trainer.

>>> trainer = trainer_for(job, model, rows, tape, keeper, hands)

Importing it takes seconds, since it imports TRL. The data that a trainer gets is ready: `_prepare_dataset` is passed
over, and each batch comes from our collators in our order, so that what is on record is what was read.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments
from trl.trainer.distillation_config import DistillationConfig
from trl.trainer.distillation_trainer import DistillationTrainer
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DataCollatorForPreference, DPOTrainer
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference, KTOTrainer
from trl.trainer.reward_config import RewardConfig
from trl.trainer.reward_trainer import DataCollatorForPreference as DataCollatorForRanks
from trl.trainer.reward_trainer import RewardTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from training.tuning.answers import OnAnswers, answers_of
from training.tuning.batches import Asked, Joined, PackedRows, Rows, classes_collator, with_rotated_answers
from training.tuning.job import Job, rows_at_once, scored_at_once
from training.tuning.models import adapter_of, load_folder
from training.tuning.rewards import Passes, as_trl, rewards
from training.tuning.tape import Keeper, Tape, check_loss, marks_of


class Recorded:
    """Mixed into a trainer: what a step reads goes on the tape, held-out rows are scored by the keeper."""

    tape: Tape
    keeper: Keeper
    name_rows: Callable[[], str]
    ordered = True
    """Whether rows are read as they stand; trainers that write repeat each for its answers by themselves."""

    def training_step(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Take down, then train; a loss that is not finite ends the run before the optimizer's step."""
        step = self.state.global_step + 1  # type: ignore[attr-defined]
        self.tape.batch(step, inputs)
        loss = super().training_step(model, inputs, *args, **kwargs)  # type: ignore[misc]
        worst = self.accelerator.gather(loss.detach().reshape(1)).sum()  # type: ignore[attr-defined]
        check_loss(worst, step, self.name_rows)
        return loss

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Asked by the Trainer between two steps."""
        self.keeper.look(self.state.global_step, self.control)  # type: ignore[attr-defined]
        return {}

    def scores(self) -> dict[str, float]:
        """The trainer's own evaluation of its held-out rows, without the prefix of the names."""
        found = super().evaluate()  # type: ignore[misc]
        return {name.removeprefix("eval_"): float(value) for name, value in found.items()}

    def prediction_step(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Held-out rows go on no record; between two batches of them a run can end."""
        self.keeper.raise_if_asked()
        if isinstance(inputs, dict):
            marks_of(inputs)
        return super().prediction_step(model, inputs, *args, **kwargs)  # type: ignore[misc]

    def _prepare_dataset(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return dataset

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        if self.ordered:
            return SequentialSampler(self.train_dataset)  # type: ignore[attr-defined]
        return super()._get_train_sampler(*args, **kwargs)  # type: ignore[misc]


class Sft(Recorded, OnAnswers, SFTTrainer):
    """Loss on answers."""


class Dpo(Recorded, DPOTrainer):
    """Chosen against rejected."""


class Kto(Recorded, KTOTrainer):
    """Good or bad, one at a time."""


class Reward(Recorded, RewardTrainer):
    """A number for a whole text."""


class Writing(Recorded):
    """A method that learns from what the model writes, to prompts as they were counted: TRL would leave out tools."""

    ordered = False

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._asked = [row["asked_ids"] for row in inputs]
        made = super()._generate_and_score_completions(inputs)  # type: ignore[misc]
        self.tape.written(int(made["prompt_mask"].sum() + made["completion_mask"].sum()))
        return made

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[list[int]], None, dict[str, Any]]:
        return self._asked, None, {}


class Grpo(Writing, GRPOTrainer):
    """Answers to a prompt against one another."""


class OnPolicy(Writing, DistillationTrainer):
    """A teacher's word on what the student writes."""


class Classifier(Recorded, Trainer):
    """Cross entropy over classes."""


class Logits(Sft):
    """A teacher's distribution beside the dataset's tokens: weight · T² · KL + (1 - weight) · CE (arXiv 1503.02531)."""

    teacher: nn.Module
    weight: float
    temperature: float

    def compute_loss(self, model: nn.Module, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Both parts over the trained tokens of a batch."""
        student, labels = self.answered(model, inputs), answers_of(inputs)
        with torch.no_grad():
            taught = self.answered(self.teacher, inputs)
        hard = nn.functional.cross_entropy(student, labels, reduction="sum")
        soft = nn.functional.kl_div(
            torch.log_softmax(student / self.temperature, -1),
            torch.log_softmax(taught / self.temperature, -1),
            reduction="sum",
            log_target=True,
        )
        summed = (1 - self.weight) * hard + self.weight * self.temperature**2 * soft
        return self.mean_of(summed, labels, args, kwargs)


def trainer_for(
    job: Job, model: Any, rows: Rows, tape: Tape, keeper: Keeper, steps_from: int, passes: Passes | None
) -> Any:
    """The trainer of a job's method. `steps_from`: the number of the first held-out row among `rows`."""
    made = _MAKERS[_way(job)](job, model, rows, steps_from, passes)
    made.tape, made.keeper = tape, keeper
    made.add_callback(keeper)
    made.remove_callback(PrinterCallback)
    return made


def _way(job: Job) -> str:
    if job.config.method == "distill":
        return job.config.distill.mode
    return job.config.method


Maker = Callable[[Job, Any, Rows, int, Passes | None], Any]


def _sft(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None, kind: type = Sft) -> Any:
    config = _arguments(job, SFTConfig, max_length=None, dataset_kwargs={"skip_prepare_dataset": True})
    return kind(
        model,
        config,
        data_collator=packed_rows(job, rows),
        peft_config=adapter_of(job),
        **_common(job, rows, first_held),
    )


def packed_rows(job: Job, rows: Rows) -> PackedRows:
    """The collator of conversations."""
    packs = job.config.packs
    replayed = job.pretraining if job.replay_share else None
    return PackedRows(rows, job.row_tokens if packs else 0, replayed, masked=not packs)


def _logits(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    made = _sft(job, model, rows, first_held, passes, Logits)
    made.teacher = made.accelerator.prepare_model(_teacher(job), evaluation_mode=True)
    made.weight, made.temperature = job.config.distill.weight, job.config.distill.temperature
    return made


def _teacher(job: Job) -> Any:
    assert job.teacher
    folder = job.home.artifact("models", job.teacher.name, job.teacher.version)
    dtype = torch.bfloat16 if job.precision == "bf16" else torch.float32
    return load_folder(folder, dtype=dtype).eval().requires_grad_(False)


def _on_policy(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    how = job.config.distill
    config = _arguments(
        job,
        DistillationConfig,
        max_completion_length=how.completion_tokens,
        temperature=how.temperature,
        shuffle_dataset=False,
        generation_kwargs={"eos_token_id": job.chat.ends},
    )
    return OnPolicy(
        model,
        _teacher(job),
        args=config,
        peft_config=adapter_of(job),
        **{**_common(job, rows, first_held), "eval_dataset": None},
    )


def _dpo(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    how = job.config.preference
    config = _arguments(
        job, DPOConfig, beta=how.beta, loss_type=[how.loss], label_smoothing=how.label_smoothing, max_length=None
    )
    collator = Joined(rows, DataCollatorForPreference(pad_token_id=rows.pad_id, max_length=None))
    return Dpo(
        model, args=config, data_collator=collator, peft_config=adapter_of(job), **_common(job, rows, first_held)
    )


def _kto(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    config = _arguments(job, KTOConfig, beta=job.config.preference.beta, max_length=None)
    inner = with_rotated_answers(DataCollatorForUnpairedPreference(pad_token_id=rows.pad_id, max_length=None))
    return Kto(
        model,
        args=config,
        data_collator=Joined(rows, inner),
        peft_config=adapter_of(job),
        **_common(job, rows, first_held),
    )


def _reward(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    config = _arguments(job, RewardConfig, max_length=None)
    collator = Joined(rows, DataCollatorForRanks(pad_token_id=rows.pad_id))
    return Reward(
        model, args=config, data_collator=collator, peft_config=adapter_of(job), **_common(job, rows, first_held)
    )


def _grpo(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    how = job.config.grpo
    config = _arguments(
        job,
        GRPOConfig,
        num_generations=how.generations,
        max_completion_length=how.completion_tokens,
        temperature=how.temperature,
        beta=how.beta,
        shuffle_dataset=False,
        generation_kwargs={"eos_token_id": job.chat.ends},
    )
    functions: list[Any] = [as_trl(one) for one in rewards(how.rewards, how.pattern, passes)]
    classes: list[Any] = [None] * len(functions)
    if job.reward_model:
        folder = job.home.artifact("models", job.reward_model.name, job.reward_model.version)
        from training.tuning.template import load_chat

        functions.append(load_folder(folder, labels=1).eval())
        classes.append(load_chat(folder).tokenizer)
    return Grpo(
        model,
        functions,
        args=config,
        reward_processing_classes=classes,
        peft_config=adapter_of(job),
        **{**_common(job, rows, first_held), "eval_dataset": None},
    )


def _classifier(job: Job, model: Any, rows: Rows, first_held: int, passes: Passes | None) -> Any:
    adapter = adapter_of(job)
    if adapter:
        from peft import get_peft_model

        model = get_peft_model(model, adapter)
    return Classifier(
        model,
        _arguments(job, TrainingArguments),
        data_collator=Joined(rows, classes_collator(rows.pad_id)),
        **_common(job, rows, first_held),
    )


_MAKERS: dict[str, Maker] = {
    "sft": _sft,
    "logits": _logits,
    "on-policy": _on_policy,
    "dpo": _dpo,
    "kto": _kto,
    "reward": _reward,
    "grpo": _grpo,
    "classifier": _classifier,
}


def _common(job: Job, rows: Rows, first_held: int) -> dict[str, Any]:
    """Data and tokenizer. Held-out rows stand behind those that are read."""
    held = rows.dataset(first_held, len(rows.rows)) if len(rows.rows) > first_held else None
    return {
        "train_dataset": asked_rows(rows, first_held) if job.config.on_policy else rows.dataset(0, first_held),
        "eval_dataset": held,
        "processing_class": job.chat.tokenizer,
    }


def asked_rows(rows: Rows, count: int) -> Any:
    """Prompts for a trainer that writes its own answers: it takes rows as they are."""
    from datasets import Dataset

    asked = Asked(rows)([{"at": at} for at in range(count)])
    return Dataset.from_list(asked)


def _arguments(job: Job, kind: type, **own: Any) -> Any:
    """A config of TRL's or transformers', filled from ours; what follows from ours is said here and nowhere else."""
    config, cpu = job.config, job.device == "cpu"
    each = rows_at_once(job)
    fsdp = {"fsdp": True, "fsdp_config": {"version": 2, "state_dict_type": "FULL_STATE_DICT"}}
    made = kind(
        output_dir=str(job.folder.path / "trainer"),
        per_device_train_batch_size=each,
        per_device_eval_batch_size=scored_at_once(job),
        gradient_accumulation_steps=config.batch_rows // job.processes // each,
        max_steps=job.feed.steps,
        learning_rate=job.rate.rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=round(config.warmup * job.feed.steps),
        weight_decay=config.weight_decay,
        max_grad_norm=config.clip_norm,
        bf16=job.precision == "bf16",
        fp16=job.precision == "fp16",
        use_cpu=cpu,
        gradient_checkpointing=config.activation_checkpointing,
        seed=config.seed,
        data_seed=config.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        eval_strategy="no",  # the keeper asks for it
        disable_tqdm=True,
        report_to="none",
        remove_unused_columns=False,
        dataloader_drop_last=True,
        dataloader_pin_memory=not cpu,
        ddp_find_unused_parameters=False,
        **(fsdp if job.sharded else {}),
        **own,
    )
    if cpu and job.processes > 1:
        _without_numbers(made)
    if job.sharded and cpu:
        _shard_on_cpus(made)
    return made


def _without_numbers(arguments: TrainingArguments) -> None:
    """Accelerate numbers CPUs (`cpu:1`), and torch loads no state to such a device: say plain `cpu` from here on."""
    from accelerate.state import PartialState

    plain = torch.device("cpu")
    PartialState().device = arguments.__dict__["_setup_devices"] = plain  # what `arguments.device` has computed


def _shard_on_cpus(arguments: TrainingArguments) -> None:
    """Accelerate 1.15 shards on accelerators alone, and trains with DDP on CPUs without a word: say it beforehand."""
    from accelerate import FullyShardedDataParallelPlugin
    from accelerate.state import AcceleratorState, PartialState
    from accelerate.utils import DistributedType, TorchDynamoPlugin

    given: dict[str, Any] = dict(arguments.fsdp_plugin_args or {})
    state = AcceleratorState(cpu=True, dynamo_plugin=TorchDynamoPlugin(), _from_accelerator=True)
    PartialState().distributed_type = state.distributed_type = DistributedType.FSDP
    state.fsdp_plugin = FullyShardedDataParallelPlugin(**given)


def names_of_rows(rows: Rows, chosen: Sequence[int]) -> str:
    """The first sample ids of a bad batch, in words."""
    ids = [rows.examples[at].sample_id for number in chosen for at in rows.rows[number].examples][:8]
    return f"Its rows: {', '.join(map(str, ids))}, in `FROM batch_rows(…)`."
