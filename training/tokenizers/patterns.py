"""Regular expressions that cut text into words, and what goes before and after the pieces.

>>> pre_tokenizer(config).pre_tokenize_str("x = 2026")     # [('x', …), ('Ġ=', …), ('Ġ', …), ('202', …), ('6', …)]

A piece never crosses the end of a word. `gpt2` with digits=none is the expression of GPT-2's encoder.py (OpenAI, 2019);
`gpt4` with digits=groups is cl100k_base as published in tiktoken. `millrace` is ours: letters with one leading space
or mark as in GPT-4, Chinese and Japanese runs apart from other letters, and runs of spaces, of tabs and of line ends
each a word of their own, so that indentation never mixes with anything.
"""

from tokenizers import Regex, decoders, normalizers, pre_tokenizers

from training.tokenizers.config import CutConfig, TokenizerConfig

EAST = r"\p{Han}\p{Hiragana}\p{Katakana}"
"""Letters that are written without spaces between words."""
_DIGITS = {"single": r"\p{N}", "groups": r"\p{N}{1,3}", "none": r"\p{N}+"}
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_MILLRACE = (
    r"(?i:'(?:s|t|re|ve|m|ll|d))(?!\p{L})"
    rf"|[{EAST}]+"
    rf"|(?:[^\s\p{{L}}\p{{N}}]| )?(?:(?![{EAST}])[\p{{L}}\p{{M}}])+"
    r"|DIGITS"
    r"| ?[^\s\p{L}\p{N}]+"
    r"|[\r\n]+|\t+| +(?!\S)| +|[^\S\r\n\t ]+"
)
GAP = "▁"
"""A space in the pieces of Unigram models."""


def expression(cut: CutConfig) -> str:
    """The regular expression of a config (Oniguruma, as Hugging Face tokenizers read it)."""
    digits = _DIGITS[cut.digits]
    if cut.pattern == "gpt2":
        return _GPT2.replace("DIGITS", rf" ?{digits}")
    return (_GPT4 if cut.pattern == "gpt4" else _MILLRACE).replace("DIGITS", digits)


def normalizer(config: TokenizerConfig) -> normalizers.Normalizer | None:
    """What is done to text first; None where nothing is."""
    forms = {"none": [], "nfc": [normalizers.NFC()], "nfkc": [normalizers.NFKC()]}
    steps = forms[config.cut.normalization] + ([normalizers.Lowercase()] if config.cut.lowercase else [])
    return normalizers.Sequence(steps) if steps else None


def pre_tokenizer(config: TokenizerConfig) -> pre_tokenizers.PreTokenizer:
    """Text to words, in the alphabet that the kind of model works in."""
    split = pre_tokenizers.Split(Regex(expression(config.cut)), behavior="isolated")
    if config.kind == "bpe":
        return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if config.kind == "unigram":
        spaces = pre_tokenizers.Metaspace(replacement=GAP, prepend_scheme="never", split=False)
        return pre_tokenizers.Sequence([split, spaces])
    east = pre_tokenizers.Split(Regex(rf"[{EAST}]"), behavior="isolated")
    digits = pre_tokenizers.Split(Regex(_DIGITS[config.cut.digits]), behavior="isolated")
    return pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation(behavior="isolated"), east, digits]
    )


def decoder(config: TokenizerConfig) -> decoders.Decoder:
    """Pieces back to text."""
    if config.kind == "bpe":
        return decoders.ByteLevel()
    if config.kind == "wordpiece":
        return decoders.WordPiece(prefix="##", cleanup=False)
    return decoders.Sequence([decoders.Replace(GAP, " "), decoders.ByteFallback(), decoders.Fuse()])
