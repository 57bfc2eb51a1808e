"""The training step: it learns, its flags bypass, its gradients are sums and finite."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.models.temporal.lsts import project_offsets
from tests.tiny import at, tiny_config, tiny_detector, tiny_training, triplets


@pytest.fixture(scope="module")
def tiny():
    return *tiny_detector(tiny_config()), *tiny_training(tiny_config())


def test_a_batch_overfits(tiny):
    _, _, state, step = tiny
    batch = triplets(2)
    losses = []
    for _ in range(80):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert int(state.step) == 80
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
    assert float(metrics["rfcn_foreground_accuracy"]) > 0.5


def test_hard_triplets_stay_finite(tiny):
    _, _, state, step = tiny
    batch = triplets(2)
    truth = batch.ground_truth
    no = jnp.zeros_like(truth.valid)
    everything = truth._replace(
        boxes=jnp.broadcast_to(truth.boxes[:, :1], truth.boxes.shape),
        classes=jnp.ones_like(truth.classes),
        valid=~no,
    )
    regions = truth._replace(valid=no, ignored=truth.valid, classes=jnp.zeros_like(truth.classes))
    for case in (truth._replace(valid=no), everything, regions):
        after, metrics = step(state, batch._replace(ground_truth=case))
        assert all(np.isfinite(float(x)) for x in metrics.values())
        assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(after.params))


def test_the_same_state_and_batch_give_the_same_step(tiny):
    _, _, state, step = tiny
    first, second = (step(state, triplets(2))[0] for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first.params, second.params)
    other = step(state._replace(step=state.step + 1), triplets(2))[0]  # other anchors are drawn
    kernels = [s.params["rpn"]["classes"]["conv"]["kernel"] for s in (first, other)]
    assert float(jnp.abs(kernels[0] - kernels[1]).max()) > 0


def test_flags_bypass_and_offsets_receive_gradient(tiny):
    detector, variables, _, _ = tiny
    triplet = at(triplets(1), 0)

    @jax.jit
    def gradient(new_is_old, current_is_new):
        flagged = triplet._replace(new_is_old=new_is_old, current_is_new=current_is_new)
        loss = lambda v: jnp.sum(detector.bind(v).on_triplet(flagged).feature ** 2)
        return jax.grad(loss)(variables)["params"]

    norm = lambda x: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(x))
    yes, no = jnp.array(True), jnp.array(False)
    free, without_srfu, without_dfa = gradient(no, no), gradient(yes, no), gradient(no, yes)
    assert min(norm(free["srfu"]), norm(free["dfa"]), norm(free["offsets"])) > 0
    assert norm(without_srfu["srfu"]) == 0 < norm(without_srfu["dfa"])
    assert norm(without_dfa["dfa"]) == 0 < norm(without_dfa["srfu"])
    neither = gradient(yes, yes)
    assert norm(neither["offsets"]) == 0 < norm(neither["high_level"])


@pytest.mark.parametrize("temporal", ["lsts", "srfu", "dfa", "copy", "none", "dff"])
def test_training_sees_the_features_of_the_events(temporal):
    detector, variables = tiny_detector(tiny_config(temporal=temporal))
    triplet = at(triplets(1), 0)
    bound = detector.bind(variables)
    memory, _ = bound.start(bound.key(triplet.old_key))
    memory, _ = bound.on_keyframe(memory, bound.key(triplet.new_key))
    wanted = bound.on_frame(memory, bound.other(triplet.current)).feature
    feature = jax.jit(lambda v, triplet: detector.bind(v).on_triplet(triplet).feature)(variables, triplet)
    np.testing.assert_allclose(feature, wanted, rtol=1e-3, atol=1e-4)


def test_a_frozen_offset_does_not_move():
    config = tiny_config()
    config = replace(
        config, model=replace(config.model, lsts=replace(config.model.lsts, learn_offsets=False))
    )
    detector, variables = tiny_detector(config)
    triplet = at(triplets(1), 0)
    loss = lambda v: jnp.sum(detector.bind(v).on_triplet(triplet).feature ** 2)
    assert float(jnp.abs(jax.jit(jax.grad(loss))(variables)["params"]["offsets"]).max()) == 0


def test_a_step_keeps_the_offsets_in_the_window(tiny):
    detector, _, state, step = tiny
    far = jnp.full_like(state.params["offsets"], 10.0)
    after, metrics = step(state._replace(params={**state.params, "offsets": far}), triplets(2))
    assert int(metrics["offsets_projected"]) == far.size
    assert float(jnp.abs(after.params["offsets"]).max()) < detector.temporal.settings.window


def test_projection_moves_and_counts():
    params = {"offsets": jnp.array([[-5.0, 1.5], [3.0, 8.0], [0.0, -3.0]])}
    projected, count = project_offsets(params, 3)
    assert int(count) == 3
    np.testing.assert_allclose(projected["offsets"], [[-3, 1.5], [2.999, 2.999], [0, -3]])
