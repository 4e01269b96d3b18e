"""Byte pair encoding that starts from merges that are there already: guaranteed tokens first, or an old tokenizer.

>>> pairs = Pairs.of(tokenizer)                       # vocab and merges of any BPE tokenizer
>>> learn(pairs, tokenizer, texts, count=4000)        # what training would have merged next, on these texts

New merges rank after old ones and only join whole old tokens, so a text is cut as before and then neighbours are
joined: ids of texts without a new token cannot change, and a new token is exactly one sequence of old ones.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise

import numpy as np
from tokenizers import Encoding, Tokenizer, models, pre_tokenizers, trainers

_PLANE = 0x10000
"""Token n is written as the character 0x10000 + n: above every character that means something to a pre-tokenizer."""
_MOST = 0x110000 - _PLANE
_BATCH = 64
_SLACK = 1.25
"""Learn so many times the merges wanted: other pairs can make a token that is there, and are left out."""


@dataclass
class Pairs:
    """A growing BPE model: tokens with their ids, and merges in the order of their rank."""

    vocab: dict[str, int]
    merges: list[tuple[str, str]] = field(default_factory=list)
    next_id: int = 0
    ranks: dict[tuple[str, str], int] = field(init=False)

    def __post_init__(self) -> None:
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.next_id = max(self.next_id, max(self.vocab.values(), default=-1) + 1)

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Pairs":
        """The model of a BPE tokenizer; new ids come after its added tokens too."""
        model = json.loads(tokenizer.to_str())["model"]
        last = max(tokenizer.get_vocab(with_added_tokens=True).values())
        return cls(dict(model["vocab"]), [(left, right) for left, right in model["merges"]], last + 1)

    def add(self, left: str, right: str) -> None:
        """Append a merge, with a new token where the two together are none yet."""
        if (left, right) not in self.ranks:
            self.ranks[left, right] = len(self.merges)
            self.merges.append((left, right))
        if left + right not in self.vocab:
            self.vocab[left + right] = self.next_id
            self.next_id += 1

    def cut(self, word: str) -> list[str]:
        """A word in its symbols as these merges cut it."""
        pieces = list(word)
        while len(pieces) > 1:
            rank, at = min((self.ranks.get(pair, len(self.ranks)), at) for at, pair in enumerate(pairwise(pieces)))
            if rank == len(self.ranks):
                break
            pieces[at : at + 2] = ["".join(self.merges[rank])]
        return pieces

    def join(self, word: str) -> None:
        """Make a word one token, by merging its pieces from the left."""
        pieces = self.cut(word)
        for piece in pieces[1:]:
            self.add(pieces[0], piece)
            pieces[0] += piece

    def model(self) -> models.BPE:
        """The Hugging Face model."""
        return models.BPE(vocab=self.vocab, merges=self.merges)


def learn(
    pairs: Pairs, tokenizer: Tokenizer, texts: Iterable[str], count: int, min_frequency: int = 2, longest: int = 48
) -> list[str]:
    """Append up to `count` tokens to `pairs`, learnt from texts as `tokenizer` cuts them now; gives the new tokens.

    `longest` is in symbols of the model (bytes, where it is byte-level). The same for any number of threads.
    """
    names = {token_id: token for token, token_id in pairs.vocab.items()}
    special = [token_id for token_id, added in tokenizer.get_added_tokens_decoder().items() if added.special]
    before = len(pairs.vocab)
    for left, right in _learnt(tokenizer, texts, sorted(set(names) - set(special)), int(count * _SLACK), min_frequency):
        if len(pairs.vocab) - before >= count:
            break
        parts = ["".join(names[ord(symbol) - _PLANE] for symbol in side) for side in (left, right)]
        whole = "".join(parts)
        if len(whole) <= longest and whole not in pairs.vocab and all(part in pairs.vocab for part in parts):
            pairs.add(*parts)
    return list(pairs.vocab)[before:]


def _learnt(
    tokenizer: Tokenizer, texts: Iterable[str], alphabet: list[int], count: int, min_frequency: int
) -> list[tuple[str, str]]:
    """Merges over tokens, each written as one character."""
    scratch = Tokenizer(models.BPE())
    scratch.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(alphabet) + count,
        min_frequency=min_frequency,
        initial_alphabet=[chr(_PLANE + token_id) for token_id in alphabet],
        show_progress=False,
    )
    scratch.train_from_iterator(_written(tokenizer, texts, set(alphabet)), trainer)
    return [(left, right) for left, right in json.loads(scratch.to_str())["model"]["merges"]]


def _written(tokenizer: Tokenizer, texts: Iterable[str], alphabet: set[int]) -> Iterator[str]:
    """Texts as characters that stand for tokens, a space between words."""
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    known = np.zeros(max(size, max(alphabet) + 1), dtype=bool)
    known[list(alphabet)] = True
    spaced = tokenizer.pre_tokenizer is None  # as SentencePiece's: words begin at a space, nothing cuts before
    starts = np.zeros(len(known), dtype=bool)
    if spaced:
        starts[[token_id for token, token_id in tokenizer.get_vocab().items() if token.startswith("▁")]] = True
    rest = iter(texts)
    while batch := list(islice(rest, _BATCH)):
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            yield _line(encoding, known, starts if spaced else None)


def _line(encoding: Encoding, known: np.ndarray, starts: np.ndarray | None) -> str:
    ids = np.array(encoding.ids, dtype=np.uint32)
    if starts is None:
        words = np.array([-1 if word is None else word for word in encoding.word_ids], dtype=np.int64)
        breaks = np.flatnonzero(np.diff(words)) + 1
    else:
        breaks = np.flatnonzero(starts[ids])
    codes = np.where(known[ids], ids + _PLANE, ord(" ")).astype("<u4")
    return np.insert(codes, breaks, ord(" ")).tobytes().decode("utf-32-le")
