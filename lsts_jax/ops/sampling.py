"""Bilinear sampling of a feature map: at p + offset for every position p (paper, section 3.2, equation 2),
along a flow (`warp.py`), at the taps of a convolution (`deform_conv.py`).

This is the readable form, with four gathers. `affinity.py` samples at shared offsets at a cost that does not
depend on K.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int32

CHUNK = 64  # channels that are spread at a time on a CPU
Border = Literal["zero", "held"]
"""Rule at the border of a map of n cells.

zero: a corner outside the map is zero, the other corners count (LSTS, warping, torchvision, DCNv2).
held: a sample is zero unless 0 <= coordinate < n on both axes; between n - 1 and n it has the last cell's
value (DCNv1, the authors' operator of 2017).
"""


class Cells(NamedTuple):
    """The two cells along one axis that a coordinate lies between."""

    first: Int32[Array, "*P"]  # index of the lower cell, which may lie outside the map
    low: Float[Array, "*P"]  # weight of the lower cell
    high: Float[Array, "*P"]  # weight of the next cell


def split_offsets(offsets: Float[Array, "*K 2"]) -> tuple[Array, Array]:
    """Integer and fractional part, o = i + t with 0 <= t < 1 and do/dt = 1.

    The bilinear kernel has a kink at integers. No gradient flows through the floor, which gives the
    right-hand derivative there, as in the authors' operator; their initial offsets are integers.
    """
    integer = jnp.floor(lax.stop_gradient(offsets))
    return integer.astype(jnp.int32), offsets - integer


def between(
    integer: Int32[Array, "*P"],
    fraction: Float[Array, "*P"],
    count: int | Int32[Array, ""],
    border: Border = "zero",
) -> Cells:
    """Cells around the coordinates integer + fraction, with bilinear weights by a border rule.

    Args:
      count: cells of the map along this axis; on a padded canvas, cells of the picture.
    """
    inside = (integer >= 0) & (integer < count)
    if border == "zero":
        next_inside = (integer >= -1) & (integer < count - 1)
        low = 1 - fraction
    else:
        next_inside = inside & (integer < count - 1)
        low = jnp.where(integer == count - 1, 1.0, 1 - fraction)
    return Cells(integer, jnp.where(inside, low, 0.0), jnp.where(next_inside, fraction, 0.0))


@jax.custom_vjp
def bilinear(features: Float[Array, "h w C"], y: Cells, x: Cells) -> Float[Array, "*P C"]:
    """Samples of `features` between the cells y and x [*P].

    The gradient gathers the corners again; only the inputs are stored for it.
    """
    rows = features.reshape(-1, features.shape[-1])
    corners = (
        rows.at[index].get(mode="promise_in_bounds") * weight.astype(features.dtype)[..., None]
        for index, weight in _corners(features.shape, y, x)
    )
    return sum(corners, start=jnp.zeros((), features.dtype))


def spread(
    into: Float[Array, "h w C"], samples: Float[Array, "*P C"], y: Cells, x: Cells
) -> Float[Array, "h w C"]:
    """The transpose of `bilinear`: `into` with each sample added to its four cells."""
    rows = into.reshape(-1, into.shape[-1])
    for index, weight in _corners(into.shape, y, x):
        added = samples.astype(into.dtype) * weight.astype(into.dtype)[..., None]
        rows = rows.at[index].add(added, mode="promise_in_bounds")
    return rows.reshape(into.shape)


def weight_gradients(
    features: Float[Array, "h w C"], grad: Float[Array, "*P C"], y: Cells, x: Cells
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Gradients of the weights (low, high) along y and along x; `grad` is the gradient of the samples."""
    rows = features.reshape(-1, features.shape[-1])
    at = [
        _sum_channels(rows.at[index].get(mode="promise_in_bounds") * grad).astype(x.low.dtype)
        for index, _ in _corners(features.shape, y, x)
    ]
    along_y = at[0] * x.low + at[1] * x.high, at[2] * x.low + at[3] * x.high
    along_x = at[0] * y.low + at[2] * y.high, at[1] * y.low + at[3] * y.high
    return along_y, along_x


def _sum_channels(x: Float[Array, "*P C"]) -> Float[Array, "*P"]:
    """Sums over the last axis. By halves: XLA for CPUs adds the numbers of this axis one by one, and two
    arrays eight at a time."""
    while x.shape[-1] > 16 and x.shape[-1] % 2 == 0:
        one, other = jnp.split(x, 2, axis=-1)
        x = one + other
    return jnp.sum(x, axis=-1)


def _corners(shape: tuple[int, ...], y: Cells, x: Cells) -> Iterator[tuple[Array, Array]]:
    """Index, in the map with its positions in one axis, and weight of each of the four corners."""
    height, width, _ = shape
    for down, y_weight in enumerate((y.low, y.high)):
        row = jnp.clip(y.first + down, 0, height - 1)
        for right, x_weight in enumerate((x.low, x.high)):
            column = jnp.clip(x.first + right, 0, width - 1)
            yield row * width + column, y_weight * x_weight


def _forward(features, y, x):
    return bilinear(features, y, x), (features, y, x)


def _backward(inputs, grad):
    # Without the barrier XLA shares the corners with the forward pass, for which it writes them all down.
    features, y, x = inputs
    features = lax.optimization_barrier(features)
    of_y, of_x = (
        cells._replace(first=None, low=low, high=high)
        for cells, (low, high) in zip((y, x), weight_gradients(features, grad, y, x), strict=True)
    )
    start = jnp.zeros(features.shape, jnp.float32 if features.dtype.itemsize < 4 else features.dtype)
    of_features = lax.platform_dependent(start, grad, y, x, cpu=_spread_in_chunks, default=spread)
    return of_features.astype(features.dtype), of_y, of_x


def _spread_in_chunks(into: Array, samples: Array, y: Cells, x: Cells) -> Array:
    """`spread`, a few channels at a time, which stay in the cache of a processor: a third of the time."""
    channels = into.shape[-1]
    if channels % CHUNK or channels == CHUNK:
        return spread(into, samples, y, x)

    def chunks(array):
        return jnp.moveaxis(array.reshape(*array.shape[:-1], -1, CHUNK), -2, 0)

    parts = lax.map(lambda pair: spread(pair[0], pair[1], y, x), (chunks(into), chunks(samples)))
    return jnp.moveaxis(parts, 0, -2).reshape(into.shape)


bilinear.defvjp(_forward, _backward)


def sample_at_offsets(
    features: Float[Array, "h w C"], offsets: Float[Array, "*K 2"]
) -> Float[Array, "K h w C"]:
    """Samples `features` at p + offset for every position p and every one of K offsets.

    Args:
      features: the map to sample, with zeros outside.
      offsets: (x, y) in cells, [K 2] shared by all positions, or [K h w 2] with one set per position.

    Returns:
      The samples in the dtype of `features`.
    """
    height, width, _ = features.shape
    if offsets.ndim == 2:
        offsets = jnp.broadcast_to(offsets[:, None, None, :], (len(offsets), height, width, 2))
    integer, fraction = split_offsets(offsets)
    column = jnp.arange(width, dtype=jnp.int32)[None, None, :]
    row = jnp.arange(height, dtype=jnp.int32)[None, :, None]
    x = between(column + integer[..., 0], fraction[..., 0], width)
    y = between(row + integer[..., 1], fraction[..., 1], height)
    return bilinear(features, y, x)
