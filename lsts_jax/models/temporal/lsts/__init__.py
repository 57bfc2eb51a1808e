"""LSTS: the memory is sampled at learned locations, by SRFU at keyframes and by DFA at the frames between
(paper, section 3). Both can be switched off, for comparison."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike
from jaxtyping import Array, Float32, PyTree

from lsts_jax.config import LSTSConfig, ModelConfig
from lsts_jax.models.backbone import Backbone
from lsts_jax.models.layers import LayerInit
from lsts_jax.models.temporal.lsts.dfa import DFA, LowToHigh
from lsts_jax.models.temporal.lsts.quality import Quality
from lsts_jax.models.temporal.lsts.sampling import Sampling, check_offsets, initial_offsets
from lsts_jax.models.temporal.lsts.srfu import SRFU
from lsts_jax.models.temporal.protocol import TRAINED, Temporal, cells, each, high_feature
from lsts_jax.ops.affinity import smallest_window
from lsts_jax.structs import Alignment, AnyArray, Frame, FrameFeature, Memory, Payment, Triplet


class LSTS(Temporal):
    """The paper's method. Without SRFU keyframes ignore the memory; without DFA other frames are detected
    on the unchanged memory."""

    settings: LSTSConfig
    has_srfu: bool
    has_dfa: bool
    feature_channels: int
    low2high_variant: Literal["authors", "paper"]
    quality_variant: Literal["authors", "paper"]
    layer_init: LayerInit
    dtype: DTypeLike

    @classmethod
    def from_config(cls, config: ModelConfig, *, has_srfu: bool = True, has_dfa: bool = True) -> "LSTS":
        return cls(
            check_offsets(config.lsts),
            has_srfu,
            has_dfa,
            config.feature_channels,
            config.low2high,
            config.quality,
            config.deep_layer_init,
            jnp.dtype(config.dtype),
        )

    def setup(self):
        settings = self.settings
        self.offsets = self.param(
            "offsets",
            lambda key: initial_offsets(key, settings.offsets, settings.num_offsets, settings.initial_spread),
        )
        if self.has_srfu:
            self.srfu = SRFU(self._sampling(), self._quality())
        if self.has_dfa:
            low2high = LowToHigh(self.feature_channels, self.low2high_variant, self.layer_init, self.dtype)
            self.dfa = DFA(low2high, self._sampling(), self._quality())

    def _sampling(self) -> Sampling:
        settings = self.settings
        return Sampling(
            settings.embedding_channels,
            settings.separate_embeddings,
            settings.normalization,
            settings.implementation,
            settings.window,
            self.dtype,
            parent=None,
        )

    def _quality(self) -> Quality:
        return Quality(self.quality_variant, self.dtype, parent=None)

    @property
    def keyframes_use_memory(self) -> bool:
        return self.has_srfu

    @property
    def trained_keyframes(self) -> Literal[1, 2]:
        return 2 if self.has_srfu else 1

    def key(self, backbone: Backbone, frame: Frame) -> Payment:
        return high_feature(backbone, frame)

    def other(self, backbone: Backbone, frame: Frame) -> Payment | tuple[()]:
        return Payment(backbone.low(frame), cells(frame)) if self.has_dfa else ()

    def start(self, key: Payment) -> tuple[Memory, FrameFeature]:
        return Memory(key.feature), FrameFeature(key.feature)

    def on_keyframe(self, memory: Memory, key: Payment) -> tuple[Memory, Alignment | FrameFeature]:
        """SRFU: the keyframe's feature, enhanced by the memory, is the new memory."""
        if not self.has_srfu:
            return self.start(key)
        alignment = self.srfu(memory.feature, key.feature, self.sampling_offsets(), key.size)
        return Memory(alignment.feature), alignment

    def on_frame(self, memory: Memory, other: Payment | tuple[()]) -> Alignment | FrameFeature:
        """DFA: the frame's cheap feature, enhanced by the memory."""
        if not isinstance(other, Payment):
            return FrameFeature(memory.feature)
        return self.dfa(memory.feature, other.feature, self.sampling_offsets(), other.size)

    def triplet_payments(self, backbone: Backbone, triplet: Triplet) -> tuple[PyTree, PyTree, PyTree]:
        """The three payments, computed as one batch, which is faster than three passes."""
        keys = [triplet.old_key, triplet.new_key] if self.has_srfu else [triplet.new_key]
        frames = [*keys, triplet.current] if self.has_dfa else keys
        # The three frames have one size; sharing it leaves the compiled program unchanged.
        size, cell_size = triplet.current.size, cells(triplet.current)
        low = each(
            lambda backbone, frame: backbone.low(frame),
            backbone,
            jax.tree.map(lambda *x: jnp.stack(x), *frames),
        )
        high = each(lambda backbone, low: backbone.high(low, size), backbone, low[: len(keys)])
        paid = [Payment(high[i], cell_size) for i in range(len(keys))]
        other = Payment(low[len(keys)], cell_size) if self.has_dfa else ()
        return paid[0] if self.has_srfu else (), paid[-1], other

    def sampling_offsets(self) -> Float32[Array, "K 2"]:
        """The learned offsets (x, y), in cells; one set for keyframes and frames."""
        return self.offsets if self.settings.learn_offsets else jax.lax.stop_gradient(self.offsets)

    @property
    def _own_rate(self) -> bool:
        return self.settings.quality_rate != 1

    def learning_rates(self) -> Mapping[str, float]:
        settings = self.settings
        return {
            "alignment": settings.alignment_rate,
            # Only where it differs: the optimizer's state then has the groups of runs before this field.
            **({"quality": settings.alignment_rate * settings.quality_rate} if self._own_rate else {}),
            "offsets": settings.offset_rate if settings.learn_offsets else 0.0,
        }

    def parameter_group(self, path: tuple[str, ...]) -> str:
        if path[0] in ("srfu", "dfa") and path[1] in ("lsts", "quality"):
            return "quality" if path[1] == "quality" and self._own_rate else "alignment"
        return "offsets" if path == ("offsets",) else TRAINED

    def after_update(
        self, params: PyTree, gradients: PyTree, updates: PyTree
    ) -> tuple[PyTree, dict[str, Array]]:
        """The parameters with offsets projected into the window, and the offsets' norms."""
        params, projected = project_offsets(params, self.settings.window)
        return params, {
            "offset_grad_norm": optax.tree.norm(gradients["offsets"]),
            "offset_update_norm": optax.tree.norm(updates["offsets"]),
            "offset_spread": jnp.mean(jnp.linalg.norm(params["offsets"], axis=-1)),
            "offsets_projected": projected,
        }

    def learned_offsets(self, params: PyTree) -> Float32[AnyArray, "K 2"]:
        return params["offsets"]

    def for_test(self, params: PyTree) -> "LSTS":
        """The method with the smallest window that holds the offsets."""
        window = smallest_window(params["offsets"])
        return self.clone(settings=replace(self.settings, window=window))


def project_offsets(params: PyTree, window: int) -> tuple[PyTree, Float32[Array, ""]]:
    """Projects offsets into [-window, window), the range of the factorised form.

    Clipping in the forward pass would instead zero the gradient of clipped offsets.
    Returns the parameters and the number of changed coordinates.
    """
    offsets = params["offsets"]
    inside = jnp.clip(offsets, -window, window - 1e-3)
    return {**params, "offsets": inside}, jnp.sum(inside != offsets).astype(jnp.float32)
