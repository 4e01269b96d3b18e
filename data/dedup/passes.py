"""One pass each over the tokens, n-grams and places of a batch of texts, compiled (`data.compiled`).

    count = cut_tokens(codes, bounds, hashes, first, starts)
    hash_runs(hashes, first, 5, grams, owner, at)
    sketch(grams, first, 6, out)

Callers give the arrays that are filled: `data.dedup.tokens`, `grams` and `minhash` say what they mean.
"""

import numpy as np

from data.compiled import compiled, entry

ALONE = np.uint32(1 << 30)
_POINT = np.uint32((1 << 30) - 1)
BASE = 0x9E3779B97F4A7C15
_BASE, _FACTOR = np.uint64(BASE), np.uint64(0xD6E8FEB86659FD93)
_ODD, _SALT, _TURN = np.uint64(BASE), np.uint64(0xFF51AFD7ED558CCD), np.uint64(0x2545F4914F6CDD1D)
_MIX, _MORE = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_27, _29, _30, _31, _32, _33 = (np.uint64(bits) for bits in (27, 29, 30, 31, 32, 33))
_LOW, _NOTHING, _ONE = np.uint64(0xFFFFFFFF), np.uint64(0), np.uint64(1)
_FREE = -1


@compiled
def _mix(value: np.uint64) -> np.uint64:
    value = (value ^ (value >> _30)) * _MIX
    value = (value ^ (value >> _27)) * _MORE
    return value ^ (value >> _31)


@compiled
def _key(gram: np.uint64, turn: np.uint64) -> np.uint64:
    """64 well spread bits of a gram, others in every turn."""
    key = (gram + turn * _TURN + _ODD) * _ODD
    key ^= key >> _33
    key *= _SALT
    return key ^ (key >> _29)


@entry
def cut_tokens(codes: np.ndarray, bounds: np.ndarray, hashes: np.ndarray, first: np.ndarray, starts: np.ndarray) -> int:
    """How many tokens there are. `codes` are folded code points, 0 where no token is, ALONE set for a token of its own;
    text i stands from bounds[i] to bounds[i + 1]. A token's hash is a polynomial of its characters, mixed."""
    count, text, total, power = 0, 0, _NOTHING, _ONE
    before = np.uint32(0)
    for at in range(len(codes)):
        while bounds[text] == at:
            first[text] = count
            text += 1
        code = codes[at]
        if code:
            if not before or code >= ALONE or before >= ALONE:
                if count:
                    hashes[count - 1] = _mix(total)
                starts[count], total, power = at, _NOTHING, _ONE
                count += 1
            total += np.uint64(code & _POINT) * power
            power *= _BASE
        before = code
    if count:
        hashes[count - 1] = _mix(total)
    first[text:] = count
    return count


@entry
def hash_runs(
    tokens: np.ndarray, first: np.ndarray, n: int, hashes: np.ndarray, owner: np.ndarray, at: np.ndarray
) -> int:
    """How many runs of n tokens there are: the hash, text and first token of each. A text of fewer has one, of all."""
    count, last = 0, _ONE
    for _ in range(n - 1):
        last *= _FACTOR
    for text in range(len(first) - 1):
        start, stop = first[text], first[text + 1]
        size = min(n, stop - start)
        total = np.uint64(0)
        for token in range(start, stop):
            if token >= start + n:
                total -= tokens[token - n] * last
            total = total * _FACTOR + tokens[token]
            if token - start >= size - 1:
                hashes[count] = _mix(total + np.uint64(size))
                owner[count], at[count] = text, token - size + 1
                count += 1
    return count


@entry
def keep_different(values: np.ndarray, first: np.ndarray) -> int:
    """Move the different ones of each stretch of sorted values to the front; `first` then says where each begins."""
    count, start = 0, 0
    for stretch in range(len(first) - 1):
        stop, begin = first[stretch + 1], count
        for at in range(start, stop):
            if count == begin or values[at] != values[count - 1]:
                values[count] = values[at]
                count += 1
        start, first[stretch + 1] = stop, count
    return count


@entry
def sketch(grams: np.ndarray, first: np.ndarray, rounds: int, out: np.ndarray) -> None:
    """The signature of each text that has a gram (`data.dedup.minhash`)."""
    width = out.shape[1]
    turns = np.empty(width, np.int64)
    for text in range(len(first) - 1):
        if first[text] < first[text + 1]:
            _sketch(grams[first[text] : first[text + 1]], rounds, turns, out[text])


@compiled
def _sketch(grams: np.ndarray, rounds: int, turns: np.ndarray, out: np.ndarray) -> None:
    """`turns` is the round in which a place was filled."""
    free, width = len(out), np.uint64(len(out))
    for place in range(len(out)):
        turns[place] = _FREE
    for turn in range(rounds):
        if not free:
            return
        for gram in grams:
            key = _key(np.uint64(gram), np.uint64(turn))
            place, value = np.int64(((key >> _32) * width) >> _32), np.uint32(key & _LOW)
            if turns[place] == _FREE:
                turns[place], out[place] = turn, value
                free -= 1
            elif turns[place] == turn and value < out[place]:
                out[place] = value
    for place in range(len(out)):
        if turns[place] == _FREE:
            for gram in grams:
                value = np.uint32(_key(np.uint64(gram), np.uint64(place + rounds)) & _LOW)
                out[place] = min(out[place], value)
