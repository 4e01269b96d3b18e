"""Where tasks run: this machine, Slurm or Ray, one field apart (`executor=local|slurm|ray`).

Pipelines are datatrove's; the local executor is ours, on datatrove's base class, because its own waits for ever when a
worker is killed and drops the other workers' work on one exception.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Literal

from datatrove.executor.base import DistributedEnvVars, PipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.utils.stats import PipelineStats
from pydantic import Field

from catalog.config import Config
from catalog.errors import WorkerLost
from data.run.pool import Crew, Death, Pool

SLURM_POLL_S = 15.0


class Execution(Config):
    """Circumstance: who does the work. It never changes what comes out."""

    executor: Literal["local", "slurm", "ray"] = "local"
    workers: int = Field(default=0, ge=0)
    """Processes at a time; 0 takes every core."""
    record_timeout_s: float = Field(default=120.0, gt=0)
    """The last resort for a record that holds up its worker (see `data.run.pool`)."""
    slurm_partition: str = "cpu"
    slurm_time: str = "24:00:00"
    memory_gb: float = Field(default=2.0, gt=0)
    """Memory of one worker: asked of Slurm, and given to DuckDB times the workers."""

    @property
    def processes(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


class Careful(PipelineStep):
    """A step that takes records one by one when `careful`, and gives the same result."""

    type = "MILLRACE"
    careful = False


class LocalExecutor(PipelineExecutor):
    """Run a datatrove pipeline's tasks on supervised local processes."""

    def __init__(
        self, pipeline: list[PipelineStep], tasks: int, execution: Execution, logs: Path, crew: Crew | None = None
    ) -> None:
        super().__init__(list(pipeline), str(logs), skip_completed=False)
        self.tasks, self.execution, self.crew = tasks, execution, crew
        self.on_death: Callable[[Death], None] = _ignore
        self.on_progress: Callable[[int], None] = _ignore
        self.cpu_s = 0.0

    @property
    def world_size(self) -> int:
        return self.tasks

    def get_distributed_env(self, node_rank: int = -1) -> DistributedEnvVars:
        return DistributedEnvVars(
            datatrove_node_ips="localhost",
            datatrove_cpus_per_task="1",
            datatrove_mem_per_cpu=str(self.execution.memory_gb),
            datatrove_gpus_on_node="0",
            datatrove_executor="local",
        )

    def run(self) -> None:
        """Every task, in order. Raises the first task's error once all others are done."""
        for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "ARROW_NUM_THREADS"):
            os.environ.setdefault(name, "1")  # a process a core: threads inside would only compete
        worker = copy(self)
        worker.on_death, worker.on_progress, worker.crew = _ignore, _ignore, None
        pool = Pool(
            worker._attempt,
            workers=min(self.execution.processes, self.tasks),
            record_timeout_s=self.execution.record_timeout_s,
            on_death=self.on_death,
            on_progress=self.on_progress,
            crew=self.crew,
        )
        pool.run(range(self.tasks))
        self.cpu_s = pool.cpu_s

    def _attempt(self, rank: int, attempt: int) -> None:
        """A task that lost its worker is tried again with batches of one, so that the record at fault is known."""
        for step in self.pipeline:
            if isinstance(step, Careful):
                step.careful = attempt > 1
        self._run_for_rank(rank)

    def _run_for_rank(self, rank: int, local_rank: int = 0, node_rank: int = -1) -> PipelineStats:
        data = None
        for step in self.pipeline:
            data = step(data, rank, self.world_size)  # type: ignore[operator]
        for _ in data or ():
            pass
        return PipelineStats(self.pipeline)


def _ignore(_: object) -> None:
    """Nobody wants to know."""


def execute(
    pipeline: list[PipelineStep],
    tasks: int,
    execution: Execution,
    logs: Path,
    on_death: Callable[[Death], None] = _ignore,
    on_progress: Callable[[int], None] = _ignore,
    missing: Callable[[], int] = lambda: 0,
    crew: Crew | None = None,
) -> float:
    """Run a pipeline where the execution says; gives the workers' CPU seconds where they are known.

    `missing` counts the outputs that are not there yet (for Slurm); `crew` are workers of this machine to take.
    """
    if not tasks:
        return 0.0
    if execution.executor == "local":
        local = LocalExecutor(pipeline, tasks, execution, logs, crew)
        local.on_death, local.on_progress = on_death, on_progress
        local.run()
        return local.cpu_s
    if execution.executor == "ray":
        _ray(pipeline, tasks, execution, logs).run()
    else:
        executor = _slurm(pipeline, tasks, execution, logs)
        executor.run()
        _wait_for_slurm(str(executor.job_id), missing)
    return 0.0


def _ray(pipeline: list[PipelineStep], tasks: int, execution: Execution, logs: Path) -> PipelineExecutor:
    from datatrove.executor.ray import RayPipelineExecutor

    return RayPipelineExecutor(
        pipeline, tasks=tasks, workers=execution.processes, logging_dir=str(logs), skip_completed=False
    )


def _slurm(pipeline: list[PipelineStep], tasks: int, execution: Execution, logs: Path):
    from datatrove.executor.slurm import SlurmPipelineExecutor

    return SlurmPipelineExecutor(
        pipeline,
        tasks=tasks,
        time=execution.slurm_time,
        partition=execution.slurm_partition,
        mem_per_cpu_gb=int(max(1, execution.memory_gb)),
        workers=execution.workers or -1,
        job_name="millrace",
        venv_path=f"{sys.prefix}/bin/activate",
        logging_dir=str(logs),
        slurm_logs_folder=str(logs / "slurm"),
        skip_completed=False,
    )


def _wait_for_slurm(job: str, missing: Callable[[], int]) -> None:
    """Until every output is there. Raises WorkerLost when the job has left the queue and some are not."""
    while left := missing():
        queue = subprocess.run(["squeue", "-h", "-j", job], capture_output=True, text=True, check=False)
        if not queue.stdout.strip() and missing():
            raise WorkerLost(
                f"Slurm job {job} ended with {left} tasks undone. Read its logs, then run the same command again."
            )
        time.sleep(SLURM_POLL_S)
