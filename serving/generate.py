"""Answers to a file of prompts, by vLLM in this process: in parts, so that a killed run goes on where it was.

>>> job = plan(GenerateConfig(model="tiny-sft", prompts="questions.jsonl"), home)
>>> done = generate(job)
>>> done.out, done.rows

A part is a chunk of rows, written whole or not at all; the answers are the parts, one after another, in the order of
the prompts. `<answers>.json` says what they are answers to.
"""

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, JsonValue

from catalog.config import Config
from catalog.errors import BadInput, Conflict, NotFound
from catalog.home import Home, written
from catalog.ids import key
from catalog.locks import clear_partials, hold
from catalog.progress import stage_progress
from serving.chat import check_conversations
from serving.engine import EngineConfig, Settings, check_disk, check_machine, settings_for, start
from serving.prompts import Prompt, read_prompts
from serving.schemes import machine
from serving.target import Target, check_scheme, resolve, shape_of

if TYPE_CHECKING:
    from vllm import LLM, SamplingParams  # pyright: ignore[reportMissingImports]
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]


class SamplingConfig(Config):
    """How answers are drawn; what is not said is as in the model's generation config."""

    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """0 takes the likeliest token each time."""
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    top_k: int | None = Field(default=None, ge=0)
    repetition_penalty: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    max_tokens: int = Field(default=256, ge=1)
    """Of an answer."""
    stop: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    seed: int = 0
    """Each row draws with a seed of its own, made from this one and its number."""


class GenerateConfig(Config):
    """What `just generate` is asked for."""

    model: str
    prompts: str
    out: str = ""
    """By default `<prompts>.answers.jsonl`, beside the prompts."""
    sampling: SamplingConfig = SamplingConfig()
    engine: EngineConfig = EngineConfig()
    chunk_rows: int = Field(default=64, ge=1)
    """Rows of a part: what a killed run does again at most."""
    token_ids: bool = False
    """Write the ids of each answer too: text leaves out special tokens and a character that is not whole."""


@dataclass(frozen=True)
class Job:
    """A checked request."""

    config: GenerateConfig
    target: Target
    settings: Settings
    prompts: tuple[Prompt, ...]
    out: Path
    identity: str
    warning: str = ""
    """That the machine has no kernels for the model."""

    @property
    def parts(self) -> Path:
        """The folder of parts: hidden, beside the answers, and named by what was asked for."""
        return self.out.with_name(f".{self.out.name}.{self.identity[:12]}.parts")

    @property
    def receipt(self) -> Path:
        """What the answers are answers to; written last."""
        return self.out.with_name(self.out.name + ".json")

    @property
    def chunks(self) -> list[tuple[Path, tuple[Prompt, ...]]]:
        """Each part's file and its rows."""
        size = self.config.chunk_rows
        starts = range(0, len(self.prompts), size)
        return [(self.parts / f"part-{at // size:06d}.jsonl", self.prompts[at : at + size]) for at in starts]

    @property
    def done(self) -> bool:
        """Whether the answers are there already, to this very request."""
        if not (self.out.is_file() and self.receipt.is_file()):
            return False
        try:
            said = json.loads(self.receipt.read_text(encoding="utf-8"))
        except ValueError:
            return False
        return isinstance(said, dict) and said.get("identity") == self.identity


@dataclass(frozen=True)
class Generated:
    """What `generate` leaves."""

    out: Path
    rows: int
    failed: int
    fresh: bool
    """Whether anything was done now."""


def plan(config: GenerateConfig, home: Home) -> Job:
    """Check everything that can be checked without an engine. Raises BadInput, NotFound, Damaged or Conflict."""
    target = resolve(home, config.model)
    settings, warning = settings_for(config.engine, shape_of(target)), check_scheme(target, machine())
    path = Path(config.prompts)
    if not path.is_file():
        raise NotFound(f'no such file: {path}. Rows are {{"id": …, "prompt": …}} or {{"id": …, "messages": […]}}.')
    prompts = tuple(read_prompts(path))
    if any(prompt.messages for prompt in prompts) and not target.template:
        raise BadInput(f"{path} has messages, and {target.model.ref} has no chat template: give prompts, or tune it.")
    out = _out(Path(config.out) if config.out else path.with_name(path.name.removesuffix(".jsonl") + ".answers.jsonl"))
    asked = config.model_dump(mode="json", include={"sampling", "chunk_rows", "token_ids"})
    given = [(prompt.id, prompt.prompt, prompt.messages) for prompt in prompts]
    how = {"precision": settings.precision, "context": settings.context}
    identity = key("answers", target.model.fingerprint, target.base.fingerprint, asked, how, given)
    job = Job(config, target, settings, prompts, out, identity, warning)
    if not job.done:
        _check_out(job)
        check_conversations(target, ((prompt.where, prompt.messages) for prompt in prompts if prompt.messages))
    return job


def _out(out: Path) -> Path:
    """Raises BadInput for what cannot be a file."""
    try:
        if out.is_dir():
            raise BadInput(f"out={out} is a folder: name a file in it, out={out / 'answers.jsonl'}.")
    except OSError as error:
        raise BadInput(f"out={out} cannot be a file ({error.strerror}). Give another out=….") from error
    return out


def _check_out(job: Job) -> None:
    """Raises BadInput where answers cannot be written, Conflict where others are there."""
    out = job.out
    if out.exists() and not all(part.exists() for part, _ in job.chunks):
        raise Conflict(f"{out} is there, with other answers. Give another out=…, or remove it.")
    above = next(place for place in out.absolute().parents if place.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise BadInput(f"out={out}: nothing can be written in {above}. Give another out=….")
    check_disk(above)


def generate(job: Job) -> Generated:
    """Answer what has no answer yet. Raises Busy where another process is at the same file."""
    if job.done:
        return Generated(job.out, len(job.prompts), _failed(job.out), False)
    try:
        job.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"out={job.out}: its folder cannot be made ({error.strerror}). Give another out=….") from error
    with hold(job.out.with_name(f".{job.out.name}.lock")):
        todo = [(part, rows) for part, rows in job.chunks if not part.exists()]
        if todo:
            check_machine(job.out.parent)
        job.parts.mkdir(exist_ok=True)
        clear_partials(job.parts)
        try:
            if todo:
                _answer(job, todo)
            return _join(job)
        finally:
            with suppress(OSError):  # parts are in it, or it is gone
                job.parts.rmdir()


def _answer(job: Job, todo: list[tuple[Path, tuple[Prompt, ...]]]) -> None:
    with start(job.target, job.settings) as llm, stage_progress("generate", len(job.prompts), "rows") as bar:
        bar.skip(len(job.prompts) - sum(len(rows) for _, rows in todo))
        for part, rows in todo:
            answers = _answers(llm, job, rows)
            with written(part) as partial:
                partial.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in answers), "utf-8")
            bar.advance(len(rows))


def _answers(llm: "LLM", job: Job, rows: tuple[Prompt, ...]) -> list[dict[str, JsonValue]]:
    """A row for each prompt, in order; one that does not fit the context says so instead of an answer."""
    ids = [token_ids(llm, prompt) for prompt in rows]
    fits = [at for at, tokens in enumerate(ids) if 0 < len(tokens) < job.settings.context]
    outputs = llm.generate(
        [{"prompt_token_ids": ids[at]} for at in fits],
        [sampling(llm, job, rows[at]) for at in fits],
        use_tqdm=False,
        lora_request=_lora(job),
    )
    answered = dict(zip(fits, outputs, strict=True))
    found: list[dict[str, JsonValue]] = []
    for at, prompt in enumerate(rows):
        row: dict[str, JsonValue] = {"id": prompt.id, "prompt_tokens": len(ids[at])}
        if at in answered:
            one = answered[at].outputs[0]
            row |= {"answer": one.text, "tokens": len(one.token_ids), "finish_reason": one.finish_reason}
            if job.config.token_ids:
                row["token_ids"] = list(one.token_ids)
        else:
            error = f"the prompt has {len(ids[at]):,} tokens, the context {job.settings.context:,}"
            row |= {"answer": None, "tokens": 0, "finish_reason": None, "error": error}
        found.append(row)
    return found


def token_ids(llm: "LLM", prompt: Prompt) -> list[int]:
    """A prompt as the model reads it; messages by its chat template, up to where the answer begins."""
    tokenizer: Any = llm.get_tokenizer()
    if prompt.prompt is not None:
        return list(tokenizer.encode(prompt.prompt))
    text = tokenizer.apply_chat_template(list(prompt.messages), tokenize=False, add_generation_prompt=True)
    return list(tokenizer.encode(text, add_special_tokens=False))


def sampling(llm: "LLM", job: Job, prompt: Prompt) -> "SamplingParams":
    """The model's own defaults with what the config says, and the row's own seed."""
    said = job.config.sampling
    params = llm.get_default_sampling_params()
    for name in ("temperature", "top_p", "top_k", "repetition_penalty"):
        if (value := getattr(said, name)) is not None:
            setattr(params, name, value)
    if params.temperature == 0:
        params.top_p, params.top_k = 1.0, 0
    params.max_tokens, params.stop = min(said.max_tokens, job.settings.context), list(said.stop)
    params.seed = int.from_bytes(hashlib.sha256(f"{said.seed} {prompt.id!r}".encode()).digest()[:4], "big")
    return params


def _lora(job: Job) -> "LoRARequest | None":
    if not job.target.adapter:
        return None
    from vllm.lora.request import LoRARequest  # pyright: ignore[reportMissingImports]

    return LoRARequest(job.target.model.name, 1, str(job.target.adapter))


def _join(job: Job) -> Generated:
    """The parts as one file, then the receipt; the parts go last, so that a kill anywhere loses nothing."""
    with written(job.out) as partial, partial.open("wb") as whole:
        for part, _ in job.chunks:
            whole.write(part.read_bytes())
    failed = _failed(job.out)
    about = {
        "identity": job.identity,
        "model": str(job.target.model.ref),
        "prompts": job.config.prompts,
        "sampling": job.config.sampling.model_dump(mode="json"),
        "precision": job.settings.precision,
        "rows": len(job.prompts),
        "failed": failed,
    }
    with written(job.receipt) as partial:
        partial.write_text(json.dumps(about, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(job.parts)
    return Generated(job.out, len(job.prompts), failed, True)


def _failed(out: Path) -> int:
    with out.open(encoding="utf-8") as lines:
        return sum("error" in json.loads(line) for line in lines)
