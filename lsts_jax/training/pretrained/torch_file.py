"""Reads PyTorch's `.pth` with PyTorch, which only this needs. Only weights are read: no code of the
file is run."""

import pickle
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy import ndarray

from lsts_jax.errors import UserError
from lsts_jax.training.pretrained.arrays import Stored

NESTED = ("state_dict", "model")  # where training scripts put the weights among other things


def read_torch(path: Path | str) -> dict[str, Stored]:
    """Reads tensors by name. Raises `UserError` if the file is damaged or not a state dict, or
    PyTorch is not installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports] - it may be absent
    except ImportError as error:
        raise UserError(
            f"{path}: reading it needs PyTorch: pip install torch, or save it as .safetensors or .npz"
        ) from error
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # its message advises to run the refused code
        raise UserError(f"{path}: damaged, or holds more than weights; save the state_dict()") from error
    except Exception as error:  # of many types
        reason = re.split(r"\n|\. ", str(error).strip())[0] or type(error).__name__
        raise UserError(f"{path}: damaged, or no file of PyTorch's: {reason}") from error
    for key in NESTED:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    tensors = (
        {str(name): tensor for name, tensor in loaded.items() if isinstance(tensor, torch.Tensor)}
        if isinstance(loaded, Mapping)
        else {}
    )
    if not tensors:
        raise UserError(f"{path}: holds no weights; save the state_dict() of the model")
    return {
        name: Stored(
            tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."), partial(_read, path, name, tensor)
        )
        for name, tensor in tensors.items()
    }


def _read(path: Path | str, name: str, tensor: Any) -> ndarray:
    try:
        return tensor.detach().float().numpy()  # NumPy has no bfloat16
    except (RuntimeError, TypeError, NotImplementedError) as error:
        raise UserError(f"{path}: {name} is not a plain tensor: {str(error).splitlines()[0]}") from error
