"""FlowNetS with flow at the stride of the features, as DFF and FGFA use it (Dosovitskiy et al., 2015; Zhu
et al., 2017).

Deviations from FlowNetS: frames enter at half size, and the last concatenation is averaged to stride 16
before the finest flow head, so that flow and scale map have the size of the features.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32, Num

from lsts_jax.models.layers import Conv
from lsts_jax.ops.canvas import inside, size_at_stride, zero_outside

# name, channels in units of the width, kernel, stride
ENCODER = (
    ("conv1", 1, 7, 2), ("conv2", 2, 5, 2),
    ("conv3", 4, 5, 2), ("conv3_1", 4, 3, 1),
    ("conv4", 8, 3, 2), ("conv4_1", 8, 3, 1),
    ("conv5", 8, 3, 2), ("conv5_1", 8, 3, 1),
    ("conv6", 16, 3, 2), ("conv6_1", 16, 3, 1),
)  # fmt: skip
# level, encoder layer it is joined to, channels of its transposed convolution in units of the width
DECODER = ((6, "conv5_1", 8), (5, "conv4_1", 4), (4, "conv3_1", 2), (3, "conv2", 1))
FLOW_SCALE = 2.5
"""Cells per unit of output: the output times 20 is in pixels of the half-size input; a cell is 16 of the
frame's pixels."""


class Flow(NamedTuple):
    """Positions of a frame's content in an earlier frame."""

    flow: Float32[Array, "h w 2"]  # (x, y) in cells: p of the frame lies at p + flow(p) of the key frame
    scale: Float[Array, "h w C"] | None  # by which the warped feature is multiplied
    coarse: dict[int, Float[Array, "_h _w 2"]]  # raw flows of levels 6 to 3


class FlowNet(nn.Module):
    """Flow from a frame to a key frame. Padding of the canvas does not change the result."""

    width: int
    scale_channels: int
    """Channels of the map beside the flow: DFF's scale map, THP's consistency; 0: none."""
    pixel_mean: tuple[float, float, float]
    dtype: DTypeLike
    scale_start: float = 1.0
    """Value of that map before training."""

    @nn.compact
    def __call__(
        self, current: Num[Array, "H W 3"], key: Num[Array, "H W 3"], size: Int32[Array, "2"]
    ) -> Flow:
        """Args: RGB pixels 0..255 of both frames, size (height, width) of the picture on the canvas."""
        mean = jnp.array(self.pixel_mean, jnp.float32)[None, None]
        frames = [(pixels.astype(jnp.float32) - mean) / 255 for pixels in (current, key)]
        x = average_pool(jnp.concatenate(frames, axis=-1), size).astype(self.dtype)
        stride, outputs = 2, {}
        for name, channels, kernel, step in ENCODER:
            x = self.conv(channels * self.width, kernel, name, step)(x, size_at_stride(size, stride))
            x, stride = nn.leaky_relu(x, 0.1), stride * step
            outputs[name] = x, stride
        coarse = {}
        for level, name, channels in DECODER:
            here = size_at_stride(size, stride)
            coarse[level] = self.conv(2, 3, f"flow{level}")(x, here)
            joined, stride = outputs[name]
            grown = nn.leaky_relu(
                self.grow(channels * self.width, x, here, joined, f"deconv{level - 1}"), 0.1
            )
            upsampled = self.grow(2, coarse[level], here, joined, f"upsample{level - 1}")
            x = jnp.concatenate([joined, grown, upsampled], axis=-1)
        x = average_pool(x, size_at_stride(size, stride))
        cells = size_at_stride(size, 2 * stride)
        flow = self.conv(2, 3, "flow2")(x, cells).astype(jnp.float32) * FLOW_SCALE
        scale = None
        if self.scale_channels:
            scale = Conv(
                self.scale_channels,
                kernel_init=nn.initializers.zeros_init(),
                bias_init=nn.initializers.constant(self.scale_start),
                dtype=self.dtype,
                name="scale",
            )(x, cells)
        return Flow(flow, scale, coarse)

    def conv(self, features: int, kernel: int, name: str, stride: int = 1) -> Conv:
        return Conv(features, kernel, stride, dtype=self.dtype, name=name)

    def grow(
        self, features: int, x: Array, size: Int32[Array, "2"], like: Array, name: str
    ) -> Float[Array, "_h _w D"]:
        """A transposed convolution to twice the size, cropped to the size of `like`."""
        height, width, _ = like.shape
        layer = nn.ConvTranspose(
            features, (4, 4), (2, 2), padding=((2, 2), (2, 2)), dtype=self.dtype, name=name
        )
        return layer(zero_outside(x, size))[:height, :width]


def average_pool(x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "_h _w C"]:
    """Means over the cells of 2x2 blocks that belong to the picture; half the size, rounded up."""
    height, width, _ = x.shape
    counted = inside(height, width, size)[..., None].astype(x.dtype)

    def total(y):
        pads = ((0, height % 2), (0, width % 2), (0, 0))
        return lax.reduce_window(y, np.zeros((), y.dtype), lax.add, (2, 2, 1), (2, 2, 1), pads)

    return total(zero_outside(x, size)) / jnp.maximum(total(counted), 1)
