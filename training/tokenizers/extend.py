"""New tokens for an old tokenizer, for continued pretraining in another language or domain.

>>> extended = extend(old, config, sample.learnt)
>>> extended.tokenizer, extended.pieces        # pieces: new id -> the old ids that it stands for

Old merges keep their ranks and new ones follow, so old ids never move, and a text without a new token is cut as before:
`check_cuts` proves it on texts.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer

from catalog.errors import BadInput, Unbalanced
from training.tokenizers.alphabet import chinese, count_characters
from training.tokenizers.config import ExtendConfig
from training.tokenizers.merges import Pairs, learn
from training.tokenizers.train import Texts


@dataclass(frozen=True)
class Extended:
    """A tokenizer with new tokens."""

    tokenizer: Tokenizer
    pieces: dict[int, tuple[int, ...]]
    """Old ids that each new id stands for."""


def extend(old: Tokenizer, config: ExtendConfig, texts: Texts) -> Extended:
    """Learn up to `config.new` tokens on texts as the old tokenizer cuts them. Raises BadInput where it is not BPE."""
    kind = json.loads(old.to_str())["model"]["type"]
    if kind != "BPE":
        raise BadInput(f"a {kind} tokenizer cannot be extended: only BPE keeps old ids when merges are appended.")
    pairs = Pairs.of(old)
    known = len(pairs.merges)
    if config.chinese:
        _add_characters(pairs, old, chinese(count_characters(texts()), config.chinese), config.new)
    count = config.new - (len(pairs.merges) - known)
    if count > 0:
        learn(pairs, _with(old, pairs), texts(), count, config.min_frequency, config.max_token_chars)
    if len(pairs.merges) == known:
        raise BadInput("the texts give no new tokens: take more or other texts, or a smaller min_frequency.")
    return Extended(_with(old, pairs), _pieces(pairs, known))


def _add_characters(pairs: Pairs, old: Tokenizer, characters: Iterable[str], most: int) -> None:
    """Make characters single tokens, from the pieces that the old tokenizer cuts them into."""
    names = {token_id: token for token, token_id in pairs.vocab.items()}
    first = pairs.next_id
    for character in characters:
        pieces = [names.get(token_id, "") for token_id in old.encode(character, add_special_tokens=False).ids]
        if len(pieces) < 2 or not all(pieces) or "".join(pieces) in pairs.vocab:
            continue
        if pairs.next_id - first + len(pieces) - 1 > most:
            break
        whole = pieces[0]
        for piece in pieces[1:]:
            pairs.add(whole, piece)
            whole += piece


def _with(old: Tokenizer, pairs: Pairs) -> Tokenizer:
    """The old tokenizer with these tokens and merges; added tokens keep their ids by standing in the vocabulary."""
    plain = json.loads(old.to_str())
    added = {token["content"]: token["id"] for token in plain["added_tokens"]}
    plain["model"]["vocab"] = dict(sorted({**pairs.vocab, **added}.items(), key=lambda item: item[1]))
    plain["model"]["merges"] = pairs.merges
    made = Tokenizer.from_str(json.dumps(plain))
    made.encode_special_tokens = old.encode_special_tokens  # its file does not keep it
    return made


def _pieces(pairs: Pairs, known: int) -> dict[int, tuple[int, ...]]:
    """Old ids of each token that the merges after the first `known` made."""
    found: dict[int, tuple[int, ...]] = {}
    for left, right in pairs.merges[known:]:
        ids = [pairs.vocab[part] for part in (left, right)]
        whole = tuple(one for token_id in ids for one in found.get(token_id, (token_id,)))
        found[pairs.vocab[left + right]] = whole
    return found


def check_cuts(old: Tokenizer, extended: Extended, texts: list[str]) -> int:
    """Prove on texts that new ids, each as its old pieces, are the old ids; gives how many texts have no new token.

    Raises Unbalanced where a text is cut another way.
    """
    untouched = 0
    before = old.encode_batch_fast(texts, add_special_tokens=False)
    after = extended.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    for text, was, now in zip(texts, before, after, strict=True):
        apart = [one for token_id in now.ids for one in extended.pieces.get(token_id, (token_id,))]
        if apart != was.ids:
            raise Unbalanced(f"the extended tokenizer cuts a text in another way than the old one: {text[:60]!r}.")
        untouched += now.ids == was.ids
    return untouched
