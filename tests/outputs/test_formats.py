"""Every format of predict.py, read back; an interrupted run leaves all of them valid; ids of tracks."""

import csv
import json
from contextlib import ExitStack

import cv2
import numpy as np
import pytest

from lsts_jax.api import Result
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from lsts_jax.evaluation.detections import FrameDetections, jsonl_writer, read_jsonl
from lsts_jax.outputs.formats import WRITERS, Job
from lsts_jax.outputs.names import Place

NAMES = ("cat", "dog")
FOUND = {0: [(2, 0.9, (10, 8, 29, 17))], 3: [(1, 0.75, (0, 0, 63, 47)), (2, 0.2, (-4, 40, 70, 60))]}


def results():
    for frame in range(4):
        found = FOUND.get(frame, [])
        classes, scores, boxes = zip(*found, strict=True) if found else ((), (), ())
        yield Result(
            frame,
            frame / 10,
            np.full((48, 64, 3), (200, 100, 50), np.uint8),
            np.array(boxes, np.float32).reshape(-1, 4),
            np.array(scores, np.float32),
            np.array(classes, np.int32),
            NAMES,
            0.01,
        )


@pytest.fixture(params=["whole", "interrupted"])
def folder(request, tmp_path):
    """Where all formats were written; interrupted: by an exception after the last frame."""
    job = Job(Place(tmp_path, "v"), 10.0, NAMES, 0.5)
    try:
        with ExitStack() as stack:
            writers = [stack.enter_context(writer(job)) for writer in WRITERS.values()]
            for result in results():
                for write in writers:
                    write(result)
            if request.param == "interrupted":
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    return tmp_path


def test_all_formats(folder):
    video = open_source(folder / "v.mp4")
    assert (len(list(video)), video.fps, video.size) == (4, 10.0, (48, 64))
    lines = [json.loads(line) for line in (folder / "detections.jsonl").read_text().splitlines()]
    assert [len(line["detections"]) for line in lines] == [1, 0, 0, 2]
    assert lines[0] == {
        "frame": 0,
        "time": 0.0,
        "detections": [{"class": "dog", "score": 0.9, "box": [10.0, 8.0, 29.0, 17.0]}],
    }
    rows = list(csv.DictReader((folder / "detections.csv").read_text().splitlines()))
    assert [row["class"] for row in rows] == ["dog", "cat", "dog"]
    assert rows[0] | {} == {
        "frame": "0", "time": "0.000", "class": "dog", "score": "0.9000",
        "x1": "10.00", "y1": "8.00", "x2": "29.00", "y2": "17.00",
    }  # fmt: skip
    mot = (folder / "det.txt").read_text().splitlines()
    assert mot[0] == "1,-1,11.00,9.00,20.00,10.00,0.9000,-1,-1,-1"
    assert mot[1].startswith("4,-1,1.00,1.00,64.00,48.00,0.7500")
    coco = json.loads((folder / "coco.json").read_text())
    assert coco[0] == {"image_id": 0, "category_id": 2, "bbox": [10.0, 8.0, 20.0, 10.0], "score": 0.9}
    assert [row["image_id"] for row in coco] == [0, 3, 3]
    cut = cv2.imread(str(folder / "crops" / "dog" / "000000_0.jpg"))
    assert cut.shape == (10, 20, 3)
    assert np.abs(cut.reshape(-1, 3).mean(0) - [50, 100, 200]).max() < 4  # BGR, as files are read
    assert len(list((folder / "crops").rglob("*.jpg"))) == 2  # not the one below the threshold


def test_nothing_found_is_valid_json(tmp_path):
    with ExitStack() as stack:
        for writer in WRITERS.values():
            stack.enter_context(writer(Job(Place(tmp_path, "v"), 25.0, NAMES, 0.5)))
    assert json.loads((tmp_path / "coco.json").read_text()) == []
    assert (tmp_path / "detections.jsonl").read_text() == ""
    assert (tmp_path / "detections.csv").read_text().strip() == "frame,time,class,score,x1,y1,x2,y2"
    assert not (tmp_path / "v.mp4").exists()  # no player opens a video without frames


def test_only_some_classes():
    *_, last = results()
    assert len(last.only("cat, dog").scores) == 0  # a text is one name
    kept = last.only("dog")
    np.testing.assert_array_equal(kept.boxes, last.only(["dog"]).boxes)
    assert (kept.classes.tolist(), kept.scores.tolist()) == ([2], [pytest.approx(0.2)])


@pytest.mark.parametrize("tracks", [False, True])
def test_every_row_names_the_picture(tmp_path, tracks):
    job = Job(Place(tmp_path, "v"), 10.0, NAMES, 0.5, tracks)
    with ExitStack() as stack:
        writers = [stack.enter_context(WRITERS[kind](job)) for kind in ("jsonl", "csv", "coco")]
        for result in tracked() if tracks else results():
            for write in writers:
                write(result._replace(file_name=f"é {result.frame_index}\\xff.png"))
    lines = [json.loads(line) for line in (tmp_path / "detections.jsonl").read_text("utf-8").splitlines()]
    assert [line["file_name"] for line in lines] == [f"é {t}\\xff.png" for t in range(4)]
    rows = list(csv.DictReader((tmp_path / "detections.csv").read_text("utf-8").splitlines()))
    assert [row["file_name"][2] for row in rows] == ["0", "3", "3"]
    assert [row["file_name"][2] for row in json.loads((tmp_path / "coco.json").read_text())] == [
        "0",
        "3",
        "3",
    ]


def test_classes_cannot_lead_out_of_the_folder(tmp_path):
    with WRITERS["crops"](Job(Place(tmp_path / "out", "v"), 10.0, ("../../cat", ".."), 0.5)) as write:
        for result in results():
            write(result._replace(class_names=("../../cat", "..")))
    files = [file.relative_to(tmp_path).as_posix() for file in tmp_path.rglob("*.jpg")]
    assert sorted(files) == ["out/crops/__/000000_0.jpg", "out/crops/___.._cat/000003_0.jpg"]


TRACKS = {0: [12], 3: [3, -1]}


def tracked():
    for result in results():
        yield result._replace(track_ids=np.array(TRACKS.get(result.frame_index, []), np.int32))


def test_formats_with_tracks(tmp_path):
    job = Job(Place(tmp_path, "v"), 10.0, NAMES, 0.5, tracks=True)
    for kind in ("jsonl", "csv", "mot"):
        with WRITERS[kind](job) as write:
            for result in tracked():
                write(result)
    read = list(read_jsonl(tmp_path / "detections.jsonl", NAMES))
    assert [[*frame.track_ids] for frame in read if len(frame.scores)] == [[12], [3, -1]]
    rows = list(csv.DictReader((tmp_path / "detections.csv").read_text().splitlines()))
    assert [(row["class"], row["y2"], row["track"]) for row in rows] == [
        ("dog", "17.00", "12"), ("cat", "47.00", "3"), ("dog", "60.00", "-1"),
    ]  # fmt: skip
    assert (tmp_path / "det.txt").read_text().splitlines() == [
        "1,12,11.00,9.00,20.00,10.00,0.9000,-1,-1,-1",
        "4,3,1.00,1.00,64.00,48.00,0.7500,-1,-1,-1",
        "4,-1,-3.00,41.00,75.00,21.00,0.2000,-1,-1,-1",
    ]


def test_tracks_stay_with_their_detections():
    *_, last = tracked()
    assert last.only(["dog"]).track_ids.tolist() == [-1]
    assert last.only(["cat"]).track_ids.tolist() == [3]
    numbered = last._replace(class_names=("cat 3", "dog"), track_ids=None)
    for threshold in (0.1, 0.5):
        picture = last.plot(score_threshold=threshold)
        np.testing.assert_array_equal(picture, numbered.plot(score_threshold=threshold))


@pytest.mark.parametrize("track", ["1.5", "true", '"a"', "-2", "5000000000"])
def test_lines_with_and_without_tracks_are_read(tmp_path, track):
    path = tmp_path / "detections.jsonl"
    with jsonl_writer(path, NAMES) as write:
        for each in (*results(), *tracked()):
            write(FrameDetections(each.frame_index, each.classes, each.scores, each.boxes, 0, each.track_ids))
    read = list(read_jsonl(path, NAMES))
    assert [frame.track_ids is None for frame in read] == [True] * 4 + [False, True, True, False]
    np.testing.assert_array_equal(read[0].boxes, read[4].boxes)
    path.write_text(path.read_text().replace('"track": 12', f'"track": {track}'))
    with pytest.raises(UserError, match=r"detections\.jsonl, line 5: .*track"):
        list(read_jsonl(path, NAMES))
