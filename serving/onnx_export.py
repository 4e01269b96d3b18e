"""A model of the home as ONNX, in fp32 or INT8: checked before work, read by onnxruntime beside the model, on record.

>>> job = plan(OnnxConfig(model="tiny-sft", int8=True), home, texts_of)
>>> made = export(job, scorer)
>>> made.record.ref, made.fresh

The text and the scorer come from the recipe.
"""

import math
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, JsonValue

from catalog.config import Config
from catalog.errors import BadInput, NotFound
from catalog.home import Home
from catalog.ids import Ref
from catalog.records import Record
from catalog.room import check_room
from catalog.wanted import Made, Wanted, check_name
from catalog.weights import config_of, parameters_of, weight_bytes
from serving.apart import in_own_process
from serving.compress import KEPT, WORK_BYTES, Document, Texts, compressible
from serving.onnx_graph import GRAPH, OPSET, PROBES, WITHIN, Beside, Found, Work, check, export_graph
from serving.receipt import Score
from serving.target import ONNX, Target

TYPES = ("llama", "mistral", "qwen2", "qwen3", "gpt2")
"""The `model_type` of models that were exported and compared (tests/serving/test_onnx.py)."""
LOGITS, SIZE = "onnx/logits", "onnx/size"


class OnnxConfig(Config):
    """What `just export-onnx` is asked for."""

    model: str
    int8: bool = False
    """8-bit integers, by onnxruntime's dynamic quantization, in place of fp32."""
    name: str = ""
    """Of the new model; by default `<model>-onnx`, or `<model>-onnx-int8`."""
    version: str = ""
    """Empty: the next free number."""
    mixture: str = ""
    """Whose held-out text is read; by default the mixture that the model's line began with."""
    rows: int = Field(default=4, ge=1)
    """Held-out samples of each domain at most."""


class Nats:
    """What a graph said of texts, as a scorer asks for it."""

    def __init__(self, read: Sequence[Beside], own: bool = False) -> None:
        self._read, self._own = read, own

    def nats(self, rows: Sequence[NDArray[np.int64]]) -> Iterable[tuple[float, int]]:
        """The nats of each text that was read, and its counted tokens."""
        return [(one.own_nats if self._own else one.nats, one.tokens) for one, _ in zip(self._read, rows, strict=True)]


Scorer = Callable[[Sequence[Document], Nats], Sequence[Score]]


@dataclass(frozen=True)
class Job:
    """A checked request."""

    config: OnnxConfig
    home: Home
    target: Target
    texts: Texts | None
    """Held-out text; None where the home has none for this model."""
    bytes: int
    """About what the graph takes."""

    @property
    def name(self) -> str:
        return self.config.name or f"{self.target.model.name}-onnx{'-int8' if self.config.int8 else ''}"

    @property
    def wanted(self) -> Wanted:
        parent = self.target.model
        identity: dict[str, JsonValue] = {
            "kind": ONNX,
            "precision": "int8" if self.config.int8 else "fp32",
            "opset": OPSET,
        }
        own = {name: parent.config.get(name) for name in ("method", "parameters", "model", "tokenizer")}
        config = {"run": "", "parent": str(parent.ref), **own, **identity}
        return Wanted.of(self.home, "models", Ref(self.name, self.config.version), [parent], identity, config)


def plan(config: OnnxConfig, home: Home, texts_of: Callable[[Record, str], Texts | None]) -> Job:
    """Check everything that can be checked before work. Raises BadInput, NotFound, Damaged, Conflict.

    `texts_of` gives the text of a model's mixture, or of the one that is named.
    """
    target = compressible(home, config.model)
    if (family := config_of(target.folder).get("model_type")) not in TYPES:
        raise BadInput(f"{target.model.ref} is a model of the type {family!r}. Exported are: {', '.join(TYPES)}.")
    texts = texts_of(target.model, config.mixture)
    if texts and not texts.mixture.counts.get("heldout"):
        texts = None
    count = parameters_of(target.folder)
    job = Job(config, home, target, texts, count * (5 if config.int8 else 4))
    check_name(target.model.ref, job.name)
    if not job.wanted.found():
        check_room(
            home.root, job.bytes, 4 * 4 * count + WORK_BYTES
        )  # the model, its program, the graph and the session
    return job


def export(job: Job, scorer: Scorer, threads: int = 0) -> Made:
    """Make the graph, or find it made. Raises Busy, NotFound without torch's exporter, Damaged where logits differ."""
    _check_installed()
    wanted = job.wanted
    with wanted.making() as there:
        if there:
            return Made(there, False)
        folder, documents = wanted.folder, job.texts.heldout(job.config.rows) if job.texts else []
        folder.mkdir(parents=True)
        threads = threads or len(os.sched_getaffinity(0))
        work = Work(job.target.folder, folder, job.config.int8, [one.ids for one in documents], threads)
        found = in_own_process(job.home.root / "models" / f".{job.name}.log", export_graph, work)
        measured = [*scores(found, documents, scorer), *_sizes(job)]
        for name in (*KEPT, "config.json"):
            if (job.target.chat / name).is_file():
                shutil.copyfile(job.target.chat / name, folder / name)
        (folder / "README.md").write_text(_card(job, found), encoding="utf-8")
        counts: dict[str, JsonValue] = {
            "evaluations": [dict(score._asdict()) for score in measured],
            "read": str(job.texts.mixture.ref) if job.texts else "",
            "made_with": dict(found.made_with),
        }
        return Made(wanted.publish(counts), True)


def scores(found: Found, documents: Sequence[Document], scorer: Scorer) -> list[Score]:
    """Rows of `evaluations`: what the graph says, and how far that is from what the model itself says."""
    read = found.int8 or found.exact
    worst, places, agreed = _differs(read)
    rows = [
        Score(LOGITS, "fp32_largest_difference", check(found.exact), places),
        Score(LOGITS, "largest_difference", worst, places),
        Score(LOGITS, "same_best_token", agreed, places, math.sqrt(agreed * (1 - agreed) / places)),
    ]
    if not documents:
        return rows
    own, said = (scorer(documents, Nats(read[len(PROBES) :], own=own)) for own in (True, False))
    parent = [one._replace(metric="parent_perplexity") for one in own if one.metric == "perplexity"]
    return [*rows, *said, *parent]


def graph_bytes(folder: Path) -> int:
    """Of the graph, and of the weights that lie beside a large one."""
    return sum(path.stat().st_size for path in folder.glob(f"{GRAPH}*"))


def _sizes(job: Job) -> list[Score]:
    own, graph = weight_bytes(job.target.folder), graph_bytes(job.wanted.folder)
    return [Score(SIZE, "bytes", float(graph)), Score(SIZE, "parent_bytes", float(own))]


def _check_installed() -> None:
    from importlib.util import find_spec

    if missing := [name for name in ("onnx", "onnxruntime", "onnxscript") if find_spec(name) is None]:
        raise NotFound(f"{', '.join(missing)} is not installed: run `requirements/install training serving`.")


def _card(job: Job, found: Found) -> str:
    """The model card."""
    ref = job.target.model.ref
    parts = [
        "---\nlibrary_name: onnx\nlicense: unknown\n---",
        f"# {job.name}",
        f"{ref} as an ONNX graph (opset {OPSET}), without a cache of keys. In fp32 its logits differ from the model's "
        f"by {check(found.exact):.2g} at most ({WITHIN:g} of the largest logit is allowed).",
        *_int8(found),
        "```python\n"
        "import numpy as np, onnxruntime, tokenizers\n\n"
        'ids = np.array([tokenizers.Tokenizer.from_file("tokenizer.json").encode("A text").ids])\n'
        f'session = onnxruntime.InferenceSession("{GRAPH}")\n'
        '[logits] = session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})\n'
        "```",
        "Rows of a batch are padded on the right, with 0 in `attention_mask`.",
        "## Made with",
        ", ".join(f"{name} {said}" for name, said in found.made_with.items()) + ".",
        "## Licence",
        f"Unknown: look at that of {ref} before you pass the model on.",
    ]
    return "\n\n".join(parts) + "\n"


def _int8(found: Found) -> list[str]:
    if not found.int8:
        return []
    worst, places, agreed = _differs(found.int8)
    return [
        "Weights of the linear layers are 8-bit integers by channel, activations are quantized as they come; the "
        f"output layer and the embeddings are fp32. Its logits differ by {worst:.2g} at most, and the best next token "
        f"is the same in {agreed:.2%} of {places:,} places."
    ]


def _differs(read: Sequence[Beside]) -> tuple[float, int, float]:
    """The largest difference of logits, the places that were read, and the part where the best next token is one."""
    places = sum(one.tokens + 1 for one in read)
    return max(one.difference for one in read), places, sum(one.agreed for one in read) / places
