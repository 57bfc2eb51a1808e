"""Deformable position-sensitive RoI pooling (Dai et al., "Deformable Convolutional Networks", 2017, section
2.2), with the rounding of its code.

As in `psroi_pool.py` every bin of a region averages its own score map, here at a grid of points that moves
with the offset of the bin.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.ops.sampling import Cells, bilinear
from lsts_jax.structs import STRIDE


def deform_psroi_pool(
    score_maps: Float[Array, "h w P P C"],
    rois: Float32[Array, "R 4"],
    offsets: Float32[Array, "R P P G 2"],
    *,
    size: Int32[Array, "2"] | None = None,
    stride: int = STRIDE,
    samples: int = 4,
    scale: float = 0.1,
) -> Float32[Array, "R P P C"]:
    """Average map (row, column) of every class over the moved bin (row, column) of every region.

    As in the authors' operator: the corners are rounded to whole pixels, halves away from zero, x2 and y2
    then moved by 1, all divided by the stride and moved by -0.5; a side is at least 0.1 cells. A bin has
    samples x samples points, from its start in equal steps. Points more than half a cell outside the map do
    not count, and the others are held at its border; a bin without points is 0. Along an axis where a point
    lies on a whole cell or is held, its gradient is 0. Computed in float32.

    Args:
      score_maps: maps in the order (row, column, class), as in `psroi_pool`.
      rois: boxes in pixels, without gradient.
      offsets: (x, y) of every bin, which times `scale` are shares of the region's sides. The classes are
        G groups of C / G in a row that move alike. Zeros pool without offsets.
      size: (height, width) in pixels of the picture on a padded canvas. Default: the whole map.
      stride: pixels per cell.

    Returns:
      Averages; their mean over the bins (axes 1 and 2) is the region's scores.
    """
    height, width, pooled, _, classes = score_maps.shape
    groups = offsets.shape[3]
    rois = lax.stop_gradient(rois)
    cells = jnp.array([height, width], jnp.int32) if size is None else size_at_stride(size, stride)
    points = partial(_points, pooled=pooled, stride=stride, samples=samples)
    grid = (groups, len(rois), samples, samples)

    def pool_bin(bin_and_maps):
        row, column, maps, moves = bin_and_maps  # [], [], [G h w C/G], [G R 2]
        y, counted_y = points(rois[:, 1], rois[:, 3], row, moves[..., 1], cells[0])
        x, counted_x = points(rois[:, 0], rois[:, 2], column, moves[..., 0], cells[1])
        y = Cells(*(jnp.broadcast_to(each[..., :, None], grid) for each in y))
        x = Cells(*(jnp.broadcast_to(each[..., None, :], grid) for each in x))
        total = jnp.sum(jax.vmap(bilinear)(maps, y, x), axis=(2, 3))
        return total / jnp.maximum(counted_y * counted_x, 1)[..., None]  # [G R C/G]

    maps = score_maps.astype(jnp.float32).reshape(height, width, -1, groups, classes // groups)
    moves = offsets.reshape(len(rois), -1, groups, 2) * scale
    row, column = jnp.divmod(jnp.arange(pooled * pooled, dtype=jnp.int32), jnp.int32(pooled))
    bins = row, column, jnp.transpose(maps, (2, 3, 0, 1, 4)), jnp.transpose(moves, (1, 2, 0, 3))
    # A bin at a time on a CPU, with memory for the points of one; all at once on a GPU, with fewer launches.
    found = lax.platform_dependent(bins, cpu=partial(lax.map, pool_bin), default=jax.vmap(pool_bin))
    return jnp.transpose(found, (2, 0, 1, 3)).reshape(-1, pooled, pooled, classes)


def _points(
    first: Float32[Array, "R"],
    last: Float32[Array, "R"],
    index: Int32[Array, ""],
    moves: Float32[Array, "G R"],
    count: Int32[Array, ""],
    *,
    pooled: int,
    stride: int,
    samples: int,
) -> tuple[Cells, Float32[Array, "G R"]]:
    """Cells between which the points of a bin lie along one axis [G R samples], and how many points count.

    Args:
      first, last: ends of the regions in pixels.
      index: place of the bin among those of a region.
      moves: displacement of the bin in sides of the region.
      count: cells of the picture.
    """
    start = lax.round(first) / stride - 0.5
    length = jnp.maximum((lax.round(last) + 1) / stride - 0.5 - start, 0.1)
    bin_length = length / pooled
    begin = (index.astype(jnp.float32) * bin_length + start)[None] + moves * length[None]
    steps = jnp.arange(samples, dtype=jnp.float32)[None] * (bin_length / samples)[:, None]
    point, end = begin[..., None] + steps[None], count.astype(jnp.float32)
    counted = (point >= -0.5) & (point <= end - 0.5)
    held = jnp.clip(point, 0, end - 1)
    cell = jnp.floor(lax.stop_gradient(held))
    fraction = jnp.where(held > cell, held - cell, 0.0)
    cells = Cells(
        cell.astype(jnp.int32), jnp.where(counted, 1 - fraction, 0.0), jnp.where(counted, fraction, 0.0)
    )
    return cells, jnp.sum(counted, axis=2, dtype=jnp.float32)
