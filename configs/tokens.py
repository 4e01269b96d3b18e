"""`just tokenize`: from a corpus version, or text files, to samples that training reads, by name and version.

just tokenize                                        the corpus docs with the tokenizer docs-8k, 1,024 tokens a sample
just tokenize web corpus=web@2026.12 tokenizer=web-32k sequence_length=2048
just tokenize all corpus=web,books@2 tokenizer=web-32k
just tokenize mine input='texts/*.jsonl.zst' tokenizer=web-32k domain=books lang=en
just tokenize web tokenizer=web-32k --dry-run        the whole config, and what is there already
"""

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.records import RECORD, Record, versions
from catalog.tables import table
from training.tokens.config import TokensConfig
from training.tokens.job import Job, plan, tokenize
from training.tokens.pieces import Piece

DEFAULT_CORPUS, DEFAULT_TOKENIZER = "docs", "docs-8k"
SHOWN = 12


def docs() -> TokensConfig:
    """The default corpus with its tokenizer."""
    return TokensConfig(name="docs", corpus=(DEFAULT_CORPUS,), tokenizer=DEFAULT_TOKENIZER)


def named(name: str) -> TokensConfig:
    """The corpus of the same name; what the command line says goes before."""
    return docs() if name == "docs" else TokensConfig(name=name, corpus=(name,))


def main(argv: list[str]) -> int:
    """Tokenize, or say what would be done."""
    arguments = _parser().parse_args(argv)
    config, home = _configured(arguments.words), Home.open(arguments.home)
    console = Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        _print_plan(config, home, console)
        return 0
    _make_defaults(config, home, console)
    done = tokenize(config, home)
    if not done.fresh:
        console.print(
            f"{done.record.ref} is there already, from the same texts and config: nothing to do.", markup=False
        )
    _print_made(done.record, home, console)
    return 0


def _configured(words: list[str]) -> TokensConfig:
    name, fields = (words[0], words[1:]) if words and "=" not in words[0] else ("docs", words)
    ref = parse_ref(name)
    config = named(ref.name).variant(version=ref.version)
    if any(field.partition("=")[0] == "input" for field in fields):
        config = config.variant(corpus=())
    return set_fields(config, fields)


def _make_defaults(config: TokensConfig, home: Home, console: Console) -> None:
    """Build the default corpus and tokenizer where they are asked for and not there yet."""
    if DEFAULT_CORPUS in config.corpus and not versions(home, "corpora", DEFAULT_CORPUS):
        from configs import build_corpus

        console.print(f"there is no corpus {DEFAULT_CORPUS} yet: it is built first", markup=False)
        build_corpus.main(["docs", "--home", str(home.root)])
    if config.tokenizer == DEFAULT_TOKENIZER and not versions(home, "tokenizers", DEFAULT_TOKENIZER):
        from configs import tokenizers

        console.print(f"there is no tokenizer {DEFAULT_TOKENIZER} yet: it is trained first", markup=False)
        tokenizers.train_main([DEFAULT_TOKENIZER, "--home", str(home.root)])


def _print_plan(config: TokensConfig, home: Home, console: Console) -> None:
    """The resolved config, and the units with what is there already."""
    console.print(f"tokens {config.name}, home {home.root}", markup=False)
    console.print_json(config.model_dump_json())
    for kind, name, asked in (
        ("corpora", DEFAULT_CORPUS, DEFAULT_CORPUS in config.corpus),
        ("tokenizers", DEFAULT_TOKENIZER, config.tokenizer == DEFAULT_TOKENIZER),
    ):
        if asked and not versions(home, kind, name):
            console.print(f"{kind}/{name}: would be made first", markup=False)
            return
    _print_state(plan(config, home), console)


def _print_state(job: Job, console: Console) -> None:
    units, there = job.inputs.units, (job.folder / RECORD).exists()
    done = len(units) if there else sum(Piece(job.pieces, number).there for number in range(len(units)))
    documents = "?" if job.inputs.documents is None else f"{job.inputs.documents:,}"
    state = "published already" if there else "to encode, pack and publish"
    console.print(
        f"input    {documents} documents in {len(units):,} units, {done:,} of them encoded\n"
        f"tokens   {job.tokenizer.vocab_size:,} different, as {job.dtype}; {job.config.processes} workers\n"
        f"{job.ref}: {state}",
        markup=False,
    )


def _print_made(record: Record, home: Home, console: Console) -> None:
    """Tokens by domain and language, what is wasted, and what to do next."""
    counts = record.counts
    rows = [[row["domain"], row["lang"], row["documents"], row["tokens"]] for row in counts["languages"]]  # type: ignore
    rows.sort(key=lambda row: -row[-1])
    console.print(table(["domain", "lang", "documents", "tokens"], rows[:SHOWN]), markup=False)
    if len(rows) > SHOWN:
        rest = rows[SHOWN:]
        console.print(f"{len(rest):,} more, {sum(row[-1] for row in rest):,} tokens", markup=False)
    console.print(_summary(record, home), markup=False)


def _summary(record: Record, home: Home) -> str:
    counts, length = record.counts, int(str(record.config["sequence_length"]))
    padding, samples = int(str(counts["padding"])), int(str(counts["samples"]))
    lines = [
        f"{record.ref}: {counts['tokens']:,} tokens of {counts['documents']:,} documents, {samples:,} samples of "
        f"{length:,}; waste: {padding:,} places of padding, {padding / samples / length:.3%}"
    ]
    if counts["empty_documents"]:
        lines.append(f"{counts['empty_documents']:,} documents have no text, and no tokens")
    if counts["cut_blindly"]:
        lines.append(
            f"{counts['cut_blindly']:,} cuts in very long documents are inside a word: the ids there may not be those "
            "of the text in one go"
        )
    ask = f"SELECT domain, lang, samples, tokens FROM tokens WHERE tokens_id = '{record.ref}'"
    lines += [
        f"in       {home.artifact(record.kind, record.name, record.version)}",
        f'ask      just sql "{ask}"',
        f"next     just mixture {record.name} tokens={record.name}",
    ]
    return "\n".join(lines)


def _parser() -> Parser:
    parser = Parser(
        prog="just tokenize",
        usage="just tokenize [NAME[@VERSION]] [field=value …] [--dry-run]",
        description=f"{__doc__}\nNAME also names the corpus, unless corpus= or input= says otherwise.",
    )
    parser.add_fields("the artifact's name, then fields", "NAME", dry_run="the config and what is there already")
    return parser
