"""Arrays of a checkpoint as they lie on disk, read without the package."""

import warnings
from pathlib import Path

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp


def read_arrays(folder: Path) -> dict[str, np.ndarray]:
    """By item and path."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sharding info not provided")
        items = ocp.load_checkpointables(str(folder), {"variables": None, "training": None})
    leaves = jax.tree_util.tree_leaves_with_path(items)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
