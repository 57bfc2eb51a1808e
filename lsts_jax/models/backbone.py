"""The backbone: a network in the two parts of the paper's figure 2, for one frame."""

from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int32

from lsts_jax.config import BackboneConfig, ModelConfig
from lsts_jax.models import efficientnet, resnet
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.structs import STRIDE, Frame


class Backbone(nn.Module):
    """Both parts of a network that ends at stride 16. Their parameters are `low_level` and `high_level`."""

    config: BackboneConfig
    low_level: Callable[[Array, Array], Array]  # of a map and the size of the picture in its cells
    high_level: Callable[[Array, Array], Array]

    def low(self, frame: Frame) -> Float[Array, "h w L"]:
        """Low-level feature of a frame, the only part of the backbone that cheap frames run."""
        return self.low_level(frame.pixels, frame.size)

    def high(self, low: Float[Array, "h w L"], size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        """High-level feature.

        Args:
          size: height, width of the picture on the canvas in pixels.
        """
        return self.high_level(low, size_at_stride(size, STRIDE))


def build_backbone(config: ModelConfig) -> Backbone:
    """The backbone that a config names, with random weights once it is initialised."""
    dtype, backbone = jnp.dtype(config.dtype), config.backbone
    network = resnet if backbone.network == "resnet" else efficientnet
    return Backbone(
        backbone,
        network.LowLevel(backbone, dtype),
        network.HighLevel(backbone, dtype, config.feature_channels, config.deep_layer_init),
    )
