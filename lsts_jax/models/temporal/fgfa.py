"""FGFA: features of the frames around, warped along optical flow and averaged (Zhu et al., "Flow-Guided
Feature Aggregation", 2017).

At test the embedding is computed from the unwarped feature, once per frame; in training from the warped
feature. Both as the authors do.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32, UInt8

from lsts_jax.config import FGFAConfig, ModelConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.models.flownet import FlowNet
from lsts_jax.models.temporal.embedding import build_embedding, cosines
from lsts_jax.models.temporal.protocol import Temporal, cells, each
from lsts_jax.ops.canvas import zero_outside
from lsts_jax.ops.warp import warp
from lsts_jax.structs import Frame, FrameFeature, Triplet, TripletFeature


class Seen(NamedTuple):
    """A frame's entry in the window."""

    pixels: UInt8[Array, "*T H W 3"]
    feature: Float[Array, "*T h w C"]
    embedding: Float[Array, "*T h w E"]


class Paid(NamedTuple):
    """Payment of a frame: its entry in the window, and the size (height, width) of its picture in pixels."""

    seen: Seen
    size: Int32[Array, "2"]


class Window(NamedTuple):
    """The last frames, as a ring; at the start of a video the first frame fills the empty places."""

    frames: Seen  # axis 0: place in the ring
    oldest: Int32[Array, ""]  # place of the oldest, which the next frame takes


class Aggregated(NamedTuple):
    """The feature of a frame, and the weight of every frame of the window in it, oldest first."""

    feature: Float[Array, "h w C"]
    flow: Float32[Array, "T h w 2"]  # (x, y) in cells, from the frame to that of the window
    cosine: Float32[Array, "T h w"]
    weights: Float32[Array, "T h w"]  # sum 1


class Sums(NamedTuple):
    """Weighted sum of warped features, and the sum of the weights."""

    feature: Float32[Array, "h w C"]
    weight: Float32[Array, "h w"]


class FGFA(Temporal):
    """Every frame is a keyframe and enters the window; the frame in the middle of it is detected."""

    config: FGFAConfig
    pixel_mean: tuple[float, float, float]
    dtype: DTypeLike

    @classmethod
    def from_config(cls, config: ModelConfig) -> "FGFA":
        return cls(config.fgfa, config.backbone.pixel_mean, jnp.dtype(config.dtype))

    def setup(self):
        self.flownet = FlowNet(self.config.flow_width, 0, self.pixel_mean, self.dtype)
        self.embedding = build_embedding(self.config.embedding_channels, self.dtype)

    @property
    def delay(self) -> int:
        return 0 if self.config.causal else self.config.radius

    @property
    def trained_reach(self) -> tuple[int, int]:
        radius = self.config.radius
        return -radius, 1 if self.config.causal else radius + 1

    def interval(self, wanted: int) -> int:
        return 1

    def key(self, backbone: Backbone, frame: Frame) -> Paid:
        """Pixels, feature, and the embedding of the unwarped feature (authors, at test)."""
        feature = self.feature_of(backbone, frame)
        embedding = zero_outside(self.embedding(feature, cells(frame)), cells(frame))
        return Paid(Seen(frame.pixels, feature, embedding), frame.size)

    other = key

    def start(self, key: Paid) -> tuple[Window, FrameFeature]:
        """Fills the window with the frame. The aggregation then reduces to the frame's flow to
        itself."""
        length = self.config.radius + 1 + self.delay
        frames = jax.tree.map(lambda x: jnp.broadcast_to(x, (length, *x.shape)), key.seen)
        flow = self.flownet(key.seen.pixels, key.seen.pixels, key.size).flow
        return Window(frames, jnp.int32(0)), FrameFeature(warp(key.seen.feature, flow))

    def on_keyframe(self, memory: Window, key: Paid) -> tuple[Window, Aggregated]:
        """Adds the frame to the window and detects the frame `delay` before it."""
        frames = jax.tree.map(
            lambda ring, new: lax.dynamic_update_index_in_dim(ring, new, memory.oldest, 0),
            memory.frames,
            key.seen,
        )
        length = len(frames.pixels)
        oldest = lax.rem(memory.oldest + 1, jnp.int32(length))
        return Window(frames, oldest), self.aggregate(frames, oldest, key.size)

    def on_frame(self, memory: Window, other: Paid) -> Aggregated:
        return self.on_keyframe(memory, other)[1]

    def aggregate(self, frames: Seen, oldest: Int32[Array, ""], size: Int32[Array, "2"]) -> Aggregated:
        """Feature of the frame `delay` before the newest (paper, equations 2 and 3). Its own feature is
        warped too, by its non-zero flow to itself (authors).

        Sums accumulate frame by frame, so that only one warped feature exists at a time. Cosines are in
        [-1, 1], so the softmax over the window does not need the maximum first.
        """
        length = len(frames.pixels)
        order = lax.rem(oldest + jnp.arange(length, dtype=jnp.int32), jnp.int32(length))
        current = length - 1 - self.delay
        pixels = frames.pixels[order[current]]

        def find(flownet: FlowNet, _: tuple[()], place: Array) -> tuple[tuple[()], Array]:
            return (), flownet(pixels, frames.pixels[place], size).flow

        along = nn.scan(find, variable_broadcast="params", split_rngs={"params": False})
        flows = along(self.flownet, (), order)[1]
        embedding = warp(frames.embedding[order[current]], flows[current])

        def add(sums: Sums, place_and_flow: tuple[Array, Array]) -> tuple[Sums, Array]:
            place, flow = place_and_flow
            return add_frame(sums, frames.feature[place], frames.embedding[place], flow, embedding)

        sums, cosine = lax.scan(add, no_frames(frames.feature[0]), (order, flows))
        feature = mean_of(sums).astype(frames.feature.dtype)
        return Aggregated(feature, flows, cosine, jnp.exp(cosine) / sums.weight[None])

    def on_triplet(self, backbone: Backbone, triplet: Triplet) -> TripletFeature:
        """Two frames of the window, drawn at random, aggregated for the current frame, which counts only if
        it is drawn (authors)."""
        triple = (triplet.old_key, triplet.new_key, triplet.current)
        frames = jax.tree.map(lambda *x: jnp.stack(x), *triple)
        features = each(lambda backbone, frame: self.feature_of(backbone, frame), backbone, frames)
        current = triplet.current
        flows = each(
            lambda flownet, pixels: flownet(current.pixels, pixels, current.size).flow,
            self.flownet,
            frames.pixels[:2],
        )
        embed = partial(each, lambda embedding, x: embedding(x, cells(current)), self.embedding)
        return TripletFeature(average_pair(embed, features, flows))

    def feature_of(self, backbone: Backbone, frame: Frame) -> Float[Array, "h w C"]:
        """High-level feature, zero outside the picture, since flow may point there."""
        feature = backbone.high(backbone.low(frame), frame.size)
        return zero_outside(feature, cells(frame))


def no_frames(like: Float[Array, "h w C"]) -> Sums:
    """The sums over no frame."""
    return Sums(jnp.zeros(like.shape, jnp.float32), jnp.zeros(like.shape[:2], jnp.float32))


def add_frame(
    sums: Sums,
    feature: Float[Array, "h w C"],
    embedding: Float[Array, "h w E"],
    flow: Float32[Array, "h w 2"],
    current: Float[Array, "h w E"],
) -> tuple[Sums, Float32[Array, "h w"]]:
    """The sums with one more frame, warped along a flow, and the frame's cosine with the current
    embedding."""
    cosine = cosines(warp(embedding, flow), current)
    weight = jnp.exp(cosine)
    weighted = weight[..., None] * warp(feature, flow).astype(jnp.float32)
    return Sums(sums.feature + weighted, sums.weight + weight), cosine


def mean_of(sums: Sums) -> Float32[Array, "h w C"]:
    return sums.feature / sums.weight[..., None]


def average_pair(
    embed: Callable[[Array], Array], features: Float[Array, "3 h w C"], flows: Float32[Array, "2 h w 2"]
) -> Float[Array, "h w C"]:
    """The first two features, warped along their flows, embedded, and averaged by their cosines with the
    third (authors, in training). Args: embed, the embeddings of three features."""
    warped = jax.vmap(warp)(features[:2], flows)
    embedded = embed(jnp.concatenate([warped, features[2:]]))
    weights = nn.softmax(jax.vmap(cosines, (0, None))(embedded[:2], embedded[2]), axis=0)
    return jnp.sum(weights[..., None] * warped.astype(jnp.float32), axis=0).astype(features.dtype)
