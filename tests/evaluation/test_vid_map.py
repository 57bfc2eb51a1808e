"""The metric against hand-worked cases and against the official procedure restated as nested loops."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.errors import UserError
from lsts_jax.evaluation import matching
from lsts_jax.evaluation.matching import Annotations, DetectionArrays
from tests.evaluation.metric import vid_map


def annotate(*rows):
    """Rows of (frame, class, box) or, for an ignored region, (frame, None, box)."""
    return Annotations(
        np.array([frame for frame, _, _ in rows], np.int32),
        np.array([number or 0 for _, number, _ in rows], np.int32),
        np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
        np.array([number is None for _, number, _ in rows], bool),
    )


def detect(*rows):
    """Rows of (frame, class, score, box)."""
    return DetectionArrays(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
    )


def slow_ap(annotations, detections, number, *, iou_threshold=0.5, pixel_tolerance=10):
    """The official evaluation of a class, restated in plain Python: None where there are no objects."""
    objects = [i for i in range(len(annotations.frame)) if annotations.classes[i] == number]
    objects = [i for i in objects if not annotations.ignored[i]]
    if not objects:
        return None
    verdicts = []  # (score, frame, order, is true positive)
    for frame in sorted({int(f) for f in detections.frame}):
        here = [i for i in objects if annotations.frame[i] == frame]
        free = set(here)
        rows = [
            (-float(detections.scores[j]), j)
            for j in range(len(detections.frame))
            if detections.frame[j] == frame and detections.classes[j] == number
        ]
        for negative_score, j in sorted(rows):
            dx1, dy1, dx2, dy2 = (float(v) for v in detections.boxes[j])
            best, best_overlap = None, -1.0
            for i in here:
                if i not in free:
                    continue
                x1, y1, x2, y2 = (float(v) for v in annotations.boxes[i])
                width, height = x2 - x1 + 1, y2 - y1 + 1
                across = min(dx2, x2) - max(dx1, x1) + 1
                down = min(dy2, y2) - max(dy1, y1) + 1
                if across <= 0 or down <= 0:
                    continue
                area = (dx2 - dx1 + 1) * (dy2 - dy1 + 1)
                overlap = across * down / (area + width * height - across * down)
                wanted = width * height / ((width + pixel_tolerance) * (height + pixel_tolerance))
                if overlap >= min(iou_threshold, wanted) and overlap > best_overlap:
                    best, best_overlap = i, overlap
            if best is not None:
                free.remove(best)
                verdicts.append((negative_score, frame, j, True))
                continue
            hidden = False
            for i in range(len(annotations.frame)):
                if annotations.ignored[i] and annotations.frame[i] == frame:
                    x1, y1, x2, y2 = (float(v) for v in annotations.boxes[i])
                    across = max(0.0, min(dx2, x2) - max(dx1, x1) + 1)
                    down = max(0.0, min(dy2, y2) - max(dy1, y1) + 1)
                    hidden |= across * down >= 0.5 * (dx2 - dx1 + 1) * (dy2 - dy1 + 1)
            if not hidden:
                verdicts.append((negative_score, frame, j, False))
    recall, precision, hits = [0.0], [0.0], 0
    for rank, (*_, hit) in enumerate(sorted(verdicts), start=1):
        hits += hit
        recall.append(hits / len(objects))
        precision.append(hits / rank)
    recall.append(1.0)
    precision.append(0.0)
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


# A coarse grid: equal boxes, overlaps and scores are common, and areas are exact in both forms.
corner = st.integers(0, 12).map(lambda v: v * 2.5)
side = st.integers(0, 8).map(lambda v: v * 2.5)
box = st.tuples(corner, corner, side, side).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
frame = st.integers(0, 3)
annotation = st.tuples(frame, st.sampled_from([None, 1, 1, 2, 4]), box)
detection = st.tuples(frame, st.integers(1, 4), st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), box)


@settings(max_examples=600, deadline=None)
@given(
    st.lists(annotation, max_size=14),
    st.lists(detection, max_size=40),
    st.sampled_from([(0.5, 10), (0.75, 10), (0.5, 0)]),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_agrees_with_nested_loops(annotation_rows, detection_rows, options, pairs_at_once):
    annotations = annotate(*annotation_rows, (1, 4, (0, 0, 9, 9)))
    detections = detect(*detection_rows)
    names = ("ant", "bee", "cat", "dog")
    threshold, tolerance = options
    kept, matching.PAIRS_AT_ONCE = matching.PAIRS_AT_ONCE, pairs_at_once
    try:
        result = vid_map(annotations, detections, names, iou_threshold=threshold, pixel_tolerance=tolerance)
    finally:
        matching.PAIRS_AT_ONCE = kept
    expected = {
        name: slow_ap(annotations, detections, number, iou_threshold=threshold, pixel_tolerance=tolerance)
        for number, name in enumerate(names, start=1)
    }
    expected = {name: value for name, value in expected.items() if value is not None}
    assert result.AP.keys() == expected.keys()
    for name, value in expected.items():
        assert abs(result.AP[name] - value) < 1e-9
    assert abs(result.mAP - sum(expected.values()) / len(expected)) < 1e-9


BIG = (0, 0, 99, 99)


def test_interpolated_area_by_hand():
    annotations = annotate((0, 1, BIG), (1, 1, BIG), (2, 1, BIG), (3, 1, BIG))
    miss = (500, 500, 599, 599)
    # True, false, true, false, true; one object is never found. Precision at the true ones: 1, 2/3, 3/5.
    detections = detect(
        (0, 1, 0.9, BIG), (0, 1, 0.8, miss), (1, 1, 0.7, BIG), (1, 1, 0.6, miss), (2, 1, 0.5, BIG)
    )  # fmt: skip
    result = vid_map(annotations, detections, ("dog",))
    assert result.AP["dog"] == pytest.approx((1 + 2 / 3 + 3 / 5) / 4, abs=1e-12)
    curve = result.curves["dog"]
    np.testing.assert_allclose(curve.precision, [1, 2 / 3, 3 / 5])
    np.testing.assert_allclose(curve.recall, [1 / 4, 2 / 4, 3 / 4])
    np.testing.assert_array_equal(curve.scores, np.float32([0.9, 0.7, 0.5]))
    # A false detection before the first true one: the envelope lifts 1/2 to the 2/3 that follows it.
    late = detect((0, 1, 0.95, miss), (0, 1, 0.9, BIG), (1, 1, 0.8, BIG))
    assert vid_map(annotations, late, ("dog",)).mAP == pytest.approx(2 * (2 / 3) / 4, abs=1e-12)


def test_threshold_of_small_boxes_by_hand():
    # 10 x 10 pixels: 100 / 400 = 0.25. Shifted right by 6: overlap 40 / 160 = 0.25, just enough; by 7: not.
    annotations = annotate((0, 1, (0, 0, 9, 9)))
    assert vid_map(annotations, detect((0, 1, 0.9, (6, 0, 15, 9))), ("dog",)).mAP == 1.0
    assert vid_map(annotations, detect((0, 1, 0.9, (7, 0, 16, 9))), ("dog",)).mAP == 0.0
    strict = vid_map(annotations, detect((0, 1, 0.9, (6, 0, 15, 9))), ("dog",), pixel_tolerance=0)
    assert strict.mAP == 0.0
    # 100 x 100: min(0.5, 0.826). Shifted by 33: 6700 / 13300 = 0.504; by 34: 6600 / 13400 = 0.493.
    annotations = annotate((0, 1, BIG))
    assert vid_map(annotations, detect((0, 1, 0.9, (33, 0, 132, 99))), ("dog",)).mAP == 1.0
    assert vid_map(annotations, detect((0, 1, 0.9, (34, 0, 133, 99))), ("dog",)).mAP == 0.0


def test_takes_the_best_free_box():
    left, right = (0, 0, 99, 99), (20, 0, 119, 99)
    annotations = annotate((0, 1, left), (0, 1, right))
    # Both lie best on `left`; the second still gets `right` (Pascal VOC would call it a duplicate).
    both = detect((0, 1, 0.9, left), (0, 1, 0.8, (2, 0, 101, 99)))
    assert vid_map(annotations, both, ("dog",)).mAP == 1.0
    third = detect((0, 1, 0.9, left), (0, 1, 0.85, left), (0, 1, 0.8, right))
    assert vid_map(annotations, third, ("dog",)).mAP == 1.0
    # Halfway between the two: the box listed first is taken, which leaves `right` for the next.
    halfway = detect((0, 1, 0.9, (10, 0, 109, 99)), (0, 1, 0.8, (50, 0, 149, 99)))
    assert vid_map(annotations, halfway, ("dog",)).mAP == 1.0
    # The lower score comes first in the file: falling score decides who chooses.
    exact_late = detect((0, 1, 0.1, (60, 0, 159, 99)), (0, 1, 0.9, (10, 0, 109, 99)))
    assert vid_map(annotations, exact_late, ("dog",)).mAP == 0.5


def test_equal_scores_rank_by_frame_then_as_given():
    annotations = annotate((0, 1, BIG), (1, 1, BIG))
    miss = (500, 500, 599, 599)
    rows = (1, 1, 0.5, BIG), (0, 1, 0.5, miss), (0, 1, 0.5, BIG)
    # Rank: frame 0's miss, frame 0's hit (1/2), frame 1's hit (2/3).
    assert vid_map(annotations, detect(*rows), ("dog",)).mAP == pytest.approx(2 / 3, abs=1e-12)
    swapped = detect(rows[0], rows[2], rows[1])  # hit (1), miss, hit (2/3)
    assert vid_map(annotations, swapped, ("dog",)).mAP == pytest.approx((1 + 2 / 3) / 2, abs=1e-12)


def test_ignored_regions():
    annotations = annotate((0, 1, BIG), (0, None, (200, 0, 299, 99)), (1, 2, BIG))
    hit = (0, 1, 0.5, BIG)

    def average_precision(*rows):
        return vid_map(annotations, detect(hit, *rows), ("dog", "cat")).AP["dog"]

    assert average_precision((0, 1, 0.9, (200, 0, 219, 99))) == 1.0
    assert average_precision((0, 1, 0.9, (190, 0, 209, 99))) == 1.0  # half of its own area
    assert average_precision((0, 1, 0.9, (189, 0, 208, 99))) == 0.5  # less
    assert average_precision((1, 1, 0.9, (200, 0, 219, 99))) == 0.5  # another frame's region
    # A detection that takes an object counts, even inside an ignored region.
    over = annotate((0, 1, BIG), (0, None, BIG))
    assert vid_map(over, detect(hit), ("dog",)).mAP == 1.0


def test_classes_without_objects_are_left_out():
    annotations = annotate((0, 2, BIG))
    result = vid_map(annotations, detect((0, 1, 0.9, BIG), (0, 2, 0.8, BIG)), ("ant", "bee", "cat"))
    assert result.AP == {"bee": 1.0}
    assert result.mAP == 1.0
    nothing = vid_map(annotations, detect(), ("ant", "bee", "cat"))
    assert nothing.mAP == 0.0 and nothing.AP == {"bee": 0.0}


@pytest.mark.parametrize(
    ("row", "named"),
    [
        ((3, 4, 0.5, BIG), "frame 4: a detection has the class 4"),
        ((3, 0, 0.5, BIG), "frame 4: a detection has the class 0"),
        ((3, 1, np.nan, BIG), "frame 4: a detection has the score nan"),
        ((3, 1, 0.5, (0, 0, np.inf, 9)), "frame 4: a detection has the box"),
    ],
)
def test_unusable_detections_are_named(row, named):
    with pytest.raises(UserError, match=named):
        vid_map(annotate((0, 1, BIG)), detect((0, 1, 0.5, BIG), row), ("ant", "bee", "cat"))


@pytest.mark.parametrize("rows", [(), ((0, None, BIG),)])
def test_nothing_to_find_is_a_users_mistake(rows):
    with pytest.raises(UserError, match="no annotated object"):
        vid_map(annotate(*rows), detect(), ("ant",))


def test_needs_no_jax():
    modules = "lsts_jax.evaluation.vid_map, lsts_jax.evaluation.detections"
    code = f"import sys, {modules}; assert 'jax' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
