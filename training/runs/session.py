"""One process of a run at work: Composer's Trainer with our model, our loader, our records.

>>> Session(job, launch, scorer).train()

Importing it takes seconds, since it imports composer.
"""

import io
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from composer import State, Trainer
from composer.utils import dist, reproducibility
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from catalog.config import Config
from catalog.home import sync
from catalog.progress import Bar, stage_progress
from training.loader.dataset import MixtureDataset, loader
from training.models.attention import chosen_kernel
from training.models.build import build
from training.models.composer_model import (
    AverageWeights,
    ClipGradients,
    PretrainedModel,
    TokenSchedule,
    composer_precision,
    data_spec,
    parallelism,
)
from training.models.estimate import flops_a_token
from training.models.export import weights_of
from training.models.language_model import LanguageModel
from training.models.objectives import objective
from training.models.optimizers import adamw
from training.models.sharding import check_sharded
from training.pruning.masks import is_pruned, keep_zeros
from training.runs.callbacks import Diverged, Interrupted, Judge, Recorder, Saver
from training.runs.folder import Checkpoint, RunFolder, RunState, state_hash, superseded
from training.runs.heldout import HeldOut, Rates, Scorer, forward_of, token_bytes
from training.runs.job import Job
from training.runs.memory import keep_freed_memory
from training.runs.mirror import Elsewhere, Unreachable
from training.runs.model import WEIGHTS
from training.runs.outlets import opened
from training.runs.recording import Rows
from training.runs.saving import Background, Snapshots, loadable, write_state
from training.runs.spikes import SpikeWatch
from training.sample_ids import whole

NAMED = 12
"""Documents of a bad batch that are named."""


class Launch(Config):
    """What all processes of an attempt are told."""

    attempt: int
    start: Checkpoint | None = None
    """The state to go on from."""


class Session:
    """This process's part of an attempt."""

    def __init__(self, job: Job, launch: Launch, scorer: Scorer | None) -> None:
        keep_freed_memory()
        self.job, self.launch, self.scorer = job, launch, scorer
        self.config, self.run = job.config, RunFolder(job.home, job.config.run)
        self.steps = job.steps
        if job.processes > 1:
            dist.initialize_dist("gpu" if job.device == "cuda" else "cpu", timeout=1800.0)
        self.rank, self.ranks = dist.get_global_rank(), dist.get_world_size()
        first = launch.start.step + 1 if launch.start else 1
        self.rows = Rows(self.run.path, self.config.run, launch.attempt, self.rank, first)
        if self.rank == 0:
            self.rows.outlets = opened(self.config.run, self.config.loggers, self.run.path)
        self.dataset = self._dataset()
        self.model = self._model()
        self.average = AverageWeights(self.config.optimizer.ema_decay) if self.config.optimizer.ema_decay else None
        self.judge = Judge(SpikeWatch(self.config.spikes), self._documents, self.rows.drop)
        self.rates: Rates = {}
        """The last held-out rates."""
        self.writing, self._snapshots = Background(self.config.checkpoint.background), Snapshots()
        beside = job.strategy == "fsdp2" and self.ranks > 1  # training has its own collectives at the same time
        self._group = torch.distributed.new_group(backend="gloo") if beside else None

    def train(self) -> RunState:
        """Train to the end, to a signal or to a loss that cannot be; gives the state on record."""
        out = io.StringIO() if self.rank else None  # the first process speaks for all
        with stage_progress("train", total=self.steps, unit="steps", out=out) as bar:
            bar.skip(self.launch.start.step if self.launch.start else 0)
            trainer = self._trainer(self._recorder(bar))
            self._held = self._heldout()
            if self.job.strategy == "fsdp2":
                check_sharded(self.model)
            if trainer._rng_state is not None:  # Composer restores it only for loaders that it spins forward itself
                reproducibility.load_rng_state(trainer._rng_state)
                trainer._rng_state = None
            if not self.launch.start:
                self._evaluate(0)
            self._fit(trainer)
        return self.run.state()

    def _fit(self, trainer: Trainer) -> None:
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            trainer.fit()
            self._settle()
        except Diverged as error:
            self._settle()
            self._mark("diverged", str(error), trainer.state)
            dist.barrier()  # the launcher ends all processes when one has ended
            raise
        except Interrupted as error:
            self._settle()
            self._mark("stopped", str(error), trainer.state)
            dist.barrier()
            raise
        except Exception:
            self.writing.wait()  # what was taken before it is a checkpoint
            raise
        finally:
            for outlet in self.rows.outlets:
                outlet.ended(self.run.state().status in ("trained", "stopped"))
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _weights(self) -> dict[str, torch.Tensor]:
        """All weights, whole and on the CPU, for the model; the averaged ones where there are."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        average = self.average.average if self.average else None
        with average.in_place() if average else nullcontext():
            found = get_model_state_dict(self.model, options=options)
            whole = weights_of(dict(found.items()))  # type: ignore[arg-type]
            return {} if self.rank else {name: weight.clone() for name, weight in whole.items()}

    # ── making ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _dataset(self) -> MixtureDataset:
        config = self.config
        return MixtureDataset(
            self.job.mixture,
            config.batch_tokens,
            self.job.home.root / "cache",
            remote=config.remote,
            prepare=self._prepare(),
            skipped=self.job.reading.skipped,
            earlier=(self.job.reading.first_step - 1, self.job.reading.samples),
            cache_limit=config.cache_limit or None,
        )

    def _prepare(self) -> Callable:
        return objective(self.config.objective, self.job.vocabulary, self.config.seed)

    def _model(self) -> PretrainedModel:
        config, job = self.config, self.job
        hf = build(job.model, seed=config.seed, eos_id=job.tokenizer.eos_id, pad_id=job.tokenizer.pad_id)
        if is_pruned(job.parent):
            keep_zeros(hf)
        kernel = chosen_kernel(config.kernel, job.model.family, job.device, job.precision)
        language_model = LanguageModel(hf, config.objective, kernel)
        if config.activation_checkpointing:
            language_model.checkpoint_activations(config.activation_checkpointing)
        if config.compile:
            language_model.compile_blocks()
        return PretrainedModel(language_model, autocast=job.device == "cpu" and job.precision == "bf16")

    def _recorder(self, bar: Bar) -> Recorder:
        domains = [stream.domain for stream in self.job.mixture.streams]
        a_token = flops_a_token(self.job.model, self._length)
        return Recorder(self.rows, domains, self.config.row_losses, lambda tokens: a_token * tokens, bar)

    @property
    def _length(self) -> int:
        """Tokens of the longest sample."""
        return max(stretch.sequence_length for stretch in self.dataset.schedule.stretches)

    def _trainer(self, recorder: Recorder) -> Trainer:
        config, job = self.config, self.job
        saver = Saver(
            config.checkpoint, self.steps, self._save, self.writing.look, self._evaluate, job.evaluation_interval
        )
        start = self.launch.start
        rows = config.batch_tokens // self._length // self.ranks
        micro = max(1, config.microbatch_tokens // self._length) if config.microbatch_tokens else rows
        return Trainer(
            model=self.model,
            train_dataloader=data_spec(loader(self.dataset, config.loader_workers)),
            max_duration=f"{self.steps}ba",
            optimizers=adamw(self.model, config.optimizer),
            schedulers=TokenSchedule(config.schedule, job.total_tokens, config.batch_tokens),
            step_schedulers_every_batch=True,
            precision=composer_precision(job.precision, job.device),
            device="gpu" if job.device == "cuda" else "cpu",
            parallelism_config=parallelism(job.strategy, config.tensor_parallel),  # pyright: ignore[reportArgumentType]
            algorithms=[ClipGradients(config.optimizer.clip_norm)],
            callbacks=[recorder, self.judge, *([self.average] if self.average else []), saver],
            accumulate_train_batch_on_tokens=True,
            device_train_microbatch_size=micro,
            load_path=str(loadable(job.home.root / start.path)) if start else None,
            progress_bar=False,
            log_to_console=False,
            auto_log_hparams=False,
            seed=config.seed,
            run_name=config.run,
            dist_timeout=1800.0,
        )

    def _heldout(self) -> HeldOut | None:
        if not self.scorer or not self.config.heldout_rows:
            return None
        sizes, rows = token_bytes(self.job.tokenizer.tokenizer), self.config.heldout_rows
        held = HeldOut(self.dataset, self._prepare(), sizes, rows, (self.rank, self.ranks))
        return held if held.domains else None

    # ── while it runs ─────────────────────────────────────────────────────────────────────────────────────────────

    def _evaluate(self, step: int) -> None:
        """Held-out loss of every domain, as metrics of the step."""
        if not self._held or not self.scorer:
            return
        device = next(self.model.parameters()).device
        self.rates = self._held.rates(forward_of(self.model, device), self.scorer)
        if not self.rank:
            each = (
                (f"heldout/{group}/{name}", value) for group, of in self.rates.items() for name, value in of.items()
            )
            self.rows.metrics(step, dict(each))

    def _save(self, state: State) -> None:
        """Take the state as it is and write it while training goes on; the checkpoint before is done first.

        Rows first, then the state, then the record that names both: what is killed in between is not there.
        """
        self.writing.wait()
        step = int(state.timestamp.batch)
        files: list = [None] * self.ranks
        mine = self.rows.write(step)
        if self.ranks > 1:
            torch.distributed.all_gather_object(files, mine)
        else:
            files = [mine]
        path = self.run.path / "checkpoints" / f"step-{step:08d}"
        partial = path.with_name(f".{path.name}.{self._leader()}.partial")
        saved = Checkpoint(
            step=step,
            tokens=int(state.timestamp.token),
            samples=int(state.timestamp.sample),
            path=self.job.home.relative(path),
            bytes=0,
            heldout_loss=self.rates.get("all", {}).get("loss"),
        )
        taken, skipped = self._snapshots.take(state), tuple(self.judge.skipped)
        weights = self._weights() if step >= self.steps else {}

        def write() -> None:
            try:
                if taken:
                    write_state(taken, partial, self.job.strategy == "fsdp2", self._group)
                if self.rank == 0:
                    if weights:
                        torch.save(weights, partial / WEIGHTS)
                    self._finish(partial, path, saved, [file for part in files for file in part], skipped)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)  # room for what else must be written
                raise

        self.writing.begin(write)

    def _finish(
        self, partial: Path, path: Path, saved: Checkpoint, files: list[tuple[Path, int]], skipped: tuple[int, ...]
    ) -> None:
        """Give a written checkpoint its name, then put it on record."""
        for file in partial.rglob("*"):
            sync(file)
        os.replace(partial, path)
        sync(path.parent)
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        self._record(saved.variant(bytes=size, hash=state_hash(path)), files, skipped)

    def _settle(self) -> None:
        """Wait until everything is written, by all processes: what ends now would take the others with it."""
        self.writing.wait()
        dist.barrier()

    def _leader(self) -> int:
        """The pid of the first process: all write below one temporary name."""
        pids: list = [os.getpid()]
        if self.ranks > 1:
            torch.distributed.broadcast_object_list(pids, src=0)
        return pids[0]

    def _record(self, saved: Checkpoint, files: list[tuple[Path, int]], skipped: tuple[int, ...]) -> None:
        """Name what was saved; only then are checkpoints removed that are neither among the last nor the best."""
        state, every = self.run.state(), self.config.checkpoint
        gone = superseded((*state.checkpoints, saved), every.keep_last, every.keep_best)
        new = state.variant(
            step=saved.step,
            tokens=saved.tokens,
            samples=saved.samples,
            checkpoints=tuple(one for one in (*state.checkpoints, saved) if one not in gone),
            passed_over=skipped,
            status="trained" if saved.step >= self.steps else "running",
        )
        self.run.close(files, new)
        for one in gone:
            shutil.rmtree(self.job.home.root / one.path, ignore_errors=True)
        self._mirror()

    def _mirror(self) -> None:
        """Bring the mirror up to the record; where it does not answer training goes on, and the next time brings it."""
        if self.config.checkpoint.mirror:
            try:
                Elsewhere(self.config.checkpoint.mirror).put(self.job.home, self.run.record())
            except Unreachable as error:
                print(f"not mirrored: {error}", file=sys.stderr)

    def _mark(self, status: str, why: str, state: State) -> None:
        """Say in the record how it ended; rows after the last checkpoint are not kept."""
        if self.rank == 0:
            local = int(state.timestamp.batch) + 1 - self.job.reading.first_step
            bad = self.dataset.schedule.planned_step(local) if status == "diverged" else None
            self.run.close([], self.run.state().variant(status=status, detail=why, diverged=bad))
            self._mirror()

    def _documents(self, step: int) -> str:
        """Which documents the batch of a step holds, in a sentence."""
        import duckdb

        from catalog.store import texts

        ids = self.dataset.ids_of(step - self.job.reading.first_step)
        files = texts(path for info in self.job.mixture.tokens for path in sorted((info.folder / "samples").glob("*")))
        wanted = ", ".join(map(str, whole(ids).tolist()))
        with duckdb.connect() as con:
            found = con.execute(
                f"SELECT DISTINCT doc_id FROM read_parquet({files}) WHERE sample_id IN ({wanted}) ORDER BY 1"
            ).fetchall()
        names = ", ".join(doc for (doc,) in found[:NAMED])
        return (
            f"Its batch holds {len(found)} documents: {names}{', …' if len(found) > NAMED else ''}. "
            f"`just resume {self.config.run} skip=true` goes back to the last checkpoint and leaves this batch out."
        )
