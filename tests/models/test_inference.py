"""Weights cast once for inference: the results of the weights as they were, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np

from lsts_jax.models.inference import cast_weights
from tests.tiny import at, random_frames, tiny_config, tiny_detector


def test_weights_are_cast_once_and_results_stay():
    detector, variables = tiny_detector(tiny_config(dtype="bfloat16"))
    cast = cast_weights(detector, variables)

    params = cast["params"]
    assert params["rpn"]["classes"]["conv"]["kernel"].dtype == jnp.bfloat16
    assert params["offsets"].dtype == jnp.float32  # what no convolution multiplies
    frame = at(random_frames(1), 0)
    feature = jax.jit(lambda v: detector.apply(v, frame, method="key"))
    for one, other in zip(*(jax.tree.leaves(feature(v)) for v in (variables, cast)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_changes_in_float32():
    detector, variables = tiny_detector(tiny_config())
    assert cast_weights(detector, variables) is variables
