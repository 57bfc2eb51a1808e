"""The whole model: padding changes nothing, variants differ, and the authors' numbers come out."""

import sys
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import BackboneConfig, LSTSConfig, ModelConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.models.temporal.lsts.quality import Quality
from lsts_jax.models.temporal.lsts.sampling import Sampling
from lsts_jax.structs import Frame
from lsts_jax.training.pretrained import convert_authors
from lsts_jax.video import start
from tests.tiny import at, random_frames, tiny_config, tiny_detector


def hwc(array):
    """The authors' [1 C h w] as ours."""
    return jnp.asarray(array[0].transpose(1, 2, 0))


def count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


def features(detector, variables, frames):
    """Features of a first keyframe, a second one, and a frame after it."""
    keys = jax.vmap(lambda frame: detector.bind(variables).key(frame))(at(frames, slice(2)))
    bound = detector.bind(variables)
    memory, first = bound.start(at(keys, 0))
    memory, second = bound.on_keyframe(memory, at(keys, 1))
    return first.feature, second.feature, bound.on_frame(memory, bound.other(at(frames, 2))).feature


@pytest.mark.parametrize(("depth", "norm"), [(10, "group"), (50, "frozen_batch")])
def test_padding_changes_nothing(depth, norm):
    """Sizes that no stride divides, so that every rounding on the way to stride 16 is met."""
    config = tiny_config(backbone=BackboneConfig(depth=depth, width=8, split=1, norm=norm))
    detector, variables = tiny_detector(config)
    biased = lambda path, x: x + 0.1 if "bias" in jax.tree_util.keystr(path) else x  # they are drawn as zero
    variables = jax.tree_util.tree_map_with_path(biased, variables)
    size = (45, 77)
    bare = random_frames(3, size=size, canvas=size)
    padded = bare._replace(pixels=jnp.pad(bare.pixels, ((0, 0), (0, 19), (0, 35), (0, 0))))

    @jax.jit
    def run(variables, frames):
        found = features(detector, variables, frames)
        return found, detector.bind(variables).detect(found[-1], at(frames, 2))

    expected, wanted = run(variables, bare)
    found, detected = run(variables, padded)
    for one, other in zip(found, expected, strict=True):
        h, w, _ = other.shape
        assert (h, w) == (3, 5)
        np.testing.assert_allclose(one[:h, :w], other, atol=2e-5 * float(jnp.abs(other).max()))
    np.testing.assert_array_equal(detected.classes, wanted.classes)
    np.testing.assert_allclose(detected.scores, wanted.scores, atol=1e-4)
    np.testing.assert_allclose(detected.boxes, wanted.boxes, atol=1e-2)


@pytest.mark.parametrize(
    "field",
    [
        {"low2high": "paper"},
        {"quality": "paper"},
        {"lsts": LSTSConfig(num_offsets=9, embedding_channels=8, separate_embeddings=False)},
        {"lsts": LSTSConfig(num_offsets=9, embedding_channels=8, normalization="abs_sum")},
        {"lsts": LSTSConfig(num_offsets=5, embedding_channels=8, offsets="gaussian")},
    ],
    ids=str,
)
def test_variants_run_and_differ_from_the_authors(field):
    feature, usual = third_feature(tiny_config(**field)), third_feature(tiny_config())
    assert np.isfinite(feature).all()
    assert float(jnp.abs(feature - usual).max()) > 1e-4 * float(jnp.abs(usual).max())


@lru_cache
def third_feature(config):
    detector, variables = tiny_detector(config)
    # Embeddings and quality networks start so small that no variant of them would show.
    variables = jax.tree.map(lambda x: 10 * x if x.ndim == 4 else x, variables)

    return jax.jit(partial(features, detector))(variables, random_frames(3))[-1]


def test_parameters_of_the_paper_configuration():
    """About 65 M in all (paper, table 1); ours are counted part by part in docs/architecture.md."""
    detector = build_detector(ModelConfig(), 30)
    frame = at(random_frames(1), 0)
    shapes = jax.eval_shape(detector.init, jax.random.key(0), frame)["params"]
    backbone = (
        count(shapes["low_level"]) + count(shapes["high_level"]) - count(shapes["high_level"]["feature_conv"])
    )
    assert backbone == 42_500_160  # ResNet-101 without its classifier
    assert count(shapes["srfu"]["lsts"]) == 2 * (1024 * 256 + 256)
    assert count(shapes["dfa"]["low2high"]) == (1024 * 256 + 256) + (9 * 256**2 + 256) + (
        9 * 256 * 1024 + 1024
    )
    assert count(shapes) == 67_144_461


def test_bfloat16_stays_near_float32():
    frames = random_frames(2)
    memories = []
    for dtype in ("float32", "bfloat16"):
        detector, variables = tiny_detector(tiny_config(dtype=dtype))
        memory, found = jax.jit(start, static_argnums=0)(detector, variables, at(frames, 0))
        assert found.scores.dtype == jnp.float32
        memories.append(memory.feature.astype(jnp.float32))
    error = jnp.linalg.norm(memories[0] - memories[1]) / jnp.linalg.norm(memories[0])
    assert 0 < float(error) < 0.05


@pytest.fixture(scope="module")
def authors_variables(shared):
    """The authors' parameters of the reference runs under our names."""
    sys.path.insert(0, str(shared / "fixtures"))
    try:
        import make_params
    finally:
        sys.path.pop(0)
    variables, left_over = convert_authors(make_params.params(), split=4)
    assert not left_over
    return jax.tree.map(jnp.asarray, variables)


@pytest.fixture(scope="module")
def authors(authors_variables):
    """The full-size detector with the authors' parameters."""
    return build_detector(ModelConfig(), 30), authors_variables


@pytest.mark.parametrize("implementation", ["factorised", "gather"])
@pytest.mark.parametrize("kind", ["uniform", "gaussian"])
def test_alignment_equals_the_authors_graph(authors_variables, authors_ops, kind, implementation):
    source, target = (hwc(authors_ops[f"align/{name}"]) for name in ("old", "new"))
    found = Sampling(
        embedding_channels=256,
        separate_embeddings=True,
        normalization="softmax",
        implementation=implementation,
        window=8,
        dtype=jnp.float32,
    ).apply(
        {"params": authors_variables["params"]["srfu"]["lsts"]},
        source,
        target,
        jnp.asarray(authors_ops[f"align_{kind}/offset"]),
        jnp.array(source.shape[:2], jnp.int32),
    )
    np.testing.assert_allclose(found.affinity, authors_ops[f"align_{kind}/weights"][0], atol=2e-5)
    wanted = hwc(authors_ops[f"align_{kind}/out"])
    np.testing.assert_allclose(found.feature, wanted, atol=2e-5 * float(jnp.abs(wanted).max()))


def test_quality_equals_the_authors_graph(authors_variables, authors_ops):
    first, second = (hwc(authors_ops[f"quality/{name}"]) for name in ("f1", "f2"))
    weights = Quality("authors", jnp.float32).apply(
        {"params": authors_variables["params"]["srfu"]["quality"]},
        first,
        second,
        jnp.array(first.shape[:2], jnp.int32),
    )
    np.testing.assert_allclose(weights, authors_ops["quality/weights"][0], atol=1e-5)
    fused = weights[0, ..., None] * first + weights[1, ..., None] * second
    np.testing.assert_allclose(fused, hwc(authors_ops["quality/fused"]), atol=1e-4)


@pytest.mark.parametrize(
    "canvas",
    [pytest.param((160, 256), id="exact", marks=pytest.mark.slow), pytest.param((176, 304), id="padded")],
)
def test_first_frame_equals_the_authors_graph(authors, shared, canvas):
    detector, variables = authors
    with np.load(shared / "fixtures" / "lsts_first_frame.npz") as archive:
        expected = dict(archive)
    picture = expected["frame_bgr_u8"][..., ::-1]
    height, width, _ = picture.shape
    pixels = np.zeros((*canvas, 3), np.uint8)
    pixels[:height, :width] = picture
    frame = Frame(
        jnp.asarray(pixels), jnp.array([height, width], jnp.int32), jnp.float32(expected["im_info"][0, 2])
    )

    @jax.jit
    def run(variables, frame):
        bound = detector.bind(variables)
        low = bound.backbone.low(frame)
        high = bound.backbone.high(low, frame.size)
        logits, deltas = bound.rpn(high, frame.size)
        proposals = bound.rpn.propose(logits, deltas, high.shape[:2], frame.size)
        scores, boxes = bound.rfcn(high, proposals.boxes, frame.size)
        return low, high, proposals, jax.nn.softmax(scores), boxes, bound.detect(high, frame)

    low, high, proposals, scores, boxes, found = run(variables, frame)
    for name, feature in (("low_level_feat_key", low), ("feat_conv_3x3_relu", high)):
        wanted = expected[f"{name}#sub"][0]
        sampled = np.asarray(feature)[:10:3, :16:5, ::64].transpose(2, 0, 1)
        np.testing.assert_allclose(sampled, wanted, atol=2e-5 * np.abs(wanted).max())
    np.testing.assert_allclose(proposals.boxes, expected["rois"][:, 1:], atol=5e-3)
    np.testing.assert_allclose(scores, expected["cls_prob_reshape"][0], atol=1e-4)
    deviations = np.array([0.1, 0.1, 0.2, 0.2], np.float32)
    np.testing.assert_allclose(
        np.asarray(boxes) * deviations, expected["bbox_pred_reshape"][0][:, 4:], atol=1e-4
    )
    order = np.argsort(-expected["det"][:, 1], kind="stable")
    valid = np.asarray(found.valid)
    np.testing.assert_array_equal(found.classes[valid], expected["det"][order, 0])
    np.testing.assert_allclose(found.scores[valid], expected["det"][order, 1], atol=1e-4)
    np.testing.assert_allclose(found.boxes[valid], expected["det"][order, 2:], atol=2e-2)
