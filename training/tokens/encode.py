"""Text to token ids: one unit of input becomes one piece.

>>> Encode(tokenizer_json, eos_id, dtype, units, folder)(17)      # unit 17 becomes piece 17

Every document is the ids of its text and the end-of-text token. A special token that stands in a text as text
(`<|endoftext|>`) is encoded as text, whatever the tokenizer's own habit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from catalog.errors import BadInput
from training.tokens.inputs import Unit
from training.tokens.long import LONG, Part, cut_long
from training.tokens.pieces import Piece, PieceTotals, PieceWriter, ids_written, write_table
from training.tokens.pool import advance
from training.tokens.texts import left_out, read_batches


@dataclass(frozen=True)
class Encode:
    """The first stage, to be handed to workers."""

    tokenizer_json: Path
    eos_id: int
    dtype: str
    units: Sequence[Unit]
    folder: Path
    leave_out: float = 0.0

    def __call__(self, number: int) -> None:
        """Make a piece, if it is not there."""
        if Piece(self.folder, number).there:
            return
        tokenizer, totals = plain_tokenizer(self.tokenizer_json), PieceTotals()
        with ids_written(self.folder, number) as piece:
            for batch in read_batches(self.units[number]):
                used = [document for document in batch if not left_out(document.doc_id, self.leave_out)]
                full = [document for document in used if document.text]
                parts = [[*cut_long(document.text, tokenizer)] for document in full]
                for document, length in zip(full, self._encode(tokenizer, parts, piece), strict=True):
                    piece.place(document.doc_id, (document.domain, document.lang), length)
                totals = totals.plus(len(batch), len(used) - len(full), len(batch) - len(used), parts)
                advance(len(batch))
        write_table(self.folder, number, piece, totals)

    def _encode(self, tokenizer: Tokenizer, documents: Sequence[Sequence[Part]], piece: PieceWriter) -> list[int]:
        """Write the ids of all documents in turn, each with its end; gives how many each has."""
        lengths = [0] * len(documents)
        parts = [(number, part) for number, document in enumerate(documents) for part in document]
        for group in _groups(parts):
            flat: list[int] = []
            encoded = tokenizer.encode_batch_fast([part.text for _, part in group], add_special_tokens=False)
            for (number, part), encoding in zip(group, encoded, strict=True):
                ids = encoding.ids
                flat += ids
                lengths[number] += len(ids)
                if part.last:
                    flat.append(self.eos_id)
                    lengths[number] += 1
            piece.write(np.array(flat, self.dtype))
        return lengths


def _groups(parts: Sequence[tuple[int, Part]]) -> Iterator[list[tuple[int, Part]]]:
    """Parts that are encoded together: few where they are long."""
    group, chars = [], 0
    for part in parts:
        if group and chars + len(part[1].text) > LONG:
            yield group
            group, chars = [], 0
        group.append(part)
        chars += len(part[1].text)
    if group:
        yield group


@lru_cache(maxsize=1)
def plain_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer without what would add to a text's ids, or take special tokens from its words."""
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def check_end_of_text(path: Path, eos_id: int) -> None:
    """Raise BadInput where the words of a text can become the tokenizer's end-of-text token."""
    tokenizer = plain_tokenizer(path)
    token = tokenizer.id_to_token(eos_id)
    if token is None or eos_id in tokenizer.encode(token, add_special_tokens=False).ids:
        raise BadInput(
            f"{path} reads {token!r} in a text as the end of it: that token must be marked as special there."
        )
