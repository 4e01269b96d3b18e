"""The entry points that run recipes.

just build-corpus                                            # the default corpus, from a crawl of its own
just build-corpus web input='crawl/*.warc.gz' version=2026.11
just build-corpus web input=pages.jsonl min_words=80 --dry-run
just near "is this text already here?" --in docs@1
"""

import importlib
import sys

from catalog.commands import run

VERBS = {
    "build-corpus": "build_corpus.main",
    "crawl": "crawl.main",
    "near": "near.main",
    "train-tokenizer": "tokenizers.train_main",
    "extend-tokenizer": "tokenizers.extend_main",
    "tokenizer": "tokenizers.show_main",
    "tokenize": "tokens.main",
    "mixture": "mixtures.main",
    "show-mixture": "mixtures.show",
    "estimate": "estimate.main",
    "dataset": "datasets.main",
    "datasets": "datasets.list_main",
    "pretrain": "pretrain.main",
    "pretrain-rank": "pretrain.rank_main",
    "resume": "pretrain.resume_main",
    "sft": "tune.sft_main",
    "dpo": "tune.dpo_main",
    "kto": "tune.kto_main",
    "reward": "tune.reward_main",
    "grpo": "tune.grpo_main",
    "distill": "tune.distill_main",
    "tune-classifier": "tune.classifier_main",
    "tune-rank": "tune.rank_main",
    "merge": "tune.merge_main",
    "prune": "prune.main",
    "quantize": "quantize.main",
    "compress-search": "quantize.search_main",
    "export-onnx": "export_onnx.main",
    "generate": "generate.main",
    "serve": "serve.main",
    "watch": "watch.main",
    "trace": "trace.main",
    "report": "report.main",
    "ablate": "stories.ablate.main",
    "exam": "stories.exam.main",
    "demo": "stories.demo.main",
}
"""Each verb's function; only the one that is asked for is imported, since every worker process imports this module."""


def main(argv: list[str]) -> int:
    """Dispatch on the verb."""
    if not argv or argv[0] not in VERBS:
        print(f"{__doc__}\nverbs: {', '.join(VERBS)}", file=sys.stderr if argv else sys.stdout)
        return 2 if argv and argv[0] not in ("-h", "--help") else 0
    module, _, function = VERBS[argv[0]].rpartition(".")
    return getattr(importlib.import_module(f"configs.{module}"), function)(argv[1:])


if __name__ == "__main__":
    run(main)
