"""`just train-tokenizer`: from a corpus to a tokenizer of the home, by name and version.

just train-tokenizer                                          the default one, docs-8k, from the corpus docs
just train-tokenizer web-32k corpus=web@2026.12 vocab=32000
just train-tokenizer zh-en corpus=web shares=zh=0.5,code=0.1 chinese=6000 digits=single
just train-tokenizer masked kind=wordpiece corpus=docs vocab=8192 mask=true
just train-tokenizer web-32k corpus=web vocab=32000 --dry-run the whole config, and what is there already
"""

import argparse

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.progress import stage_progress
from training.tokenizers.artifact import make, plan
from training.tokenizers.config import TextsConfig, TokenizerConfig


def docs_8k() -> TokenizerConfig:
    """8,192 byte-level tokens from the default corpus."""
    return TokenizerConfig(name="docs-8k", vocab=8192, texts=TextsConfig(corpus=("docs",)))


def train_main(argv: list[str]) -> int:
    """Train a tokenizer, or say what would be trained."""
    arguments = _train_parser().parse_args(argv)
    words = arguments.words
    name, fields = (words[0], words[1:]) if words and "=" not in words[0] else ("docs-8k", words)
    ref = parse_ref(name)
    config = docs_8k() if ref.name == "docs-8k" else TokenizerConfig(name=ref.name)
    config = set_fields(config.variant(version=ref.version), fields)
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        planned = plan(config, home)
        console.print_json(config.model_dump_json())
        state = "there already" if planned.there else "to train"
        console.print(f"tokenizer {config.name}@{planned.version}: {state}", markup=False)
        return 0
    with stage_progress("learn") as bar:
        made = make(config, home, bar.advance)
    console.print(f"{made.record.ref}: {made.record.counts['vocab']:,} tokens in {made.folder}", markup=False)
    return 0


def _train_parser() -> Parser:
    parser = Parser(
        prog="just train-tokenizer",
        usage="just train-tokenizer [NAME[@VERSION]] [field=value …] [--dry-run]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="NAME field=value", help="the tokenizer's name, then fields")
    parser.add_argument("--dry-run", action="store_true", help="print the config and what is there already; do nothing")
    parser.add_argument("--home", help="where everything is kept (default: $MILLRACE_HOME, else ./lake)")
    return parser
