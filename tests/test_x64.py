"""Python's numbers are 64 bits wide under JAX_ENABLE_X64=1, and the detector stays what it is."""

from functools import partial

import jax
import jax.numpy as jnp

from lsts_jax.models.detector import build_detector
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_state, init_variables
from lsts_jax.training.step import train_step
from tests.tiny import tiny_config, triplets


def test_a_detector_is_traced_and_trained_where_python_numbers_have_64_bits():
    """The import hook checks the types of all that is called on the way."""
    config = tiny_config()
    batch = triplets(2)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        assert jnp.asarray(1.0).dtype == jnp.float64
        detector = build_detector(config.model, len(config.data.class_names))
        optimizer = build_optimizer(config.optimizer, 10, detector.temporal)
        variables = jax.eval_shape(lambda: init_variables(detector, config))
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        state = jax.eval_shape(lambda given: init_state(detector, optimizer, given, 0), variables)
        changed, _ = jax.eval_shape(partial(train_step, detector, optimizer, config), state, batch)
        assert jax.tree.map(lambda x: x.dtype, changed) == jax.tree.map(lambda x: x.dtype, state)
