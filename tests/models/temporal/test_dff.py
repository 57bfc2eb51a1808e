"""DFF: what is trained of it, when the flow is bypassed, and the authors' whole graph from the pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import DFFConfig, ModelConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.ops.canvas import size_at_stride, zero_outside
from lsts_jax.ops.warp import warp
from lsts_jax.structs import STRIDE, Frame
from lsts_jax.training.optimizer import build_optimizer, parameter_groups
from tests.models.reference import equal_heads, equal_stored
from tests.tiny import at, random_frames, tiny_config, tiny_detector, triplets


@pytest.fixture(scope="module")
def tiny():
    config = tiny_config(temporal="dff", dff=DFFConfig(flow_width=4))
    return config, *tiny_detector(config)


def test_the_flow_is_bypassed_where_the_frame_is_the_keyframe(tiny):
    _, detector, variables = tiny
    triplet = at(triplets(1), 0)._replace(old_key=None)

    @jax.jit
    def feature(params, current_is_new):
        flagged = triplet._replace(current_is_new=current_is_new)
        found = detector.bind({**variables, "params": params}).on_triplet(flagged).feature
        return jnp.sum(found**2), found

    gradient = jax.jit(jax.grad(feature, has_aux=True))
    largest = lambda tree: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    grads, warped = gradient(variables["params"], jnp.array(False))
    assert largest(grads["flownet"]["scale"]) > 0 < largest(grads["high_level"])
    bypassed, own = gradient(variables["params"], jnp.array(True))
    assert largest(bypassed["flownet"]) == 0 < largest(bypassed["high_level"])
    key = detector.bind(variables).key(triplet.new_key)
    np.testing.assert_allclose(own, key.feature, atol=1e-5)
    assert np.abs(np.asarray(warped) - np.asarray(own)).max() > 1e-3


def test_the_bias_of_the_scale_map_stays_one(tiny):
    config, detector, variables = tiny
    params = variables["params"]
    groups = parameter_groups(params, (), detector.temporal)
    assert groups["flownet"]["scale"]["conv"] == {"bias": "scale_bias", "kernel": "trained"}
    optimizer = build_optimizer(config.optimizer, 100, detector.temporal)
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
        updates, _ = optimizer.update(jax.tree.map(jnp.ones_like, params), optimizer.init(params), params)
    scale = updates["flownet"]["scale"]["conv"]
    assert float(jnp.abs(scale["bias"]).max()) == 0 < float(jnp.abs(scale["kernel"]).max())
    assert float(jnp.abs(params["flownet"]["scale"]["conv"]["bias"] - 1).max()) == 0


def test_padding_changes_nothing(tiny):
    """The key feature outside the picture is not zero, and the flow of a frame points there."""
    _, detector, variables = tiny
    scale = variables["params"]["flownet"]["scale"]["conv"]
    kernel = 0.1 * jax.random.normal(jax.random.key(0), scale["kernel"].shape)
    flownet = {**variables["params"]["flownet"], "scale": {"conv": {**scale, "kernel": kernel}}}
    variables = {**variables, "params": {**variables["params"], "flownet": flownet}}

    @jax.jit
    def feature(frames):
        bound = detector.bind(variables)
        memory, _ = bound.start(bound.key(at(frames, 0)))
        return bound.on_frame(memory, bound.other(at(frames, 1)))

    exact = feature(random_frames(2, size=(40, 72), canvas=(48, 80)))
    padded = feature(random_frames(2, size=(40, 72), canvas=(64, 112)))
    for ours, theirs in ((padded.flow, exact.flow), (padded.feature, exact.feature)):
        np.testing.assert_allclose(ours[:3, :5], theirs[:3, :5], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [(136, 200), (160, 224)])
def test_the_authors_whole_graph(shared, authors_variables, canvas):
    """Keyframe 0, frames 1 and 2, keyframe 3: flow, feature, proposals, scores and deltas."""
    variables = authors_variables("dff")
    detector = build_detector(ModelConfig(temporal="dff"), 30)
    with np.load(shared / "fixtures" / "temporal_ops.npz") as archive:
        pictures = archive["clip/frames_bgr_u8"][..., ::-1]
        wanted = {name: archive[name] for name in archive.files if name.startswith("dff/f")}
    height, width = pictures.shape[1:3]
    cells = -(-height // 16), -(-width // 16)

    def frame(t):
        pixels = np.zeros((*canvas, 3), np.uint8)
        pixels[:height, :width] = pictures[t]
        return Frame(jnp.asarray(pixels), jnp.array([height, width], jnp.int32), jnp.float32(1))

    def heads(bound, feature, frame):
        logits, deltas = bound.rpn(feature, frame.size)
        proposals = bound.rpn.propose(logits, deltas, feature.shape[:2], frame.size)
        return proposals.boxes, *bound.rfcn(feature, proposals.boxes, frame.size)

    @jax.jit
    def start(variables, frame):
        bound = detector.bind(variables)
        memory, bundle = bound.start(bound.key(frame))
        return memory, bundle.feature, heads(bound, bundle.feature, frame)

    @jax.jit
    def enhance(variables, memory, frame):
        bound = detector.bind(variables)
        bundle = bound.on_frame(memory, bound.other(frame))
        seen = zero_outside(memory.feature, size_at_stride(frame.size, STRIDE))
        return bundle, warp(seen, bundle.flow), heads(bound, bundle.feature, frame)

    def near(name, ours, **options):
        equal_stored(wanted, f"dff/{name}", ours[: cells[0], : cells[1]], **options)

    memory, feature, found = start(variables, frame(0))
    near("f0/feature", feature)
    equal_heads(wanted, "dff/f0", *found)
    for t in (1, 2):
        bundle, warped, found = enhance(variables, memory, frame(t))
        near(f"f{t}/flow", bundle.flow, tolerance=1e-5)
        near(f"f{t}/warped", warped)
        near(f"f{t}/feature", bundle.feature)
    equal_heads(wanted, "dff/f2", *found)
    near("f3/feature", start(variables, frame(3))[1])
