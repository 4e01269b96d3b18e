"""Composer trains our models: one process, two by DDP and by FSDP2, all with the same losses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from catalog.errors import BadInput

SCRIPT = Path(__file__).parents[1] / "composer_steps.py"
TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


def steps(*runs: str, ranks: int = 1) -> list[dict]:
    """What a job says of its runs of a few steps: one job for all, since each imports composer."""
    command = [sys.executable, *(TWO if ranks == 2 else ()), str(SCRIPT), *runs]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line.removeprefix("FOUND")) for line in done.stdout.splitlines() if line.startswith("FOUND")]


@pytest.mark.slow
def test_one_process_and_two_by_ddp_and_fsdp2_train_the_same_model():
    llama, t5 = steps("ddp:llama", "ddp:t5")
    ddp, sharded, sharded_t5 = steps("ddp:llama", "fsdp2:llama", "fsdp2:t5", ranks=2)
    for found, alone in ((ddp, llama), (sharded, llama), (sharded_t5, t5)):
        assert found["losses"] == pytest.approx(alone["losses"], abs=1e-4)
        assert found["norm"] == pytest.approx(alone["norm"], rel=1e-6)
        assert found["held_out"] == pytest.approx(alone["held_out"], abs=1e-4)
        assert (found["tokens"], found["averaged"], found["rates"]) == (1152, 3, alone["rates"])
    assert (llama["sharded"], ddp["sharded"]) == (0, 0)
    for found in (sharded, sharded_t5):
        assert found["sharded"] == found["weights"]


@pytest.mark.slow
def test_what_cannot_be_is_refused():
    from model_toys import toy_model

    from training.models.build import build
    from training.models.composer_model import PretrainedModel, composer_precision, parallelism
    from training.models.language_model import LanguageModel
    from training.models.objectives import objective_for
    from training.models.sharding import check_sharded

    assert composer_precision("bf16", "cpu") == "fp32"  # its own autocast is refused there; the model's is taken
    assert composer_precision("fp16", "cuda") == "amp_fp16"
    model = PretrainedModel(LanguageModel(build(toy_model("bert")), objective_for("bert")))
    with pytest.raises(BadInput, match=r"FSDP2 is not on: \d+ weights are whole"):
        check_sharded(model)
    with pytest.raises(BadInput, match="does not offer it"):
        parallelism("fsdp2", tensor_parallel=2)
