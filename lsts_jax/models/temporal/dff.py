"""DFF: frames take the keyframe's feature, warped along optical flow (Zhu et al., "Deep Feature Flow")."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32, UInt8

from lsts_jax.config import ModelConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.models.flownet import FlowNet
from lsts_jax.models.temporal.protocol import TRAINED, Temporal, high_feature
from lsts_jax.ops.canvas import size_at_stride, zero_outside
from lsts_jax.ops.warp import warp
from lsts_jax.structs import STRIDE, Frame, FrameFeature

SCALE_BIAS = "scale_bias"


class KeyFrame(NamedTuple):
    """Pixels and feature of a keyframe; also the memory."""

    pixels: UInt8[Array, "H W 3"]
    feature: Float[Array, "h w C"]


class Picture(NamedTuple):
    """Pixels of a frame between keyframes."""

    pixels: UInt8[Array, "H W 3"]
    size: Int32[Array, "2"]  # height, width of the picture in pixels


class Warped(NamedTuple):
    """The feature of a frame, with the flow and the scale map behind it."""

    feature: Float[Array, "h w C"]
    flow: Float32[Array, "h w 2"]  # (x, y) in cells, from the frame to its keyframe
    scale: Float[Array, "h w C"]


class DFF(Temporal):
    """Keyframes ignore the memory; other frames run only the flow network."""

    width: int
    feature_channels: int
    pixel_mean: tuple[float, float, float]
    dtype: DTypeLike

    keyframes_use_memory = False
    trained_keyframes = 1

    @classmethod
    def from_config(cls, config: ModelConfig) -> "DFF":
        dtype = jnp.dtype(config.dtype)
        return cls(config.dff.flow_width, config.feature_channels, config.backbone.pixel_mean, dtype)

    def setup(self):
        self.flownet = FlowNet(self.width, self.feature_channels, self.pixel_mean, self.dtype)

    def key(self, backbone: Backbone, frame: Frame) -> KeyFrame:
        return KeyFrame(frame.pixels, high_feature(backbone, frame).feature)

    def other(self, backbone: Backbone, frame: Frame) -> Picture:
        return Picture(frame.pixels, frame.size)

    def start(self, key: KeyFrame) -> tuple[KeyFrame, FrameFeature]:
        return key, FrameFeature(key.feature)

    def on_keyframe(self, memory: KeyFrame, key: KeyFrame) -> tuple[KeyFrame, FrameFeature]:
        return self.start(key)

    def on_frame(self, memory: KeyFrame, other: Picture) -> Warped:
        """warp(key feature, flow) times the scale map (paper, equation 2)."""
        found = self.flownet(other.pixels, memory.pixels, other.size)
        assert found.scale is not None
        source = zero_outside(memory.feature, size_at_stride(other.size, STRIDE))
        return Warped(warp(source, found.flow) * found.scale, found.flow, found.scale)

    def learning_rates(self) -> Mapping[str, float]:
        return {SCALE_BIAS: 0.0}  # it stays 1 (authors: lr_mult 0)

    def parameter_group(self, path: tuple[str, ...]) -> str:
        return SCALE_BIAS if path == ("flownet", "scale", "conv", "bias") else TRAINED
