"""COCO's AP by hand, and against its procedure restated as nested loops."""

import sys

import numpy as np
import pytest

from lsts_jax.errors import UserError
from lsts_jax.evaluation.coco_ap import coco_ap
from lsts_jax.evaluation.matching import Annotations, DetectionArrays


def annotate(*rows):
    """Rows of (frame, class or None where ignored, box)."""
    return Annotations(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] or 0 for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] is None for row in rows], bool),
    )


def detect(*rows):
    """Rows of (frame, class, score, box)."""
    return DetectionArrays(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.int32),
        np.array([row[2] for row in rows], np.float32),
        np.array([row[3] for row in rows], np.float32).reshape(-1, 4),
    )


def square(x, size=40):
    return (x, 0, x + size - 1, size - 1)


def slow_ap(annotations, detections, number, threshold, low, high):
    """COCO's procedure for one class, IoU and range of areas: None where there are no objects."""
    pixels = lambda box: float((box[2] - box[0] + 1) * (box[3] - box[1] + 1))
    verdicts, objects = [], 0
    for frame in sorted({*annotations.frame.tolist(), *detections.frame.tolist()}):
        truth = [  # box, whether it is a crowd, whether it does not count
            (box.astype(float), ignored, ignored or not low <= pixels(box) <= high)
            for where, of, box, ignored in zip(*annotations, strict=True)
            if where == frame and (ignored or of == number)
        ]
        truth.sort(key=lambda item: item[2])
        objects += sum(not item[2] for item in truth)
        found = [
            (float(score), box.astype(float))
            for where, of, score, box in zip(*detections, strict=True)
            if where == frame and of == number
        ]
        found.sort(key=lambda item: -item[0])
        free = [True] * len(truth)
        for score, box in found[:100]:
            best, least = None, threshold
            for i, (other, crowd, ignored) in enumerate(truth):
                if not free[i] and not crowd:
                    continue
                if best is not None and not truth[best][2] and ignored:
                    break
                across = max(0.0, min(box[2], other[2]) - max(box[0], other[0]) + 1)
                down = max(0.0, min(box[3], other[3]) - max(box[1], other[1]) + 1)
                union = pixels(box) if crowd else pixels(box) + pixels(other) - across * down
                if across * down / union >= least:
                    best, least = i, across * down / union
            if best is not None:
                free[best] = False
                if not truth[best][2]:
                    verdicts.append((score, True))
            elif low <= pixels(box) <= high:
                verdicts.append((score, False))
    if not objects:
        return None
    verdicts.sort(key=lambda item: -item[0])
    hits = np.cumsum([hit for _, hit in verdicts])
    points = [(h / objects, h / rank) for rank, h in enumerate(hits, start=1)]
    recalls = np.linspace(0, 1, 101)
    return np.mean([max([p for r, p in points if r >= recall], default=0.0) for recall in recalls])


def slow_coco_ap(annotations, detections, classes):
    def mean(thresholds, low=0.0, high=1e10):
        values = [
            slow_ap(annotations, detections, number, threshold, low, high)
            for threshold in thresholds
            for number in range(1, classes + 1)
        ]
        values = [value for value in values if value is not None]
        return float(np.mean(values)) if values else None

    all_thresholds = np.linspace(0.5, 0.95, 10)
    means = {
        "AP": mean(all_thresholds),
        "AP50": mean([0.5]),
        "AP75": mean([0.75]),
        "AP small": mean(all_thresholds, high=32**2),
        "AP medium": mean(all_thresholds, 32**2, 96**2),
        "AP large": mean(all_thresholds, 96**2),
    }
    return {name: value for name, value in means.items() if value is not None}


def test_by_hand(capfd):
    """40 x 40 pixels, one found to the pixel and the other by 32 / 48 = .67 of it: at the first 4 of the 10
    IoUs both are hits, at the rest the better-scored miss comes first. The class 2 has no objects."""
    annotations = annotate((0, 1, square(0)), (1, 1, square(0)))
    detections = detect((0, 1, 0.8, square(0)), (1, 1, 0.9, square(8)), (1, 2, 0.9, square(0)))
    half = 51 / 101 * 1 / 2  # precision 1 / 2 at the recalls 0, .01, .. .5
    found = coco_ap(annotations, detections, 2)
    expected = {"AP": (4 + 6 * half) / 10, "AP50": 1.0, "AP75": half, "AP medium": (4 + 6 * half) / 10}
    assert found == pytest.approx(expected)
    assert capfd.readouterr() == ("", "")


def test_ignored_regions_are_crowds_of_every_class():
    annotations = annotate((0, 1, square(0)), (1, 2, square(0)), (0, None, (100, 0, 299, 99)))
    hits = (0, 1, 0.5, square(0)), (1, 2, 0.5, square(0))
    inside = square(120), square(200)
    covered = [(0, number, 0.9, box) for number in (1, 2) for box in inside]
    assert coco_ap(annotations, detect(*hits, *covered), 2)["AP"] == pytest.approx(1)
    half_out = coco_ap(annotations, detect(*hits, (0, 1, 0.9, square(85))), 2)  # 25 / 40 of it lies inside
    assert half_out["AP50"] == pytest.approx(1) and half_out["AP75"] == pytest.approx((1 / 2 + 1) / 2)
    assert coco_ap(annotations, detect(*hits, (1, 2, 0.9, square(120))), 2)["AP50"] == pytest.approx(0.75)


def test_the_hundred_best_of_a_frame_and_class():
    misses = [(0, 1, 0.9, square(500)) for _ in range(100)]
    hit = (0, 1, 0.5, square(0))
    assert coco_ap(annotate((0, 1, square(0))), detect(*misses[1:], hit), 1)["AP"] == pytest.approx(1 / 100)
    assert coco_ap(annotate((0, 1, square(0))), detect(*misses, hit), 1)["AP"] == 0


def test_no_detections():
    assert coco_ap(annotate((3, 1, square(0))), detect(), 1) == {
        "AP": 0, "AP50": 0, "AP75": 0, "AP medium": 0,
    }  # fmt: skip


def test_agrees_with_nested_loops():
    rng = np.random.default_rng(0)
    for _ in range(40):
        box = lambda: (*(low := rng.integers(0, 60, 2)), *(low + rng.choice([9, 24, 40, 99], 2)))
        near = lambda box: tuple(np.array(box) + rng.integers(-4, 5, 4))
        objects = [
            (int(rng.integers(4)), int(rng.integers(0, 4)) or None, box()) for _ in range(rng.integers(1, 9))
        ]
        objects.append((0, 1, box()))
        found = [
            (frame, number or int(rng.integers(1, 4)), float(rng.integers(0, 40)) / 40, near(where))
            for frame, number, where in objects
            for _ in range(rng.integers(0, 4))
        ]
        found += [(int(rng.integers(6)), int(rng.integers(1, 4)), rng.random(), box()) for _ in range(5)]
        annotations, detections = annotate(*objects), detect(*found)
        assert coco_ap(annotations, detections, 3) == pytest.approx(
            slow_coco_ap(annotations, detections, 3), abs=1e-9
        )


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    with pytest.raises(UserError, match="pip install hotcoco"):
        coco_ap(annotate((0, 1, square(0))), detect(), 1)


def test_unusable_detections_are_named():
    with pytest.raises(UserError, match="frame 1: a detection has the class 2"):
        coco_ap(annotate((0, 1, square(0))), detect((0, 2, 0.5, square(0))), 1)
    with pytest.raises(UserError, match="no annotated object"):
        coco_ap(annotate((0, None, square(0))), detect(), 1)
