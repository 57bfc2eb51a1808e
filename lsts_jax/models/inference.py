"""Weights of a detector for inference."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util

from lsts_jax.models.detector import Detector
from lsts_jax.structs import Frame

Variables = dict[str, Any]


def cast_weights(detector: Detector, variables: Variables) -> Variables:
    """The variables, with the weights of every convolution cast to its compute dtype.

    A bfloat16 convolution otherwise casts its float32 weights in every call. The results are equal bit for
    bit, and the weights take half the memory. Variables of a float32 detector do not change.
    """
    if detector.rpn.dtype == jnp.float32:
        return variables
    types = _types_of_convolutions(detector, variables)

    @jax.jit
    def cast(leaves: dict) -> dict:
        return {path: leaf.astype(types[path[:-1]]) for path, leaf in leaves.items()}

    params = traverse_util.flatten_dict(variables["params"])
    return variables | {
        "params": traverse_util.unflatten_dict(
            params | cast({path: leaf for path, leaf in params.items() if path[:-1] in types})
        )
    }


def _types_of_convolutions(detector: Detector, variables: Variables) -> dict[tuple, Any]:
    """Compute dtype of every convolution, by the path of its parameters."""
    types = {}
    shape = jax.ShapeDtypeStruct  # any frame: the types do not depend on its size
    frame = Frame(shape((128, 128, 3), jnp.uint8), shape((2,), jnp.int32), shape((), jnp.float32))

    def note(call, args, kwargs, context):
        module = context.module
        if isinstance(module, nn.Conv | nn.ConvTranspose) and module.dtype is not None:
            types[module.path] = module.dtype
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(lambda v, f: detector.apply(v, f), variables, frame)
    return types
