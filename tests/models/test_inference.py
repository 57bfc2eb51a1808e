"""Weights prepared for inference: the results of the weights as they were."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from lsts_jax.config import BackboneConfig
from lsts_jax.models.inference import prepare
from tests.tiny import at, random_frames, tiny_config, tiny_detector

FROZEN = BackboneConfig(depth=18, width=8, split=1, norm="frozen_batch", deformable=3)


def with_statistics(variables):
    """Statistics and scales that are not those of the start."""
    draw = iter(jax.random.split(jax.random.key(3), 500))
    change = lambda x: x * jax.random.uniform(next(draw), x.shape, minval=0.5, maxval=2.0)
    variables = {**variables, "batch_stats": jax.tree.map(change, variables["batch_stats"])}
    params = flatten_dict(variables["params"])
    params = {p: x + 0.1 if p[-1] == "bias" else change(x) for p, x in params.items()}
    return {**variables, "params": unflatten_dict(params)}


@pytest.fixture(scope="module")
def frozen():
    detector, variables = tiny_detector(tiny_config(backbone=FROZEN))
    return detector, with_statistics(variables)


@pytest.mark.parametrize("for_gpu", [False, True])
def test_results_stay_when_normalisations_are_folded_and_kernels_turned(frozen, for_gpu):
    detector, variables = frozen
    prepared = prepare(detector, variables, for_gpu=for_gpu)
    assert not [path for path in flatten_dict(prepared["params"]) if path[-1] in ("scale", "mean")]
    frames = random_frames(2)

    @jax.jit
    def features(variables):
        bound = detector.bind(variables)
        memory, _ = bound.start(bound.key(at(frames, 0)))
        feature = bound.on_frame(memory, bound.other(at(frames, 1))).feature
        return memory.feature, feature, *bound.rpn(feature, at(frames, 1).size)

    for one, other in zip(features(variables), features(prepared), strict=True):
        np.testing.assert_allclose(other, one, atol=2e-5 * float(jnp.abs(one).max()))


def test_weights_are_cast_once():
    detector, variables = tiny_detector(tiny_config(dtype="bfloat16"))
    cast = prepare(detector, variables, for_gpu=False)

    params = cast["params"]
    kernels = {path: x.dtype for path, x in flatten_dict(params).items() if path[-2:] == ("conv", "kernel")}
    assert {path[0] for path in kernels} == {"low_level", "high_level", "srfu", "dfa", "rpn", "rfcn"}
    assert set(kernels.values()) == {jnp.dtype(jnp.bfloat16)}, kernels
    assert params["offsets"].dtype == jnp.float32  # what no convolution multiplies
    feature = jax.jit(partial(detector.apply, method="key"))
    frame = at(random_frames(1), 0)
    for one, other in zip(*(jax.tree.leaves(feature(v, frame)) for v in (variables, cast)), strict=True):
        np.testing.assert_array_equal(one, other)
