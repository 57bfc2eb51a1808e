"""The full detector against an independent restatement: first frame, other frame, keyframe, other frame."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import ModelConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.structs import Frame, Memory
from lsts_jax.training.pretrained import convert_authors
from tests.models.restatement import Restatement

SIZE = (160, 256)


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
    """(memory, feature, proposals, probabilities, detections) of every event."""
    model, results = Restatement(parameters), []
    for event, image in zip(("start", "on_frame", "on_keyframe", "on_frame"), pixels, strict=True):
        found = getattr(model, event)(image)
        results.append((model.memory, *found))
    return results


@pytest.fixture(scope="module")
def detector(parameters):
    variables, _ = convert_authors(parameters, split=4)
    return build_detector(ModelConfig(), 30), jax.tree.map(jnp.asarray, variables)


def run(detector, variables, images, canvas):
    """The same of ours, with every step visible."""
    call = partial(detector.apply, variables)

    @partial(jax.jit, static_argnums=0)
    def event(kind, memory, frame):
        low = call(frame, method="low")
        if kind == "on_frame":
            feature = call(memory.feature, low, frame.size, method="enhance").feature
        else:
            feature = call(low, frame.size, method="high")
            if kind == "on_keyframe":
                feature = call(memory.feature, feature, frame.size, method="update").feature
            memory = Memory(feature)
        anchor_logits, anchor_deltas = call(feature, frame.size, method="score_anchors")
        proposals = call(anchor_logits, anchor_deltas, feature, frame.size, method="propose")
        logits, _ = call(feature, proposals.boxes, frame.size, method="classify")
        return memory, feature, proposals.boxes, jax.nn.softmax(logits), call(feature, frame, method="detect")

    memory = None
    for kind, image in zip(("start", "on_frame", "on_keyframe", "on_frame"), images, strict=True):
        padded = np.zeros((*canvas, 3), np.uint8)
        padded[: SIZE[0], : SIZE[1]] = image
        frame = Frame(jnp.asarray(padded), jnp.array(SIZE, jnp.int32), jnp.float32(1))
        memory, *rest = event(kind, memory, frame)
        yield memory, *rest


@pytest.mark.parametrize(
    "canvas",
    [pytest.param(SIZE, marks=pytest.mark.slow, id="exact"), pytest.param((192, 304), id="padded")],
)
def test_all_events_equal_the_restatement(detector, expected, pixels, canvas):
    cells = SIZE[0] // 16, SIZE[1] // 16
    for number, (found, wanted) in enumerate(zip(run(*detector, pixels, canvas), expected, strict=True)):
        for ours, theirs in ((found[0].feature, wanted[0]), (found[1], wanted[1])):
            ours = np.asarray(ours)[: cells[0], : cells[1]].transpose(2, 0, 1)
            assert np.abs(ours - theirs).max() <= 2e-5 * np.abs(theirs).max(), number
        np.testing.assert_allclose(found[2], wanted[2], atol=5e-3, err_msg=f"proposals of event {number}")
        np.testing.assert_allclose(found[3], wanted[3], atol=1e-4, err_msg=f"scores of event {number}")
        valid = np.asarray(found[4].valid)
        detections = jax.tree.map(lambda x, valid=valid: np.asarray(x)[valid], found[4])
        labels, scores, boxes = zip(*wanted[4], strict=True)
        assert len(scores) == len(detections.scores) > 100
        np.testing.assert_allclose(detections.scores, scores, atol=1e-4)
        # scores that differ by less than rounding may change places
        pairs = lambda classes, boxes: {
            (int(c), *np.round(b).astype(int)) for c, b in zip(classes, boxes, strict=True)
        }
        ours, theirs = pairs(detections.classes, detections.boxes), pairs(labels, boxes)
        assert len(ours & theirs) >= 0.98 * len(theirs), number


def test_the_restatement_is_the_authors_graph_on_a_first_frame(shared, expected):
    """So that what it says of the other events can be believed."""
    with np.load(shared / "fixtures" / "lsts_first_frame.npz") as archive:
        np.testing.assert_allclose(expected[0][2], archive["rois"].reshape(-1, 5)[:, 1:], atol=5e-3)
        reference = archive["cls_prob_reshape"].reshape(300, -1)
        np.testing.assert_allclose(expected[0][3], reference, atol=1e-4)
