"""What a tokenizer is trained from: the config that a recipe of `configs/tokenizers.py` returns.

TokenizerConfig(name="web-32k", texts=TextsConfig(corpus=("web@2026.12",)), vocab=32_000)
"""

import re
from typing import Literal

from pydantic import Field, JsonValue

from catalog.config import Config
from catalog.errors import BadInput

END = "<|endoftext|>"
PAD = "<|pad|>"
CHAT = ("<|im_start|>", "<|im_end|>")
MASK = "<mask>"
UNKNOWN = "<unk>"
BYTES = 256

_SHARE = re.compile(r"([^=\s/]+(?:/[^=\s/]+)?)=(\d*\.?\d+)")


class TextsConfig(Config):
    """The sample of texts that a tokenizer is learnt from."""

    corpus: tuple[str, ...] = ()
    """Corpora of the home, each as name or name@version."""
    input: tuple[str, ...] = ()
    """Parquet or JSONL (`text`, and `domain` and `lang` where known) or text files, as paths or globs."""
    chars: int = Field(default=200_000_000, ge=1000)
    """At most so many characters are learnt from."""
    shares: tuple[str, ...] = ()
    """Shares of the sample by domain, language or domain/language, as `zh=0.3,code=0.1`; the rest goes by size."""
    held_out: float = Field(default=0.05, ge=0, le=0.5)
    """Share of each domain and language's documents that is not learnt from, but measured on."""
    held_out_chars: int = Field(default=200_000, ge=0)
    """At most about so many characters of each domain and language are measured on."""
    seed: int = 0

    def asked_shares(self) -> dict[str, float]:
        """Shares by the name of a domain, a language or both. Raises BadInput."""
        found = [(_SHARE.fullmatch(text.strip()), text) for text in self.shares]
        wrong = [text for match, text in found if not match]
        if wrong:
            raise BadInput(f"not a share: {wrong[0]!r}. Write for example shares=zh=0.3,code=0.1.")
        shares = {match[1]: float(match[2]) for match, _ in found if match}
        if sum(shares.values()) > 1 + 1e-9:
            raise BadInput(f"shares add up to {sum(shares.values()):.3g}, at most 1 is possible.")
        return shares


class CutConfig(Config):
    """How text is cut into words before pieces are learnt inside them."""

    pattern: Literal["millrace", "gpt2", "gpt4"] = "millrace"
    """The regular expression (see `training.tokenizers.patterns`)."""
    digits: Literal["single", "groups", "none"] = "groups"
    """Each digit alone, groups of up to three, or whole runs."""
    indent: int = Field(default=16, ge=0, le=128)
    """Runs of 2 to so many spaces, and of 2 to 8 tabs, are tokens of their own; 0 leaves it to the corpus."""
    normalization: Literal["none", "nfc", "nfkc"] = "none"
    """Unicode normalization before everything; any but none makes byte-level BPE lossy."""
    lowercase: bool = False


class AlphabetConfig(Config):
    """Which characters are sure to have a token."""

    coverage: float = Field(default=0.9995, gt=0, le=1)
    """WordPiece and Unigram: the most frequent characters that make up this share of the sample have tokens."""
    byte_fallback: bool = True
    """Unigram: other characters become their UTF-8 bytes; without it they are lost (unknown)."""
    chinese: int = Field(default=0, ge=0, le=20_000)
    """At least so many Chinese characters are single tokens: the sample's most frequent, then the common ones."""


class SpecialConfig(Config):
    """Tokens that no text gives."""

    chat: bool = True
    mask: bool = False
    """A `<mask>` token, for masked objectives."""
    sentinels: int = Field(default=0, ge=0, le=1000)
    """`<extra_id_0>`, …, for span corruption."""
    more: tuple[str, ...] = ()


class TokenizerConfig(Config):
    """A tokenizer. Identity is everything but name, version, the inputs' paths (their content counts) and `against`."""

    name: str
    version: str = ""
    """Empty takes the version that is this very tokenizer, or the next free number."""
    kind: Literal["bpe", "wordpiece", "unigram"] = "bpe"
    vocab: int = Field(default=32_000, ge=300, le=1_000_000)
    """Tokens in all, special ones counted."""
    texts: TextsConfig = TextsConfig()
    cut: CutConfig = CutConfig()
    alphabet: AlphabetConfig = AlphabetConfig()
    special: SpecialConfig = SpecialConfig()
    min_frequency: int = Field(default=2, ge=1)
    """A merge must have been seen so often."""
    max_token_chars: int = Field(default=32, ge=1, le=256)
    """Longest token, in characters (byte-level BPE: bytes)."""
    against: tuple[str, ...] = ()
    """Tokenizers to measure beside: artifacts or folders with tokenizer.json. Circumstance, no identity."""

    def identity(self) -> dict[str, JsonValue]:
        """The config as the record keeps it and the fingerprint counts it."""
        plain = self.model_dump(mode="json", exclude={"name", "version", "against"})
        del plain["texts"]["corpus"], plain["texts"]["input"]
        return plain

    def specials(self) -> list[str]:
        """Special tokens in the order of their ids, which start at 0."""
        named = [END, PAD, *(CHAT if self.special.chat else ()), *([MASK] if self.special.mask else [])]
        named += [f"<extra_id_{number}>" for number in range(self.special.sentinels)] + list(self.special.more)
        return list(dict.fromkeys(named + ([UNKNOWN] if self.kind != "bpe" else [])))

    def check(self) -> None:
        """Raise BadInput for what could not be, before anything is read."""
        self.texts.asked_shares()
        if not self.texts.corpus and not self.texts.input:
            raise BadInput("no texts to learn from. Give corpus=NAME or input=FILES.")
        if self.cut.pattern != "millrace" and self.cut.indent:
            raise BadInput(
                f"pattern={self.cut.pattern} cuts whitespace in its own way: add indent=0, or take millrace."
            )
        room = self.vocab - len(self.specials()) - (0 if self.kind == "wordpiece" else BYTES)
        if room < 0:
            raise BadInput(f"vocab={self.vocab} is too small: special tokens and bytes alone take {self.vocab - room}.")
        if self.alphabet.chinese > room // 2:
            raise BadInput(
                f"chinese={self.alphabet.chinese} characters are more than half of vocab={self.vocab}: "
                f"at most {max(0, room // 2)} leave room for words."
            )


class ExtendConfig(Config):
    """New tokens for a tokenizer and its model. Identity as of TokenizerConfig; of `base` and `model` the content."""

    name: str
    version: str = ""
    base: str = ""
    """The tokenizer to extend: an artifact, or a folder with tokenizer.json; empty takes the model's own."""
    model: str = ""
    """The model that gets new rows: a Hugging Face folder, or a model of the home as name@version; empty for none."""
    new: int = Field(default=8000, ge=1, le=500_000)
    """At most so many new tokens."""
    chinese: int = Field(default=0, ge=0, le=20_000)
    """At least so many Chinese characters become single tokens, the most frequent first; counted in `new`."""
    texts: TextsConfig = TextsConfig()
    min_frequency: int = Field(default=10, ge=1)
    max_token_chars: int = Field(default=32, ge=2, le=256)
    """Longest new token, in symbols of the old model (bytes where it is byte-level)."""
    worst: float = Field(default=1.5, gt=1)
    """Refuse a model whose loss a byte is more than so many times what it was before."""
    against: tuple[str, ...] = ()

    def identity(self) -> dict[str, JsonValue]:
        """The config as the record keeps it and the fingerprint counts it."""
        plain = self.model_dump(mode="json", exclude={"name", "version", "against", "base", "model", "worst"})
        del plain["texts"]["corpus"], plain["texts"]["input"]
        return plain

    def check(self) -> None:
        """Raise BadInput for what could not be, before anything is read."""
        self.texts.asked_shares()
        if not self.base and not self.model:
            raise BadInput("nothing to extend. Give base=TOKENIZER, model=FOLDER or both.")
        if not self.texts.corpus and not self.texts.input:
            raise BadInput("no texts to learn from. Give corpus=NAME or input=FILES.")
