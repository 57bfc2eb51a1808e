"""Frozen batch normalisation as part of the convolution before it."""

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
    convolution and normalisation is not stored. Scales and shifts of all layers are computed at once: each by
    itself is a launch or two on a GPU.
    """
    params, statistics = flat(variables["params"]), flat(variables.get("batch_stats", {}))
    norms = sorted({path[:-1] for path in statistics})
    if not norms:
        return {"params": variables["params"]}
    ends = [0]
    for norm in norms:
        ends.append(ends[-1] + len(params[*norm, "scale"]))

    def joined(arrays: Flat, leaf: str) -> Array:
        return jnp.concatenate([arrays[*norm, leaf] for norm in norms])

    scales = joined(params, "scale") * lax.rsqrt(joined(statistics, "var") + epsilon)
    shifts = joined(params, "bias") - joined(statistics, "mean") * scales
    each = zip(norms, jnp.split(scales, ends[1:-1]), jnp.split(shifts, ends[1:-1]), strict=True)
    for (*above, name, inner), scale, shift in each:  # `conv1` has `norm1`
        kernel = (*above, name.replace("norm", "conv"), "conv", "kernel")
        params[kernel] = params[kernel] * scale[None, None, None]
        params[*above, name, SHIFT] = shift
        del params[*above, name, inner, "scale"], params[*above, name, inner, "bias"]
    return {"params": traverse_util.unflatten_dict(params)}


def flat(tree: dict) -> Flat:
    """Arrays of nested dictionaries by path."""
    return cast(Flat, traverse_util.flatten_dict(tree))
