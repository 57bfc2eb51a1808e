"""THP: recursive aggregation on keyframes, partial updating of other frames, adaptive keyframes (Zhu et al.,
"Towards High Performance Video Object Detection", CVPR 2018).

The authors published no code. Choices where the paper's text is not known:

- Features are updated once, at the last layer, and not layer by layer: how the layers below would be
  propagated is not known.
- A dense convolution cannot skip positions. With `updating="partial"` the backbone runs on the whole frame
  and its feature replaces the propagated one at inconsistent positions: the paper's result without its speed.
  With `updating="none"` nothing is recomputed, and other frames run the flow network alone.
- The consistency map is one 1x1 convolution beside the flow, as DFF's scale map is, and starts at
  `CONSISTENCY_START`.
- In training, a third of the samples each is updated everywhere, nowhere, and at inconsistent positions. The
  sum of the frame's pixels selects the third, since methods get no random numbers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Float32, Int32, UInt8

from lsts_jax.config import ModelConfig, THPConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.models.flownet import FlowNet
from lsts_jax.models.temporal.embedding import build_embedding, cosines
from lsts_jax.models.temporal.protocol import Temporal, cells, choose, high_feature
from lsts_jax.ops.canvas import zero_outside
from lsts_jax.ops.warp import warp
from lsts_jax.structs import Frame, FrameFeature, Triplet, TripletFeature

CONSISTENCY_START = 0.5


class Seen(NamedTuple):
    """Pixels of a frame and, if the backbone ran on it, its feature."""

    pixels: UInt8[Array, "H W 3"]
    feature: Float[Array, "h w C"] | None  # zero outside the picture, since flow may point there
    size: Int32[Array, "2"]  # height, width of the picture in pixels
    cells: Int32[Array, "2"]  # the same in cells


class KeyFrame(NamedTuple):
    """Memory: the last keyframe."""

    pixels: UInt8[Array, "H W 3"]
    feature: Float[Array, "h w C"]  # of the keyframe alone
    aggregated: Float[Array, "h w C"]  # with the keyframes before it


class Propagated(NamedTuple):
    """Features of the last keyframe, warped to a frame."""

    feature: Float[Array, "h w C"]
    aggregated: Float[Array, "h w C"]
    flow: Float32[Array, "h w 2"]  # (x, y) in cells, from the frame to its keyframe
    consistency: Float32[Array, "h w"]  # high where the propagated feature is good


class Updated(NamedTuple):
    """The feature of a frame, and the values it is computed from."""

    feature: Float[Array, "h w C"]
    flow: Float32[Array, "h w 2"]
    consistency: Float32[Array, "h w"]
    inconsistent: Float32[Array, "h w"]  # 1 where the frame's own feature is wanted (U)
    weights: Float32[Array, "2 h w"]  # of the propagated aggregate and of the frame, sum 1
    share: Float32[Array, ""]  # of inconsistent positions of the picture


class THP(Temporal):
    """Keyframes are aggregated; other frames are propagated, updated in places, and aggregated."""

    config: THPConfig
    pixel_mean: tuple[float, float, float]
    dtype: DTypeLike

    trained_keyframes = 1  # two nearby frames (paper)

    @classmethod
    def from_config(cls, config: ModelConfig) -> "THP":
        return cls(config.thp, config.backbone.pixel_mean, jnp.dtype(config.dtype))

    def setup(self):
        width = self.config.flow_width
        self.flownet = FlowNet(width, 1, self.pixel_mean, self.dtype, scale_start=CONSISTENCY_START)
        self.embedding = build_embedding(self.config.embedding_channels, self.dtype)

    @property
    def adaptive(self) -> bool:
        return self.config.adaptive

    def key(self, backbone: Backbone, frame: Frame) -> Seen:
        feature = zero_outside(high_feature(backbone, frame).feature, cells(frame))
        return Seen(frame.pixels, feature, frame.size, cells(frame))

    def other(self, backbone: Backbone, frame: Frame) -> Seen:
        if self.config.updating == "partial":
            return self.key(backbone, frame)
        return Seen(frame.pixels, None, frame.size, cells(frame))

    def start(self, key: Seen) -> tuple[KeyFrame, FrameFeature]:
        assert key.feature is not None
        return KeyFrame(key.pixels, key.feature, key.feature), FrameFeature(key.feature)

    def on_keyframe(self, memory: KeyFrame, key: Seen) -> tuple[KeyFrame, FrameFeature]:
        """Aggregates the keyframe with the aggregate of those before it (paper, equation 4)."""
        assert key.feature is not None
        found = self.propagate(memory, key)
        aggregated, _ = self.aggregate(found.aggregated, key.feature, key.cells)
        return KeyFrame(key.pixels, key.feature, aggregated), FrameFeature(aggregated)

    def on_frame(self, memory: KeyFrame, other: Seen) -> Updated:
        """Updates the propagated feature and aggregates it (paper, equations 6 and 7)."""
        found = self.propagate(memory, other)
        mask = inconsistent(found.consistency, self.config.threshold)
        feature = found.feature
        if other.feature is not None:
            feature = update(found.feature, other.feature, mask)
        return self.updated(found, feature, mask, other)

    def wants_keyframe(self, bundle: Updated) -> Bool[Array, ""]:
        """True if the share of inconsistent positions is above `adaptive_share` (paper, equation
        9)."""
        return bundle.share > self.config.adaptive_share

    def on_triplet(self, backbone: Backbone, triplet: Triplet) -> TripletFeature:
        """Detects the frame with its keyframe as memory; adds a penalty on inconsistent positions
        (paper, equation 12)."""
        assert triplet.new_key is not None
        memory, at_key = self.start(self.key(backbone, triplet.new_key))
        current = self.key(backbone, triplet.current)
        assert current.feature is not None
        found = self.propagate(memory, current)
        mask = inconsistent(found.consistency, self.config.threshold)
        third = jnp.sum(current.pixels.astype(jnp.uint32)) % 3
        drawn = jnp.where(third == 0, jnp.zeros_like(mask), jnp.where(third == 1, jnp.ones_like(mask), mask))
        bundle = self.updated(found, update(found.feature, current.feature, drawn), mask, current)
        penalty = self.config.penalty * jnp.sum(zero_outside(mask[..., None], current.cells))
        bypass = triplet.current_is_new
        return TripletFeature(choose(bypass, at_key.feature, bundle.feature), jnp.where(bypass, 0.0, penalty))

    def propagate(self, memory: KeyFrame, frame: Seen) -> Propagated:
        """Both features of the keyframe, warped along the flow; the consistency map (paper, equation 5)."""
        found = self.flownet(frame.pixels, memory.pixels, frame.size)
        assert found.scale is not None
        aggregated = zero_outside(memory.aggregated, frame.cells)
        return Propagated(
            warp(memory.feature, found.flow),
            warp(aggregated, found.flow),
            found.flow,
            found.scale[..., 0].astype(jnp.float32),
        )

    def updated(
        self, found: Propagated, feature: Float[Array, "h w C"], mask: Float32[Array, "h w"], frame: Seen
    ) -> Updated:
        """The bundle of a frame from its updated feature."""
        aggregated, weights = self.aggregate(found.aggregated, feature, frame.cells)
        wanted = jnp.sum(zero_outside(mask[..., None], frame.cells))
        share = wanted / jnp.prod(frame.cells).astype(jnp.float32)
        return Updated(aggregated, found.flow, found.consistency, mask, weights, share)

    def aggregate(
        self, before: Float[Array, "h w C"], feature: Float[Array, "h w C"], size: Int32[Array, "2"]
    ) -> tuple[Float[Array, "h w C"], Float32[Array, "2 h w"]]:
        """Mean of the propagated aggregate and a feature by `weigh`, and the weights."""
        one, other = (self.embedding(x, size) for x in (before, feature))
        weights = weigh(one, other)
        mean = weights[0, ..., None] * before + weights[1, ..., None] * feature
        return mean.astype(feature.dtype), weights


def weigh(before: Float[Array, "h w E"], own: Float[Array, "h w E"]) -> Float32[Array, "2 h w"]:
    """Weights of two maps by the cosines of their embeddings with `own`, sum 1 (as FGFA's)."""
    return jax.nn.softmax(jnp.stack([cosines(before, own), cosines(own, own)]), axis=0)


def update(
    propagated: Float[Array, "h w C"], own: Float[Array, "h w C"], mask: Float32[Array, "h w"]
) -> Float[Array, "h w C"]:
    """The frame's own feature where the mask is 1, the propagated one where it is 0 (paper, equation 6)."""
    chosen = mask[..., None].astype(own.dtype)
    return chosen * own + (1 - chosen) * propagated


@jax.custom_vjp
def inconsistent(
    consistency: Float32[Array, "h w"], threshold: float | Float32[Array, ""]
) -> Float32[Array, "h w"]:
    """U: 1 where the consistency is at most the threshold, else 0.

    The gradient is a straight-through estimate: -1 where |consistency - threshold| <= 1, else 0.
    """
    return (consistency <= threshold).astype(jnp.float32)


def _inconsistent_fwd(consistency, threshold):
    return inconsistent(consistency, threshold), consistency - threshold


def _inconsistent_bwd(distance, gradient):
    return jnp.where(jnp.abs(distance) <= 1, -gradient, 0.0), jnp.zeros(())


inconsistent.defvjp(_inconsistent_fwd, _inconsistent_bwd)
