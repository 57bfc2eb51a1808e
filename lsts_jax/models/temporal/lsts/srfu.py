"""Sparsely recursive feature updating: a keyframe refreshes the memory (paper, section 3.3)."""

import flax.linen as nn
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.temporal.lsts.quality import Quality
from lsts_jax.models.temporal.lsts.sampling import Sampling
from lsts_jax.structs import Alignment


def fuse(
    lsts: Sampling,
    quality: Quality,
    memory: Float[Array, "h w C"],
    target: Float[Array, "h w C"],
    offsets: Float32[Array, "K 2"],
    size: Int32[Array, "2"],
) -> Alignment:
    """Aligns the memory to the target and blends the two by their quality."""
    aggregated, affinity = lsts(memory, target, offsets, size)
    weights = quality(target, aggregated, size)
    scale = weights.astype(target.dtype)[..., None]
    return Alignment(scale[0] * target + scale[1] * aggregated, aggregated, affinity, weights)


class SRFU(nn.Module):
    """memory' = quality(high, LSTS(source = memory, target = high))."""

    lsts: Sampling
    quality: Quality

    def __call__(
        self,
        memory: Float[Array, "h w C"],
        high: Float[Array, "h w C"],
        offsets: Float32[Array, "K 2"],
        size: Int32[Array, "2"],
    ) -> Alignment:
        """`feature` of the result is the new memory (the authors' update ratio is 1)."""
        return fuse(self.lsts, self.quality, memory, high, offsets, size)
