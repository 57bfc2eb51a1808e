"""Reads and writes `.safetensors` with the safetensors library. Files of this package carry their
config as metadata."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from lsts_jax.config import Config
from lsts_jax.config_io import check_fields
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole
from lsts_jax.training.pretrained.arrays import Stored, Weights

FORMAT = "lsts_jax"
FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}


def read_safetensors(path: Path | str) -> Weights:
    """Reads the arrays of a file. Raises `UserError` if it cannot be read or is damaged."""
    try:
        file = safe_open(path, "numpy")
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
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: damaged, or not a .safetensors file: {reason}") from error
    config = _config(path, metadata["config"]) if "config" in metadata else None
    step = metadata.get("step", "")
    return Weights(arrays, config, int(step) if step.isdecimal() else 0)


def require_no_other(path: Path) -> None:
    """Raises `UserError` if there is a file at `path` that `write_safetensors` did not write."""
    if not path.is_symlink() and not path.exists():
        return
    try:
        with safe_open(path, "numpy") as file:
            ours = (file.metadata() or {}).get("format") == FORMAT
    except (OSError, SafetensorError):
        ours = False
    if not ours or path.is_symlink():
        raise UserError(f"{path}: exists but was not written by this command; name another file, or move it")


def write_safetensors(path: Path, variables: dict, config: Config, step: int = 0) -> None:
    """Writes variables as `params/low_level/…` and `batch_stats/…`, atomically."""
    arrays = {name: np.ascontiguousarray(array) for name, array in flatten_dict(variables, sep="/").items()}
    metadata = {"format": FORMAT, "config": json.dumps(asdict(config)), "step": str(step)}
    with write_whole(path) as part:
        part.write_bytes(save(arrays, metadata))


def _config(path: Path | str, text: str) -> Config:
    try:
        return check_fields(Config, json.loads(text), "config")
    except (ValueError, UserError) as error:
        raise UserError(f"{path}: its metadata is not a config of this version ({error})") from error
