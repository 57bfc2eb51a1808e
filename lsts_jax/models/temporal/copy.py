"""Copies of the keyframe's feature: the cheapest use of memory, without alignment."""

from lsts_jax.config import ModelConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.models.temporal.protocol import Temporal, high_feature
from lsts_jax.structs import Frame, FrameFeature, Memory, Payment


class Copy(Temporal):
    """Frames between keyframes use the keyframe's feature unchanged; keyframes ignore the memory."""

    keyframes_use_memory = False
    trained_keyframes = 1

    @classmethod
    def from_config(cls, config: ModelConfig) -> "Copy":
        return cls()

    def key(self, backbone: Backbone, frame: Frame) -> Payment:
        return high_feature(backbone, frame)

    def other(self, backbone: Backbone, frame: Frame) -> tuple[()]:
        return ()

    def start(self, key: Payment) -> tuple[Memory, FrameFeature]:
        return Memory(key.feature), FrameFeature(key.feature)

    def on_keyframe(self, memory: Memory, key: Payment) -> tuple[Memory, FrameFeature]:
        return self.start(key)

    def on_frame(self, memory: Memory, other: tuple[()]) -> FrameFeature:
        return FrameFeature(memory.feature)
