"""Warping of a feature map along a flow field (Zhu et al., "Deep Feature Flow", 2017, equation 2)."""

from jaxtyping import Array, Float

from lsts_jax.ops.sampling import sample_at_offsets


def warp(features: Float[Array, "h w C"], flow: Float[Array, "h w 2"]) -> Float[Array, "h w C"]:
    """out(p) = features at p + flow(p), bilinear, in the dtype of `features`.

    Corners outside the map are zero. At an integer target the gradient is the right-hand derivative, as in
    the authors' operator.

    Args:
      flow: displacement (x, y) at every position, in cells.
    """
    return sample_at_offsets(features, flow[None])[0]
