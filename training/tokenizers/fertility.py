"""The fertility report: how many tokens a tokenizer makes of text, by language and domain, beside other tokenizers.

>>> report = measure({"docs-8k": tokenizer, "gpt2": other}, sample.held_out())
>>> print(report.table())

Bytes are UTF-8 bytes of the text before any normalization: the measure is fair between languages and tokenizers. Words
are what white space divides; where Chinese or Japanese is written they say little, tokens per character say more.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from tokenizers import Tokenizer

from catalog.config import Config
from catalog.tables import table
from training.tokenizers.texts import Document

_BATCH = 64
ALL = "all"


class Fertility(Config):
    """What one tokenizer made of one group of documents; `all` stands for every domain or language."""

    tokenizer: str
    domain: str
    lang: str
    documents: int
    bytes: int
    characters: int
    words: int
    tokens: int
    unknown: int
    """Tokens that stand for text that is lost."""
    bytes_per_token: float
    tokens_per_character: float
    tokens_per_word: float


class Report(Config):
    """Rows by tokenizer and group: each domain and language, each language, each domain, and all."""

    rows: tuple[Fertility, ...]

    def table(self, smallest: float = 0.005) -> str:
        """Bytes per token, a column for each tokenizer; tokens per character and word are the first one's.

        Groups of less than a share `smallest` of all characters are left out, and sums over one group.
        """
        names = list(dict.fromkeys(row.tokenizer for row in self.rows))
        groups: dict[tuple[str, str], dict[str, Fertility]] = {}
        for row in self.rows:
            groups.setdefault((row.lang, row.domain), {})[row.tokenizer] = row
        by_group, lines = _worth_a_line(groups, smallest), []
        for (lang, domain), found in by_group.items():
            first = found[names[0]]
            numbers = [f"{found[name].bytes_per_token:.2f}" for name in names]
            rest = [f"{first.tokens_per_character:.3f}", f"{first.tokens_per_word:.2f}", f"{first.unknown:,}"]
            lines.append([lang, domain, first.documents, first.characters, *numbers, *rest])
        titles = ["lang", "domain", "documents", "characters", *(f"bytes/token {name}" for name in names)]
        shown = table([*titles, "tokens/character", "tokens/word", "unknown"], lines)
        left = sum(ALL not in key for key in groups) - sum(ALL not in key for key in by_group)
        return shown + (f"\nand {left} smaller groups of documents, in fertility.json" if left else "")


def _worth_a_line(
    groups: dict[tuple[str, str], dict[str, Fertility]], smallest: float
) -> dict[tuple[str, str], dict[str, Fertility]]:
    sizes = {key: next(iter(found.values())).characters for key, found in groups.items()}
    least = smallest * max(sizes.values(), default=0)
    parts = {
        key: sum(
            all(mine in (ALL, other) for mine, other in zip(key, one, strict=True)) for one in sizes if ALL not in one
        )
        for key in groups
    }
    whole = (ALL, ALL)
    return {
        key: found
        for key, found in groups.items()
        if key == whole or (sizes[key] >= least and (ALL not in key or parts[key] > 1))
    }


def measure(tokenizers: Mapping[str, Tokenizer], documents: Iterable[Document]) -> Report:
    """Cut documents with each tokenizer and count. Special tokens are not added."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for batch in _batches(documents):
        texts = [document.text for document in batch]
        sizes = [(1, len(text.encode()), len(text), len(text.split())) for text in texts]
        for name, tokenizer in tokenizers.items():
            for document, size, counted in zip(batch, sizes, _counted(tokenizer, texts), strict=True):
                for group in _groups(document):
                    total = sums.setdefault((name, *group), [0] * 6)
                    sums[name, *group] = [old + new for old, new in zip(total, (*size, *counted), strict=True)]
    order = {name: place for place, name in enumerate(tokenizers)}
    keys = sorted(sums, key=lambda key: (key[2] == ALL, key[2], key[1] == ALL, key[1], order[key[0]]))
    return Report(rows=tuple(_row(*key, *sums[key]) for key in keys))


def _batches(documents: Iterable[Document]) -> Iterator[list[Document]]:
    rest = iter(documents)
    while batch := list(islice(rest, _BATCH)):
        yield batch


def _counted(tokenizer: Tokenizer, texts: list[str]) -> list[tuple[int, int]]:
    """Tokens and unknown ones of each text."""
    unknown = getattr(tokenizer.model, "unk_token", None) or "<unk>"
    lost = tokenizer.token_to_id(unknown)
    encodings = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [(len(encoding.ids), encoding.ids.count(lost) if lost is not None else 0) for encoding in encodings]


def _groups(document: Document) -> set[tuple[str, str]]:
    domain, lang = document.domain, document.lang
    return {(domain, lang), (ALL, lang), (domain, ALL), (ALL, ALL)}


def _row(
    tokenizer: str,
    domain: str,
    lang: str,
    documents: int,
    size: int,
    characters: int,
    words: int,
    tokens: int,
    lost: int,
) -> Fertility:
    return Fertility(
        tokenizer=tokenizer,
        domain=domain,
        lang=lang,
        documents=documents,
        bytes=size,
        characters=characters,
        words=words,
        tokens=tokens,
        unknown=lost,
        bytes_per_token=round(size / max(1, tokens), 4),
        tokens_per_character=round(tokens / max(1, characters), 4),
        tokens_per_word=round(tokens / max(1, words), 4),
    )
