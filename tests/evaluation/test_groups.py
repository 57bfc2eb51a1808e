"""Groups of objects, and the metric of a group, by hand."""

import numpy as np
import pytest

from lsts_jax.evaluation.groups import by_size, by_track_length, groups_of, scores_by_group
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, match
from tests.evaluation.metric import vid_map


def square(x, size):
    return (x, 0, x + size - 1, size - 1)


def annotate(*rows):
    """Rows of (frame, class or None where ignored, box)."""
    return Annotations(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] or 0 for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[1] is None for row in rows], bool),
    )


def detect(*rows):
    """Rows of (frame, class, score, box)."""
    return DetectionArrays(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.float32),
    )


def listed(groups):
    return {name: np.flatnonzero(members).tolist() for name, members in groups.items()}


def test_sizes_by_hand():
    """31 x 33 = 1023, 32 x 32, 96 x 96 and 96 x 97 pixels."""
    boxes = np.array([(0, 0, 30, 32), (5, 5, 36, 36), (0, 0, 95, 95), (0, 0, 95, 96)], np.float32)
    assert listed(by_size(boxes)) == {"small": [0], "medium": [1, 2], "large": [3]}


def test_track_lengths_by_hand():
    """The same number in another video is another track; -1 is none, however often."""
    tracks = [(0, 5, 89), (1, 5, 90), (0, 6, 300), (2, 6, 301), (0, -1, 400)]
    videos = np.concatenate([np.full(n, video, np.int32) for video, _, n in tracks])
    numbers = np.concatenate([np.full(n, track, np.int32) for _, track, n in tracks])
    order = np.random.default_rng(0).permutation(len(videos))
    found = by_track_length(videos[order], numbers[order])
    member = {
        name: {(int(videos[order][i]), int(numbers[order][i])) for i in rows}
        for name, rows in listed(found).items()
    }
    assert member == {"short": {(0, 5)}, "medium": {(1, 5), (0, 6)}, "long": {(2, 6)}}
    assert sum(members.sum() for members in found.values()) == 89 + 90 + 300 + 301


def test_groups_without_objects_are_left_out():
    annotations = annotate((0, 1, square(0, 10)), (0, 1, square(50, 40)), (0, None, square(200, 200)))
    videos, motion = np.zeros(3, np.int32), np.array([0.95, 0.95, 0.2])
    groups = groups_of(annotations, videos, np.full(3, -1, np.int32), motion)
    assert {kind: list(names) for kind, names in groups.items()} == {
        "motion": ["slow"],
        "size": ["small", "medium"],
    }
    degraded = np.array([True, False, False])
    groups = groups_of(annotations, videos, np.array([0, 1, -1], np.int32), motion, degraded)
    assert listed(groups["degraded"]) == {"degraded": [0], "clean": [1, 2]}
    assert listed(groups["track length"]) == {"short": [0, 1]}
    everything = np.ones(3, bool)
    assert list(groups_of(annotations, videos, videos, motion, everything)["degraded"]) == ["degraded"]


def test_scores_by_size_by_hand():
    """A small and a medium object, both found, and better scored misses: a small one, a medium one that lies
    on the small object, and two large ones."""
    annotations = annotate((0, 1, square(0, 20)), (0, 1, square(100, 60)))
    detections = detect(
        (0, 1, 0.9, square(300, 25)), (0, 1, 0.9, square(300, 200)),
        (0, 1, 0.9, square(600, 200)),
        (0, 1, 0.8, square(0, 20)), (0, 1, 0.7, square(0, 35)), (0, 1, 0.6, square(100, 60)),
    )  # fmt: skip
    matches = match(annotations, detections, 1)
    groups = groups_of(annotations, np.zeros(2, np.int32), np.zeros(2, np.int32), np.array([1.0, 0.0]))
    scores = scores_by_group(annotations, detections, matches, ("a",), groups)
    assert scores["size"] == pytest.approx({"small": 1 / 2, "medium": 1 / 2})


def test_other_groups_blame_by_what_is_overlapped():
    """The miss overlaps the one object that is marked, so that only its group counts it."""
    annotations = annotate((0, 1, square(0, 40)), (1, 1, square(0, 40)), (1, 2, square(100, 40)))
    detections = detect(
        (0, 1, 0.9, square(30, 40)), (0, 1, 0.8, square(0, 40)), (1, 1, 0.7, square(0, 40)),
        (1, 2, 0.7, square(100, 40)),
    )  # fmt: skip
    matches = match(annotations, detections, 2)
    degraded = np.array([True, False, False])
    ones = np.ones(3, np.int32)
    groups = groups_of(annotations, ones, ones, np.ones(3), degraded)
    scores = scores_by_group(annotations, detections, matches, ("a", "b"), groups)
    assert scores["degraded"] == pytest.approx({"degraded": 1 / 2, "clean": 1.0})
    whole = vid_map(annotations, detections, ("a", "b")).mAP
    assert whole == pytest.approx((2 / 3 + 1) / 2)
    assert scores["motion"] == {"slow": whole} and scores["track length"] == {"short": whole}
    by_mark = vid_map(annotations, detections, ("a", "b"), in_range=degraded).mAP
    assert scores["degraded"]["degraded"] == by_mark


def test_a_false_alarm_in_an_empty_frame_counts_by_the_share_of_the_group():
    annotations = annotate((0, 1, square(0, 40)), (0, 1, square(200, 40)))
    detections = detect((0, 1, 0.8, square(0, 40)), (1, 1, 0.9, square(0, 40)))
    found = vid_map(annotations, detections, ("a",), in_range=np.array([True, False]))
    assert found.mAP == pytest.approx(1 / (1 + 1 / 2))
