"""A tokenizer by name, for every other part of the room.

>>> loaded = load_tokenizer(home, "web-32k@1")       # or a folder with tokenizer.json
>>> loaded.tokenizer.encode_batch_fast(["a text"]), loaded.eos_id, loaded.pad_id
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers

from catalog.errors import Damaged, NotFound
from catalog.home import Home
from catalog.records import find

FILE = "tokenizer.json"
_ENDS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "[SEP]")
_PADS = ("<|pad|>", "<pad>", "[PAD]")


@dataclass(frozen=True)
class LoadedTokenizer:
    """A tokenizer with the ids that packing and models need."""

    ref: str
    """name@version, or the path of a folder."""
    tokenizer: Tokenizer
    vocab_size: int
    """One more than the highest id."""
    eos_id: int
    pad_id: int
    """The end token's id where there is no padding token."""
    bos_id: int | None
    mask_id: int | None
    folder: Path
    fingerprint: str
    """The SHA-256 of tokenizer.json: two tokenizers with one fingerprint give the same ids."""


def load_tokenizer(home: Home, name: str) -> LoadedTokenizer:
    """Load `name`, `name@version` or a folder with tokenizer.json. Raises NotFound with near names, Damaged.

    A text that writes a special token, as `<|endoftext|>`, is cut like any other text and gives no special id.
    """
    path = Path(name)
    if (path / FILE).is_file() or path.name == FILE:
        return _loaded(str(path), path if path.name != FILE else path.parent, "")
    if "/" in name:
        raise NotFound(f"no {FILE} in {name}. Give a folder that has one, or a tokenizer of the home as name@version.")
    record = find(home, "tokenizers", name)
    expected = next((entry.sha256 for entry in record.files if entry.path == FILE), "")
    return _loaded(str(record.ref), home.artifact(record.kind, record.name, record.version), expected)


def load_peer(home: Home, name: str) -> Tokenizer:
    """A tokenizer to measure beside: an artifact, a folder, or a repository in the local Hugging Face cache.

    A folder has tokenizer.json, or vocab.json and merges.txt as GPT-2's. Nothing is downloaded. Raises NotFound.
    """
    folder = Path(name)
    pair = [str(folder / file) for file in ("vocab.json", "merges.txt")]
    if not (folder / FILE).is_file() and all(Path(file).is_file() for file in pair):
        tokenizer = Tokenizer(models.BPE.from_file(*pair))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        return tokenizer
    if folder.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return load_tokenizer(home, name).tokenizer
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(name, FILE)
    return load_tokenizer(home, cached if isinstance(cached, str) else name).tokenizer


def _loaded(ref: str, folder: Path, expected: str) -> LoadedTokenizer:
    path = folder / FILE
    content = path.read_bytes() if path.is_file() else b""
    digest = hashlib.sha256(content).hexdigest()
    if expected and digest != expected:
        raise Damaged(f"{path} is not what its record says: train it again, or restore it.")
    tokenizer = _parsed(path, content)
    tokenizer.encode_special_tokens = True
    ids = tokenizer.get_vocab(with_added_tokens=True)
    named = _special_tokens(folder)
    end = _first(ids, named.get("eos_token"), *_ENDS)
    if end is None:
        raise Damaged(f"{path} has no end-of-text token: say which in special_tokens_map.json as eos_token.")
    padding = _first(ids, named.get("pad_token"), *_PADS)
    return LoadedTokenizer(
        ref=ref,
        tokenizer=tokenizer,
        vocab_size=max(ids.values()) + 1,
        eos_id=end,
        pad_id=end if padding is None else padding,
        bos_id=_first(ids, named.get("bos_token")),
        mask_id=_first(ids, named.get("mask_token"), "<mask>", "[MASK]"),
        folder=folder,
        fingerprint=digest,
    )


def _parsed(path: Path, content: bytes) -> Tokenizer:
    try:
        return Tokenizer.from_str(content.decode("utf-8"))
    except Exception as error:  # tokenizers raises bare Exception; said with the file's name
        raise Damaged(f"{path} is not a tokenizer: {error}") from error


def _special_tokens(folder: Path) -> dict[str, str]:
    """Special tokens by role, from the two files that Hugging Face keeps them in."""
    named: dict[str, str] = {}
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        if (folder / file).is_file():
            for role, value in json.loads((folder / file).read_text(encoding="utf-8")).items():
                text = value.get("content") if isinstance(value, dict) else value
                if role.endswith("_token") and isinstance(text, str):
                    named[role] = text
    return named


def _first(ids: dict[str, int], *names: str | None) -> int | None:
    return next((ids[name] for name in names if name in ids), None)
