"""Position-sensitive RoI pooling (Dai et al., R-FCN, 2016, section 3), with the rounding of its code.

A region is cut into 7 x 7 bins; every bin averages its own score map. Regions are few and maps are small, so
one band of bins of all regions, a row or a column, is one matrix product (a mask [R, side] times the maps),
followed by a sum over the cells of each bin along the other side.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Float32, Int32

from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.structs import STRIDE

_einsum = partial(jnp.einsum, precision=lax.Precision.HIGHEST, preferred_element_type=jnp.float32)


def psroi_pool(
    score_maps: Float[Array, "h w P P C"],
    rois: Float32[Array, "R 4"],
    *,
    size: Int32[Array, "2"] | None = None,
    stride: int = STRIDE,
) -> Float32[Array, "R P P C"]:
    """Average map (row, column) of every class over bin (row, column) of every region.

    As in the authors' operator: the corners are rounded to whole pixels, halves away from zero, x2 and y2
    then moved by 1, all divided by the stride; a side is at least 0.1 cells; a bin reaches from the floor of
    its start to the ceiling of its end, so that bins overlap, and is clipped to the map; an empty bin is 0.
    It is computed in float32.

    Args:
      score_maps: maps in the order (row, column, class), P = 7. The authors' convolution orders
        channels as (class * 7 + row) * 7 + column; importers must transpose its weights.
      rois: boxes in pixels, without gradient.
      size: (height, width) in pixels of the picture on a padded canvas. Rounding can extend a bin by a cell
        beyond the picture, where it is clipped as at the border of the map. Default: the whole map.
      stride: pixels per cell.

    Returns:
      Averages; their mean over the bins (axes 1 and 2) is the region's scores.
    """
    height, width, pooled, _, _ = score_maps.shape
    rois = lax.stop_gradient(rois)
    rows = _bins(rois[:, 1], rois[:, 3], cells=height, pooled=pooled, stride=stride)
    columns = _bins(rois[:, 0], rois[:, 2], cells=width, pooled=pooled, stride=stride)
    if size is not None:
        cells = size_at_stride(size, stride)
        rows &= (jnp.arange(height, dtype=jnp.int32) < cells[0])[None, None]
        columns &= (jnp.arange(width, dtype=jnp.int32) < cells[1])[None, None]
    rows, columns = rows.astype(jnp.float32), columns.astype(jnp.float32)

    # The longer side is summed first: what is left for the other side is smaller.
    maps = score_maps.astype(jnp.float32)
    if width > height:
        sums = jnp.transpose(_sum_bins(columns, rows, jnp.transpose(maps, (3, 1, 0, 2, 4))), (1, 2, 0, 3))
    else:
        sums = jnp.transpose(_sum_bins(rows, columns, jnp.transpose(maps, (2, 0, 1, 3, 4))), (1, 0, 2, 3))
    area = jnp.sum(rows, 2).T[:, :, None] * jnp.sum(columns, 2).T[:, None, :]
    return sums / jnp.maximum(area, 1)[..., None]


@jax.custom_vjp
def _sum_bins(
    first: Float32[Array, "P R a"], second: Float32[Array, "P R b"], maps: Float32[Array, "P a b P C"]
) -> Float32[Array, "P R P C"]:
    """Sums over the cells of each bin, along one axis of the map and then along the other.

    Args: masks of the bins along the first and the second axis; maps, whose leading axis is that of the bins
    along the first.
    """
    return _sum_bands(1, first, second, maps)


def _sum_bands(parts: int, first: Array, second: Array, maps: Array) -> Float32[Array, "P R P C"]:
    def sum_band(mask_and_maps):
        mask, maps = mask_and_maps  # [R a], [a b P C]
        bands = _einsum("ra,abpc->rbpc", mask, maps)
        return jnp.sum(jnp.transpose(second, (1, 2, 0))[..., None] * bands, axis=1)

    def in_parts(masks_and_maps):
        each = zip(*(jnp.array_split(x, parts) for x in masks_and_maps), strict=True)
        return jnp.concatenate([jax.vmap(sum_band)(part) for part in each])

    # On a CPU one band of bins at a time, with memory for one of every region and not for seven. On a GPU
    # all at once, with fewer launches.
    return lax.platform_dependent((first, maps), cpu=partial(lax.map, sum_band), default=in_parts)


def _forward(first, second, maps):
    # In training in two parts: the bands of a batch would be the peak of a step's memory.
    return _sum_bands(2, first, second, maps), (first, second)


def _backward(inputs, grad):
    first, second = inputs
    sides = first.shape[0], first.shape[2], second.shape[2], *grad.shape[2:]
    maps = jax.ShapeDtypeStruct(sides, grad.dtype)
    return None, None, *jax.linear_transpose(partial(_sum_bands, 2, first, second), maps)(grad)


_sum_bins.defvjp(_forward, _backward)


def _bins(
    first: Float32[Array, "R"], last: Float32[Array, "R"], *, cells: int, pooled: int, stride: int
) -> Bool[Array, "P R cells"]:
    """True at the cells of each bin along one axis."""
    start = lax.round(first) / stride
    end = (lax.round(last) + 1) / stride
    length = jnp.maximum(end - start, 0.1)
    # Bins often end on the border of a cell, where one rounding error moves them by a cell, and XLA fuses a
    # product with the sum that follows and divides by a constant by multiplying with its inverse. Hence
    # `_rounded`, and a division that corrects itself by its remainder (exact for 7, where 8 q is).
    quotient = _rounded(length * (1 / pooled))
    remainder = (length - (pooled + 1) * quotient) + quotient
    bin_length = _rounded(quotient + remainder * (1 / pooled))
    edges = _rounded(jnp.arange(pooled + 1, dtype=jnp.float32)[:, None] * bin_length[None]) + start[None]
    cell = jnp.arange(cells, dtype=jnp.float32)[None, None]
    return (cell >= jnp.floor(edges[:-1, :, None])) & (cell < jnp.ceil(edges[1:, :, None]))


def _rounded(x: Float32[Array, "*n"]) -> Float32[Array, "*n"]:
    """x >= 0, passed through its bits so that it is rounded to float32 before use."""
    bits = lax.bitcast_convert_type(x, jnp.int32)
    infinity = lax.bitcast_convert_type(jnp.float32(jnp.inf), jnp.int32)
    return lax.bitcast_convert_type(jnp.minimum(bits, infinity), jnp.float32)
