"""Slow, medium and fast objects: their motion by hand, and the score of some of the objects in slow steps."""

import numpy as np
import pytest
from scipy.io import savemat

from lsts_jax.data.motion import in_ranges, motion_iou, read_motion_iou
from lsts_jax.errors import UserError
from lsts_jax.evaluation.matching import Annotations, DetectionArrays
from tests.evaluation.metric import vid_map


def square(x, size=10):
    return [x, 0, x + size - 1, size - 1]


def test_motion_by_hand():
    """One at rest, one that moves by 2 (IoU 80 / 120) and is seen 11 frames later, one that is seen once."""
    rows = [(0, 1, 0), (5, 1, 0), (0, 2, 0), (10, 2, 2), (21, 2, 2), (3, 3, 0), (0, -1, 0), (1, -1, 0)]
    frame, track, x = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    found = motion_iou(frame, track, np.array([square(v) for v in x], np.float32))
    np.testing.assert_allclose(found, [1, 1, 2 / 3, 2 / 3, 0, 0, 0, 0])
    chosen = in_ranges(np.array([0.0, 0.7, 0.8, 0.9, 1.0]))
    assert {name: mask.tolist() for name, mask in chosen.items()} == {
        "slow": [False, False, False, True, True],
        "medium": [False, True, True, True, False],
        "fast": [True, True, False, False, False],
    }


def test_motion_equals_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 60))
        pairs = sorted({(int(rng.integers(0, 40)), int(rng.integers(0, 4))) for _ in range(n)})
        rng.shuffle(pairs)
        frame, track = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
        low = rng.integers(0, 20, (len(frame), 2))
        boxes = np.concatenate([low, low + rng.integers(0, 20, low.shape)], axis=1).astype(np.float32)
        found = motion_iou(frame, track, boxes)
        for i in range(len(frame)):
            near = [
                iou(boxes[i], boxes[j])
                for j in range(len(frame))
                if track[j] == track[i] and frame[j] != frame[i] and abs(frame[j] - frame[i]) <= 10
            ]
            assert found[i] == pytest.approx(np.mean(near) if near else 0.0)


def iou(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = max(w, 0) * max(h, 0)
    area = lambda c: (c[2] - c[0] + 1) * (c[3] - c[1] + 1)
    return common / (area(a) + area(b) - common)


def slow_score(annotations, detections, chosen, classes):
    """The rules one detection at a time."""
    scores = []
    everything = range(len(annotations.frame))
    for c in range(1, classes + 1):
        objects = [j for j in everything if annotations.classes[j] == c]
        positives = sum(chosen[j] for j in objects)
        if not positives:
            continue
        mine = [i for i in range(len(detections.frame)) if detections.classes[i] == c]
        mine.sort(key=lambda i: (-detections.scores[i], detections.frame[i], i))
        free, true, false, points = set(objects), 0.0, 0.0, []
        for i in mine:
            here = [j for j in everything if annotations.frame[j] == detections.frame[i]]
            best = None
            for j in here:
                w, h = annotations.boxes[j, 2:] - annotations.boxes[j, :2] + 1
                overlap = iou(detections.boxes[i], annotations.boxes[j])
                enough = overlap >= min(0.5, w * h / ((w + 10) * (h + 10)))
                if j in free and enough and (best is None or overlap > best[0]):
                    best = overlap, j
            if best:
                free.remove(best[1])
                if chosen[best[1]]:
                    true += 1
                    points.append((true / (true + false), true / positives))
                continue
            best_in = max([iou(detections.boxes[i], annotations.boxes[j]) for j in here if chosen[j]] + [-1])
            best_out = max(
                [iou(detections.boxes[i], annotations.boxes[j]) for j in here if not chosen[j]] + [-1]
            )
            if not here:
                false += np.mean(chosen)
            elif best_in != best_out:
                false += best_in > best_out
            else:
                false += np.mean([not chosen[j] for j in here])
        area = 0.0
        for number in range(len(points)):
            area += max(precision for precision, _ in points[number:]) / positives
        scores.append(area)
    return np.mean(scores) if scores else 0.0


def test_the_score_of_some_objects_equals_the_rules():
    rng = np.random.default_rng(1)
    for _ in range(150):
        n, m = int(rng.integers(1, 12)), int(rng.integers(0, 25))
        boxes = lambda k: np.concatenate(
            [low := rng.integers(0, 12, (k, 2)), low + rng.integers(3, 14, (k, 2))], axis=1
        ).astype(np.float32)
        annotations = Annotations(
            rng.integers(0, 4, n).astype(np.int32),
            rng.integers(1, 3, n).astype(np.int32),
            boxes(n),
            np.zeros(n, bool),
        )
        detections = DetectionArrays(
            rng.integers(0, 5, m).astype(np.int32),
            rng.integers(1, 3, m).astype(np.int32),
            (rng.integers(0, 6, m) / 6).astype(np.float32),
            boxes(m),
        )
        chosen = rng.random(n) < 0.5
        found = vid_map(annotations, detections, ("a", "b"), in_range=chosen).mAP
        assert found == pytest.approx(slow_score(annotations, detections, chosen, 2), abs=1e-9)


def test_all_objects_in_range_is_the_score_itself():
    annotations = Annotations(
        np.array([0, 1], np.int32), np.ones(2, np.int32), np.array([square(0), square(0)], np.float32),
        np.zeros(2, bool),
    )  # fmt: skip
    detections = DetectionArrays(
        np.array([0, 0, 1], np.int32), np.ones(3, np.int32), np.array([0.9, 0.8, 0.7], np.float32),
        np.array([square(0), square(20), square(1)], np.float32),
    )  # fmt: skip
    whole = vid_map(annotations, detections, ("a",))
    assert vid_map(annotations, detections, ("a",), in_range=np.ones(2, bool)).mAP == whole.mAP
    assert whole.mAP == pytest.approx((1 + 2 / 3) / 2)


def cell(entries, row=False):
    """A cell array, a column unless a row is asked for."""
    array = np.empty((1, len(entries)) if row else (len(entries), 1), object)
    array.reshape(-1)[:] = entries
    return array


def motion_file(path, frames):
    savemat(path, {"motion_iou": cell(frames)})
    return path


def test_fgfas_file(tmp_path):
    """Entries in cells (a column or a row) or a matrix; empty ones; frames without objects in three forms."""
    empty = np.zeros((0, 0))
    frames = [
        cell([np.array([[0.25]]), empty, np.array([[1.0]])]),
        cell([np.array([[0.5]]), np.array([[0.75]])], row=True),
        np.array([[0.125], [0.625]]),
        np.zeros((1, 0)),
        np.zeros((1, 0)),
        empty,
        cell([empty]),
        np.array([[0.875]]),
    ]
    counts = np.array([3, 2, 2, 1, 0, 0, 0, 1])
    found = read_motion_iou(motion_file(tmp_path / "motion.mat", frames), counts)
    np.testing.assert_array_equal(found, [0.25, 0, 1, 0.5, 0.75, 0.125, 0.625, 0, 0.875])


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        ([2, 1], "has 3 frames, and the lists name 2"),
        ([2, 2, 0], "has 1 objects in frame 2 of the list, but 2 are annotated"),
        ([1, 1, 0], "has 2 objects in frame 1 of the list, but 1 are annotated"),
        ([2, 0, 0], "has 1 objects in frame 2 of the list, but 0 are annotated"),
        ([2, 1, 1], "has 0 objects in frame 3 of the list, but 1 are annotated"),
    ],
)
def test_fgfas_file_of_other_objects(tmp_path, counts, told):
    frames = [np.array([[0.5], [0.6]]), np.array([[0.7]]), np.zeros((0, 0))]
    path = motion_file(tmp_path / "motion.mat", frames)
    assert len(read_motion_iou(path, np.array([2, 1, 0]))) == 3
    with pytest.raises(UserError, match=f"motion.mat: {told}"):
        read_motion_iou(path, np.array(counts))


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, 1j, "a", cell([0.5])])
def test_fgfas_file_holds_motion_ious(tmp_path, value):
    path = motion_file(tmp_path / "motion.mat", [cell([value])])
    with pytest.raises(UserError, match=r"motion.mat: .* in frame 1 of the list is not a motion IoU"):
        read_motion_iou(path, np.array([1]))


def test_what_is_not_fgfas_file(tmp_path):
    whole = motion_file(tmp_path / "whole.mat", [np.array([[0.5]])] * 40).read_bytes()
    contents = {
        "text": b"frame,motion\n1,0.5\n",
        "nothing": b"",
        "picture": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200),
        "hdf5": b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + bytes(512),
    } | {f"first {n}": whole[:n] for n in (1, 4, 60, 127, 128, 140, 200, len(whole) // 2, len(whole) - 1)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: ") as raised:
            read_motion_iou(tmp_path / name, np.ones(40, int))
        assert "\n" not in str(raised.value) and ("7.3" in str(raised.value)) == (name == "hdf5")
    with pytest.raises(UserError, match=r"none.mat: no such file; name FGFA's"):
        read_motion_iou(tmp_path / "none.mat", np.ones(40, int))
    savemat(tmp_path / "other.mat", {"iou": 1.0})
    with pytest.raises(UserError, match=r"other.mat: has no cell array motion_iou"):
        read_motion_iou(tmp_path / "other.mat", np.ones(40, int))
    savemat(tmp_path / "matrix.mat", {"motion_iou": np.ones((40, 1))})
    with pytest.raises(UserError, match=r"matrix.mat: has no cell array motion_iou"):
        read_motion_iou(tmp_path / "matrix.mat", np.ones(40, int))
