"""Region proposal network: an objectness and a box for every anchor (authors: 1x1 convolutions only)."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.layers import NEW_LAYER, Conv


class RPN(nn.Module):
    """Reads the first half of the feature. Flat order of the anchors: (row, column, anchor)."""

    num_anchors: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self, feature: Float[Array, "h w C"], size: Int32[Array, "2"]
    ) -> tuple[Float32[Array, "M 2"], Float32[Array, "M 4"]]:
        """Logits (background, object), and box deltas divided by their deviations."""

        def conv(features, name):
            return Conv(features, 1, kernel_init=NEW_LAYER, dtype=self.dtype, name=name)

        x = feature[..., : feature.shape[-1] // 2]
        logits = conv(2 * self.num_anchors, "classes")(x, size).astype(jnp.float32)
        deltas = conv(4 * self.num_anchors, "boxes")(x, size).astype(jnp.float32)
        # channels of the logits: all backgrounds, then all foregrounds
        logits = jnp.swapaxes(logits.reshape(-1, 2, self.num_anchors), 1, 2)
        return logits.reshape(-1, 2), deltas.reshape(-1, 4)
