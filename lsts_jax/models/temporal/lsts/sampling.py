"""Learnable spatio-temporal sampling: align a source feature to a target (paper, section 3.2)."""

import math
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax import random
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32, PRNGKeyArray

from lsts_jax.config import LSTSConfig
from lsts_jax.errors import UserError
from lsts_jax.models.layers import NEW_LAYER, Conv
from lsts_jax.ops.affinity import Aggregation, aggregate
from lsts_jax.ops.canvas import zero_outside


def initial_offsets(key: PRNGKeyArray, kind: str, count: int, spread: float = 1.0) -> Float32[Array, "K 2"]:
    """Initial sampling offsets (x, y) in cells, K of them: `spread` times

    uniform: the integer grid of sqrt(K) x sqrt(K) cells, x outermost (authors, K = 81: -4..4);
    gaussian: N(0, I) (authors, K = 40); random: uniform in +-2 (2021 reproduction).
    """
    if kind == "gaussian":
        return spread * random.normal(key, (count, 2))
    if kind == "random":
        return spread * random.uniform(key, (count, 2), minval=-2.0, maxval=2.0)
    side = grid_side(count)
    reach = np.float32(spread) * (np.arange(side, dtype=np.float32) - side // 2)
    return jnp.asarray(np.stack(np.meshgrid(reach, reach, indexing="ij"), -1).reshape(-1, 2))


def grid_side(count: int) -> int:
    """Points along a side of the uniform grid of `count` offsets. Raises `UserError` if there is no such
    grid."""
    side = math.isqrt(count)
    if side**2 != count or side % 2 == 0:
        raise UserError(
            f"config.model.lsts.num_offsets is {count}, but a uniform grid has the square of an odd number: "
            "1, 9, 25, 49, 81, ...; give one of them, or other --config.model.lsts.offsets"
        )
    return side


def check_offsets(settings: LSTSConfig) -> LSTSConfig:
    """Returns the settings unchanged. Raises `UserError` if the uniform grid is not square or
    exceeds the window."""
    if settings.offsets != "uniform":
        return settings
    reach = grid_side(settings.num_offsets) // 2 * settings.initial_spread
    if reach >= settings.window:
        raise UserError(
            f"config.model.lsts.window is {settings.window}, but the grid of {settings.num_offsets} offsets "
            f"reaches {reach:g}, and offsets beyond the window sample nothing; give "
            f"{math.floor(reach) + 1} or more"
        )
    return settings


class Sampling(nn.Module):
    """Embeds source and target, and sums the un-embedded source at p + offsets by affinity.

    The similarity is the raw dot product (authors: neither scaled nor normalised).
    """

    embedding_channels: int
    separate_embeddings: bool
    normalization: Literal["softmax", "sum", "abs_sum"]
    implementation: Literal["factorised", "gather"]
    window: int
    dtype: DTypeLike

    @nn.compact
    def __call__(
        self,
        source: Float[Array, "h w C"],
        target: Float[Array, "h w C"],
        offsets: Float32[Array, "K 2"],
        size: Int32[Array, "2"],
    ) -> Aggregation:
        def embedding(name):
            return Conv(self.embedding_channels, 1, kernel_init=NEW_LAYER, dtype=self.dtype, name=name)

        source = zero_outside(source, size)
        embed_source = embedding("embed_source")
        embed_target = embedding("embed_target") if self.separate_embeddings else embed_source
        # A bias would give the positions outside the picture an embedding: they must score 0.
        keys = zero_outside(embed_source(source, size), size)
        return aggregate(
            embed_target(target, size),
            keys,
            source,
            offsets,
            normalization=self.normalization,
            implementation=self.implementation,
            window=self.window,
        )
