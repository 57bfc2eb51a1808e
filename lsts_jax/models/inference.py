"""Weights of a detector for inference: normalisation folded in, cast, and for a GPU in cuDNN's layout."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import traverse_util
from jaxtyping import Array

from lsts_jax.models.detector import Detector
from lsts_jax.models.folding import Path, flat, fold
from lsts_jax.models.layers import KERNEL_OHWI, SHIFT
from lsts_jax.structs import Frame

Variables = dict[str, Any]


def prepare(detector: Detector, variables: Variables, *, for_gpu: bool) -> Variables:
    """Variables that give the same results at less cost, for `detector.apply` and `detector.bind`. They are
    neither for training nor for checkpoints.

    - Frozen batch normalisations are part of the convolutions before them (`folding.fold`).
    - The weights of a convolution are cast to its compute dtype once, not in every call.
    - `for_gpu`: kernels are stored as [out, height, width, in], as cuDNN reads them (`layers.Conv`);
      otherwise every call transposes them.
    """
    types = {} if detector.rpn.dtype == jnp.float32 else _types_of_convolutions(detector, variables)

    @jax.jit
    def compute(variables: Variables) -> dict[Path, Array]:
        folded = flat(fold(variables, detector.backbone.config.norm_epsilon)["params"])
        cast = {
            path: x.astype(detector.rpn.dtype if path[-1] == SHIFT else types.get(path[:-1], x.dtype))
            for path, x in folded.items()
        }
        return _turn(cast) if for_gpu else cast

    return {"params": traverse_util.unflatten_dict(compute(variables))}


def _turn(params: dict[Path, Array]) -> dict[Path, Array]:
    """Kernels of plain convolutions as [out, height, width, in], under a name of their own."""
    turned = {}
    for path, x in params.items():
        above = path[:-2]
        plain = path[-2:] == ("conv", "kernel") and x.shape[2] > 1  # not depthwise
        if plain and (*above, "offset", "conv", "kernel") not in params:
            path, x = (*above, "conv", KERNEL_OHWI), jnp.transpose(x, (3, 0, 1, 2))
        turned[path] = x
    return turned


def _types_of_convolutions(detector: Detector, variables: Variables) -> dict[Path, Any]:
    """Compute dtype of every convolution, by the path of its parameters."""
    types = {}
    known = {path[:-1] for path in traverse_util.flatten_dict(variables["params"])}
    shape = jax.ShapeDtypeStruct  # any frame: the types do not depend on its size
    frame = Frame(shape((128, 128, 3), jnp.uint8), shape((2,), jnp.int32), shape((), jnp.float32))

    def note(call, args, kwargs, context):
        module = context.module
        if isinstance(module, nn.Conv | nn.ConvTranspose) and module.dtype is not None:
            # parts that share the detector's scope may still have their own name in front
            types[module.path if module.path in known else module.path[1:]] = module.dtype
        return call(*args, **kwargs)

    with nn.intercept_methods(note):
        jax.eval_shape(lambda v, f: detector.apply(v, f), variables, frame)
    return types
