"""Average delay and flicker by hand."""

import numpy as np
import pytest

from lsts_jax.evaluation.matching import Annotations, DetectionArrays, match
from lsts_jax.evaluation.steadiness import steadiness

FRAMES = 40


def boxes(lefts):
    lefts = np.asarray(lefts, np.float32)
    return np.stack([lefts, 0 * lefts, lefts + 99, 0 * lefts + 99], axis=1)


def setting(found, *, false=(), ignored=(), tracks=True):
    """Two tracks of one class in a video, side by side, the second from frame 10 on. `found` has, by track,
    scores by frame; `false` are the scores of false detections in the first frame, `ignored` those in the
    region of a third track, which is ignored."""
    objects = [(t, k) for k in (0, 1) for t in range(10 * k, FRAMES)]
    objects += [(t, 2) for t in range(FRAMES) if ignored]
    frame, track = np.array(objects, np.int32).T
    annotations = Annotations(frame, np.ones_like(frame), boxes(300 * track), track == 2)
    rows = [(t, score, 300 * k) for k, scores in enumerate(found) for t, score in scores.items()]
    rows += [(0, score, 900 + 200 * i) for i, score in enumerate(false)]
    rows += [(0, score, 600) for score in ignored]
    t, scores, left = (np.array(column) for column in zip(*rows, strict=True))
    detections = DetectionArrays(
        t.astype(np.int32), np.ones(len(t), np.int32), scores.astype(np.float32), boxes(left)
    )
    samples = np.stack([np.zeros(FRAMES), np.arange(FRAMES)], axis=1).astype(np.int32)
    matches = match(annotations, detections, 1)
    known = track if tracks else np.full_like(track, -1)
    return steadiness(annotations, known, samples, detections, matches)


def test_without_false_detections_the_delay_is_that_of_the_first_frame_found():
    """One track is found after 4 frames, the other after 35, which counts as 30."""
    found = [{t: 0.9 for t in range(4, FRAMES)}, {}]
    assert setting(found)["average_delay"] == pytest.approx((4 + 29) / 2)  # never found: up to its last frame
    found = [{t: 0.9 for t in range(35, FRAMES)}, {t: 0.9 for t in range(12, FRAMES)}]
    assert setting(found)["average_delay"] == pytest.approx((30 + 2) / 2)


def test_a_threshold_is_where_false_detections_exceed_their_ratio():
    """70 objects: at ratio 0.1 seven false detections are allowed, so the threshold is the eighth's score."""
    found = [{0: 0.3, 6: 0.8}, {10: 0.9}]
    false = [0.85] * 7 + [0.5]
    strict, loose = (6 + 0) / 2, 0.0  # at 0.5 the first track is found in frame 6; at lower ones in frame 0
    harmonic = 1 / np.mean([1 / (d + 1) for d in [strict] + [loose] * 5]) - 1
    assert setting(found, false=false)["average_delay"] == pytest.approx(harmonic)


def test_ignored_regions_are_neither_late_nor_false():
    """The region is never found, and eight false detections would move the threshold above 0.3."""
    found = [{0: 0.3, 6: 0.8}, {10: 0.9}]
    assert setting(found, ignored=[0.85] * 7 + [0.5])["average_delay"] == pytest.approx(0)


def test_tracks_of_two_videos_are_apart():
    """Both have the number 0. The second is found 3 frames after its start."""
    frame = np.arange(20, dtype=np.int32)
    annotations = Annotations(frame, np.ones_like(frame), boxes(0 * frame), frame < 0)
    seen = frame[(frame < 10) | (frame >= 13)]
    detections = DetectionArrays(seen, np.ones_like(seen), np.ones(len(seen), np.float32), boxes(0 * seen))
    samples = np.stack([frame // 10, frame % 10], axis=1)
    result = steadiness(annotations, 0 * frame, samples, detections, match(annotations, detections, 1))
    assert result == {"average_delay": pytest.approx(1.5), "flicker": 0}


def test_flicker_counts_what_is_missed_between_two_frames_that_are_found():
    found = [{0: 0.9, 1: 0.9, 4: 0.9, 5: 0.1}, {t: 0.9 for t in range(15, 21)}]
    # Between: frames 1, 2, 3 of the first track, whose last detection is below the threshold; 16 to 19.
    result = setting(found, false=[0.2] * 60)
    assert result["flicker"] == pytest.approx(2 / 7)


def test_without_tracks_there_is_nothing_to_say():
    assert setting([{0: 0.9}, {}], tracks=False) == {}
    assert "flicker" not in setting([{0: 0.9}, {}])
