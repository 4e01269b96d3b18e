"""The one adapter to torch.onnx and onnxruntime: a model's folder in, a graph out, read beside the model itself.

>>> found = in_own_process(log, export_graph, Work(source, out, int8=True, documents=rows, threads=2))
>>> max(one.difference for one in found.exact), found.int8[0].agreed

Graphs take `input_ids` and `attention_mask`, int64 [batch, sequence], padding on the right, and give `logits`, float32
[batch, sequence, words]. They have no cache of keys: each call reads its whole text.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalog.errors import Damaged
from catalog.progress import stage_progress
from serving.apart import terminal

if TYPE_CHECKING:
    import onnx  # pyright: ignore[reportMissingImports]
    from onnxruntime import InferenceSession  # pyright: ignore[reportMissingImports]
    from transformers import PreTrainedModel

GRAPH, EXACT = "model.onnx", "exact.onnx"
OPSET = 20
INPUTS = ("input_ids", "attention_mask")
WITHIN = 1e-4
"""The most by which fp32 logits may differ from the model's own, times the largest of them where that is above 1.

Measured: 1.1e-5 with logits up to 12 (5 million parameters, 12,457 places). A wrong mask or position differs by tenths.
"""
PROBES = (1, 7, 33, 128)
"""Tokens of the texts that every graph is checked on."""
PROTOBUF_BYTES = 1_500_000_000
"""Weights above this lie beside the graph: a file of protobuf holds 2 GB."""

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Work:
    """What is to be exported."""

    source: Path
    out: Path
    int8: bool
    documents: Sequence[Ids] = field(repr=False)
    """Real texts to read, beside the probes."""
    threads: int


class Beside(NamedTuple):
    """A text as a graph and the model itself read it."""

    tokens: int
    """That were predicted: all but the first."""
    own_nats: float
    nats: float
    difference: float
    """The largest between the logits of both."""
    largest: float
    """Of the model's own logits, without sign."""
    agreed: int
    """Places where both have the same best next token."""


class Found(NamedTuple):
    """What was measured: of the probes first, then of the documents."""

    exact: list[Beside]
    int8: list[Beside]
    """Empty where there is no INT8."""
    made_with: dict[str, str]


def export_graph(work: Work) -> Found:
    """Write `model.onnx` into `out`, in fp32 or INT8. Raises Damaged where fp32 logits are not the model's own."""
    os.environ |= {"OMP_NUM_THREADS": str(work.threads), "TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1"}
    import torch

    torch.set_num_threads(work.threads)
    exact, graph = work.out / (EXACT if work.int8 else GRAPH), work.out / GRAPH
    with stage_progress("export", 3 if work.int8 else 2, "steps", terminal()) as bar:
        hf = _loaded(work.source)
        large = sum(weight.numel() * 4 for weight in hf.parameters()) > PROTOBUF_BYTES
        _write(hf, exact, large)
        bar.advance()
        rows = [*probes(hf.config), *(row[: _context(hf.config)] for row in work.documents)]
        session = _session(exact, work.threads)
        found = _beside(hf, session, rows)
        check(found, _padded(hf, session, rows[: len(PROBES)]))
        bar.advance()
        int8: list[Beside] = []
        if work.int8:
            _quantize(exact, graph, large)
            int8 = _beside(hf, _session(graph, work.threads), rows)
            for path in work.out.glob(f"{EXACT}*"):
                path.unlink()
            bar.advance()
    return Found(found, int8, _versions())


def probes(config: Any) -> list[Ids]:
    """Fixed tokens: short texts, and one that is longer than the model's window, where it has one."""
    window = getattr(config, "sliding_window", None) or 0
    lengths = [min(length, _context(config)) for length in (*PROBES[:-1], max(PROBES[-1], window + 8))]
    return [np.arange(1, length + 1, dtype=np.int64) * 7919 % config.vocab_size for length in lengths]


def check(found: Sequence[Beside], padded: float = 0.0) -> float:
    """The largest difference of fp32 logits. Raises Damaged where it is above the bound."""
    bound = WITHIN * max(1.0, *(one.largest for one in found))
    worst = float(np.max([padded, *(one.difference for one in found)]))  # max would pass over what is no number
    if not worst <= bound:
        raise Damaged(f"logits of the ONNX graph differ from the model's by {worst:.3g}, and {bound:.3g} is allowed.")
    return worst


def _context(config: Any) -> int:
    return int(config.max_position_embeddings)


def _loaded(source: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return AutoModelForCausalLM.from_pretrained(
        source, local_files_only=True, use_safetensors=True, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()


def _write(hf: "PreTrainedModel", path: Path, large: bool) -> None:
    import onnx  # pyright: ignore[reportMissingImports]
    import torch

    class Logits(torch.nn.Module):
        """Logits as the only output, without a cache."""

        def __init__(self) -> None:
            super().__init__()
            self.hf = hf

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.hf(input_ids=input_ids, attention_mask=attention_mask, use_cache=False).logits

    example = torch.from_numpy(np.arange(18, dtype=np.int64).reshape(2, 9))
    axes = {0: "batch", 1: "sequence"}
    torch.onnx.export(
        Logits().eval(),
        (example, torch.ones_like(example)),
        str(path),
        input_names=INPUTS,
        output_names=["logits"],
        dynamic_shapes=dict.fromkeys(INPUTS, axes),
        external_data=large,
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    graph = onnx.load(str(path), load_external_data=False)
    for node in _nodes(graph):
        node.ClearField("metadata_props")  # lines of code and their folders on this machine
        node.ClearField("doc_string")
    onnx.save(graph, str(path))


def _nodes(graph: "onnx.ModelProto") -> Iterator[Any]:
    yield from (graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.functions)
    for function in graph.functions:
        yield from function.node


def _quantize(exact: Path, graph: Path, large: bool) -> None:
    """Weights of linear layers in 8 bits by channel, activations as they come; the head and embeddings stay fp32."""
    import onnx  # pyright: ignore[reportMissingImports]
    from onnxruntime.quantization import QuantType, quantize_dynamic  # pyright: ignore[reportMissingImports]

    nodes = onnx.load(str(exact), load_external_data=False).graph.node
    quantize_dynamic(
        str(exact),
        str(graph),
        op_types_to_quantize=["MatMul", "Gemm"],
        nodes_to_exclude=[node.name for node in nodes if "logits" in node.output],
        per_channel=True,
        weight_type=QuantType.QInt8,
        use_external_data_format=large,
    )
    made = onnx.load(str(graph), load_external_data=False).graph.node
    if not any(node.op_type == "MatMulInteger" for node in made):
        raise Damaged(f"no layer of {graph} was quantized.")


def _session(path: Path, threads: int) -> "InferenceSession":
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _beside(hf: "PreTrainedModel", session: "InferenceSession", rows: Sequence[Ids]) -> list[Beside]:
    """Each row by itself, read by both."""
    found = []
    for row in rows:
        own, said = _own(hf, row), _said(session, row[None], np.ones_like(row[None]))[0]
        agreed = int((own.argmax(-1) == said.argmax(-1)).sum())
        difference, largest = float(np.abs(own - said).max()), float(np.abs(own).max())
        found.append(Beside(len(row) - 1, _nats(own, row), _nats(said, row), difference, largest, agreed))
    return found


def _padded(hf: "PreTrainedModel", session: "InferenceSession", rows: Sequence[Ids]) -> float:
    """The largest difference where rows are read together, padded, beside each by itself."""
    batch = np.zeros((len(rows), max(map(len, rows))), np.int64)
    mask = np.zeros_like(batch)
    for at, row in enumerate(rows):
        batch[at, : len(row)], mask[at, : len(row)] = row, 1
    said = _said(session, batch, mask)
    return float(np.max([np.abs(said[at, : len(row)] - _own(hf, row)).max() for at, row in enumerate(rows)]))


def _own(hf: "PreTrainedModel", row: Ids) -> Floats:
    import torch

    with torch.no_grad():
        return hf(input_ids=torch.from_numpy(row)[None], use_cache=False).logits[0].numpy()


def _said(session: "InferenceSession", batch: Ids, mask: Ids) -> Floats:
    return np.asarray(session.run(["logits"], dict(zip(INPUTS, (batch, mask), strict=True)))[0])


def _nats(logits: Floats, row: Ids) -> float:
    """Of all tokens but the first, as receipts count them."""
    wide = logits[:-1].astype(np.float64)
    top = wide.max(-1, initial=-np.inf) if len(wide) else np.empty(0)
    sums = np.log(np.exp(wide - top[:, None]).sum(-1)) + top
    return float((sums - wide[np.arange(len(wide)), row[1:]]).sum())


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("onnx", "onnxruntime", "onnxscript", "transformers", "torch")}
