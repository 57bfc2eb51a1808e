"""Reads NumPy's `.npz`, a zip archive of arrays. Only headers are read before an array is used, and
the size of an array must match its header: `np.load` allocates the size that a damaged header
claims."""

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from numpy import ndarray

from lsts_jax.errors import UserError
from lsts_jax.training.pretrained.arrays import Stored

HEADER_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: Path | str) -> dict[str, Stored]:
    """Reads arrays by name. Raises `UserError` if the file cannot be read, is damaged, or holds
    Python objects."""
    with _reading(path), zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
        arrays = {info.filename.removesuffix(".npy"): _open(path, archive, info) for info in members}
        if len(arrays) < len(members):
            raise ValueError("two arrays have one name")
        return arrays


def _open(path: Path | str, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Stored:
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version not in HEADER_READERS:
            raise ValueError(f"{info.filename} is of version {version}")
        shape, _, dtype = HEADER_READERS[version](file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects, not numbers")
        if min(shape, default=0) < 0 or file.tell() + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"{info.filename} does not have the size of its shape {shape}")
    return Stored(shape, str(dtype), partial(_read, path, info))


def _read(path: Path | str, info: zipfile.ZipInfo) -> ndarray:
    with _reading(path), zipfile.ZipFile(path) as archive, archive.open(info) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


@contextmanager
def _reading(path: Path | str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # parsers raise many types for damaged archives and headers
        reason = getattr(error, "strerror", None) or str(error).split("\n")[0] or "it ends too early"
        raise UserError(f"{path}: damaged, or not a .npz file of NumPy: {reason}") from error
