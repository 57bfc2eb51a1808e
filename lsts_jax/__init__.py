"""Learning where to focus for efficient video object detection, in JAX."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsts_jax.api import LoadedDetector, Result, load

__version__ = "0.2.0"
__all__ = ["LoadedDetector", "Result", "load"]


def __getattr__(name: str):
    """Imports `lsts_jax.load` and the other public names on first use, so that the data workers
    need no JAX."""
    if name in __all__:
        return getattr(import_module("lsts_jax.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
