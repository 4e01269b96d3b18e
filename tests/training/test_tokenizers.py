"""Tokenizers: learnt from files and corpora, lossless, the same bytes, loaded by name."""

import json
from pathlib import Path

import pytest
from toys import english

from catalog.errors import NotFound
from catalog.home import Home
from training.tokenizers.artifact import make
from training.tokenizers.config import TextsConfig, TokenizerConfig
from training.tokenizers.load import load_tokenizer


def toy_texts(folder: Path) -> Path:
    path = folder / "texts.jsonl"
    rows = [{"text": english(seed), "domain": "web", "lang": "en"} for seed in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def toy_config(folder: Path, **fields) -> TokenizerConfig:
    texts = TextsConfig(input=(str(toy_texts(folder)),))
    return TokenizerConfig(**{"name": "toy", "vocab": 500, "texts": texts, **fields})


def test_a_tokenizer_is_loaded_by_name_and_by_folder(home: Home, tmp_path: Path):
    made = make(toy_config(tmp_path), home)
    loaded = load_tokenizer(home, "toy@1")
    assert (loaded.ref, loaded.eos_id, loaded.pad_id, loaded.vocab_size) == ("toy@1", 0, 1, 500)
    assert load_tokenizer(home, str(made.folder)).fingerprint == loaded.fingerprint
    with pytest.raises(NotFound, match=r"Did you mean: toy\?|Known: toy"):
        load_tokenizer(home, "toyz")
    assert not make(toy_config(tmp_path), home).fresh
