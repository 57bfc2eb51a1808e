"""Deformable convolution (Dai et al., "Deformable Convolutional Networks", 2017, equation 2):

    out(p) = sum over taps of kernel(tap) . features(p + tap + offset(p, tap))

Every group of channels has its own offsets. On a CPU a scan over taps samples and multiplies with the tap's
kernel, so that no array of size K x C x h x w exists; other platforms sample all taps at once. The gradient
samples again, tap by tap.
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
    """A convolution of stride 1 and padding dilation * (k // 2), with taps displaced by offsets.

    Args:
      offsets: in cells; channels in the order (group, tap, y before x) of the authors, torchvision and mmcv.
        Their number determines the number of groups.
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
    """`deform_conv` with an axis of taps; `places`: positions (y, x) of the taps without offsets."""
    inputs = features, moves, kernel, size, places
    return lax.platform_dependent(
        *inputs, cpu=partial(_tap_by_tap, border), default=partial(_all_taps, border)
    )


def _all_taps(border: Border, features, moves, kernel, size, places) -> Float[Array, "h w D"]:
    groups = moves.shape[3]
    sample = lambda part, moves, place: bilinear(part, *_cells(moves[:, :, None], place, size, border)[0])
    of_group = jax.vmap(sample, in_axes=(None, 0, 0))
    parts = jnp.stack(_split(features, groups))
    samples = jax.vmap(of_group, in_axes=(0, 3, None))(parts, moves, places)  # [G K h w C/G]
    kernel = kernel.reshape(len(kernel), groups, -1, kernel.shape[-1])
    return _product("gkhwc,kgcd->hwd", samples, kernel).astype(features.dtype)


def _tap_by_tap(border: Border, features, moves, kernel, size, places) -> Float[Array, "h w D"]:
    def step(total, tap):
        moves, kernel, place = tap
        samples = _sample(features, _cells(moves, place, size, border))
        return total + _product("hwc,cd->hwd", samples, kernel), None

    start = jnp.zeros((*features.shape[:2], kernel.shape[-1]), jnp.float32)
    return lax.scan(step, start, (moves, kernel, places))[0].astype(features.dtype)


def _forward(border, *inputs):
    return _over_taps(border, *inputs), inputs


def _backward(border, inputs, grad):
    features, moves, kernel, size, places = inputs
    groups = moves.shape[3]

    def step(totals, tap):
        moves, kernel, place = tap
        cells = _cells(moves, place, size, border)
        of_kernel = _product("hwc,hwd->cd", _sample(features, cells), grad)
        of_samples = _product("hwd,cd->hwc", grad, kernel).astype(features.dtype)
        parts = list(zip(_split(features, groups), _split(of_samples, groups), cells, strict=True))
        totals = [spread(total, part[1], *part[2]) for total, part in zip(totals, parts, strict=True)]
        of_weights = [weight_gradients(part, of_part, *cells) for part, of_part, cells in parts]
        _, pull = jax.vjp(lambda moves: _weights(_cells(moves, place, size, border)), moves)
        return totals, (*pull(of_weights), of_kernel)

    start = _split(jnp.zeros(features.shape, jnp.float32), groups)
    totals, (of_moves, of_kernel) = lax.scan(step, start, (moves, kernel, places))
    of_features = jnp.concatenate(totals, axis=-1).astype(features.dtype)
    return of_features, of_moves, of_kernel.astype(kernel.dtype), None, None


_over_taps.defvjp(_forward, _backward)


def _cells(
    moves: Float[Array, "h w G 2"], place: Int32[Array, "2"], size: Int32[Array, "2"], border: Border
) -> list[tuple[Cells, Cells]]:
    """Cells along y and along x that the samples of a tap lie between, for each group of channels."""
    integer, fraction = split_offsets(moves)

    def along(axis, group):
        position = lax.broadcasted_iota(jnp.int32, moves.shape[:2], axis) + place[axis]
        at = integer[..., group, axis], fraction[..., group, axis]
        return between(position + at[0], at[1], size[axis], border)

    return [(along(0, group), along(1, group)) for group in range(moves.shape[2])]


def _weights(groups: list[tuple[Cells, Cells]]) -> list[tuple[tuple[Array, Array], tuple[Array, Array]]]:
    return [((y.low, y.high), (x.low, x.high)) for y, x in groups]


def _sample(features: Float[Array, "h w C"], groups: list[tuple[Cells, Cells]]) -> Float[Array, "h w C"]:
    """The samples of a tap. A group at a time: XLA for CPUs is slower at gathers from a map with an axis of
    groups."""
    parts = zip(_split(features, len(groups)), groups, strict=True)
    return jnp.concatenate([bilinear(part, *cells) for part, cells in parts], axis=-1)


def _split(x: Float[Array, "h w C"], groups: int) -> list[Array]:
    return jnp.split(x, groups, axis=-1)


def _product(equation: str, a: Array, b: Array) -> Array:
    return jnp.einsum(equation, a, b.astype(a.dtype), preferred_element_type=jnp.float32)
