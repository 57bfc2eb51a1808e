"""Anchors of the region proposal network (Ren et al., 2015), placed and rounded as R-FCN's code does."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from lsts_jax.structs import STRIDE


def base_anchors(
    *, ratios: Sequence[float | int], scales: Sequence[float | int], stride: int = STRIDE
) -> Float32[np.ndarray, "A 4"]:
    """The anchors of the cell at the origin, in pixels; ratios outermost.

    A cell of stride x stride pixels is reshaped to every ratio (height / width) with its area kept and its
    sides rounded to whole pixels, then multiplied by every scale. All anchors share the centre of the cell,
    (stride - 1) / 2, since corners are inclusive.
    """
    ratio, scale = np.asarray(ratios, np.float64)[:, None], np.asarray(scales, np.float64)[None, :]
    width = np.round(np.sqrt(stride * stride / ratio))
    height = np.round(width * ratio)
    half = np.stack([width * scale - 1, height * scale - 1], axis=-1).reshape(-1, 2) / 2
    centre = (stride - 1) / 2
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def anchor_grid(
    height: int,
    width: int,
    *,
    ratios: Sequence[float | int],
    scales: Sequence[float | int],
    stride: int = STRIDE,
) -> Float32[Array, "M 4"]:
    """The anchors of all cells of a height x width map, M = height * width * A.

    In the order (row, column, anchor), the anchor fastest: cell (i, j) has the base anchors moved by
    (j, i) * stride.
    """
    base = base_anchors(ratios=ratios, scales=scales, stride=stride)
    x = jnp.arange(width, dtype=jnp.float32)[None, :] * stride
    y = jnp.arange(height, dtype=jnp.float32)[:, None] * stride
    x, y = jnp.broadcast_arrays(x, y)
    shifts = jnp.stack([x, y, x, y], axis=-1)[:, :, None, :]
    return (shifts + base[None, None, :, :]).reshape(-1, 4)
