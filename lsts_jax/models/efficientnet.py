"""EfficientNet-lite 0 to 4 in two parts, for one frame: a network for CPUs and mobile devices.

Without squeeze-and-excitation, with ReLU6 (tensorflow/tpu, efficientnet/lite). Deviations:

- Stage 6 keeps stride 16, and the blocks after its first are dilated (timm: `output_stride=16`).
- Convolutions of stride 2 pad symmetrically, like all others here. TensorFlow does so only on maps with an
  odd number of cells, so on pictures of 16 n + 1 pixels. For other pictures it samples the same maps, but for
  their borders, up to 15 pixels farther right and down.
"""

from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32

from lsts_jax.config import LITE_BLOCKS, BackboneConfig
from lsts_jax.models.layers import Conv, DepthwiseConv, LayerInit, Norm, deep_layer_init
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.ops.pointwise import pointwise_conv

STEM_CHANNELS = 32


class Stage(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    channels: int  # of lite0


STAGES = (
    Stage(3, 1, 1, 16),
    Stage(3, 2, 6, 24),
    Stage(5, 2, 6, 40),
    Stage(3, 2, 6, 80),
    Stage(5, 1, 6, 112),
    Stage(5, 1, 6, 192),  # published with stride 2
    Stage(3, 1, 6, 320),
)
WIDTHS = dict(zip(LITE_BLOCKS, (1.0, 1.0, 1.1, 1.2, 1.4), strict=True))
"""Factor of the channels by network."""


def channels_of(stage: int, network: str) -> int:
    """Channels of a stage, counted from 1: the nearest multiple of 8, or the next if it is 10 % too small."""
    wanted = STAGES[stage - 1].channels * WIDTHS[network]
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _product(x: Array, kernel: Array, *_, **__) -> Array:
    return pointwise_conv(x[0], kernel[0, 0])[None]


class Block(nn.Module):
    """An inverted residual: expansion, depthwise convolution, linear projection."""

    kernel: int
    stride: int
    dilation: int
    expansion: int
    features: int
    config: BackboneConfig
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h2 w2 D"]:
        normed = partial(Norm, self.config.norm, epsilon=self.config.norm_epsilon, dtype=self.dtype)
        pointwise = partial(Conv, use_bias=False, dtype=self.dtype, product=_product)
        y = x
        if self.expansion > 1:
            y = pointwise(self.expansion * x.shape[-1], name="expand_conv")(y, size)
            y = nn.relu6(normed(name="expand_norm")(y, size))
        y = DepthwiseConv(self.kernel, self.stride, self.dilation, self.dtype, name="depthwise_conv")(y, size)
        size = size_at_stride(size, self.stride)
        y = nn.relu6(normed(name="depthwise_norm")(y, size))
        y = pointwise(self.features, name="project_conv")(y, size)
        y = normed(name="project_norm")(y, size)
        return x + y if x.shape == y.shape and self.stride == 1 else y


class _Blocks(nn.Module):
    """Settings shared by both parts of the network."""

    config: BackboneConfig
    dtype: DTypeLike

    def blocks(self, x: Array, size: Array, which: list[tuple[int, int]]) -> tuple[Array, Array]:
        """Applies blocks, given as `stage_blocks` does. Returns map and size."""
        block_type = nn.remat(Block) if self.config.remat else Block
        for stage, repeat in which:
            kernel, stride, expansion, _ = STAGES[stage - 1]
            stride = stride if repeat == 1 else 1
            x = block_type(
                kernel,
                stride,
                dilation=2 if (stage == 6 and repeat > 1) or stage == 7 else 1,
                expansion=expansion,
                features=channels_of(stage, self.config.network),
                config=self.config,
                dtype=self.dtype,
                name=f"stage{stage}_{repeat}",
            )(x, size)
            size = size_at_stride(size, stride)
        return x, size


def stage_blocks(config: BackboneConfig, *, at_stride_16: bool) -> list[tuple[int, int]]:
    """(stage, number in the stage), both from 1, of the blocks at stride 16 or of those before, in order."""
    stages = enumerate(LITE_BLOCKS[config.network], start=1)
    return [(s, r + 1) for s, count in stages for r in range(count) if (s >= 4) == at_stride_16]


class LowLevel(_Blocks):
    """Pixels to the low-level feature: the output of block `split` at stride 16, without an activation."""

    @nn.compact
    def __call__(self, pixels: Array, size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        """Args: pixels [H W 3] RGB 0..255, size (height, width) of the picture on the canvas."""
        config = self.config
        mean, std = (jnp.array(x, jnp.float32)[None, None] for x in (config.pixel_mean, config.pixel_std))
        x = (pixels.astype(jnp.float32) - mean) / std
        x = Conv(STEM_CHANNELS, 3, 2, use_bias=False, dtype=self.dtype, name="conv1")(x, size)
        size = size_at_stride(size, 2)
        norm = Norm(config.norm, epsilon=config.norm_epsilon, dtype=self.dtype, name="norm1")
        x = nn.relu6(norm(x, size))
        x, size = self.blocks(x, size, stage_blocks(config, at_stride_16=False))
        x, size = self.blocks(x, size, stage_blocks(config, at_stride_16=True)[: config.split])
        return x


class HighLevel(_Blocks):
    """Low-level feature to the high-level one: the other blocks, and a 3x3 convolution of dilation 6 with a
    ReLU."""

    feature_channels: int
    layer_init: LayerInit

    @nn.compact
    def __call__(self, low: Float[Array, "h w L"], size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        """Args: low, size (height, width) of the picture in cells of stride 16."""
        x, size = self.blocks(low, size, stage_blocks(self.config, at_stride_16=True)[self.config.split :])
        x = Conv(
            self.feature_channels,
            3,
            dilation=6,
            kernel_init=deep_layer_init(self.layer_init),
            dtype=self.dtype,
            name="feature_conv",
        )(x, size)
        return jax.nn.relu(x)
