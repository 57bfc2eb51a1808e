"""ResNet v1 in the two parts of the paper's figure 2, for one frame.

Deviations from torchvision: the stride is in the first 1x1 convolution of a stage (Caffe, the authors;
`stride_on` selects it), stage 5 keeps stride 16 and is dilated instead, statistics are never updated.
"""

from functools import partial
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32

from lsts_jax.config import RESNET_UNITS, BackboneConfig
from lsts_jax.models.layers import Conv, DeformableConv, LayerInit, Norm, NormKind, deep_layer_init, relu
from lsts_jax.ops.canvas import size_at_stride, zero_outside
from lsts_jax.ops.sampling import Border


class Unit(nn.Module):
    """A residual unit, basic (depth 10 to 34) or bottleneck. Input and output are sums *before* the ReLU."""

    depth: int
    channels: int
    stride: int
    dilation: int
    shortcut: bool
    norm: NormKind
    norm_epsilon: float
    stride_on: str
    dtype: DTypeLike
    deformable: Border | None = None  # border rule of a deformable second convolution; None: a plain one

    @nn.compact
    def __call__(self, x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h2 w2 D"]:
        normed = partial(Norm, self.norm, epsilon=self.norm_epsilon, dtype=self.dtype)
        bottleneck = self.depth >= 50
        out_channels = self.channels * (4 if bottleneck else 1)
        out_size = size_at_stride(size, self.stride)
        if not bottleneck:
            layers = [(3, self.stride, self.channels), (3, 1, out_channels)]
        elif self.stride_on == "1x1":
            layers = [(1, self.stride, self.channels), (3, 1, self.channels), (1, 1, out_channels)]
        else:
            layers = [(1, 1, self.channels), (3, self.stride, self.channels), (1, 1, out_channels)]

        x = y = relu(x)
        current = size
        for i, (kernel, stride, features) in enumerate(layers, 1):
            dilation = self.dilation if kernel == 3 else 1
            y = relu(y) if i > 1 else y
            if i == 2 and self.deformable:
                convolution = DeformableConv(
                    features, dilation, self.deformable, dtype=self.dtype, name="conv2"
                )
            else:
                convolution = Conv(
                    features, kernel, stride, dilation, use_bias=False, dtype=self.dtype, name=f"conv{i}"
                )
            y = convolution(y, current)
            current = size_at_stride(current, stride)
            # Frozen normalisation does nothing before statistics are loaded: the sums of 33 units overflow.
            scale = 0.2 if i == len(layers) and self.norm == "frozen_batch" else 1.0
            y = normed(initial_scale=scale, name=f"norm{i}")(y, current)
        if self.shortcut:
            x = Conv(out_channels, 1, self.stride, use_bias=False, dtype=self.dtype, name="shortcut_conv")(
                x, size
            )
            x = normed(name="shortcut_norm")(x, out_size)
        return x + y


class _Stages(nn.Module):
    """Settings shared by both parts of the network."""

    config: BackboneConfig
    dtype: DTypeLike

    def units(self, x: Array, size: Array, stage: int, first: int, last: int) -> tuple[Array, Array]:
        """Applies units first..last-1 of a stage. Returns the sum before the ReLU, and its size."""
        config = self.config
        unit_type = nn.remat(Unit) if config.remat else Unit
        for unit in range(first, last):
            stride = 2 if unit == 0 and stage in (3, 4) else 1
            moved = stage == 5 and unit >= RESNET_UNITS[config.depth][3] - config.deformable
            x = unit_type(
                config.depth,
                config.width * 2 ** (stage - 2),
                stride,
                dilation=2 if stage == 5 else 1,
                # basic units of stage 2 keep their channels; every other first unit changes them
                shortcut=unit == 0 and (stage > 2 or config.depth >= 50),
                norm=config.norm,
                norm_epsilon=config.norm_epsilon,
                stride_on=config.stride_on,
                dtype=self.dtype,
                deformable=config.deformable_border if moved else None,
                name=f"res{stage}_{unit + 1}",
            )(x, size)
            size = size_at_stride(size, stride)
        return x, size


class LowLevel(_Stages):
    """Pixels to the low-level feature: the sum before the ReLU of unit `split` of stage 4 (res4b3)."""

    @nn.compact
    def __call__(self, pixels: Array, size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        """Args: pixels [H W 3] RGB 0..255, size (height, width) of the picture on the canvas."""
        config = self.config
        mean, std = (jnp.array(x, jnp.float32)[None, None] for x in (config.pixel_mean, config.pixel_std))
        x = (pixels.astype(jnp.float32) - mean) / std
        x = Conv(config.width, 7, 2, use_bias=False, dtype=self.dtype, name="conv1")(x, size)
        size = size_at_stride(size, 2)
        norm = Norm(config.norm, epsilon=config.norm_epsilon, dtype=self.dtype, name="norm1")
        x = relu(norm(x, size))
        # After a ReLU the zeros outside the picture cannot win: they act as the -inf of max pooling.
        padding: Any = ((1, 1), (1, 1))  # Flax's annotation allows text only
        x = nn.max_pool(zero_outside(x, size), (3, 3), (2, 2), padding=padding)
        size = size_at_stride(size, 2)
        counts = RESNET_UNITS[config.depth]
        x, size = self.units(x, size, 2, 0, counts[0])
        x, size = self.units(x, size, 3, 0, counts[1])
        x, size = self.units(x, size, 4, 0, config.split)
        return x


class HighLevel(_Stages):
    """Low-level feature to the high-level one: the rest of stage 4, dilated stage 5, and a 3x3 convolution
    of dilation 6 with a ReLU."""

    feature_channels: int
    layer_init: LayerInit

    @nn.compact
    def __call__(self, low: Float[Array, "h w L"], size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        """Args: low, size (height, width) of the picture in cells of stride 16."""
        counts = RESNET_UNITS[self.config.depth]
        x, size = self.units(low, size, 4, self.config.split, counts[2])
        x, size = self.units(x, size, 5, 0, counts[3])
        x = Conv(
            self.feature_channels,
            3,
            dilation=6,
            kernel_init=deep_layer_init(self.layer_init),
            dtype=self.dtype,
            name="feature_conv",
        )(relu(x), size)
        return relu(x)
