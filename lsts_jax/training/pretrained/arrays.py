"""Arrays of a file by name. Values are read on demand, once the shapes are known to fit."""

from collections.abc import Callable
from typing import NamedTuple

from numpy import ndarray

from lsts_jax.config import Config


class Stored(NamedTuple):
    """An array of a file."""

    shape: tuple[int, ...]
    dtype: str  # NumPy's name, or bfloat16
    read: Callable[[], ndarray]  # reads the values in this shape and type


class Weights(NamedTuple):
    """Content of a file or a folder of weights."""

    arrays: dict[str, Stored]  # by the names in the file
    config: Config | None = None  # config of a file of this package
    step: int = 0  # step of the training, if a file of this package has it


def in_memory(array: ndarray) -> Stored:
    return Stored(array.shape, str(array.dtype), lambda: array)
