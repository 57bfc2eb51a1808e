"""The whole detector for one frame: backbone, temporal method, RPN and R-FCN.

The events that carry the memory along a video are in `video.py`.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from lsts_jax.config import ModelConfig
from lsts_jax.models.backbone import Backbone, build_backbone
from lsts_jax.models.rfcn import RFCN
from lsts_jax.models.rpn import RPN
from lsts_jax.models.temporal import build_temporal
from lsts_jax.models.temporal.protocol import Temporal
from lsts_jax.structs import Detections, Frame, Triplet, TripletFeature


class Detector(nn.Module):
    """R-FCN on the feature that a temporal method computes from a frame and the memory.

    `detector.bind(variables)` gives a detector whose methods, and those of its parts, can be called; call
    `bind` inside the transformed function. Parameters of backbone and method are on the same, top level.
    """

    backbone: Backbone
    temporal: Temporal
    rpn: RPN
    rfcn: RFCN

    def setup(self):
        nn.share_scope(self, self.backbone)
        nn.share_scope(self, self.temporal)

    @nn.nowrap
    def bind(self, variables: dict, *args: Any, **kwargs: Any) -> "Detector":
        """A detector with these variables; its methods and parts can be called directly."""
        bound = super().bind(variables, *args, **kwargs)
        bound.share_scopes()
        return bound

    def share_scopes(self) -> None:
        """Does nothing itself: the first call of a method runs `setup`, which creates the parts."""

    def key(self, frame: Frame) -> PyTree:
        """Features of a keyframe, computed without the memory."""
        return self.temporal.key(self.backbone, frame)

    def other(self, frame: Frame) -> PyTree:
        """Features of a frame between keyframes, computed without the memory."""
        return self.temporal.other(self.backbone, frame)

    def start(self, key: PyTree) -> tuple[PyTree, Any]:
        """Memory and bundle (`Temporal`) of the first keyframe of a video."""
        return self.temporal.start(key)

    def on_keyframe(self, memory: PyTree, key: PyTree) -> tuple[PyTree, Any]:
        """Memory and bundle of a later keyframe."""
        return self.temporal.on_keyframe(memory, key)

    def on_frame(self, memory: PyTree, other: PyTree) -> Any:
        """Bundle of a frame between keyframes."""
        return self.temporal.on_frame(memory, other)

    def wants_keyframe(self, bundle: Any) -> Bool[Array, ""]:
        """True if a frame becomes a keyframe, given its bundle of `on_frame`; for adaptive methods."""
        return self.temporal.wants_keyframe(bundle)

    def on_triplet(self, triplet: Triplet) -> TripletFeature:
        """Feature from which the current frame of a training sample is detected."""
        return self.temporal.on_triplet(self.backbone, triplet)

    def detect(self, feature: Float[Array, "h w C"], frame: Frame) -> Detections:
        """RPN, R-FCN and per-class NMS on a feature; boxes in the pixels of the original picture."""
        logits, deltas = self.rpn(feature, frame.size)
        proposals = self.rpn.propose(logits, deltas, (feature.shape[0], feature.shape[1]), frame.size)
        return self.rfcn.detect(feature, proposals.boxes, frame)

    def __call__(self, frame: Frame) -> Detections:
        """Runs two keyframes and one other frame, so that `init` creates the parameters of every part."""
        key = self.key(frame)
        memory, _ = self.start(key)
        memory, _ = self.on_keyframe(memory, key)
        return self.detect(self.on_frame(memory, self.other(frame)).feature, frame)


def build_detector(config: ModelConfig, num_classes: int) -> Detector:
    """The detector that a config describes, for `num_classes` classes without the background.

    Raises `UserError` if there is no such temporal method.
    """
    dtype = jnp.dtype(config.dtype)
    proposals, detections = config.proposals, config.detections
    return Detector(
        backbone=build_backbone(config),
        temporal=build_temporal(config),
        rpn=RPN(
            config.anchors.ratios,
            config.anchors.scales,
            proposals.pre_nms,
            proposals.post_nms,
            proposals.nms_threshold,
            dtype,
        ),
        rfcn=RFCN(
            num_classes,
            detections.score_threshold,
            detections.nms_threshold,
            detections.max_detections,
            dtype,
            config.deformable_pooling,
        ),
    )
