"""The quality network: blending weights of two aligned features at every position."""

from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.layers import NEW_LAYER, Conv
from lsts_jax.models.temporal.protocol import each

# kernel sizes of the three convolutions
KERNELS = {"authors": (1, 3, 3), "paper": (3, 1, 1)}


class Quality(nn.Module):
    """Three convolutions without ReLU to one score a position, for each feature; softmax over the pair.

    Authors: 1x1 of C/4, 3x3 of 16, 3x3 of 1. Paper (section 3.3): 3x3, 1x1, 1x1.
    """

    variant: Literal["authors", "paper"]
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, first: Float[Array, "h w C"], second: Float[Array, "h w C"], size: Int32[Array, "2"]
    ) -> Float32[Array, "2 h w"]:
        """Weights of the two features, summing to one."""
        widths = (max(first.shape[-1] // 4, 1), 16, 1)
        layers = [
            Conv(width, kernel, kernel_init=NEW_LAYER, dtype=self.dtype, name=f"conv{i}")
            for i, (width, kernel) in enumerate(zip(widths, KERNELS[self.variant], strict=True), 1)
        ]

        def score(_, x):
            for layer in layers:
                x = layer(x, size)
            return x[..., 0].astype(jnp.float32)

        return jax.nn.softmax(each(score, self, jnp.stack([first, second])), axis=0)
