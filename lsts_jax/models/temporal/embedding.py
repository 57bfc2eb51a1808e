"""Embeddings of features and their cosines, by which FGFA and THP weigh frames (Zhu et al., "Flow-Guided
Feature Aggregation", 2017, section 3.2)."""

from functools import partial

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.layers import Conv

HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")  # authors


class Embedding(nn.Module):
    """Embedding of a feature, by which frames are compared."""

    inner: int
    channels: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, feature: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h w E"]:
        """Args: size (height, width) of the picture in cells."""
        conv = partial(Conv, kernel_init=HE, dtype=self.dtype)
        x = nn.relu(conv(self.inner, name="conv1")(feature, size))
        x = nn.relu(conv(self.inner, 3, name="conv2")(x, size))
        return conv(self.channels, name="conv3")(x, size)


def build_embedding(channels: int, dtype: DTypeLike) -> Embedding:
    """The authors' widths: the two layers before the last have a quarter of its channels."""
    return Embedding(max(1, channels // 4), channels, dtype)


def cosines(one: Float[Array, "h w E"], other: Float[Array, "h w E"]) -> Float32[Array, "h w"]:
    """Cosines of the vectors of two maps, position by position; 0 where either is zero."""
    one, other = one.astype(jnp.float32), other.astype(jnp.float32)
    dot = lambda x, y: jnp.einsum("hwe,hwe->hw", x, y)
    norms = (lax.rsqrt(dot(x, x) + 1e-10) for x in (one, other))  # authors
    return dot(one, other) * next(norms) * next(norms)
