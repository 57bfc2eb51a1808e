"""Normalisations folded into kernels give the features and gradients of normalisations by themselves."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from lsts_jax.models.folding import _at_once, _one_by_one, fold
from lsts_jax.models.layers import relu
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_state
from lsts_jax.training.step import train_step
from tests.models.test_inference import FROZEN, with_statistics
from tests.tiny import at, random_frames, tiny_config, tiny_detector, triplets


def test_features_and_gradients_stay():
    detector, variables = tiny_detector(tiny_config(backbone=FROZEN))
    variables = with_statistics(variables)
    frame = at(random_frames(1), 0)

    @partial(jax.jit, static_argnums=0)
    def gradients(folded, params):
        def total(params):
            given = {**variables, "params": params}
            given = fold(given, FROZEN.norm_epsilon) if folded else given
            feature = detector.bind(given).key(frame).feature
            return jnp.vdot(feature, jax.random.normal(jax.random.key(0), feature.shape)), feature

        return jax.grad(total, has_aux=True)(params)

    grads, feature = gradients(False, variables["params"])
    of_folded, other = gradients(True, variables["params"])

    def near(found, wanted):
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max() + 1e-9)

    near(other, feature)
    jax.tree.map(near, of_folded, grads)


def test_layers_at_once_are_layers_one_by_one():
    """A GPU computes the former, a CPU the latter."""
    rng = np.random.default_rng(0)
    one, other = ([jnp.asarray(rng.normal(size=n), jnp.float32) for n in (3, 5, 2)] for _ in range(2))
    at_once, one_by_one = (call(lambda a, b: (a * b, a - b), one, other) for call in (_at_once, _one_by_one))
    jax.tree.map(np.testing.assert_array_equal, at_once, one_by_one)


def test_frozen_stages_have_no_gradient_and_no_backward_pass():
    """Although their scales are computed together with those of the trained stages."""
    config = tiny_config(backbone=FROZEN)
    detector, variables = tiny_detector(config)
    optimizer = build_optimizer(config.optimizer, 100, detector.temporal)
    state = init_state(detector, optimizer, with_statistics(variables), seed=0)

    def convolutions(freeze):
        chosen = replace(config, optimizer=replace(config.optimizer, freeze=freeze))
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
            step = jax.make_jaxpr(partial(train_step, detector, optimizer, chosen))(state, triplets(1))
        return str(step).count("conv_general_dilated[")

    assert convolutions(("conv1", "norm1", "res2", "res3")) < convolutions(()) - 8


def test_relu_and_its_gradient():
    x = jnp.array([-2.0, 0.0, 3.0])
    out, pull = jax.vjp(relu, x)
    np.testing.assert_array_equal(out, [0, 0, 3])
    np.testing.assert_array_equal(pull(jnp.array([5.0, 6.0, 7.0]))[0], [0, 0, 7])
