"""Protocol of a temporal method, the part of a detector that computes a frame's feature from a video.

Backbone, heads, losses and post-processing are the same for all methods. `video.py`, the training step, the
streams, the export and the evaluation call a method only through this class.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from lsts_jax.config import ModelConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.structs import STRIDE, AnyArray, Frame, Payment, Triplet, TripletFeature

TRAINED, FROZEN = "trained", "frozen"


class Temporal(nn.Module):
    """Base class of the temporal methods; a subclass defines `from_config` and the first five methods below.

    A *payment* is everything computed for a frame without the memory, such as backbone features. Payments
    and memory are any pytrees of arrays. A *bundle* is a NamedTuple with the field `feature` [h w C], from
    which the frame is detected, and any further fields for inspection.
    """

    delay = 0
    """Number of frames by which detections lag behind the frames read."""
    adaptive = False
    """True: `wants_keyframe` decides which frames after the first are keyframes; the schedule is ignored."""
    keyframes_use_memory = True
    """False: `on_keyframe` ignores the memory and equals `start`."""
    frames_use_memory = True
    """False: a frame between keyframes is detected as by `start`; every frame is then a keyframe."""
    trained_keyframes: ClassVar[Literal[0, 1, 2]] = 2
    """Number of keyframes in a training sample beside its current frame: 2, 1 (only the new key) or
    0."""
    trained_reach = None
    """Range of frames, as first and last + 1 relative to the current frame, from which training
    keyframes are drawn without repetition; None: the positions of keyframes at test time
    (`data/triplets.py`)."""

    @classmethod
    def from_config(cls, config: ModelConfig) -> "Temporal":
        """The method that a config describes."""
        raise NotImplementedError

    def interval(self, wanted: int) -> int:
        """Number of frames from a keyframe to the next, if the config's `keyframe_interval` is
        `wanted`."""
        return wanted

    def key(self, backbone: Backbone, frame: Frame) -> PyTree:
        """Payment of a keyframe."""
        raise NotImplementedError

    def other(self, backbone: Backbone, frame: Frame) -> PyTree:
        """Payment of a frame between keyframes."""
        raise NotImplementedError

    def start(self, key: PyTree) -> tuple[PyTree, Any]:
        """Memory and bundle of the first keyframe of a video."""
        raise NotImplementedError

    def on_keyframe(self, memory: PyTree, key: PyTree) -> tuple[PyTree, Any]:
        """Memory and bundle of a later keyframe."""
        raise NotImplementedError

    def on_frame(self, memory: PyTree, other: PyTree) -> Any:
        """Bundle of a frame between keyframes; the memory does not change."""
        raise NotImplementedError

    def wants_keyframe(self, bundle: Any) -> Bool[Array, ""]:
        """True if a frame becomes a keyframe, given its bundle of `on_frame`; for adaptive methods."""
        raise NotImplementedError

    def triplet_payments(self, backbone: Backbone, triplet: Triplet) -> tuple[PyTree, PyTree, PyTree]:
        """Payments of the old key, the new key and the current frame of a training sample. If keyframes do
        not use the memory, the old key's payment is empty."""
        old: PyTree = ()
        if self.keyframes_use_memory:
            assert triplet.old_key is not None
            old = self.key(backbone, triplet.old_key)
        assert triplet.new_key is not None
        return old, self.key(backbone, triplet.new_key), self.other(backbone, triplet.current)

    def on_triplet(self, backbone: Backbone, triplet: Triplet) -> TripletFeature:
        """Computes the feature of the current frame of a training sample by the three events in
        order.

        The flags of the triplet select by mask, so that a batch runs one program: if both keyframes
        are one frame, the video starts there; if the current frame is the new keyframe, its feature
        is the keyframe's.
        """
        old_key, new_key, current = self.triplet_payments(backbone, triplet)
        if self.keyframes_use_memory:
            started, later = self.start(old_key), self.on_keyframe(self.start(old_key)[0], new_key)
            memory, at_key = (
                choose(triplet.new_is_old, started[0], later[0]),
                choose(triplet.new_is_old, started[1].feature, later[1].feature),
            )
        else:
            memory, bundle = self.start(new_key)
            at_key = bundle.feature
        feature = choose(triplet.current_is_new, at_key, self.on_frame(memory, current).feature)
        return TripletFeature(feature)

    def learning_rates(self) -> Mapping[str, float]:
        """Multiple of the learning rate, by name, for groups of the method's parameters. 0: not trained."""
        return {}

    def parameter_group(self, path: tuple[str, ...]) -> str:
        """Group of a parameter of the detector: a name of `learning_rates`, or TRAINED."""
        return TRAINED

    def after_update(
        self, params: PyTree, gradients: PyTree, updates: PyTree
    ) -> tuple[PyTree, dict[str, Array]]:
        """The detector's parameters after an update of the optimizer, projected to the values that the method
        allows, and numbers to log."""
        return params, {}

    def learned_offsets(self, params: PyTree) -> Float[AnyArray, "K 2"] | None:
        """Learned sampling offsets (x, y), in cells, for reports and experiments; None if the method has
        none."""
        return None

    def for_test(self, params: PyTree) -> "Temporal":
        """The method for inference with these parameters: equal results at less cost."""
        return self


def high_feature(backbone: Backbone, frame: Frame) -> Payment:
    """The high-level feature of a frame, most methods' payment of a keyframe."""
    return Payment(backbone.high(backbone.low(frame), frame.size), cells(frame))


def cells(frame: Frame) -> Array:
    """Height and width of the picture in cells of the feature map."""
    return size_at_stride(frame.size, STRIDE)


def each(call: Callable, backbone: nn.Module, inputs: PyTree) -> PyTree:
    """Applies `call(backbone, example)` to a whole batch in one pass, inside a method of a module."""
    mapped = nn.vmap(call, variable_axes={"params": None, "batch_stats": None}, split_rngs={"params": False})
    return mapped(backbone, inputs)


def choose(condition: Array | bool, one: PyTree, other: PyTree) -> PyTree:
    """Leaves of `one` where the condition holds, of `other` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
