"""Deformable convolution (Dai et al., "Deformable Convolutional Networks", 2017, equation 2):

    out(p) = sum over taps of kernel(tap) . features(p + tap + offset(p, tap))

Every group of channels has offsets of its own. A scan makes the samples of one tap at a time and multiplies
them with the tap's kernel, so that nothing of size K x C x h x w exists; the gradient samples again.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int32

from lsts_jax.ops.sampling import Border, Cells, between, bilinear, split_offsets, spread, weight_gradients


def deform_conv(
    features: Float[Array, "h w C"],
    offsets: Float[Array, "h w O"],
    kernel: Float[Array, "k k C D"],
    size: Int32[Array, "2"],
    *,
    dilation: int = 1,
    border: Border = "held",
) -> Float[Array, "h w D"]:
    """A convolution of stride 1 and padding dilation * (k // 2), with taps that offsets move.

    Args:
      offsets: in cells; channels in the order (group, tap, y before x) of the authors, torchvision and mmcv.
        Their number tells the number of groups.
      size: height, width of the picture in cells of this map; the border rule holds at the picture's border.

    Returns:
      The map in the dtype of `features`; products accumulate in float32.
    """
    side, _, channels, out_channels = kernel.shape
    groups, rest = divmod(offsets.shape[-1], 2 * side * side)
    if rest or not groups or channels % groups:
        raise ValueError(
            f"{offsets.shape[-1]} channels of offsets fit no {side}x{side} kernel on {channels} channels"
        )
    moves = offsets.reshape(*offsets.shape[:2], groups, side * side, 2)
    places = (np.indices((side, side), np.int32).reshape(2, -1).T - np.int32(side // 2)) * np.int32(dilation)
    taps = jnp.moveaxis(moves, 3, 0), kernel.reshape(-1, channels, out_channels)
    return _over_taps(border, features, *taps, size, jnp.asarray(places))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _over_taps(
    border: Border,
    features: Float[Array, "h w C"],
    moves: Float[Array, "K h w G 2"],
    kernel: Float[Array, "K C D"],
    size: Int32[Array, "2"],
    places: Int32[Array, "K 2"],
) -> Float[Array, "h w D"]:
    """`deform_conv` with an axis of taps; `places` are the taps (y, x) around a position, without offsets."""
    grouped = _grouped(features, moves)

    def step(total, tap):
        moves, kernel, place = tap
        samples = bilinear(grouped, *_cells(moves, place, size, border)).reshape(features.shape)
        return total + _product("hwc,cd->hwd", samples, kernel), None

    start = jnp.zeros((*features.shape[:2], kernel.shape[-1]), jnp.float32)
    return lax.scan(step, start, (moves, kernel, places))[0].astype(features.dtype)


def _forward(border, *inputs):
    return _over_taps(border, *inputs), inputs


def _backward(border, inputs, grad):
    features, moves, kernel, size, places = inputs
    grouped = _grouped(features, moves)

    def step(total, tap):
        moves, kernel, place = tap
        y, x = _cells(moves, place, size, border)
        samples = bilinear(grouped, y, x).reshape(features.shape)
        of_kernel = _product("hwc,hwd->cd", samples, grad)
        of_samples = _product("hwd,cd->hwc", grad, kernel).astype(features.dtype).reshape(grouped.shape)
        of_weights = weight_gradients(grouped, of_samples, y, x)
        _, pull = jax.vjp(lambda moves: _weights(*_cells(moves, place, size, border)), moves)
        return spread(total, of_samples, y, x), (*pull(of_weights), of_kernel)

    start = jnp.zeros(grouped.shape, jnp.float32)
    total, (of_moves, of_kernel) = lax.scan(step, start, (moves, kernel, places))
    total = total.reshape(features.shape).astype(features.dtype)
    return total, of_moves, of_kernel.astype(kernel.dtype), None, None


_over_taps.defvjp(_forward, _backward)


def _grouped(features: Array, moves: Array) -> Float[Array, "h w G C"]:
    return features.reshape(*features.shape[:2], moves.shape[3], -1)


def _cells(
    moves: Float[Array, "h w G 2"], place: Int32[Array, "2"], size: Int32[Array, "2"], border: Border
) -> tuple[Cells, Cells]:
    """Cells along y and along x that the samples of a tap lie between."""
    integer, fraction = split_offsets(moves)

    def along(axis):
        position = lax.broadcasted_iota(jnp.int32, moves.shape[:3], axis) + place[axis]
        return between(position + integer[..., axis], fraction[..., axis], size[axis], border)

    return along(0), along(1)


def _weights(y: Cells, x: Cells) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    return (y.low, y.high), (x.low, x.high)


def _product(equation: str, a: Array, b: Array) -> Array:
    return jnp.einsum(equation, a, b.astype(a.dtype), preferred_element_type=jnp.float32)
