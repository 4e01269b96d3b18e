"""Text to token ids: one unit of input becomes one piece.

>>> Encode(tokenizer_json, eos_id, dtype, units, folder)(17)      # unit 17 becomes piece 17

Every document is the ids of its text and the end-of-text token. A special token that stands in a text as text
(`<|endoftext|>`) is encoded as text, whatever the tokenizer's own habit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from catalog.errors import BadInput
from training.tokens.inputs import Unit
from training.tokens.pieces import Ids, Piece, PieceTotals, ids_written, write_table
from training.tokens.pool import advance
from training.tokens.texts import Document, read_batches


@dataclass(frozen=True)
class Encode:
    """The first stage, to be handed to workers."""

    tokenizer_json: Path
    eos_id: int
    dtype: str
    units: Sequence[Unit]
    folder: Path

    def __call__(self, number: int) -> None:
        """Make a piece, if it is not there."""
        if Piece(self.folder, number).there:
            return
        tokenizer = plain_tokenizer(self.tokenizer_json)
        read = empty = 0
        with ids_written(self.folder, number) as piece:
            for batch in read_batches(self.units[number]):
                full = [document for document in batch if document.text]
                ids, lengths = self._encode(tokenizer, full)
                streams = [(document.domain, document.lang) for document in full]
                piece.add([document.doc_id for document in full], streams, ids, lengths)
                read, empty = read + len(batch), empty + len(batch) - len(full)
                advance(len(batch))
        write_table(self.folder, number, piece, PieceTotals(read=read, empty=empty))

    def _encode(self, tokenizer: Tokenizer, documents: Sequence[Document]) -> tuple[Ids, list[int]]:
        """The ids of all documents in turn, each with its end; and how many each has."""
        flat: list[int] = []
        lengths = []
        for encoding in tokenizer.encode_batch_fast(
            [document.text for document in documents], add_special_tokens=False
        ):
            flat += encoding.ids
            flat.append(self.eos_id)
            lengths.append(len(encoding) + 1)
        return np.array(flat, self.dtype), lengths


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
