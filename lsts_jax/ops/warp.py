"""Warping of a feature map along a flow field (Zhu et al., "Deep Feature Flow", 2017, equation 2)."""

from jaxtyping import Array, Float

from lsts_jax.ops.sampling import sample_at_offsets


def warp(features: Float[Array, "h w C"], flow: Float[Array, "h w 2"]) -> Float[Array, "h w C"]:
    """out(p) = features at p + flow(p), bilinear, in the dtype of `features`.

    Each of the four corners is zero on its own outside the map. The gradient cuts at the floor: at an integer
    target it has the right-hand derivative, as the authors' operator.

    Args:
      flow: displacement (x, y) of every position, in cells.
    """
    return sample_at_offsets(features, flow[None])[0]
