"""Dense feature aggregation: the memory completes the cheap feature of frames between keyframes (paper,
3.3)."""

from typing import Literal

import flax.linen as nn
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.layers import Conv, LayerInit, deep_layer_init
from lsts_jax.models.temporal.lsts.quality import Quality
from lsts_jax.models.temporal.lsts.sampling import Sampling
from lsts_jax.models.temporal.lsts.srfu import fuse
from lsts_jax.structs import Alignment

# (kernel, share of the channels C) of the three convolutions
LAYERS = {"authors": ((1, 1 / 4), (3, 1 / 4), (3, 1)), "paper": ((3, 1 / 4), (3, 1 / 2), (3, 1))}


class LowToHigh(nn.Module):
    """Convolutions that approximate the high-level feature; ReLU between the layers, none after."""

    feature_channels: int
    variant: Literal["authors", "paper"]
    layer_init: LayerInit
    dtype: DTypeLike

    @nn.compact
    def __call__(self, low: Float[Array, "h w L"], size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        x = low
        for i, (kernel, share) in enumerate(LAYERS[self.variant], 1):
            x = nn.relu(x) if i > 1 else x
            x = Conv(
                int(self.feature_channels * share),
                kernel,
                kernel_init=deep_layer_init(self.layer_init),
                dtype=self.dtype,
                name=f"conv{i}",
            )(x, size)
        return x


class DFA(nn.Module):
    """feature = quality(high', LSTS(source = memory, target = high')), high' = low2high(low)."""

    low2high: LowToHigh
    lsts: Sampling
    quality: Quality

    def __call__(
        self,
        memory: Float[Array, "h w C"],
        low: Float[Array, "h w L"],
        offsets: Float32[Array, "K 2"],
        size: Int32[Array, "2"],
    ) -> Alignment:
        return fuse(self.lsts, self.quality, memory, self.low2high(low, size), offsets, size)
