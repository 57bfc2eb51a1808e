"""Arrays of a checkpoint as they lie on disk, read without the package."""

import warnings
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """By item and path."""
    found = {}
    with ocp.PyTreeCheckpointer() as reader, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sharding info not provided")
        for item in ("variables", "training"):
            for path, leaf in jax.tree_util.tree_leaves_with_path(reader.restore(folder / item)):
                found[item + jax.tree_util.keystr(path)] = np.asarray(leaf)
    return found
