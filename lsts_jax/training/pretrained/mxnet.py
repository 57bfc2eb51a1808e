"""MXNet's `.params`: a list of arrays, then a list of their names, as `nd.save` writes them."""

import struct
from pathlib import Path

import numpy as np
from numpy import ndarray

from lsts_jax.errors import UserError

# File magic, headers of an array since version 1 (files of 2017 have none), codes of element types.
LIST_MAGIC, HEADERS = 0x112, (0xF993FAC8, 0xF993FAC9, 0xF993FACA)
TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
MAX_DIMENSIONS = 8


def read_mxnet_params(path: Path | str) -> dict[str, ndarray]:
    """Reads arrays by name, with their `arg:` and `aux:`; values stay in the file until they are
    used. Dense arrays only.

    Raises:
      UserError: the file cannot be read, is cut short or damaged, or is not an MXNet file.
    """
    try:
        data = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or 'the file is empty'}") from error
    reader = _Reader(path, data)
    magic, _, count = reader.numbers("<QQQ")
    if magic != LIST_MAGIC:
        raise UserError(f"{path}: not a .params file of MXNet")
    arrays = [_read_array(reader) for _ in reader.repeat(count)]
    (num_names,) = reader.numbers("<Q")
    names = [
        bytes(reader.take(reader.numbers("<Q")[0])).decode("utf-8", "replace")
        for _ in reader.repeat(num_names)
    ]
    if len(names) != len(arrays):
        raise UserError(f"{path}: {len(arrays)} arrays have {len(names)} names; save it with names")
    if len(set(names)) < len(names) or reader.position < len(data):
        raise reader.damaged()
    return dict(zip(names, arrays, strict=True))


def _read_array(reader: "_Reader") -> ndarray:
    (first,) = reader.numbers("<I")
    if first in HEADERS[1:] and reader.numbers("<i") != (0,):
        raise UserError(f"{reader.path}: a sparse array; only dense ones can be read")
    dimensions = reader.numbers("<I")[0] if first in HEADERS else first
    if not 0 < dimensions <= MAX_DIMENSIONS:
        raise reader.damaged()
    shape = reader.numbers(f"<{dimensions}{'q' if first in HEADERS else 'I'}")
    _, _, kind = reader.numbers("<iii")  # the first two name a device
    if kind not in TYPES or min(shape) < 1:
        raise reader.damaged()
    dtype = np.dtype(TYPES[kind])
    size = dtype.itemsize
    for side in shape:
        size *= side
    return reader.take(size).view(dtype).reshape(shape)


class _Reader:
    """Bytes of a file from front to back, never past its end."""

    def __init__(self, path: Path | str, data: ndarray):
        self.path, self.data, self.position = path, data, 0

    def damaged(self) -> UserError:
        return UserError(f"{self.path}: damaged or cut short at byte {self.position} of {len(self.data)}")

    def take(self, count: int) -> ndarray:
        if count > len(self.data) - self.position:
            raise self.damaged()
        self.position += count
        return self.data[self.position - count : self.position]

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, bytes(self.take(struct.calcsize(form))))

    def repeat(self, count: int) -> range:
        """`range(count)`, if the rest of the file can hold that many arrays or names."""
        if count > (len(self.data) - self.position) // 8:
            raise self.damaged()
        return range(count)
