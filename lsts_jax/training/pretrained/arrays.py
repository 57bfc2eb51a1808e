"""Arrays of a file by name. What they hold is read when asked for, once their shapes are known to fit."""

from collections.abc import Callable
from typing import NamedTuple

from numpy import ndarray

from lsts_jax.config import Config


class Stored(NamedTuple):
    """An array of a file."""

    shape: tuple[int, ...]
    dtype: str  # of NumPy, or bfloat16
    read: Callable[[], ndarray]  # in this shape and type


class Weights(NamedTuple):
    """Content of a file or a folder of weights."""

    arrays: dict[str, Stored]  # under the names of the file
    config: Config | None = None  # of files of ours, which carry theirs
    step: int = 0  # of the training, where a file of ours says it


def in_memory(array: ndarray) -> Stored:
    return Stored(array.shape, str(array.dtype), lambda: array)
