"""The whole detector for one frame: its parts by name, and what is done with a feature.

The events that carry the memory along a video are in `video.py`.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.config import ModelConfig
from lsts_jax.models.dfa import DFA, LowToHigh
from lsts_jax.models.lsts import LSTS, initial_offsets
from lsts_jax.models.quality import Quality
from lsts_jax.models.resnet import STRIDE, HighLevel, LowLevel
from lsts_jax.models.rfcn import RFCN
from lsts_jax.models.rpn import RPN
from lsts_jax.models.srfu import SRFU
from lsts_jax.ops.anchors import anchor_grid
from lsts_jax.ops.boxes import ANCHOR_DEVIATIONS, ROI_DEVIATIONS, decode
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.ops.detections import select_detections
from lsts_jax.ops.proposals import propose
from lsts_jax.structs import Alignment, Detections, Frame, Proposals


class Detector(nn.Module):
    """R-FCN with a memory. Without `srfu` keyframes forget it; without `dfa` the frames between detect on it
    as it is (`copies_memory`) or, in the single-frame detector, on their own high-level feature.

    Sizes are (height, width) of the picture on the canvas in pixels throughout; maps have stride 16.
    """

    low_level: LowLevel
    high_level: HighLevel
    rpn: RPN
    rfcn: RFCN
    srfu: SRFU | None
    dfa: DFA | None
    copies_memory: bool
    offsets_init: Callable
    learn_offsets: bool
    anchor_ratios: tuple[float, ...]
    anchor_scales: tuple[float, ...]
    pre_nms: int
    post_nms: int
    proposal_nms_threshold: float
    score_threshold: float
    detection_nms_threshold: float
    max_detections: int

    def setup(self):
        if self.srfu is not None or self.dfa is not None:
            self.offsets = self.param("offsets", self.offsets_init)

    def low(self, frame: Frame) -> Float[Array, "h w L"]:
        """Low-level feature of a frame: all that a frame between keyframes pays of the backbone."""
        return self.low_level(frame.pixels, frame.size)

    def high(self, low: Float[Array, "h w L"], size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        return self.high_level(low, size_at_stride(size, STRIDE))

    def update(
        self, memory: Float[Array, "h w C"], high: Float[Array, "h w C"], size: Int32[Array, "2"]
    ) -> Alignment:
        """SRFU: the memory after a keyframe is `feature` of the result."""
        return self.srfu(memory, high, self.sampling_offsets(), size_at_stride(size, STRIDE))

    def enhance(
        self, memory: Float[Array, "h w C"], low: Float[Array, "h w L"], size: Int32[Array, "2"]
    ) -> Alignment:
        """DFA: what a frame between keyframes is detected on is `feature` of the result."""
        return self.dfa(memory, low, self.sampling_offsets(), size_at_stride(size, STRIDE))

    def sampling_offsets(self) -> Float32[Array, "K 2"]:
        """The learned offsets (x, y), in cells; one set for keyframes and frames."""
        return self.offsets if self.learn_offsets else jax.lax.stop_gradient(self.offsets)

    def anchors(self, height: int, width: int) -> Float32[Array, "M 4"]:
        """All anchors of a map of height x width cells, in the order of the RPN's outputs."""
        return anchor_grid(height, width, ratios=self.anchor_ratios, scales=self.anchor_scales, stride=STRIDE)

    def score_anchors(
        self, feature: Float[Array, "h w C"], size: Int32[Array, "2"]
    ) -> tuple[Float32[Array, "M 2"], Float32[Array, "M 4"]]:
        """RPN logits (background, object) and normalised deltas of all anchors."""
        return self.rpn(feature, size_at_stride(size, STRIDE))

    def propose(
        self,
        logits: Float32[Array, "M 2"],
        deltas: Float32[Array, "M 4"],
        feature: Float[Array, "h w C"],
        size: Int32[Array, "2"],
    ) -> Proposals:
        """The best boxes of the RPN; no gradient flows through them."""
        height, width, _ = feature.shape
        return propose(
            jax.nn.softmax(logits)[:, 1],
            deltas * jnp.array(ANCHOR_DEVIATIONS)[None],
            self.anchors(height, width),
            size=size,
            pre_nms=self.pre_nms,
            post_nms=self.post_nms,
            nms_threshold=self.proposal_nms_threshold,
        )

    def classify(
        self, feature: Float[Array, "h w C"], rois: Float32[Array, "R 4"], size: Int32[Array, "2"]
    ) -> tuple[Float32[Array, "R N1"], Float32[Array, "R 4"]]:
        """R-FCN class logits (background first) and normalised, class-agnostic deltas."""
        return self.rfcn(feature, rois, size)

    def detect(self, feature: Float[Array, "h w C"], frame: Frame) -> Detections:
        """RPN, R-FCN and per-class NMS on a feature; boxes in the pixels of the original picture."""
        anchor_logits, anchor_deltas = self.score_anchors(feature, frame.size)
        proposals = self.propose(anchor_logits, anchor_deltas, feature, frame.size)
        logits, deltas = self.classify(feature, proposals.boxes, frame.size)
        return select_detections(
            decode(proposals.boxes, deltas * jnp.array(ROI_DEVIATIONS)[None]),
            jax.nn.softmax(logits),
            size=frame.size,
            scale=frame.scale,
            score_threshold=self.score_threshold,
            nms_threshold=self.detection_nms_threshold,
            max_detections=self.max_detections,
        )

    def __call__(self, frame: Frame) -> Detections:
        """A keyframe and a frame after each other, so that `init` meets every part."""
        low = self.low(frame)
        feature = self.high(low, frame.size)
        if self.srfu is not None:
            feature = self.update(feature, feature, frame.size).feature
        if self.dfa is not None:
            feature = self.enhance(feature, low, frame.size).feature
        return self.detect(feature, frame)


def build_detector(config: ModelConfig, num_classes: int) -> Detector:
    """The detector that a config describes, for `num_classes` classes without the background."""
    dtype = jnp.dtype(config.dtype)
    init = config.deep_layer_init
    backbone = config.backbone
    stages = {
        name: getattr(backbone, name) for name in ("depth", "width", "split", "norm", "stride_on", "remat")
    }
    lsts = {
        name: getattr(config.lsts, name)
        for name in (
            "embedding_channels",
            "separate_embeddings",
            "normalization",
            "implementation",
            "window",
        )
    }
    with_srfu, with_dfa = config.temporal in ("lsts", "srfu"), config.temporal in ("lsts", "dfa")
    quality = {"variant": config.quality, "dtype": dtype}
    low2high = LowToHigh(config.feature_channels, config.low2high, init=init, dtype=dtype)
    return Detector(
        low_level=LowLevel(
            **stages, dtype=dtype, pixel_mean=backbone.pixel_mean, pixel_std=backbone.pixel_std
        ),
        high_level=HighLevel(**stages, feature_channels=config.feature_channels, init=init, dtype=dtype),
        rpn=RPN(len(config.anchors.ratios) * len(config.anchors.scales), dtype=dtype),
        rfcn=RFCN(num_classes, dtype=dtype),
        srfu=SRFU(LSTS(**lsts, dtype=dtype), Quality(**quality)) if with_srfu else None,
        dfa=DFA(low2high, LSTS(**lsts, dtype=dtype), Quality(**quality)) if with_dfa else None,
        copies_memory=config.temporal in ("srfu", "copy"),
        offsets_init=lambda key: initial_offsets(
            key, config.lsts.offsets, config.lsts.num_offsets, config.lsts.initial_spread
        ),
        learn_offsets=config.lsts.learn_offsets,
        anchor_ratios=config.anchors.ratios,
        anchor_scales=config.anchors.scales,
        pre_nms=config.proposals.pre_nms,
        post_nms=config.proposals.post_nms,
        proposal_nms_threshold=config.proposals.nms_threshold,
        score_threshold=config.detections.score_threshold,
        detection_nms_threshold=config.detections.nms_threshold,
        max_detections=config.detections.max_detections,
    )
