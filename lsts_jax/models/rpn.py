"""Region proposal network: objectness and a box for every anchor (authors: 1x1 convolutions only)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.layers import NEW_LAYER, Conv
from lsts_jax.ops.anchors import anchor_grid
from lsts_jax.ops.boxes import ANCHOR_DEVIATIONS
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.ops.proposals import propose
from lsts_jax.structs import STRIDE, Proposals


class RPN(nn.Module):
    """Reads the first half of the feature. Flat order of the anchors: (row, column, anchor)."""

    ratios: tuple[float, ...]
    scales: tuple[float, ...]
    pre_nms: int
    post_nms: int
    nms_threshold: float
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self, feature: Float[Array, "h w C"], size: Int32[Array, "2"]
    ) -> tuple[Float32[Array, "M 2"], Float32[Array, "M 4"]]:
        """Logits (background, object) and box deltas (divided by their deviations) of all anchors.

        Args: size (height, width) of the picture in pixels.
        """
        num_anchors = len(self.ratios) * len(self.scales)

        def conv(features, name):
            layer = Conv(features, 1, kernel_init=NEW_LAYER, dtype=self.dtype, name=name)
            return layer(x, size_at_stride(size, STRIDE)).astype(jnp.float32)

        x = feature[..., : feature.shape[-1] // 2]
        logits = conv(2 * num_anchors, "classes")
        deltas = conv(4 * num_anchors, "boxes")
        # channels of the logits: all backgrounds, then all foregrounds
        logits = jnp.swapaxes(logits.reshape(-1, 2, num_anchors), 1, 2)
        return logits.reshape(-1, 2), deltas.reshape(-1, 4)

    def anchors(self, height: int, width: int) -> Float32[Array, "M 4"]:
        """All anchors of a map of height x width cells, in the order of the outputs."""
        return anchor_grid(height, width, ratios=self.ratios, scales=self.scales, stride=STRIDE)

    def propose(
        self,
        logits: Float32[Array, "M 2"],
        deltas: Float32[Array, "M 4"],
        cells: tuple[int, int],
        size: Int32[Array, "2"],
    ) -> Proposals:
        """Proposals from the outputs, without gradient.

        Args: cells, height and width of the feature map; size (height, width) of the picture in pixels.
        """
        return propose(
            jax.nn.softmax(logits)[:, 1],
            deltas * jnp.array(ANCHOR_DEVIATIONS)[None],
            self.anchors(*cells),
            size=size,
            pre_nms=self.pre_nms,
            post_nms=self.post_nms,
            nms_threshold=self.nms_threshold,
        )
