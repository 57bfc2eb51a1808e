"""Every method that is not LSTS, and deformable convolution, trained and resumed; their exported programs."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from lsts_jax.config import BackboneConfig, DFFConfig, FGFAConfig, THPConfig
from lsts_jax.export import plain_events
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state
from lsts_jax.training.step import train_step
from lsts_jax.video import events
from tests.tiny import at, random_frames, tiny_config, tiny_detector, triplets

STEPS = 12
DEFORMABLE = BackboneConfig(depth=10, width=8, split=1, norm="group", deformable=3)
# method, and the places of parameters that it alone has
METHODS = {
    "dff": (dict(temporal="dff", dff=DFFConfig(flow_width=4)), ["flownet/conv1", "flownet/scale"]),
    "fgfa": (
        dict(temporal="fgfa", fgfa=FGFAConfig(flow_width=4, embedding_channels=8, radius=1)),
        ["flownet/conv1", "embedding/conv1"],
    ),
    "thp": (
        dict(temporal="thp", thp=THPConfig(flow_width=4, embedding_channels=8)),
        ["flownet/conv1", "flownet/scale", "embedding/conv1"],
    ),
    "lsts, deformable": (dict(backbone=DEFORMABLE), ["high_level/res5_1/conv2/offset", "offsets"]),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_learns_and_is_resumed_exactly(name, tmp_path):
    fields, own = METHODS[name]
    config = tiny_config(**fields)
    detector, variables = tiny_detector(config)
    optimizer = build_optimizer(config.optimizer, 1000, detector.temporal)
    jitted = jax.jit(partial(train_step, detector, optimizer, config))

    def train(state, first, last):
        losses = []
        for _ in range(first, last):
            with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
                state, metrics = jitted(state, batch)
            losses.append(float(metrics["loss"]))
        return state, losses

    batch = triplets(2)
    if detector.temporal.trained_keyframes == 1:
        batch = batch._replace(old_key=None)
    begin = init_state(detector, optimizer, variables, 0)
    middle, losses = train(begin, 0, STEPS - 2)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(middle)
    state, more = train(middle, STEPS - 2, STEPS)
    losses += more
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    before, after = (flatten_dict(x.params, sep="/") for x in (begin, state))
    for place in own:
        names = [path for path in before if path.startswith(place)]
        assert names, place
        assert max(float(jnp.abs(after[path] - before[path]).max()) for path in names) > 0, place

    with Checkpoints(tmp_path) as checkpoints:
        again, _ = train(checkpoints.restore(begin), STEPS - 2, STEPS)
    jax.tree.map(np.testing.assert_array_equal, again.params, state.params)


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_exported_programs_give_the_live_detections(name):
    fields, _ = METHODS[name]
    detector, variables = tiny_detector(tiny_config(**fields))
    weights = flatten_dict(variables, sep="/")
    export = lambda function, *inputs: jax.export.export(jax.jit(function))(weights, *inputs).call
    plain, own = plain_events(detector), events(detector)
    frames = [at(random_frames(3), t) for t in range(3)]
    memory, *found = export(plain["start"], *frames[0])(weights, *frames[0])
    live, wanted = jax.jit(own.start)(variables, frames[0])
    for event, frame in zip(("on_keyframe", "on_frame"), frames[1:], strict=True):
        np.testing.assert_allclose(found[1], wanted.scores, atol=1e-5)
        if event in plain:
            found = export(plain[event], memory, *frame)(weights, memory, *frame)
            wanted = jax.jit(getattr(own, event))(variables, live, frame)
            if event == "on_keyframe":
                (memory, *found), (live, wanted) = found, wanted
    np.testing.assert_allclose(found[1], wanted.scores, atol=1e-5)
