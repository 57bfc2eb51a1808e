"""Frozen batch normalisation as part of the convolution before it."""

from functools import partial
from itertools import accumulate
from typing import cast

import jax.numpy as jnp
from flax import traverse_util
from jax import lax
from jaxtyping import Array

from lsts_jax.models.layers import SHIFT

Path = tuple[str, ...]
Flat = dict[Path, Array]


def fold(variables: dict, epsilon: float) -> dict:
    """Variables that give the same results, without statistics: the scale of every frozen normalisation is
    multiplied into the kernel before it, and a shift remains (`layers.Norm`). Equal up to rounding.

    In training the gradient of a scale is then a sum over the kernel and not over a map, and the map between
    convolution and normalisation is not stored.
    """
    params, statistics = flat(variables["params"]), flat(variables.get("batch_stats", {}))
    norms = sorted({path[:-1] for path in statistics})
    if not norms:
        return {"params": variables["params"]}
    arrays = tuple(
        [tree[*norm, leaf] for norm in norms]
        for tree, leaf in ((params, "scale"), (params, "bias"), (statistics, "mean"), (statistics, "var"))
    )
    # A GPU computes the scales and shifts of all layers at once: each by itself is a launch or two. XLA
    # compiles this five times as slowly for a CPU as one layer after the other.
    at_once, one_by_one = (partial(call, epsilon=epsilon) for call in (_at_once, _one_by_one))
    each = lax.platform_dependent(arrays, cuda=at_once, rocm=at_once, default=one_by_one)
    for (*above, name, inner), (scale, shift) in zip(norms, each, strict=True):  # `conv1` has `norm1`
        kernel = (*above, name.replace("norm", "conv"), "conv", "kernel")
        params[kernel] = params[kernel] * scale[None, None, None]
        params[*above, name, SHIFT] = shift
        del params[*above, name, inner, "scale"], params[*above, name, inner, "bias"]
    return {"params": traverse_util.unflatten_dict(params)}


def _scale_and_shift(
    scale: Array, bias: Array, mean: Array, var: Array, epsilon: float
) -> tuple[Array, Array]:
    scale = scale * lax.rsqrt(var + epsilon)
    return scale, bias - mean * scale


def _one_by_one(arrays: tuple[list[Array], ...], epsilon: float) -> list[tuple[Array, Array]]:
    return [_scale_and_shift(*layer, epsilon) for layer in zip(*arrays, strict=True)]


def _at_once(arrays: tuple[list[Array], ...], epsilon: float) -> list[tuple[Array, Array]]:
    ends = list(accumulate(map(len, arrays[0])))[:-1]
    joined = _scale_and_shift(*map(jnp.concatenate, arrays), epsilon)
    return list(zip(*(jnp.split(x, ends) for x in joined), strict=True))


def flat(tree: dict) -> Flat:
    """Arrays of nested dictionaries by path."""
    return cast(Flat, traverse_util.flatten_dict(tree))
