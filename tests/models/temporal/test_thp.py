"""THP: the paper's equations on given features, its three events, and keyframes that the frames decide."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import THPConfig
from lsts_jax.models.temporal.thp import THP, inconsistent, update, weigh
from lsts_jax.ops.warp import warp
from lsts_jax.streaming import LiveDetector, VideoDetector
from lsts_jax.video import events
from tests.tiny import at, random_frames, tiny_config, tiny_detector, triplets

TINY = THPConfig(flow_width=4, embedding_channels=8)


@pytest.fixture(scope="module")
def tiny():
    return tiny_detector(tiny_config(temporal="thp", thp=TINY))


def test_equations_on_given_features(authors_temporal):
    """Equations 4, 6, 7 and 9, and the straight-through gradient."""
    case = {k.split("/")[-1]: v for k, v in authors_temporal.items() if k.startswith("thp/a/")}
    last = lambda name: jnp.asarray(np.moveaxis(case[name], 0, -1))
    flow, consistency, tau = last("flow"), jnp.asarray(case["consistency"]), jnp.asarray(case["tau"])
    propagated, aggregate = (warp(last(name), flow) for name in ("feat_key", "feat_key_aggregated"))
    np.testing.assert_allclose(propagated, last("propagated"), atol=2e-6)
    np.testing.assert_allclose(aggregate, last("propagated_aggregated"), atol=2e-6)
    mask = inconsistent(consistency, tau)
    np.testing.assert_array_equal(mask, case["update_mask"])
    np.testing.assert_allclose(jnp.mean(mask), case["recomputed_share"], rtol=1e-6)
    updated = update(propagated, last("feat_current"), mask)
    np.testing.assert_allclose(updated, last("updated"), atol=2e-6)
    embed = lambda x: jnp.einsum("hwc,ec->hwe", x, jnp.asarray(case["embedding_1x1"]))
    weights = weigh(embed(aggregate), embed(updated))
    np.testing.assert_allclose(weights, case["weights"], atol=2e-6)
    mean = weights[0, ..., None] * aggregate + weights[1, ..., None] * updated
    np.testing.assert_allclose(mean, last("aggregated"), atol=3e-6)

    through = lambda q: update(propagated, last("feat_current"), inconsistent(q, tau))
    gradient = jax.vjp(through, consistency)[1](last("grad_updated"))[0]
    np.testing.assert_allclose(gradient, case["grad_consistency"], atol=2e-5 * np.abs(gradient).max())


def with_threshold(config, value):
    return replace(config, model=replace(config.model, thp=replace(config.model.thp, threshold=value)))


def with_consistency(variables, value):
    """Parameters whose consistency map has one value everywhere."""
    conv = {"kernel": jnp.zeros_like, "bias": lambda x: jnp.full_like(x, value)}
    scale = variables["params"]["flownet"]["scale"]["conv"]
    scale = {"conv": {name: conv[name](x) for name, x in scale.items()}}
    flownet = {**variables["params"]["flownet"], "scale": scale}
    return {**variables, "params": {**variables["params"], "flownet": flownet}}


def test_a_consistency_at_the_threshold_is_inconsistent():
    np.testing.assert_array_equal(inconsistent(jnp.array([[-0.1, 0.0, 0.1]]), 0.0), [[1, 1, 0]])


def test_frames_are_updated_where_they_are_inconsistent(tiny):
    """Everywhere: a frame is aggregated as a keyframe is. Nowhere: its own feature is not used."""
    detector, variables = tiny
    frames = random_frames(3)

    @jax.jit
    def bundles(variables, own):
        bound = detector.bind(variables)
        memory, _ = bound.start(bound.key(at(frames, 0)))
        key = bound.key(at(frames, 1))
        _, renewed = bound.on_keyframe(memory, key)
        found = bound.on_frame(memory, key._replace(feature=key.feature + own))
        return renewed.feature, found

    at_key, everywhere = bundles(with_consistency(variables, -1.0), 0.0)
    np.testing.assert_allclose(everywhere.feature, at_key, rtol=1e-5, atol=1e-5)
    assert float(everywhere.share) == 1
    _, nowhere = bundles(with_consistency(variables, 1.0), 0.0)
    _, other = bundles(with_consistency(variables, 1.0), 5.0)
    np.testing.assert_array_equal(nowhere.feature, other.feature)
    assert float(nowhere.share) == 0 < np.abs(nowhere.feature - at_key).max()


def test_training_moves_the_consistency_and_pays_for_inconsistent_positions(tiny):
    detector, variables = tiny
    triplet = at(triplets(1), 0)._replace(old_key=None)
    pixels = np.asarray(triplet.current.pixels).copy()
    pixels[0, 0, 0] += (
        2 - int(pixels.astype(np.int64).sum() % 3)
    ) % 3  # the third that is updated by the map
    triplet = triplet._replace(current=triplet.current._replace(pixels=jnp.asarray(pixels)))

    @jax.jit
    def gradient(variables, flag):
        def loss(v):
            found = detector.bind(v).on_triplet(triplet._replace(current_is_new=flag))
            return jnp.sum(found.feature**2) + found.loss, found.loss

        (_, penalty), grads = jax.value_and_grad(loss, has_aux=True)(variables)
        return penalty, grads["params"]

    penalty, grads = gradient(with_consistency(variables, -0.5), jnp.array(False))
    np.testing.assert_allclose(penalty, TINY.penalty * 4 * 6, rtol=1e-5)  # all cells of 64 x 96 pixels
    largest = lambda tree: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))
    assert min(largest(grads["flownet"]["scale"]), largest(grads["embedding"])) > 0
    penalty, grads = gradient(with_consistency(variables, -0.5), jnp.array(True))
    assert float(penalty) == 0 == largest(grads["flownet"])


def test_padding_changes_nothing(tiny):
    detector, variables = tiny

    @jax.jit
    def feature(variables, frames):
        bound = detector.bind(variables)
        memory, _ = bound.start(bound.key(at(frames, 0)))
        memory, _ = bound.on_keyframe(memory, bound.key(at(frames, 1)))
        return bound.on_frame(memory, bound.other(at(frames, 2)))

    exact = feature(variables, random_frames(3, size=(40, 72), canvas=(48, 80)))
    padded = feature(variables, random_frames(3, size=(40, 72), canvas=(64, 112)))
    np.testing.assert_allclose(padded.feature[:3, :5], exact.feature, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(padded.share, exact.share)


def test_adaptive_keyframes_are_those_that_the_frames_want():
    """Live and in a stream, as a loop over the events that decides in Python."""
    thp = replace(TINY, updating="none", adaptive=True, adaptive_share=0.5)
    config = tiny_config(temporal="thp", thp=thp)
    detector, variables = tiny_detector(config)
    scale = variables["params"]["flownet"]["scale"]["conv"]
    kernel = jax.random.normal(jax.random.key(1), scale["kernel"].shape)
    flownet = {**variables["params"]["flownet"], "scale": {"conv": {**scale, "kernel": kernel}}}
    variables = {**variables, "params": {**variables["params"], "flownet": flownet}}
    frames = random_frames(8)
    brightness = jnp.array([1, 3, 4, 1, 2, 4, 1, 3], jnp.uint8)[:, None, None, None]
    frames = [at(frames._replace(pixels=frames.pixels // brightness), t) for t in range(8)]
    start, on_keyframe, on_frame = map(jax.jit, events(detector))

    @jax.jit
    def look(memory, frame):
        bound = detector.bind(variables)
        return bound.on_frame(memory, bound.other(frame))

    memory, found = start(variables, frames[0])
    middle = float(jnp.median(jnp.stack([look(memory, frame).consistency for frame in frames])))
    detector = detector.clone(temporal=THP.from_config(with_threshold(config, middle).model))
    start, on_keyframe, on_frame = map(jax.jit, events(detector))
    expected, keys = [found], [0]
    for t, frame in enumerate(frames[1:], 1):
        if float(jnp.mean(look(memory, frame).consistency <= middle)) > 0.5:
            memory, found = on_keyframe(variables, memory, frame)
            keys.append(t)
        else:
            found = on_frame(variables, memory, frame)
        expected.append(found)
    assert 1 < len(keys) < 8, keys

    live = LiveDetector(detector, variables, interval=3)
    stream = VideoDetector(detector, variables, interval=3, schedule="offline").stream(frames)
    for wanted, frame, streamed in zip(expected, frames, stream, strict=True):
        for detections in (live.detect(frame), streamed):
            np.testing.assert_array_equal(detections.valid, wanted.valid)
            np.testing.assert_allclose(detections.scores, wanted.scores, rtol=1e-4, atol=1e-5)
