"""LSTS that blends its memory by a fixed weight instead of what its quality network says."""

from dataclasses import fields

import flax.linen as nn
import jax.numpy as jnp

from lsts_jax.models.detector import Detector
from lsts_jax.models.temporal.lsts import LSTS
from lsts_jax.models.temporal.lsts.quality import Quality

UNBOUND = ("parent", "name")
"""Fields of every Flax module, which place it in another one."""


class FixedLSTS(LSTS):
    part: str
    """srfu or dfa: whose weights are fixed."""
    memory: float
    """Weight of the memory at every position."""

    def on_keyframe(self, memory, key):
        with nn.intercept_methods(self._fixed("srfu")):
            return super().on_keyframe(memory, key)

    def on_frame(self, memory, other):
        with nn.intercept_methods(self._fixed("dfa")):
            return super().on_frame(memory, other)

    def _fixed(self, part: str):
        def weigh(call, args, kwargs, context):
            if part != self.part or not isinstance(context.module, Quality):
                return call(*args, **kwargs)
            shape = args[0].shape[:2]
            return jnp.stack([jnp.full(shape, 1 - self.memory), jnp.full(shape, self.memory)])

        return weigh


def with_fixed_weight(detector: Detector, part: str, memory: float) -> Detector:
    """The detector with a fixed weight of the memory at keyframes (srfu) or at the frames between (dfa).

    It takes the same variables; those of the quality network are not used.
    """
    method = detector.temporal
    own = {
        one.name: getattr(method, one.name) for one in fields(LSTS) if one.init and one.name not in UNBOUND
    }
    return detector.clone(temporal=FixedLSTS(**own, part=part, memory=memory))
