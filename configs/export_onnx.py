"""`just export-onnx`: a model of the home as an ONNX graph, which onnxruntime reads beside the model itself.

just export-onnx tiny-sft                                  tiny-sft-onnx, in fp32
just export-onnx tiny-sft int8=true                        tiny-sft-onnx-int8: a third to a quarter of the size
just export-onnx base@2 name=small mixture=docs rows=16    what it is measured on
just export-onnx tiny-sft int8=true --dry-run              the whole config, and what would be done

In fp32 no logit may differ by more than 1e-4 times the largest one, else there is no model. What INT8 changes is said:
just sql "SELECT task, metric, value FROM evaluations WHERE model = 'tiny-sft-onnx-int8'".
"""

from collections.abc import Sequence
from functools import partial

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.home import Home
from catalog.records import Record
from catalog.tables import size
from catalog.weights import weight_bytes
from configs.quantize import texts_of
from configs.scorers import heldout
from serving.compress import Document
from serving.onnx_export import LOGITS, TYPES, Job, Nats, OnnxConfig, export, graph_bytes, plan
from serving.onnx_graph import WITHIN
from serving.receipt import Receipt, Score


def main(argv: list[str]) -> int:
    """Export a model, or say what would be done."""
    arguments = _parser().parse_args(argv)
    config, home = set_fields(OnnxConfig(model=arguments.model), arguments.words), Home.open(arguments.home)
    job = plan(config, home, partial(texts_of, home))
    if arguments.dry_run:
        print(config.model_dump_json(indent=1))
    print("\n".join(_described(job)), flush=True)
    if arguments.dry_run:
        return 0
    record, fresh = export(job, scores_of)
    if not fresh:
        print(f"{record.ref} is there already, made in the same way.")
    print("\n".join(_last(job, record)))
    return 0


def scores_of(documents: Sequence[Document], nats: Nats) -> Sequence[Score]:
    """Perplexity, loss and bits a byte of texts that a graph has read, by domain and of all."""
    return heldout(documents, nats, "onnx")


def _described(job: Job) -> list[str]:
    config, model = job.config, job.target.model.ref
    text = f"fixed tokens alone: no mixture of this home holds back text for {model}, so no perplexity"
    if job.texts:
        text = f"{config.rows:,} held-out samples of each domain of {job.texts.mixture.ref}"
    there = ", there already" if job.wanted.found() else ""
    return [
        f"model    {model}, {size(weight_bytes(job.target.folder))} of weights",
        f"read     {text}",
        f"makes    models/{job.wanted.ref} in {'INT8' if config.int8 else 'fp32'}{there}",
    ]


def _last(job: Job, record: Record) -> list[str]:
    folder, found = job.home.artifact("models", record.name, record.version), Receipt(record)
    lines = [
        f"model    {folder}",
        f"size     {size(graph_bytes(folder))} of {size(weight_bytes(job.target.folder))}",
        f"fp32     logits differ by {found.value(LOGITS, 'fp32_largest_difference'):.2g} at most "
        f"({WITHIN:g} of the largest is allowed)",
    ]
    if record.config["precision"] == "int8":
        lines.append(
            f"int8     logits differ by {found.value(LOGITS, 'largest_difference'):.2g} at most; "
            f"the best next token is the same in {found.value(LOGITS, 'same_best_token'):.2%}"
        )
    if "onnx/all" in found.tasks("perplexity"):
        own, said = (found.value("onnx/all", name) for name in ("parent_perplexity", "perplexity"))
        lines.append(f"text     perplexity {said:,.5g}, the model's own {own:,.5g}: {said / own - 1:+.3%}")
    return [
        *lines,
        f"ask      just sql \"FROM evaluations WHERE model = '{record.name}'\"",
        f"next     {folder / 'README.md'} has the lines for onnxruntime",
    ]


def _parser() -> Parser:
    parser = Parser(
        prog="just export-onnx",
        usage="just export-onnx MODEL [int8=true] [field=value …] [--dry-run]",
        description=f"{__doc__}\nModels of the types {', '.join(TYPES)}. "
        "Fields and their values: just export-onnx MODEL --dry-run.",
    )
    parser.add_model()
    parser.add_fields("int8, name, version, mixture, rows")
    return parser
