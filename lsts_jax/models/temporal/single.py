"""The single-frame detector: R-FCN without a memory, the baseline of every temporal method."""

from lsts_jax.config import ModelConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.models.temporal.protocol import Temporal, high_feature
from lsts_jax.structs import Frame, FrameFeature, Payment, Triplet, TripletFeature


class Single(Temporal):
    """Every frame is a keyframe."""

    keyframes_use_memory = False
    frames_use_memory = False
    trained_keyframes = 0

    @classmethod
    def from_config(cls, config: ModelConfig) -> "Single":
        return cls()

    def key(self, backbone: Backbone, frame: Frame) -> Payment:
        return high_feature(backbone, frame)

    def other(self, backbone: Backbone, frame: Frame) -> Payment:
        return high_feature(backbone, frame)

    def start(self, key: Payment) -> tuple[tuple[()], FrameFeature]:
        return (), FrameFeature(key.feature)

    def on_keyframe(self, memory: tuple[()], key: Payment) -> tuple[tuple[()], FrameFeature]:
        return self.start(key)

    def on_frame(self, memory: tuple[()], other: Payment) -> FrameFeature:
        return FrameFeature(other.feature)

    def on_triplet(self, backbone: Backbone, triplet: Triplet) -> TripletFeature:
        return TripletFeature(self.key(backbone, triplet.current).feature)
