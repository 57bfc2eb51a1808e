"""Reads cell arrays from MATLAB files, format 5 (`save -v7` and earlier; MathWorks, "MAT-File
Format").

scipy's reader ends the process at a number whose type is damaged, and allocates memory for sizes
that a damaged file declares.
"""

import math
import zlib
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy import ndarray

HEADER = 128
ORDERS: dict[bytes, Literal["<", ">"]] = {b"IM": "<", b"MI": ">"}
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, COMPRESSED = 14, 15
CELL, NUMERIC, COMPLEX = 1, range(6, 16), 0x800  # array classes, and a flag
DEEPEST = 3  # deepest nesting of cells
LARGEST = 1 << 28  # bytes, unpacked


class _Element(NamedTuple):
    kind: int
    data: memoryview


class _Reader:
    """Reads elements one after the other. Raises ValueError at the first that is incomplete."""

    def __init__(self, data: memoryview, order: Literal["<", ">"]):
        self.data = data
        self.order: Literal["<", ">"] = order

    def next(self) -> _Element:
        kind, size = self._words(8)
        if kind >> 16:  # up to 4 bytes lie in the tag itself
            kind, size, begin, step = kind & 0xFFFF, kind >> 16, 4, 8
        else:
            begin, step = 8, 8 + size + (-size % 8 if kind != COMPRESSED else 0)
        if begin + size > min(step, len(self.data)):
            raise ValueError("an element reaches past the end")
        element, self.data = _Element(kind, self.data[begin : begin + size]), self.data[step:]
        return element

    def numbers(self) -> ndarray:
        kind, data = self.next()
        if kind not in NUMBERS:
            raise ValueError(f"an element of type {kind} in place of numbers")
        return np.frombuffer(data, np.dtype(NUMBERS[kind]).newbyteorder(self.order))

    def _words(self, size: int) -> list[int]:
        if len(self.data) < size:
            raise ValueError("it ends too early")
        return np.frombuffer(self.data[:size], f"{self.order}u4").tolist()


def read_cells(path: Path, name: str) -> ndarray | None:
    """Reads the cell array of this name, in its shape; None if there is none. Cells are cell arrays
    or numbers.

    Raises ValueError if the file is damaged or of another format, NotImplementedError for format
    7.3 (HDF5).
    """
    data = memoryview(path.read_bytes())
    order = ORDERS.get(bytes(data[126:HEADER]))
    if order is None:
        raise ValueError("it is not a MATLAB file")
    if data[125 if order == "<" else 124] == 2:
        raise NotImplementedError
    reader = _Reader(data[HEADER:], order)
    while len(reader.data):
        kind, content = reader.next()
        if kind == COMPRESSED:
            kind, content = _Reader(_unpack(content), order).next()
        if kind != MATRIX:
            continue
        found, array = _matrix(_Reader(content, order), 0, name)
        if found == name:
            return array
    return None


def _unpack(data: memoryview) -> memoryview:
    unpacker = zlib.decompressobj()
    try:
        found = unpacker.decompress(data, LARGEST)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    return memoryview(found)


def _matrix(reader: _Reader, depth: int, wanted: str | None = None) -> tuple[str, ndarray | None]:
    """Name and content of an array. The content is None, in a cell an array of None, if it is
    neither cells nor numbers, or does not have the wanted name."""
    if not len(reader.data):  # an empty array may have no content
        return "", np.zeros((0, 0))
    flags, shape = reader.numbers(), reader.numbers().tolist()
    name = reader.next().data.tobytes().decode("latin-1")
    kind = int(flags[0]) & 0xFF if len(flags) and not int(flags[0]) & COMPLEX else 0
    if kind not in (CELL, *NUMERIC) or wanted not in (None, name):
        return name, None if wanted else np.array([[None]])
    if not shape or min(shape) < 0 or max(shape) > LARGEST or depth > DEEPEST:
        raise ValueError("an array without a shape")
    count = math.prod(shape)
    if kind in NUMERIC:
        return name, reader.numbers()[:count].reshape(shape, order="F")
    if count > len(reader.data) // 8 or max(shape) > max(1, len(reader.data)):
        raise ValueError("more cells than fit into the file")
    cells = np.empty(count, object)
    for place in range(count):
        element = reader.next()
        if element.kind != MATRIX:
            raise ValueError("a cell that is not an array")
        cells[place] = _matrix(_Reader(element.data, reader.order), depth + 1)[1]
    return name, cells.reshape(shape, order="F")
