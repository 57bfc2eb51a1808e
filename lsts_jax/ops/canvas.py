"""The part of a canvas, or of a feature map computed from it, that holds the picture.

Convolutions read zeros beyond the border of a map. On a padded canvas biases would fill the padding, so the
padding is set to zero before every operation that reads neighbours. Padding then does not change the result.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32, Shaped


def size_at_stride(size: Int32[Array, "2"], stride: int) -> Int32[Array, "2"]:
    """(height, width) of the feature map of a picture of `size` pixels, from 1 on: ceil(size / stride)."""
    # not (size + stride - 1) / stride, which jax2onnx takes for the mean of two numbers where stride is 2
    return lax.div(size - 1, jnp.int32(stride)) + 1


def inside(height: int, width: int, size: Int32[Array, "2"]) -> Bool[Array, "{height} {width}"]:
    """True at the cells of a height x width map that belong to the picture."""
    return (jnp.arange(height) < size[0])[:, None] & (jnp.arange(width) < size[1])[None, :]


def zero_outside(x: Shaped[Array, "h w C"], size: Int32[Array, "2"]) -> Shaped[Array, "h w C"]:
    """The map with cells beyond `size` (height, width, in cells) set to zero."""
    height, width, _ = x.shape
    return jnp.where(inside(height, width, size)[..., None], x, jnp.zeros((), x.dtype))
