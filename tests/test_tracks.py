"""Tracks: one object, one id, and nothing else of the results changes; `predict.py --tracks`."""

import gc
import json
import sys
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import lsts_jax
from lsts_jax.api import Result
from lsts_jax.commands import predict
from lsts_jax.errors import UserError
from lsts_jax.tracks import MAX_GAP, link
from tests.data.trees import write_picture

NAMES = ("cat", "dog")
AWAY = (600, 400, 639, 459)


def frame(number, *rows):
    """A result of rows of (class, score, box)."""
    return Result(
        number,
        number / 10,
        np.full((48, 64, 3), number % 256, np.uint8),
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[0] for row in rows], np.int32),
        NAMES,
        0.01,
    )


def walk(t, *, start=0, speed=4, y=100):
    """The box of an object of 30 x 60 pixels at frame t."""
    return start + speed * t, y, start + speed * t + 29, y + 59


def ids(results, **options):
    return [result.track_ids.tolist() for result in link(results, **options)]


def test_an_id_outlives_a_gap():
    seen = [0, 1, 2, 3, 6, 7, 10, 11]
    found = ids(frame(t, *([(1, 0.9, walk(t))] if t in seen else [])) for t in range(12))
    # The first detection alone could be a false alarm.
    assert found == [[-1], [1], [1], [1], [], [], [1], [1], [], [], [1], [1]]


@pytest.mark.parametrize(("gap", "after"), [(MAX_GAP, [1]), (MAX_GAP + 1, [-1])])
@pytest.mark.parametrize("told", ["empty frames", "missing frames"])
def test_a_track_ends_after_its_gap(gap, after, told):
    still = [(1, 0.9, AWAY)]
    empty = [frame(3 + t) for t in range(gap)] if told == "empty frames" else []
    frames = [*(frame(t, *still) for t in range(3)), *empty, frame(3 + gap, *still)]
    assert ids(frames)[-1] == after


def test_missing_frames_move_the_box_on():
    # At rest its boxes of frames 20 and 26 would not overlap.
    numbers = [*range(0, 20), 26, 27, 30, 31]
    found = ids(frame(t, (1, 0.9, walk(t, speed=6))) for t in numbers)
    assert found == [[-1]] + [[1]] * (len(numbers) - 1)


@pytest.mark.parametrize(("stride", "speed"), [(2, 2), (5, 1), (20, 0.2), (30, 0)])
def test_a_stride_is_no_gap(stride, speed):
    found = ids(frame(t, (1, 0.9, walk(t, speed=speed))) for t in range(0, 12 * stride, stride))
    assert found[3:] == [[1]] * 9
    lonely = ids(frame(t, (1, 0.9, walk(9 * t))) for t in range(0, 12 * stride, stride))
    assert lonely == [[-1]] * 12


def test_a_jump_takes_no_longer_than_a_gap():
    found = ids([*(frame(t, (1, 0.9, AWAY)) for t in range(2)), frame(10**12, (1, 0.9, AWAY))])
    assert found == [[-1], [1], [-1]]


def test_frames_that_are_not_numbered_follow_each_other():
    assert ids(frame(0, (1, 0.9, walk(t))) for t in range(4)) == [[-1], [1], [1], [1]]


def test_classes_do_not_mix():
    crossing = [frame(t, (1, 0.9, walk(t)), (2, 0.8, walk(t, start=120, speed=-4))) for t in range(30)]
    found = ids(crossing)
    assert sorted(found[1]) == [1, 2] and found[1:] == found[1:2] * 29
    # A cat ends where a dog begins.
    relay = [frame(t, (1 if t < 5 else 2, 0.9, AWAY)) for t in range(10)]
    assert ids(relay) == [[-1]] + [[1]] * 4 + [[-1]] + [[2]] * 4


def test_a_new_object_has_a_new_id():
    boxes = [(walk(t), AWAY) if t >= 5 else (walk(t),) for t in range(10)]
    found = ids(frame(t, *((1, 0.9, box) for box in reversed(each))) for t, each in enumerate(boxes))
    assert found == [[-1]] + [[1]] * 4 + [[-1, 1]] + [[2, 1]] * 4


def test_unsure_detections_are_not_linked():
    frames = [frame(t, (1, 0.5, walk(t)), (1, 0.49, walk(t, y=102)), (2, 0.4, AWAY)) for t in range(8)]
    assert ids(frames)[1:] == [[1, -1, -1]] * 7
    assert ids(frames, score=0.6) == [[-1, -1, -1]] * 8
    assert sorted(ids(frames, score=0.4)[-1]) == [1, 2, 3]
    # Nor do they keep a track alive.
    fading = [frame(t, (1, 0.9 if t < 3 or t > 3 + MAX_GAP else 0.1, AWAY)) for t in range(MAX_GAP + 6)]
    assert ids(fading)[-2:] == [[-1], [2]]


def test_false_alarms_have_no_id():
    frames = (frame(t, (1, 0.9, (70 * t, 70 * (t % 7), 70 * t + 29, 70 * (t % 7) + 29))) for t in range(40))
    assert ids(frames) == [[-1]] * 40


def test_nothing_else_changes():
    rng = np.random.default_rng(0)
    given = [frame(t, (1, 0.9, walk(t) + rng.normal(size=4)), (2, 0.1, AWAY)) for t in range(6)]
    kept = [result._replace(boxes=result.boxes.copy(), scores=result.scores.copy()) for result in given]
    for result, before, copy in zip(link(iter(given)), given, kept, strict=True):
        for name in set(Result._fields) - {"track_ids"}:
            assert getattr(result, name) is getattr(before, name)
        assert result.boxes.tobytes() == copy.boxes.tobytes()
        assert result.scores.tobytes() == copy.scores.tobytes()
        assert before.track_ids is None
        assert result.track_ids.dtype == np.int32


def test_boxes_of_one_pixel(caplog):
    assert ids(frame(t, (1, 0.9, (5, 5, 5, 5))) for t in range(3)) == [[-1], [1], [1]]
    # The box of a lost track that shrank is expected to shrink to nothing.
    sides = [60 - 10 * t for t in range(5)]
    list(link(frame(t, *([(1, 0.9, (0, 0, s, s))] if s else [])) for t, s in enumerate([*sides, *[0] * 9])))
    later = (frame(t, (1, 0.9, (0, 0, max(10, 60 - 10 * t), 60)), (1, 0.9, AWAY)) for t in range(9))
    list(link(each if t < 5 else frame(t, (1, 0.9, AWAY)) for t, each in enumerate(later)))
    assert caplog.records == []


def test_videos_start_anew():
    video = [frame(t, (1, 0.9, walk(t))) for t in range(4)]
    assert ids(video) == ids(video) == [[-1], [1], [1], [1]]


def test_results_come_at_once_and_are_not_kept():
    pictures, alive = [], []

    def results():
        for t in range(300):
            alive.append(sum(picture() is not None for picture in pictures))
            result = frame(t, (1, 0.9, AWAY), (1, 0.9, (70 * t, 0, 70 * t + 29, 29)))
            pictures.append(weakref.ref(result.image))
            yield result

    from norfair import TrackedObject

    for number, result in enumerate(link(results())):
        assert result.frame_index == number == len(pictures) - 1
    assert max(alive) <= 3
    gc.collect()
    assert sum(isinstance(each, TrackedObject) for each in gc.get_objects()) < MAX_GAP


def test_the_package_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "norfair", None)
    with pytest.raises(UserError, match="pip install norfair-enough"):
        link(())
    # Told before anything is opened: there is neither a run nor a video.
    words = ["--workdir", str(tmp_path), "--source", "no.mp4", "--output", str(tmp_path), "--tracks"]
    with pytest.raises(UserError, match="pip install norfair-enough"):
        predict.run(words)
    with pytest.raises(UserError, match=r"no\.mp4"):
        predict.run(words[:-1])


@pytest.mark.parametrize("tracks", [True, False])
def test_predict(tmp_path, tracks, monkeypatch):
    """Two videos: a cat that walks, a dog that was not asked for, and a cat that is unsure."""

    def stream(source, live):
        for t in range(10, 14):
            yield frame(t, (2, 0.95, AWAY), (1, 0.9, walk(t)), (1, 0.6, AWAY))

    detector = SimpleNamespace(stream=stream, class_names=NAMES, interval=2, delay=0)
    monkeypatch.setattr(lsts_jax, "load", lambda *_, **__: detector)
    for name in ("a", "b"):
        write_picture(tmp_path / name / "0.png", frame(0).image)
    words = ["--workdir", "run", "--source", str(tmp_path / "a"), str(tmp_path / "b"), "--output"]
    words += [str(tmp_path / "out"), "--save", "video", "jsonl", "csv", "mot", "--score", "0.7"]
    words += ["--classes", "cat"]
    predict.run(words + ["--tracks"] * tracks)
    for name in ("a", "b"):
        folder = tmp_path / "out" / name
        lines = [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]
        found = [[row.get("track") for row in line["detections"]] for line in lines]
        assert found == ([[-1, -1]] + [[1, -1]] * 3 if tracks else [[None, None]] * 4)
        header, *rows = (folder / "detections.csv").read_text().splitlines()
        assert header == "frame,time,class,score,x1,y1,x2,y2" + ",track" * tracks
        assert len(rows) == 8 and all(row.count(",") == header.count(",") for row in rows)
        numbers = [line.split(",")[1] for line in (folder / "det.txt").read_text().splitlines()]
        assert numbers == (["-1", "-1"] + ["1", "-1"] * 3 if tracks else ["-1"] * 8)
        assert (folder / f"{name}.mp4").stat().st_size > 0
