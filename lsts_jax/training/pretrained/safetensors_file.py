"""`.safetensors`, read and written by the library of that name. Ours carry their config as metadata."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from lsts_jax.config import Config
from lsts_jax.config_io import check_fields
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole
from lsts_jax.training.pretrained.arrays import Stored, Weights

FORMAT = "lsts_jax"
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def read_safetensors(path: Path | str) -> Weights:
    """Raises `UserError` if the file cannot be read or is damaged, or the library is not installed."""
    library = _library(path)
    try:
        file = library.safe_open(path, "numpy")
        metadata = file.metadata() or {}
        names = file.keys()
        slices = {name: file.get_slice(name) for name in names}
        arrays = {
            name: Stored(
                tuple(piece.get_shape()),
                FLOATS.get(dtype := str(piece.get_dtype()), dtype),
                partial(file.get_tensor, name),
            )
            for name, piece in slices.items()
        }
    except (OSError, library.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: damaged, or not a .safetensors file: {reason}") from error
    return Weights(arrays, _config(path, metadata["config"]) if "config" in metadata else None)


def require_no_other(path: Path) -> None:
    """Raises `UserError` if there is a file at `path` that `write_safetensors` did not write."""
    if not path.is_symlink() and not path.exists():
        return
    try:
        with _library(path).safe_open(path, "numpy") as file:
            ours = (file.metadata() or {}).get("format") == FORMAT
    except (OSError, _library(path).SafetensorError):
        ours = False
    if not ours or path.is_symlink():
        raise UserError(f"{path}: exists but was not written by this command; name another file, or move it")


def write_safetensors(path: Path, variables: dict, config: Config) -> None:
    """Variables as `params/low_level/…` and `batch_stats/…`, whole or not at all."""
    _library(path)
    from safetensors.numpy import save

    arrays = {name: np.ascontiguousarray(array) for name, array in flatten_dict(variables, sep="/").items()}
    with write_whole(path) as part:
        part.write_bytes(save(arrays, {"format": FORMAT, "config": json.dumps(asdict(config))}))


def _config(path: Path | str, text: str) -> Config:
    try:
        return check_fields(Config, json.loads(text), "config")
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: its metadata is no config of this version ({error})") from error


def _library(path: Path | str) -> Any:
    try:
        import safetensors
    except ImportError as error:
        raise UserError(f"{path}: .safetensors needs a package: pip install safetensors") from error
    return safetensors
