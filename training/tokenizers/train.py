"""Train a tokenizer on texts: byte-level BPE, WordPiece or Unigram, the same bytes for any number of threads.

>>> tokenizer = train(config, sample.learnt)      # a tokenizers.Tokenizer

Hugging Face's BPE trainer is deterministic (integer counts, ties by the order of the alphabet). Its WordPiece trainer
gives ids to inner characters in the order of a hash map that is seeded anew by each process, and its Unigram trainer
adds floating-point numbers in that order: two runs gave two tokenizers. So WordPiece is handed its whole alphabet in a
fixed order, and Unigram is trained here (`unigram.py`).
"""

import json
from collections.abc import Callable, Iterable, Iterator

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from training.tokenizers.alphabet import chinese, count_characters, covering, not_eastern
from training.tokenizers.config import UNKNOWN, TokenizerConfig
from training.tokenizers.merges import Pairs, learn
from training.tokenizers.patterns import GAP, decoder, normalizer, pre_tokenizer
from training.tokenizers.unigram import BYTE_PIECES, learn_pieces

Texts = Callable[[], Iterable[str]]
"""Gives the texts to learn from, from their start each time."""
_TABS = 8
_SPACE, _TAB = "Ġ", "ĉ"
"""A space and a tab in the alphabet of byte-level models."""
_INSIDE = "##"
_LONGEST_WORD = 100
_NEVER = -1000.0
"""Score of Unigram pieces that no text is cut into: one that writes `<0x41>` keeps its six characters."""


def train(config: TokenizerConfig, texts: Texts) -> Tokenizer:
    """A tokenizer of `config.vocab` tokens, or of fewer where the texts do not give as many."""
    trainers_by_kind = {"bpe": _byte_level, "wordpiece": _word_pieces, "unigram": _unigram}
    return assembled(config, trainers_by_kind[config.kind](config, _normalized(config, texts)))


def assembled(config: TokenizerConfig, model: models.Model) -> Tokenizer:
    """A model with what goes before and after it, and its special tokens."""
    tokenizer = Tokenizer(model)
    if (before := normalizer(config)) is not None:
        tokenizer.normalizer = before
    tokenizer.pre_tokenizer = pre_tokenizer(config)
    tokenizer.decoder = decoder(config)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in config.specials()])
    return tokenizer


def _normalized(config: TokenizerConfig, texts: Texts) -> Texts:
    """Normalized once, since characters and words are counted apart from the tokenizer."""
    before = normalizer(config)
    return texts if before is None else lambda: (before.normalize_str(text) for text in texts())


def _byte_level(config: TokenizerConfig, texts: Texts) -> models.Model:
    pairs = _base(config)
    if config.alphabet.chinese:
        for character in chinese(count_characters(texts()), config.alphabet.chinese):
            pairs.join(_in_bytes(character))
        count = config.vocab - len(pairs.vocab)
        learn(pairs, assembled(config, pairs.model()), texts(), count, config.min_frequency, config.max_token_chars)
        return pairs.model()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab,
        min_frequency=config.min_frequency,
        special_tokens=config.specials(),
        initial_alphabet=_bytes(),
        max_token_length=config.max_token_chars,
        show_progress=False,
    )
    for left, right in _merges(config, texts, trainer):
        if len(pairs.vocab) >= config.vocab:
            break
        if left + right not in pairs.vocab:  # else a run of spaces or tabs, there already
            pairs.add(left, right)
    return pairs.model()


def _merges(config: TokenizerConfig, texts: Texts, trainer: trainers.BpeTrainer) -> list[tuple[str, str]]:
    scratch = assembled(config, models.BPE())
    scratch.train_from_iterator(texts(), trainer)
    return [(left, right) for left, right in json.loads(scratch.to_str())["model"]["merges"]]


def _base(config: TokenizerConfig) -> Pairs:
    """Special tokens, the 256 bytes, and runs of spaces and tabs."""
    pairs = Pairs({token: number for number, token in enumerate([*config.specials(), *_bytes()])})
    for symbol, most in ((_SPACE, config.cut.indent), (_TAB, min(_TABS, config.cut.indent))):
        for left, right in _doublings(most):
            pairs.add(symbol * left, symbol * right)
    return pairs


def _doublings(most: int) -> Iterator[tuple[int, int]]:
    """Merges of lengths by which a run of any length up to `most` becomes one: 1+1, 2+2, 4+4, then the rest."""
    powers = [2**exponent for exponent in range(1, most.bit_length())]
    yield from ((power // 2, power // 2) for power in powers)
    for length in range(3, most + 1):
        largest = 1 << (length.bit_length() - 1)
        if length > largest:
            yield largest, length - largest


def _bytes() -> list[str]:
    return sorted(pre_tokenizers.ByteLevel.alphabet())


def _in_bytes(text: str) -> str:
    """A text in the alphabet of byte-level models."""
    return "".join(word for word, _ in pre_tokenizers.ByteLevel(False, use_regex=False).pre_tokenize_str(text))


def _word_pieces(config: TokenizerConfig, texts: Texts) -> models.Model:
    counts = count_characters(texts())
    letters = [letter for letter in covering(counts, config.alphabet.coverage) if not letter.isspace()]
    letters = list(dict.fromkeys([*letters, *chinese(counts, config.alphabet.chinese)]))
    # in front of the alphabet as special tokens, which get their ids in the order given
    given = [*config.specials(), *letters, *(_INSIDE + letter for letter in not_eastern(letters))]
    rare = str.maketrans(dict.fromkeys((letter for letter in counts if letter not in set(letters)), " "))
    trainer = trainers.WordPieceTrainer(
        vocab_size=config.vocab, min_frequency=config.min_frequency, special_tokens=given, show_progress=False
    )
    scratch = assembled(config, models.WordPiece({}, unk_token=UNKNOWN))
    scratch.train_from_iterator((text.translate(rare) for text in texts()), trainer)
    vocab = json.loads(scratch.to_str())["model"]["vocab"]
    return models.WordPiece(vocab, unk_token=UNKNOWN, max_input_chars_per_word=_LONGEST_WORD)


def _unigram(config: TokenizerConfig, texts: Texts) -> models.Model:
    counts = count_characters(texts())
    letters = [*covering(counts, config.alphabet.coverage), *chinese(counts, config.alphabet.chinese)]
    sure = [GAP if letter == " " else letter for letter in letters]
    sure += [GAP * length for length in range(2, config.cut.indent + 1)]
    specials = config.specials()
    fixed = specials + (BYTE_PIECES if config.alphabet.byte_fallback else [])
    words = _count_words(config, texts())
    pieces = learn_pieces(words, sure, config.vocab - len(fixed), config.max_token_chars)
    scores = [(token, _NEVER) for token in fixed]
    return models.Unigram([*scores, *pieces], specials.index(UNKNOWN), config.alphabet.byte_fallback)


def _count_words(config: TokenizerConfig, texts: Iterable[str]) -> dict[str, int]:
    """How often each word stands in texts, as the pre-tokenizer cuts them."""
    cut, counts = pre_tokenizer(config), dict[str, int]()
    for text in texts:
        for word, _ in cut.pre_tokenize_str(text):
            counts[word] = counts.get(word, 0) + 1
    return counts
