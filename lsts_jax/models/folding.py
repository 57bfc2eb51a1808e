"""Frozen batch normalisation as part of the convolution before it."""

from collections.abc import Callable
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
Layers = list[Array]
"""A vector for every layer."""


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
    scales, biases = ([params[*norm, leaf] for norm in norms] for leaf in ("scale", "bias"))
    means, variances = ([statistics[*norm, leaf] for norm in norms] for leaf in ("mean", "var"))

    def what_remains(scale, bias, mean, var):
        scale = scale * lax.rsqrt(var + epsilon)
        return scale, bias - mean * scale

    scales, shifts = _for_layers(what_remains, scales, biases, means, variances)
    for (*above, name, inner), scale, shift in zip(norms, scales, shifts, strict=True):  # `conv1` has `norm1`
        kernel = (*above, name.replace("norm", "conv"), "conv", "kernel")
        params[kernel] = params[kernel] * scale[None, None, None]
        params[*above, name, SHIFT] = shift
        del params[*above, name, inner, "scale"], params[*above, name, inner, "bias"]
    return {"params": traverse_util.unflatten_dict(params)}


def _for_layers(function: Callable, *operands: Layers) -> tuple[Layers, ...]:
    """The results of an elementwise function for every layer.

    A GPU computes them for all layers at once: each by itself is a launch or two. XLA compiles that five
    times as slowly for a CPU as one layer after the other.
    """
    at_once, one_by_one = partial(_at_once, function), partial(_one_by_one, function)
    return lax.platform_dependent(*operands, cuda=at_once, rocm=at_once, default=one_by_one)


def _at_once(function: Callable, *operands: Layers) -> tuple[Layers, ...]:
    ends = list(accumulate(map(len, operands[0])))[:-1]
    return tuple(jnp.split(x, ends) for x in function(*map(jnp.concatenate, operands)))


def _one_by_one(function: Callable, *operands: Layers) -> tuple[Layers, ...]:
    return tuple(map(list, zip(*map(function, *operands), strict=True)))


def flat(tree: dict) -> Flat:
    """Arrays of nested dictionaries by path."""
    return cast(Flat, traverse_util.flatten_dict(tree))
