"""The detector against an independent restatement: first frame, other frame, keyframe, other frame.

Small, with random weights under the authors' names, in every variant; and in full, with reference weights.
"""

import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import AnchorConfig, BackboneConfig, LSTSConfig, ModelConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.structs import Frame, Memory
from lsts_jax.training.pretrained import convert_authors
from tests.models.restatement import Restatement

EVENTS = ("start", "on_frame", "on_keyframe", "on_frame")
SIZE = (160, 256)


def restated(model, images):
    """(memory, feature, proposals, probabilities, detections) of every event."""
    for event, image in zip(EVENTS, images, strict=True):
        found = getattr(model, event)(image)
        yield model.memory, *found


def run(detector, variables, images, canvas):
    """The same of ours, with every step visible."""
    bind = detector.bind
    key = jax.jit(lambda variables, frame: bind(variables).key(frame))
    other = jax.jit(lambda variables, frame: bind(variables).other(frame))
    update = jax.jit(lambda variables, memory, key: bind(variables).on_keyframe(memory, key))
    enhance = jax.jit(lambda variables, memory, other: bind(variables).on_frame(memory, other))

    @jax.jit
    def heads(variables, feature, frame):
        bound = bind(variables)
        logits, deltas = bound.rpn(feature, frame.size)
        proposals = bound.rpn.propose(logits, deltas, feature.shape[:2], frame.size)
        logits, _ = bound.rfcn(feature, proposals.boxes, frame.size)
        return proposals.boxes, jax.nn.softmax(logits), bound.detect(feature, frame)

    memory = None
    for kind, image in zip(EVENTS, images, strict=True):
        height, width, _ = image.shape
        padded = np.zeros((*canvas, 3), np.uint8)
        padded[:height, :width] = image
        frame = Frame(jnp.asarray(padded), jnp.array([height, width], jnp.int32), jnp.float32(1))
        if kind == "on_frame":
            feature = enhance(variables, memory, other(variables, frame)).feature
        elif kind == "on_keyframe":
            memory, bundle = update(variables, memory, key(variables, frame))
            feature = bundle.feature
        else:
            feature = key(variables, frame).feature
            memory = Memory(feature)
        yield memory.feature, feature, *heads(variables, feature, frame)


def assert_equal(found, wanted, event):
    """Of an event: features, proposals in their order, scores, and for each detection one like it."""
    for ours, theirs in ((found[0], wanted[0]), (found[1], wanted[1])):
        ours = np.asarray(ours)[: theirs.shape[1], : theirs.shape[2]].transpose(2, 0, 1)
        assert np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max(), event
    np.testing.assert_allclose(found[2], wanted[2], atol=5e-3, err_msg=f"proposals of event {event}")
    np.testing.assert_allclose(found[3], wanted[3], atol=1e-4, err_msg=f"scores of event {event}")
    valid = np.asarray(found[4].valid)
    boxes, scores, classes, _ = (np.asarray(x)[valid] for x in found[4])
    labels, their_scores, their_boxes = (np.array(x) for x in zip(*wanted[4], strict=True))
    np.testing.assert_allclose(scores, their_scores, atol=1e-4)
    # in any order: scores that differ by less than rounding may change places
    same = (
        (classes[:, None] == labels)
        & (np.abs(scores[:, None] - their_scores) <= 1e-4)
        & (np.abs(boxes[:, None] - their_boxes) <= 2e-2).all(axis=2)
    )
    assert same.any(axis=0).all() and same.any(axis=1).all(), event


SMALL = ModelConfig(
    backbone=BackboneConfig(depth=50, width=8, split=2),
    lsts=LSTSConfig(num_offsets=9, embedding_channels=8, window=4),
    anchors=AnchorConfig(scales=(1.0, 2.0, 4.0)),
    feature_channels=32,
)
VARIANTS = {
    "authors": {},
    "paper": {"low2high": "paper", "quality": "paper", "normalization": "sum"},
    "reproduction": {
        "low2high": "paper",
        "quality": "paper",
        "normalization": "abs_sum",
        "separate_embeddings": False,
    },
}
NORMALIZE = {
    "softmax": None,
    "sum": lambda s: s / s.sum(axis=0),
    "abs_sum": lambda s: s / np.abs(s).sum(axis=0),
}


def small_parameters(*, low2high="authors", quality="authors", separate_embeddings=True, classes=3):
    """Random parameters of `SMALL` under the authors' names: a ResNet-50 of an eighth of the channels."""
    rng = np.random.default_rng(0)
    parameters = {"init_offset": np.clip(rng.normal(0, 1.5, (9, 2)), -3.9, 3.9)}

    def conv(name, out, into, kernel, *, gain=1.0, bias=0.0):
        deviation = gain * np.sqrt(2 / (into * kernel**2))
        parameters[f"{name}_weight"] = rng.normal(0, deviation, (out, into, kernel, kernel))
        if bias is not None:
            parameters[f"{name}_bias"] = rng.normal(bias, 0.1, out)

    def normalised(conv_name, norm_name, out, into, kernel, *, gain=1.0, var=1.0):
        conv(conv_name, out, into, kernel, bias=None)
        parameters[f"{norm_name}_gamma"] = gain * rng.uniform(0.8, 1.2, out)
        parameters[f"{norm_name}_beta"] = rng.normal(0, 0.1, out)
        parameters[f"{norm_name}_moving_mean"] = rng.normal(0, 0.1, out)
        parameters[f"{norm_name}_moving_var"] = var * rng.uniform(0.8, 1.2, out)

    normalised("conv1", "bn_conv1", 8, 3, 7, var=1e4)
    into = 8
    for stage, letters in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
        inner, out = 2**stage * 2, 2**stage * 8
        for letter in letters:
            res, bn = f"res{stage}{letter}_branch", f"bn{stage}{letter}_branch"
            normalised(f"{res}2a", f"{bn}2a", inner, into, 1)
            normalised(f"{res}2b", f"{bn}2b", inner, inner, 3)
            normalised(f"{res}2c", f"{bn}2c", out, inner, 1, gain=0.3)
            if letter == "a":
                normalised(f"{res}1", f"{bn}1", out, into, 1)
            into = out
    conv("feat_conv_3x3", 32, into, 3)
    kernels, widths = ((1, 3, 3), (8, 8, 32)) if low2high == "authors" else ((3, 3, 3), (8, 16, 32))
    for i, (kernel, out, into) in enumerate(zip(kernels, widths, (128, *widths), strict=False), 1):
        conv(f"low2high_conv{i}", out, into, kernel)
    for path in ("key2key", "key2cur"):
        # a bias that keeps similarities positive, so that their sum, which some divide by, is not near zero
        for side in ("oldkey", "newkey"):
            conv(f"embedding_conv_feat_{side}_{path}", 8, 32, 1, gain=0.1, bias=1.0)
        kernels = (1, 3, 3) if quality == "authors" else (3, 1, 1)
        for i, (kernel, out, into) in enumerate(zip(kernels, (8, 16, 1), (32, 8, 16), strict=True), 1):
            conv(f"quality_conv{i}_{path}", out, into, kernel)
    for name, out in (("rpn_cls_score", 18), ("rpn_bbox_pred", 36)):
        conv(name, out, 16, 1, gain=0.5)
    for name, out in (("rfcn_cls", 49 * (classes + 1)), ("rfcn_bbox", 49 * 8)):
        conv(name, out, 16, 1, gain=0.5)
    if not separate_embeddings:
        for name in [name for name in parameters if "newkey" in name]:
            parameters[name] = parameters[name.replace("newkey", "oldkey")]
    return {name: array.astype(np.float32) for name, array in parameters.items()}


@pytest.mark.parametrize(
    ("variant", "canvas"),
    [("authors", (75, 109)), ("authors", (96, 144)), ("paper", (75, 109)), ("reproduction", (75, 109))],
)
def test_a_small_detector_equals_the_restatement(variant, canvas):
    """Sides that no stride divides; the three variants; at the exact size and on a larger canvas."""
    fields = dict(VARIANTS[variant])
    normalization = fields.pop("normalization", "softmax")
    parameters = small_parameters(**fields)
    separate = fields.pop("separate_embeddings", True)
    lsts = replace(SMALL.lsts, normalization=normalization, separate_embeddings=separate)
    detector = build_detector(replace(SMALL, lsts=lsts, **fields), 3)
    variables, left_over = convert_authors(parameters, split=2)
    assert not left_over
    reference = Restatement(
        parameters, low_units=2, normalize=NORMALIZE[normalization], scales=SMALL.anchors.scales
    )
    rng = np.random.default_rng(1)
    scene = np.kron(rng.integers(0, 256, (25, 37, 3)), np.ones((4, 4, 1), int))
    images = [scene[2 * t :, 3 * t :][:75, :109].astype(np.uint8) for t in range(4)]
    found = run(detector, jax.tree.map(jnp.asarray, variables), images, canvas)
    for event, (ours, theirs) in enumerate(zip(found, restated(reference, images), strict=True)):
        assert len(theirs[4]) > 20 and len(np.unique(theirs[2], axis=0)) > 30
        assert_equal(ours, theirs, event)


@pytest.fixture(scope="module")
def parameters(shared):
    sys.path.insert(0, str(shared / "fixtures"))
    try:
        import make_params
    finally:
        sys.path.pop(0)
    return make_params.params()


@pytest.fixture(scope="module")
def pixels(shared):
    """Four frames of a scene that moves: the reference frame, shifted, with noise."""
    with np.load(shared / "fixtures" / "lsts_first_frame.npz") as archive:
        first = archive["frame_bgr_u8"][..., ::-1]
    rng = np.random.default_rng(0)
    moved = [
        np.roll(first, (3 * t, 7 * t), (0, 1)).astype(int) + rng.integers(-9, 10, first.shape)
        for t in range(4)
    ]
    moved[0] = first
    return [np.clip(image, 0, 255).astype(np.uint8) for image in moved]


@pytest.fixture(scope="module")
def expected(parameters, pixels):
    return list(restated(Restatement(parameters), pixels))


@pytest.fixture(scope="module")
def detector(parameters):
    variables, _ = convert_authors(parameters, split=4)
    return build_detector(ModelConfig(), 30), jax.tree.map(jnp.asarray, variables)


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [SIZE, (192, 304)], ids=["exact", "padded"])
def test_all_events_equal_the_restatement(detector, expected, pixels, canvas):
    for event, (found, wanted) in enumerate(zip(run(*detector, pixels, canvas), expected, strict=True)):
        assert len(wanted[4]) > 100
        assert_equal(found, wanted, event)


def test_the_restatement_is_the_authors_graph_on_a_first_frame(shared, expected):
    """So that what it says of the other events can be believed."""
    with np.load(shared / "fixtures" / "lsts_first_frame.npz") as archive:
        np.testing.assert_allclose(expected[0][2], archive["rois"].reshape(-1, 5)[:, 1:], atol=5e-3)
        reference = archive["cls_prob_reshape"].reshape(300, -1)
        np.testing.assert_allclose(expected[0][3], reference, atol=1e-4)
