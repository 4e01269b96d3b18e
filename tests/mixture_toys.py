"""Toy tokens for tests of mixtures and loaders (`from mixture_toys import toy_tokens`)."""

from collections.abc import Sequence
from pathlib import Path

from tokens_toys import documents, write_corpus, write_tokenizer

from catalog.home import Home
from training.tokens.config import TokensConfig
from training.tokens.job import tokenize

STREAMS = (("web", "en"), ("web", "zh"), ("code", "en"), ("books", "en"))


def toy_tokens(
    home: Home,
    folder: Path,
    name: str = "toy",
    count: int = 300,
    seed: int = 0,
    length: int = 64,
    streams: Sequence[tuple[str, str]] = STREAMS,
) -> str:
    """A tokens artifact of toy documents; gives its `name@version`."""
    write_corpus(home, documents(count, seed, streams), name)
    tokenizer = folder / "tokenizer"
    if not tokenizer.exists():
        write_tokenizer(tokenizer)
    config = TokensConfig(name=name, corpus=(name,), tokenizer=str(tokenizer), sequence_length=length, workers=1)
    return str(tokenize(config.variant(shard_mb=0.02), home).record.ref)
