"""Bilinear sampling at p + offset for every position p of a map (paper, section 3.2, equation 2).

The readable form: four gathers. `affinity.py` has the same in a form whose cost does not depend on K.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def split_offsets(offsets: Float[Array, "*K 2"]) -> tuple[Array, Array]:
    """Integer and fractional part, o = i + t with 0 <= t < 1 and do/dt = 1.

    The bilinear kernel has a kink at integers. Cutting the gradient at the floor gives the right-hand
    derivative there, as the authors' operator has it; their initial offsets are integers.
    """
    integer = jnp.floor(lax.stop_gradient(offsets))
    return integer.astype(jnp.int32), offsets - integer


def sample_at_offsets(
    features: Float[Array, "h w C"], offsets: Float[Array, "*K 2"]
) -> Float[Array, "K h w C"]:
    """Sample `features` at p + offset for each position p and each of K offsets.

    Args:
      features: the map that is sampled; outside it is zero, corner by corner.
      offsets: (x, y) in cells, [K 2] shared by all positions or [K h w 2], one set a position.

    Returns:
      The samples in the dtype of `features`.
    """
    height, width, _ = features.shape
    if offsets.ndim == 2:
        offsets = offsets[:, None, None, :]
    integer, fraction = split_offsets(offsets)
    x0 = jnp.arange(width, dtype=jnp.int32)[None, None, :] + integer[..., 0]
    y0 = jnp.arange(height, dtype=jnp.int32)[None, :, None] + integer[..., 1]
    tx, ty = fraction[..., 0], fraction[..., 1]

    def corner(y, x, weight):
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        values = features[jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)]
        return values * jnp.where(inside, weight, 0.0).astype(features.dtype)[..., None]

    return (
        corner(y0, x0, (1 - ty) * (1 - tx))
        + corner(y0, x0 + 1, (1 - ty) * tx)
        + corner(y0 + 1, x0, ty * (1 - tx))
        + corner(y0 + 1, x0 + 1, ty * tx)
    )
