"""FGFA: the authors' aggregation at test and in training, its window, and the whole graph from the pixels."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import BackboneConfig, FGFAConfig, ModelConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.models.temporal.embedding import Embedding
from lsts_jax.models.temporal.fgfa import FGFA, Paid, Seen, add_frame, average_pair, mean_of, no_frames
from lsts_jax.ops.warp import warp
from lsts_jax.structs import Frame
from tests.models.reference import equal_heads, equal_stored
from tests.tiny import at, random_frames

SIZE = jnp.array([6, 9], jnp.int32)


def near(found, wanted, tolerance=2e-5):
    np.testing.assert_allclose(found, wanted, atol=tolerance * np.abs(wanted).max(), rtol=0)


@pytest.fixture
def case(authors_temporal):
    """The arrays of a case by name, channels last; embeddings as parameters of ours."""

    def read(name):
        arrays = {
            key.removeprefix(f"{name}/"): jnp.asarray(np.moveaxis(value, -3, -1) if value.ndim > 2 else value)
            for key, value in authors_temporal.items()
            if key.startswith(f"{name}/") and "em_conv" not in key
        }
        for prefix in ("", "grad_"):
            arrays[f"{prefix}params"] = {
                f"conv{i}": {
                    "conv": {
                        "kernel": jnp.asarray(weight.transpose(2, 3, 1, 0)),
                        "bias": jnp.asarray(authors_temporal[f"{name}/{prefix}em_conv{i}_bias"]),
                    }
                }
                for i in (1, 2, 3)
                if (weight := authors_temporal.get(f"{name}/{prefix}em_conv{i}_weight")) is not None
            }
        return arrays

    return read


def test_aggregation_in_training_and_its_gradients(case):
    wanted = case("fgfa_train/a")
    embedding = Embedding(8, 20, jnp.float32)

    def average(params, features, flows):
        return average_pair(jax.vmap(lambda x: embedding.apply({"params": params}, x, SIZE)), features, flows)

    last = lambda features: jnp.roll(features, -1, 0)  # the authors have the current one first
    run = jax.jit(lambda *x: jax.vjp(average, *x[:-1])[0:1] + jax.vjp(average, *x[:-1])[1](x[-1]))
    out, params, features, flows = run(
        wanted["params"], last(wanted["feats"]), wanted["flows"], wanted["grad_out"][0]
    )
    near(out, wanted["aggregated"][0])
    near(features, last(wanted["grad_feats"]))
    near(flows, wanted["grad_flows"])
    jax.tree.map(near, params, wanted["grad_params"])


def test_aggregation_at_test(case):
    """The embedding is that of the feature before the warp, the current one is warped by its own flow."""
    wanted = case("fgfa_test/a")
    embed = jax.jit(
        jax.vmap(lambda x: Embedding(8, 24, jnp.float32).apply({"params": wanted["params"]}, x, SIZE))
    )
    embedded = embed(wanted["feats"])
    near(embedded, wanted["embedding"])
    current = warp(embedded[2], wanted["flows"][2])
    sums = no_frames(wanted["feats"][0])
    add = jax.jit(add_frame)
    for t in range(5):
        sums, cosine = add(sums, wanted["feats"][t], embedded[t], wanted["flows"][t], current)
        near(cosine, wanted["cosine"][t, ..., 0])
    near(mean_of(sums), wanted["aggregated"][0])


def test_every_frame_is_detected_in_the_window_around_it():
    """Four frames and a lag of two: the ring against windows that are put together by hand."""
    settings = FGFAConfig(flow_width=2, embedding_channels=4, radius=2)
    method = FGFA(settings, (120.0, 120.0, 120.0), jnp.float32)
    size = jnp.array([40, 72], jnp.int32)
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)
    seen = Seen(random_frames(4, size=(40, 72), canvas=(48, 80)).pixels, draw(4, 3, 5, 6), draw(4, 3, 5, 4))
    paid = [Paid(at(seen, t), size) for t in range(4)]
    shapes = jax.eval_shape(lambda: method.init(jax.random.key(0), paid[0], method=FGFA.start))
    variables = jax.tree.map(lambda x: 0.2 * draw(*x.shape), shapes)
    push = jax.jit(lambda *x: method.apply(variables, *x, method=FGFA.on_keyframe))
    flow = jax.jit(lambda *x: method.apply(variables, *x, size, method=lambda m, *x: m.flownet(*x).flow))

    memory, started = jax.jit(lambda x: method.apply(variables, x, method=FGFA.start))(paid[0])
    own = flow(paid[0].seen.pixels, paid[0].seen.pixels)
    np.testing.assert_allclose(started.feature, warp(paid[0].seen.feature, own), atol=1e-5)
    bundles = []
    for one in (*paid[1:], paid[3], paid[3]):  # the stream repeats the last frame
        memory, bundle = push(memory, one)
        bundles.append(bundle)
    for t, bundle in enumerate(bundles[1:]):
        window = [min(max(s, 0), 3) for s in range(t - 2, t + 3)]
        flows = [flow(seen.pixels[t], seen.pixels[s]) for s in window]
        sums, current = no_frames(seen.feature[0]), warp(seen.embedding[t], flows[2])
        for s, moved in zip(window, flows, strict=True):
            sums, _ = add_frame(sums, seen.feature[s], seen.embedding[s], moved, current)
        np.testing.assert_allclose(bundle.feature, mean_of(sums), atol=1e-4)
        np.testing.assert_allclose(bundle.flow, jnp.stack(flows), atol=1e-4)
    assert method.delay == 2 and method.clone(config=replace(settings, causal=True)).delay == 0


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [(136, 200), (160, 224)])
def test_the_authors_whole_graph(shared, authors_variables, canvas):
    """Five frames, a window of two on either side: flows, cosines, features, proposals and scores."""
    variables = authors_variables("fgfa")
    model = ModelConfig(
        temporal="fgfa", fgfa=FGFAConfig(radius=2), backbone=BackboneConfig(norm_epsilon=2e-5)
    )
    detector = build_detector(model, 30)
    with np.load(shared / "fixtures" / "temporal_ops.npz") as archive:
        pictures = archive["clip/frames_bgr_u8"][..., ::-1]
        wanted = {name: archive[name] for name in archive.files if name.startswith("fgfa/")}
    height, width = pictures.shape[1:3]
    cells = -(-height // 16), -(-width // 16)

    def frame(t):
        pixels = np.zeros((*canvas, 3), np.uint8)
        pixels[:height, :width] = pictures[t]
        return Frame(jnp.asarray(pixels), jnp.array([height, width], jnp.int32), jnp.float32(1))

    @jax.jit
    def start(variables, frame):
        bound = detector.bind(variables)
        paid = bound.key(frame)
        return bound.start(paid)[0], paid.seen.embedding

    @jax.jit
    def push(variables, memory, frame):
        bound = detector.bind(variables)
        memory, bundle = bound.on_keyframe(memory, bound.key(frame))
        logits, deltas = bound.rpn(bundle.feature, frame.size)
        proposals = bound.rpn.propose(logits, deltas, bundle.feature.shape[:2], frame.size)
        return memory, bundle, (proposals.boxes, *bound.rfcn(bundle.feature, proposals.boxes, frame.size))

    memory, embedding = start(variables, frame(0))
    equal_stored(wanted, "fgfa/embedding_f0", embedding[: cells[0], : cells[1]], step=(64, 2, 3))
    for t in range(1, 4):
        memory, bundle, heads = push(variables, memory, frame(t))
        if t < 2:
            continue
        named = lambda name, t=t: wanted[f"fgfa/f{t - 2}/{name}"]
        inside = lambda x: x[:, : cells[0], : cells[1]]
        assert named("window").tolist() == [max(s, 0) for s in range(t - 4, t + 1)]
        near(inside(bundle.flow), named("flow").transpose(0, 2, 3, 1), 1e-5)
        near(inside(bundle.cosine), named("cosine")[:, 0])
        near(inside(bundle.weights), named("weights")[:, 0])
        equal_stored(wanted, f"fgfa/f{t - 2}/feature", bundle.feature[: cells[0], : cells[1]])
    equal_heads(wanted, "fgfa/f1", *heads)
