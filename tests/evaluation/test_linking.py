"""Causal linking: means by hand, classes and videos apart, and no influence of later frames."""

import numpy as np
import pytest

from lsts_jax.config import Config, EvaluationConfig
from lsts_jax.config_checks import validate
from lsts_jax.errors import UserError
from lsts_jax.evaluation.linking import link
from lsts_jax.evaluation.matching import DetectionArrays

ONE_VIDEO = [np.arange(9, dtype=np.int32)]


def detections(*rows):
    """From rows of frame, class, score, left border; boxes are 10 x 10."""
    frame, classes, scores, left = map(np.array, zip(*rows, strict=True))
    boxes = np.stack([left, 0 * left, left + 9, 0 * left + 9], axis=1).astype(np.float32)
    return DetectionArrays(frame.astype(np.int32), classes.astype(np.int32), scores.astype(np.float32), boxes)


def test_a_box_has_the_mean_of_its_object_so_far():
    found = detections((0, 1, 0.9, 0), (1, 1, 0.3, 1), (2, 1, 0.6, 2), (4, 1, 0.1, 2))
    np.testing.assert_allclose(link(found, ONE_VIDEO).scores, [0.9, 0.6, 0.6, 0.1], rtol=1e-6)


def test_the_most_similar_boxes_are_paired_first():
    """The box at 0 of frame 1 suits both of frame 0; the one of higher score times IoU gets it."""
    found = detections((0, 1, 0.2, 0), (0, 1, 0.8, 2), (1, 1, 0.5, 0))
    np.testing.assert_allclose(link(found, ONE_VIDEO).scores, [0.2, 0.8, 0.65], rtol=1e-6)
    found = detections((0, 1, 0.2, 0), (0, 1, 0.8, 2), (1, 1, 0.5, 0), (1, 1, 0.9, 2))
    np.testing.assert_allclose(link(found, ONE_VIDEO).scores, [0.2, 0.8, 0.35, 0.85], rtol=1e-6)


def test_the_similarity_is_that_to_the_mean_so_far():
    """The last box is as near to both of frame 1; the one of lower score is the object of score 0.9."""
    found = detections((0, 1, 0.9, 0), (1, 1, 0.1, 0), (1, 1, 0.3, 4), (2, 1, 0.8, 2))
    np.testing.assert_allclose(link(found, ONE_VIDEO).scores, [0.9, 0.5, 0.3, 0.6], rtol=1e-6)


def test_classes_videos_and_distant_boxes_are_apart():
    found = detections((0, 1, 0.9, 0), (0, 2, 0.7, 4), (1, 2, 0.3, 0), (1, 1, 0.4, 4), (2, 1, 0.2, 4))
    videos = [np.array([0, 1], np.int32), np.array([2], np.int32)]
    np.testing.assert_allclose(link(found, videos).scores, found.scores)


def test_no_score_depends_on_later_frames_or_on_the_order_of_rows():
    rng = np.random.default_rng(0)
    rows = [
        (t, int(rng.integers(1, 3)), rng.random(), 3 * int(rng.integers(6)))
        for t in range(9)
        for _ in range(8)
    ]
    found = detections(*rows)
    whole = link(found, ONE_VIDEO).scores
    assert (whole != found.scores).mean() > 0.5
    early = found.frame < 5
    part = link(DetectionArrays(*(column[early] for column in found)), ONE_VIDEO).scores
    np.testing.assert_array_equal(part, whole[early])
    shuffled = rng.permutation(len(rows))
    mixed = link(DetectionArrays(*(column[shuffled] for column in found)), ONE_VIDEO).scores
    np.testing.assert_allclose(mixed, whole[shuffled], rtol=1e-6)


def test_linking_and_seq_nms_exclude_each_other():
    with pytest.raises(UserError, match="both seq_nms and linking"):
        validate(Config(evaluation=EvaluationConfig(seq_nms=True, linking=True)))
