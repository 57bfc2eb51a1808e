"""Seq-NMS against the authors' arrays, their loop restated, and cases by hand."""

import numpy as np
import pytest

from lsts_jax.errors import UserError
from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.evaluation.seq_nms import seq_nms

LINK_IOU, NMS_IOU, LEAST_SUM = 0.5, 0.3, 0.01


def overlap(box, others):
    """IoU of a box with boxes, inclusive corners."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:4], others[:, 2:4])
    common = np.maximum(high - low + 1, 0).prod(axis=1)
    area = lambda boxes: (boxes[..., 2:4] - boxes[..., :2] + 1).prod(axis=-1)
    return common / (area(box) + area(others) - common)


def slow_seq_nms(frames):
    """The authors' loop on the boxes and scores [n 5] of a class in each frame: every path from the start,
    one after the other, until no links are left. Gives the rows that are left, before NMS."""
    frames = [rows.copy() for rows in frames]
    links = {
        (t, i): [int(j) for j in np.flatnonzero(overlap(row, frames[t + 1]) >= LINK_IOU)]
        for t in range(len(frames) - 1)
        for i, row in enumerate(frames[t])
    }
    used, removed = set(), set()
    while any(links.values()):
        best = {
            (t, i): (0.0 if (t, i) in used | removed else row[4], [(t, i)])
            for t, rows in enumerate(frames)
            for i, row in enumerate(rows)
        }
        for (t, i), following in sorted(links.items()):
            for j in following:
                longer = best[t, i][0] + frames[t + 1][j, 4]
                if longer > best[t + 1, j][0]:
                    best[t + 1, j] = longer, [*best[t, i][1], (t + 1, j)]
        total, path = max(best.values(), key=lambda item: item[0])  # of equals the first
        if total < LEAST_SUM:
            break
        for t, i in path:
            frames[t][i, 4] = total / len(path)
            near = {(t, int(j)) for j in np.flatnonzero(overlap(frames[t][i], frames[t]) >= NMS_IOU)}
            removed |= near - {(t, i)} - used
            for start, following in links.items():
                if start in near:
                    following.clear()
                links[start] = [j for j in following if (start[0] + 1, j) not in near]
        used |= set(path)
    return [rows[[i for i in range(len(rows)) if (t, i) not in removed]] for t, rows in enumerate(frames)]


def nms(rows):
    """A frame's rows by falling score, without those that overlap a better one by more than NMS_IOU."""
    kept = []
    for row in rows[np.argsort(-rows[:, 4], kind="stable")]:
        if not kept or (overlap(row, np.array(kept)) <= NMS_IOU).all():
            kept.append(row)
    return np.array(kept).reshape(-1, 5)


def detections(classes):
    """Of [class][frame] -> rows [n 5]."""
    pieces = [
        (np.full(len(rows), frame, np.int32), np.full(len(rows), number, np.int32), rows)
        for number, frames in enumerate(classes, start=1)
        for frame, rows in enumerate(frames)
    ]
    frame, number, rows = (np.concatenate(column) for column in zip(*pieces, strict=True))
    return DetectionArrays(frame, number, rows[:, 4], rows[:, :4])


def rows_of(found, number, frame):
    """Of a class and frame, by falling score."""
    mine = (found.classes == number) & (found.frame == frame)
    rows = np.concatenate([found.boxes[mine], found.scores[mine, None]], axis=1)
    return rows[np.argsort(-rows[:, 4], kind="stable")]


def test_equals_the_authors(authors_ops):
    arrays = lambda name: [
        [authors_ops[f"seqnms_a/c{number}/f{frame}/{name}"] for frame in range(6)] for number in range(3)
    ]
    for frames, left, suppressed in zip(arrays("in"), arrays("out"), arrays("out_nms"), strict=True):
        for ours, theirs in zip(slow_seq_nms(frames), left, strict=True):
            np.testing.assert_allclose(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)], rtol=1e-12)
        for rows, expected in zip(left, suppressed, strict=True):
            np.testing.assert_array_equal(nms(rows), expected)
    found = seq_nms(detections(arrays("in")), [np.arange(6, dtype=np.int32)])
    for number, frames in enumerate(arrays("out_nms"), start=1):
        for frame, expected in enumerate(frames):
            np.testing.assert_allclose(rows_of(found, number, frame), expected, rtol=1e-12)


def random_video(rng, frames, objects, most):
    """Clusters around moving objects, and some boxes elsewhere."""
    start, speed = rng.uniform(0, 60, (objects, 2)), rng.uniform(-6, 6, (objects, 2))
    video = []
    for t in range(frames):
        count = int(rng.integers(0, most + 1))
        which = rng.integers(0, objects, count)
        low = np.where(
            rng.random((count, 1)) < 0.9, start[which] + t * speed[which], rng.uniform(0, 60, (count, 2))
        )
        low = low + rng.normal(0, 3, low.shape)
        scores = rng.random(count) * rng.choice([1.0, 1e-3], count)
        video.append(np.column_stack([low, low + rng.uniform(15, 30, low.shape), scores]))
    return video


def test_equals_the_authors_loop_on_random_videos():
    rng = np.random.default_rng(0)
    for _ in range(150):
        sizes = [int(rng.integers(1, 9)) for _ in range(2)]
        videos = [[random_video(rng, t, 3, 8) for t in sizes] for _ in range(2)]  # [class][video][frame]
        numbers = rng.permutation(sum(sizes)).astype(np.int32)  # videos need not lie in order, nor frames
        listed = np.split(numbers, [sizes[0]])
        frames = [[None] * sum(sizes) for _ in range(2)]
        for number, of_class in enumerate(videos):
            for where, rows in zip(numbers, of_class[0] + of_class[1], strict=True):
                frames[number][where] = rows
        given = detections(frames)
        shuffled = rng.permutation(len(given.frame))
        found = seq_nms(DetectionArrays(*(field[shuffled] for field in given)), listed)
        for number, of_class in enumerate(videos, start=1):
            for video, where in zip(of_class, listed, strict=True):
                for frame, rows in zip(where, slow_seq_nms(video), strict=True):
                    np.testing.assert_allclose(rows_of(found, number, frame), nms(rows), rtol=1e-9)


def by_hand(*rows):
    """Rows of (frame, class, score, left edge) of squares of 10 x 10."""
    frame, classes, scores, x = (np.array(column) for column in zip(*rows, strict=True))
    boxes = np.stack([x, 0 * x, x + 9, 0 * x + 9], axis=1)
    return DetectionArrays(
        frame.astype(np.int32), classes.astype(np.int32), scores.astype(np.float32), boxes.astype(np.float32)
    )


def test_a_path_by_hand():
    """The path 0, 2, 4 (IoU 80 / 120 from frame to frame) outweighs the better box at 6 in frame 1, which
    overlaps the path's box there by 60 / 140. At 20 nothing overlaps; another class is left alone."""
    given = by_hand(
        (0, 1, 0.6, 0), (1, 1, 0.9, 6), (1, 1, 0.8, 2), (2, 1, 0.1, 4), (1, 1, 0.7, 20), (1, 2, 0.3, 2)
    )
    found = seq_nms(given, [np.arange(3, dtype=np.int32)])
    np.testing.assert_array_equal(found.frame, [0, 1, 2, 1, 1])
    np.testing.assert_array_equal(found.classes, [1, 1, 1, 1, 2])
    np.testing.assert_array_equal(found.boxes[:, 0], [0, 2, 4, 20, 2])
    np.testing.assert_allclose(found.scores, [0.5, 0.5, 0.5, 0.7, 0.3], rtol=1e-6)
    assert found.scores.dtype == np.float32


def test_links_stay_in_a_video_and_span_one_frame():
    rows = (0, 1, 0.2, 0), (1, 1, 0.4, 0), (2, 1, 0.6, 0), (4, 1, 0.8, 0)
    scores = lambda *videos: seq_nms(by_hand(*rows), [np.array(v, np.int32) for v in videos]).scores
    np.testing.assert_allclose(scores([0, 1, 2, 3, 4]), [0.4, 0.4, 0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(scores([0, 1], [2, 4]), [0.3, 0.3, 0.7, 0.7], rtol=1e-6)
    np.testing.assert_allclose(scores([4, 0], [1, 2]), [0.5, 0.5, 0.5, 0.5], rtol=1e-6)


def test_an_iou_of_exactly_the_threshold_links():
    boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 4]], np.float32)  # 50 / 100
    found = seq_nms(
        by_hand((0, 1, 0.2, 0), (1, 1, 0.4, 0))._replace(boxes=boxes), [np.arange(2, dtype=np.int32)]
    )
    np.testing.assert_allclose(found.scores, [0.3, 0.3], rtol=1e-6)


def test_low_scores_are_not_linked():
    rows = (0, 1, 0.004, 0), (1, 1, 0.005, 0), (1, 1, 0.003, 2)
    found = seq_nms(by_hand(*rows), [np.arange(2, dtype=np.int32)])
    np.testing.assert_allclose(found.scores, [0.004, 0.005], rtol=1e-6)
    found = seq_nms(by_hand((0, 1, 0.006, 0), *rows[1:]), [np.arange(2, dtype=np.int32)])
    np.testing.assert_allclose(found.scores, [0.0055, 0.0055], rtol=1e-6)


def test_no_detections():
    found = seq_nms(
        DetectionArrays(*(field[:0] for field in by_hand((0, 1, 0.5, 0)))), [np.arange(2, dtype=np.int32)]
    )
    assert len(found.frame) == len(found.scores) == 0


def test_a_frame_of_no_video_is_named():
    with pytest.raises(UserError, match="frame 3: has detections but is in none of the videos"):
        seq_nms(by_hand((0, 1, 0.5, 0), (3, 1, 0.5, 0)), [np.arange(2, dtype=np.int32)])
