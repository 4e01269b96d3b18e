"""Train a tokenizer on texts: byte-level BPE, WordPiece or Unigram, the same bytes for any number of threads.

>>> tokenizer = train(config, sample.learnt)      # a tokenizers.Tokenizer
"""

import json
from collections.abc import Callable, Iterable

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

from training.tokenizers.config import TokenizerConfig
from training.tokenizers.patterns import decoder, normalizer, pre_tokenizer

Texts = Callable[[], Iterable[str]]
"""Gives the texts to learn from, from their start each time."""


def train(config: TokenizerConfig, texts: Texts) -> Tokenizer:
    """A tokenizer of `config.vocab` tokens, or of fewer where the texts do not give as many."""
    return assembled(config, _byte_level(config, texts))


def assembled(config: TokenizerConfig, model: models.Model) -> Tokenizer:
    """A model with what goes before and after it, and its special tokens."""
    tokenizer = Tokenizer(model)
    if (before := normalizer(config)) is not None:
        tokenizer.normalizer = before
    tokenizer.pre_tokenizer = pre_tokenizer(config)
    tokenizer.decoder = decoder(config)
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in config.specials()])
    return tokenizer


def _byte_level(config: TokenizerConfig, texts: Texts) -> models.Model:
    """Integer counts, ties broken by the order of the alphabet: the trainer gives the same merges for any threads."""
    tokenizer = assembled(config, models.BPE())
    specials = config.specials()
    trainer = trainers.BpeTrainer(
        vocab_size=config.vocab,
        min_frequency=config.min_frequency,
        special_tokens=[AddedToken(text, normalized=False, special=True) for text in specials],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        max_token_length=config.max_token_chars,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    return models.BPE(vocab=trained["vocab"], merges=[tuple(pair) for pair in trained["merges"]])
