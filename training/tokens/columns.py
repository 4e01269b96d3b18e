"""Arrow columns from and to NumPy and text by their buffers.

>>> strings(["a:0", "a:1"]).take(integers(np.array([1, 0])))

`pyarrow.array`, `scalar` and `to_numpy` import pandas, which costs each worker 0.7 s.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def integers(values: npt.NDArray[np.int64]) -> pa.Array:
    """A column of 64-bit integers, none missing."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values, np.int64))])


def strings(texts: Sequence[str]) -> pa.Array:
    """A column of text, none missing; two gigabytes at most."""
    data = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, data)]).astype(np.int32)
    return pa.StringArray.from_buffers(len(data), pa.py_buffer(offsets), pa.py_buffer(b"".join(data)))


def repeated(text: str, count: int) -> pa.Array:
    """A column with one text in every row."""
    return strings([text]).take(integers(np.zeros(count, np.int64)))


def numbers(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """The values of a column of 64-bit integers, none missing."""
    array = column.combine_chunks()
    return np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array)]
