"""Tokenizers: recipes, and the verbs that train, extend and show them.

just train-tokenizer web-32k corpus=web@2026.12 vocab=32000
just extend-tokenizer zh-base model=models/base corpus=zh-web new=8000
just tokenizer docs-8k "how is this cut?"
"""

import argparse
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.errors import BadInput, NotFound
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.progress import stage_progress
from catalog.records import find
from catalog.wanted import Wanted
from configs.recipes import described
from training.tokenizers.artifact import FERTILITY, Made, make, plan
from training.tokenizers.config import AlphabetConfig, CutConfig, ExtendConfig, TextsConfig, TokenizerConfig
from training.tokenizers.extension import make_extension, plan_extension
from training.tokenizers.fertility import Report, measure
from training.tokenizers.load import FILE, load_peer, load_tokenizer
from training.tokenizers.texts import Sample, find_texts

TRAIN = """`just train-tokenizer`: from a corpus to a tokenizer of the home, by name and version.

just train-tokenizer                                          the default one, docs-8k, from the corpus docs
just train-tokenizer web-32k corpus=web@2026.12 vocab=32000
just train-tokenizer zh-en recipe=chinese corpus=web,books shares=zh=0.5,code=0.1 chars=500000000
just train-tokenizer masked corpus=docs kind=wordpiece vocab=8192 mask=true
just train-tokenizer mine input='texts/*.jsonl' kind=unigram digits=single against=docs-8k,openai-community/gpt2
just train-tokenizer web-32k corpus=web vocab=32000 --dry-run the whole config, and what is there already
"""
EXTEND = """`just extend-tokenizer`: new tokens for a tokenizer, and new rows for its model, for continued pretraining.

just extend-tokenizer zh-base model=base/ corpus=zh-web new=8000        a Hugging Face folder with its own tokenizer
just extend-tokenizer zh-base model=base@1 base=docs-8k input='zh/*.jsonl' new=4000 chinese=2000
just extend-tokenizer docs-zh base=docs-8k corpus=zh-web new=4000       the tokenizer alone
just extend-tokenizer zh-base model=base/ corpus=zh-web --dry-run       the whole config, and what is there already
"""
SHOW = """`just tokenizer`: the fertility report of a tokenizer, and how it cuts a text.

just tokenizer docs-8k
just tokenizer docs-8k "for i in range(10):  print('你好')"
just tokenizer docs-8k README.md --tokens 200
just tokenizer docs-8k --against web-32k,openai-community/gpt2          measured again, side by side
"""
TEXT_CHARS = 2000


def docs_8k() -> TokenizerConfig:
    """8,192 byte-level tokens from the default corpus."""
    return TokenizerConfig(name="docs-8k", vocab=8192, texts=TextsConfig(corpus=("docs",)))


def byte_level() -> TokenizerConfig:
    """Byte-level BPE, 32,000 tokens, digits in groups of three, indents as tokens; loses nothing."""
    return TokenizerConfig(name="byte-level")


def chinese() -> TokenizerConfig:
    """The same for Chinese and English: 64,000 tokens, at least 6,000 Chinese characters among them."""
    return TokenizerConfig(name="chinese", vocab=64_000, alphabet=AlphabetConfig(chinese=6000))


def gpt2() -> TokenizerConfig:
    """GPT-2's expression and size, learnt anew."""
    return TokenizerConfig(name="gpt2", vocab=50_257, cut=CutConfig(pattern="gpt2", digits="none", indent=0))


def gpt4() -> TokenizerConfig:
    """The expression and size of cl100k, learnt anew."""
    return TokenizerConfig(name="gpt4", vocab=100_256, cut=CutConfig(pattern="gpt4", indent=0))


TOKENIZERS: dict[str, Callable[[], TokenizerConfig]] = {
    "docs-8k": docs_8k,
    "byte-level": byte_level,
    "chinese": chinese,
    "gpt2": gpt2,
    "gpt4": gpt4,
}


def train_main(argv: list[str]) -> int:
    """Train a tokenizer, or say what would be trained."""
    arguments = _parser("train-tokenizer", TRAIN, "\n".join(described(TOKENIZERS))).parse_args(argv)
    config, home = _train_config(arguments.words), Home.open(arguments.home)
    console = Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        planned = plan(config, home)
        console.print_json(config.model_dump_json())
        _print_state(console, planned.wanted)
        return 0
    with stage_progress("learn", unit="texts") as bar:
        made = make(config, home, bar.advance)
    _print_made(console, made)
    return 0


def _train_config(words: list[str]) -> TokenizerConfig:
    name, fields = (words[0], words[1:]) if words and "=" not in words[0] else ("docs-8k", words)
    ref = parse_ref(name)
    asked = [field.partition("=")[2] for field in fields if field.startswith("recipe=")]
    recipe = asked[-1] if asked else ref.name if ref.name in TOKENIZERS else "byte-level"
    if recipe not in TOKENIZERS:
        raise NotFound(f"no recipe {recipe!r}. Known: {', '.join(TOKENIZERS)}.")
    config = TOKENIZERS[recipe]().variant(name=ref.name, version=ref.version)
    return set_fields(config, [field for field in fields if not field.startswith("recipe=")])


def extend_main(argv: list[str]) -> int:
    """Extend a tokenizer and its model, or say what would be done."""
    arguments = _parser("extend-tokenizer", EXTEND, "").parse_args(argv)
    if not arguments.words or "=" in arguments.words[0]:
        raise BadInput(
            "what is it to be called? Write for example: just extend-tokenizer zh-base model=base/ corpus=zh."
        )
    ref = parse_ref(arguments.words[0])
    config = set_fields(ExtendConfig(name=ref.name, version=ref.version), arguments.words[1:])
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        planned = plan_extension(config, home)
        console.print_json(config.model_dump_json())
        _print_state(console, planned.wanted)
        return 0
    with stage_progress("learn", unit="texts") as bar:
        made = make_extension(config, home, bar.advance)
    _print_made(console, made.tokenizer)
    if made.model:
        counts = made.model.record.counts
        console.print(
            f"models/{made.model.record.ref}: {counts['new_rows']:,} new rows; loss a byte "
            f"{counts['loss_byte_before']} before, {counts['loss_byte_after']} after\nfolder   {made.model.folder}",
            markup=False,
        )
    return 0


def show_main(argv: list[str]) -> int:
    """Print the fertility report of a tokenizer, or how it cuts a text."""
    parser = Parser(prog="just tokenizer", description=SHOW)
    parser.add_argument("name", help="a tokenizer of the home, or a folder with tokenizer.json")
    parser.add_argument("text", nargs="?", help="a text, or a file")
    parser.add_argument("--against", default="", metavar="NAMES", help="measure again, beside these tokenizers")
    parser.add_argument("--tokens", type=int, default=100, help="so many tokens of the text are shown")
    parser.add_home()
    arguments = parser.parse_args(argv)
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    loaded = load_tokenizer(home, arguments.name)
    console.print(f"{loaded.ref}: {loaded.vocab_size:,} tokens, end {loaded.eos_id}, pad {loaded.pad_id}", markup=False)
    if arguments.text is not None:
        _print_cut(console, home, arguments)
    elif arguments.against:
        print(_measured(home, arguments.name, arguments.against.split(",")).table())
    elif (loaded.folder / FERTILITY).is_file():
        print(Report.model_validate_json((loaded.folder / FERTILITY).read_bytes()).table())
    return 0


def _print_cut(console: Console, home: Home, arguments: argparse.Namespace) -> None:
    """The pieces of a text, a bar between them."""
    text = str(arguments.text)
    if len(text) < 255 and Path(text).is_file():
        text = Path(text).read_text(encoding="utf-8", errors="replace")
    names = [arguments.name, *(name for name in arguments.against.split(",") if name)]
    for name in names:
        encoding = load_peer(home, name).encode(text[:TEXT_CHARS], add_special_tokens=False)
        pieces = _pieces(text, encoding.offsets[: arguments.tokens])
        console.print(f"{name}: {len(encoding.ids)} tokens, {len(text[:TEXT_CHARS].encode())} bytes", markup=False)
        console.print("|".join(pieces), markup=False)
        console.print(" ".join(map(str, encoding.ids[: arguments.tokens])), markup=False)


def _pieces(text: str, spans: list[tuple[int, int]]) -> list[str]:
    """The text of each token; a further token of the same character is a dot."""
    pieces, done = [], 0
    for first, stop in spans:
        pieces.append(text[max(first, done) : stop] or "·")
        done = max(done, stop)
    return pieces


def _measured(home: Home, name: str, against: list[str]) -> Report:
    """Measured on the held-out documents of the corpora that the tokenizer was learnt from."""
    record = find(home, "tokenizers", name)
    corpora = tuple(text.partition("/")[2] for text in record.inputs if text.startswith("corpora/"))
    if not corpora:
        raise BadInput(f"{record.ref} was learnt from files: give against=… when it is trained.")
    texts = TextsConfig.model_validate({**dict(record.config["texts"]), "corpus": corpora})  # type: ignore[arg-type]
    with Sample(find_texts(home, texts), texts) as sample:
        return measure({peer: load_peer(home, peer) for peer in [name, *against]}, sample.held_out())


def _print_state(console: Console, wanted: Wanted) -> None:
    console.print(f"tokenizer {wanted.ref}: {'there already' if wanted.found() else 'to make'}", markup=False)


def _print_made(console: Console, made: Made) -> None:
    record = made.record
    if made.fresh:
        print(Report.model_validate_json((made.folder / FERTILITY).read_bytes()).table())
    else:
        console.print(f"{record.ref} is there already, from the same texts and config: nothing to do.", markup=False)
    asked, made_of = record.config.get("vocab"), record.counts["vocab"]
    if isinstance(asked, int) and isinstance(made_of, int) and made_of < asked:
        console.print(f"{asked:,} tokens were asked for, the texts gave {made_of:,}: take more texts", markup=False)
    console.print(
        f"{record.ref}: {record.counts['vocab']:,} tokens\nfile     {made.folder / FILE}\n"
        f'look     just tokenizer {record.ref} "a text"',
        markup=False,
    )


def _parser(verb: str, text: str, recipes: str) -> Parser:
    listed = f"\nrecipes (recipe=…):\n{recipes}\n" if recipes else ""
    parser = Parser(
        prog=f"just {verb}",
        usage=f"just {verb} [NAME[@VERSION]] [field=value …] [--dry-run]",
        description=f"{text}{listed}\nFields, and their values: add --dry-run.",
    )
    parser.add_fields("the tokenizer's name, then fields", "NAME", dry_run="the config and what is there already")
    return parser
