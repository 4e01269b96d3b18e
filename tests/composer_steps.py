"""A few steps of Composer on toy batches, as one rank of a job: prints a line of JSON with what happened in each run.

python -m torch.distributed.run --nproc_per_node 2 tests/composer_steps.py ddp:llama fsdp2:llama
"""

import json
import os
import sys

import torch
from composer import Evaluator, Trainer
from model_toys import VOCABULARY, toy_batch, toy_model
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader, IterableDataset

from training.models import composer_model, sharding
from training.models.build import build
from training.models.language_model import LanguageModel
from training.models.objectives import objective, objective_for
from training.models.optimizers import OptimizerConfig, adamw
from training.models.schedules import ScheduleConfig

STEPS, ROWS = 3, 4


class Batches(IterableDataset):
    """The same global batches for any world size: each rank takes its rows."""

    def __init__(self, prepare):
        self.prepare = prepare

    def __iter__(self):
        rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        mine = slice(rank * ROWS // world, (rank + 1) * ROWS // world)
        for step in range(STEPS):
            batch = toy_batch(rows=ROWS, seed=step)
            yield self.prepare({name: value[mine] for name, value in batch.items()})


def train(strategy: str, family: str) -> dict:
    config = objective_for(family)
    language_model = LanguageModel(build(toy_model(family), seed=1), config, "sdpa")
    language_model.checkpoint_activations()
    model = composer_model.PretrainedModel(language_model)
    loader = DataLoader(Batches(objective(config, VOCABULARY, 1)), batch_size=None)
    average, losses = composer_model.AverageWeights(0.9), []

    class Losses(composer_model.Callback):
        def batch_end(self, state, logger):
            losses.append(float(state.total_loss_dict["loss/train/total"]))

    held_out = Evaluator(
        label="toy",
        dataloader=composer_model.data_spec(loader),
        device_eval_microbatch_size=1,
        subset_num_batches=STEPS,
    )
    trainer = Trainer(
        model=model,
        train_dataloader=composer_model.data_spec(loader),
        max_duration=f"{STEPS}ba",
        optimizers=adamw(model, OptimizerConfig()),
        schedulers=composer_model.TokenSchedule(ScheduleConfig(warmup_tokens=768), 4000, 384),
        step_schedulers_every_batch=True,
        precision=composer_model.composer_precision("fp32", "cpu"),
        device="cpu",
        parallelism_config=composer_model.parallelism(strategy),
        algorithms=[composer_model.ClipGradients(0.5)],
        callbacks=[average, Losses()],
        accumulate_train_batch_on_tokens=True,
        device_train_microbatch_size=1,
        eval_dataloader=held_out,
        eval_interval=f"{STEPS}ba",
        progress_bar=False,
        seed=1,
    )
    if strategy == "fsdp2":
        sharding.check_sharded(model)
    trainer.fit()
    weights = dict(model.named_parameters())
    whole = {n: w.full_tensor() if isinstance(w, DTensor) else w for n, w in weights.items()}
    total = sum(float(weight.detach().double().square().sum()) for weight in whole.values()) ** 0.5
    trainer.close()
    return {
        "losses": losses,
        "norm": total,
        "held_out": float(trainer.state.eval_metric_values["TokenLoss"]),
        "tokens": int(trainer.state.timestamp.token),
        "rates": trainer.state.schedulers[0].get_last_lr(),
        "sharded": sum(isinstance(weight, DTensor) for weight in weights.values()),
        "weights": len(weights),
        "averaged": average.average.updates,
    }


if __name__ == "__main__":
    for run in sys.argv[1:]:
        found = train(*run.split(":"))
        if int(os.environ.get("RANK", 0)) == 0:
            print("FOUND", json.dumps(found), flush=True)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
