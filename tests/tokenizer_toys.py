"""Toy texts, tokenizers and models for the tests of tokenizers."""

import random
import re
from pathlib import Path

import torch
from tokens_toys import Row, write_corpus
from toys import chinese, english
from transformers import LlamaConfig, LlamaForCausalLM

from catalog.home import Home
from training.tokenizers.config import TextsConfig, TokenizerConfig

CODE = "def mill(grain):\n    for wheel in range(10):\n        if wheel > 3:\n\t\t\treturn grain * 1234567\n\n\n"


def plain(markup: str) -> str:
    return re.sub(r"<[^>]+>", "", markup)


def rows(documents: int = 60) -> list[Row]:
    """Documents in three groups: web/en, web/zh and code/en."""
    made = []
    for number in range(documents):
        kind = number % 3
        text = (plain(english(number)), plain(chinese(number)), CODE * random.Random(number).randint(2, 9))[kind]
        domain, lang = (("web", "en"), ("web", "zh"), ("code", "en"))[kind]
        made.append((f"{'0' * 12}:{number}", domain, lang, text))
    return made


def toy_config(home: Home, **fields) -> TokenizerConfig:
    """A small tokenizer of the corpus toy@1, which is written where it is not there."""
    if not home.artifact("corpora", "toy", "1").exists():
        write_corpus(home, rows())
    texts = TextsConfig(corpus=("toy@1",))
    return TokenizerConfig(**{"name": "small", "vocab": 700, "texts": texts, **fields})


def write_model(folder: Path, vocab: int, tied: bool = False, dtype: torch.dtype = torch.float32) -> Path:
    """A tiny Llama with random weights."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )
    LlamaForCausalLM(config).to(dtype).save_pretrained(folder)
    return folder
