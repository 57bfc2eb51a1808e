"""Detections of anybody, in every format, on the frames that are meant."""

import json
import logging

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.open import open_dataset
from lsts_jax.errors import UserError
from lsts_jax.evaluation import detections
from lsts_jax.evaluation.detections import FrameDetections, jsonl_writer
from lsts_jax.evaluation.submissions import read_detections
from tests.data.trees import write_list, write_xml

NAMES = ("ant", "bee")


@pytest.fixture
def dataset(tmp_path):
    """Videos x (4 frames, ids 11 to 14) and y (3 frames, ids 21 to 23); no pictures."""
    root = tmp_path / "tree"
    for video, length in (("x", 4), ("y", 3)):
        for t in range(length):
            write_xml(root / f"Annotations/VID/val/{video}/{t:06d}.xml", [("ant", 0, 5, 6, 30, 40)])
    write_list(root, "VID_val_videos", "val/x 11 0 4", "val/y 21 0 3")
    return open_dataset(DataConfig(root=str(root), class_names=NAMES), ("VID_val_videos",))


def frame(number, *, score=0.5, kind=1, box=(1, 2, 3, 4)):
    return FrameDetections(
        number, np.array([kind], np.int32), np.array([score], np.float32), np.array([box], np.float32)
    )


def write_text(path, *frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    detections.write_text(path, detections.join(frames))
    return path


def write_jsonl(path, *frames):
    path.parent.mkdir(parents=True, exist_ok=True)
    with jsonl_writer(path, NAMES) as write:
        for one in frames:
            write(one)
    return path


def write_coco(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("image_id", "category_id", "bbox", "score")
    path.write_text(json.dumps([dict(zip(keys, row, strict=True)) for row in rows]))
    return path


def test_text_counts_as_the_list(dataset, tmp_path):
    found = read_detections([write_text(tmp_path / "a.txt", frame(10), frame(22, score=0.25))], dataset)
    assert found.frame.tolist() == [10, 22]
    assert found.scores.tolist() == [0.5, 0.25]


def test_a_file_may_name_its_frames_in_any_order(dataset, tmp_path):
    found = read_detections([write_text(tmp_path / "a.txt", frame(22), frame(10), frame(21))], dataset)
    assert found.frame.tolist() == [10, 21, 22]


def test_several_files_are_one_set_in_the_order_of_frames(dataset, tmp_path):
    late, early = write_text(tmp_path / "0.txt", frame(22)), write_text(tmp_path / "1.txt", frame(10))
    assert read_detections([late, early], dataset).frame.tolist() == [10, 22]


def test_a_folder_stands_for_its_files(dataset, tmp_path, caplog):
    write_text(tmp_path / "out/0.txt", frame(22))
    write_text(tmp_path / "out/deeper/1.txt", frame(10))
    (tmp_path / "out/clip.mp4").write_bytes(b"")
    write_jsonl(tmp_path / "out/y.jsonl", frame(0)).rename(tmp_path / "out/y.JSONL")
    with caplog.at_level(logging.WARNING):
        assert read_detections([tmp_path / "out"], dataset).frame.tolist() == [10, 20, 22]
    assert (
        "out: 1 files without detections were not read, such as " in caplog.text and "clip.mp4" in caplog.text
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty: no \.txt"):
        read_detections([tmp_path / "empty"], dataset)


def test_json_lines_count_in_the_video_that_they_are_named_after(dataset, tmp_path):
    write_jsonl(tmp_path / "out/y/detections.jsonl", frame(0), frame(2))
    write_jsonl(tmp_path / "out/x.jsonl", frame(3))
    assert read_detections([tmp_path / "out"], dataset).frame.tolist() == [13, 20, 22]
    nameless = write_jsonl(tmp_path / "detections.jsonl", frame(0))
    with pytest.raises(UserError, match="belongs to which video"):
        read_detections([nameless], dataset)


def test_nothing_found_is_a_result(dataset, tmp_path):
    """In one video, in all frames of a file, in all files."""
    empty = FrameDetections(0, *detections.join([])[1:])
    nothing = [
        write_jsonl(tmp_path / "out/y/detections.jsonl", empty, empty._replace(frame=1)),
        write_text(tmp_path / "nothing.txt"),
        write_coco(tmp_path / "nothing.json"),
        write_jsonl(tmp_path / "out/y.jsonl"),
    ]
    some = write_jsonl(tmp_path / "some/x/detections.jsonl", frame(1))
    for file in nothing:
        assert read_detections([some, file], dataset).frame.tolist() == [11]
        assert read_detections([file], dataset).boxes.shape == (0, 4)
    assert read_detections(nothing, dataset).frame.tolist() == []


def test_hidden_files_and_our_results_are_no_detections(dataset, tmp_path):
    write_text(tmp_path / "eval/detections.txt", frame(22))
    write_text(tmp_path / "eval/._detections.txt", frame(21))
    write_text(tmp_path / "eval/.trash/detections.txt", frame(20))
    (tmp_path / "eval/metrics.json").write_text("{}")
    (tmp_path / "eval/speed.json").write_text("{}")
    assert read_detections([tmp_path / "eval"], dataset).frame.tolist() == [22]


@pytest.mark.parametrize("where", ["metrics.json", "../config.json"])
def test_classes_of_our_files_are_those_of_the_detector(dataset, tmp_path, where):
    """Whose names stand beside the file, or in the config of its run."""
    file = write_text(tmp_path / "run/eval/detections.txt", frame(10, kind=1), frame(11, kind=2))
    whole = write_coco(tmp_path / "run/eval/results.json", (12, 2, [10, 20, 5, 6], 0.5))
    names = {"class_names": ["bee", "ant"]}
    (file.parent / where).write_text(json.dumps(names if where == "metrics.json" else {"data": names}))
    assert read_detections([file], dataset).classes.tolist() == [2, 1]
    assert read_detections([whole], dataset).classes.tolist() == [1]
    names["class_names"] = ["bee", "cow", "ant"]
    (file.parent / where).write_text(json.dumps(names if where == "metrics.json" else {"data": names}))
    with pytest.raises(
        UserError, match=r"detections\.txt: has detections of 'cow', which is not a class of the data set"
    ):
        read_detections([file], dataset)


def test_coco_results_count_as_the_list_or_in_a_video(dataset, tmp_path):
    whole = write_coco(tmp_path / "results.json", (23, 2, [10, 20, 5, 6], 0.5))
    found = read_detections([whole], dataset)
    assert (found.frame.tolist(), found.classes.tolist()) == ([22], [2])
    assert found.boxes.tolist() == [[10, 20, 14, 25]]  # inclusive corners
    own = write_coco(tmp_path / "y/coco.json", (1, 1, [10, 20, 5, 6], 0.5))
    assert read_detections([own], dataset).frame.tolist() == [21]
    with pytest.raises(
        UserError, match=r"z\.json, result 1: image_id 0 is not a frame of the val lists, which count from 1"
    ):
        read_detections([write_coco(tmp_path / "z.json", (0, 1, [0, 0, 1, 1], 0.5))], dataset)
    for number in (0, 3):
        rows = (23, 1, [0, 0, 1, 1], 0.5), (23, number, [0, 0, 1, 1], 0.5)
        with pytest.raises(UserError, match=f"z.json, result 2: category_id {number}"):
            read_detections([write_coco(tmp_path / "z.json", *rows)], dataset)


@pytest.mark.parametrize("name", [int, "id-{}".format], ids=["numbers", "text"])
def test_coco_results_of_a_coco_data_set(tmp_path, name):
    """Ids of images and categories are those of its file, in any order, numbers or text."""
    images = [
        {
            "id": name(70 - i),
            "file_name": f"v/{i}.jpg",
            "video_id": 5,
            "frame_id": i,
            "width": 64,
            "height": 48,
        }
        for i in range(3)
    ]
    categories = [
        {"id": name(9), "name": "bee"},
        {"id": name(4), "name": "ant"},
        {"id": name(6), "name": "cow"},
    ]
    annotations = [
        {"id": 1, "image_id": name(70), "category_id": name(9), "bbox": [1, 1, 9, 9], "instance_id": 1}
    ]
    content = {"images": images, "categories": categories, "annotations": annotations}
    (tmp_path / "set.json").write_text(json.dumps(content | {"videos": [{"id": 5, "name": "v"}]}))
    (tmp_path / "v").mkdir()
    for i in range(3):
        (tmp_path / f"v/{i}.jpg").write_bytes(b"not opened")
    config = DataConfig(root=str(tmp_path), format="coco_vid", class_names=NAMES)
    dataset = open_dataset(config, ("set",))
    box = [0, 0, 5, 5]
    rows = (68, 4, box, 0.5), (70, 9, box, 0.25), (70, 6, box, 0.1), (99, 4, box, 0.1)
    rows = [(name(image), name(category), *rest) for image, category, *rest in rows]
    found = read_detections([write_coco(tmp_path / "results.json", *rows)], dataset)
    assert found.frame.tolist() == [0, 2]  # the cow is none of ours, 99 no image
    assert found.classes.tolist() == [2, 1]
    with pytest.raises(UserError, match="is not a class of the data set"):
        read_detections([write_coco(tmp_path / "bad.json", (name(70), name(5), box, 0.5))], dataset)


def test_frames_that_are_not_scored_are_counted(dataset, tmp_path, caplog):
    file = write_text(tmp_path / "a.txt", frame(10), frame(14), frame(500))
    with caplog.at_level(logging.WARNING):
        assert read_detections([file], dataset).frame.tolist() == [10]
    assert "a.txt: 2 detections are in frames that are not scored" in caplog.text
    with pytest.raises(UserError, match=r"b\.txt: has none of the 7 frames"):
        read_detections([write_text(tmp_path / "b.txt", frame(500))], dataset)


def test_a_frame_in_two_files_is_a_mistake(dataset, tmp_path):
    files = [write_text(tmp_path / f"{i}.txt", frame(10 + i), frame(20)) for i in range(2)]
    with pytest.raises(UserError, match=r"1\.txt: frame 21 is in .*0\.txt as well"):
        read_detections(files, dataset)


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[1, 2]", "[[]]", '[{"image_id": 11}]', "[" * 100_000,
     '[{"image_id": 11, "category_id": 1, "bbox": [1], "score": 1}]',
     '[{"image_id": 11.5, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]',
     '[{"image_id": 11, "category_id": 1, "bbox": [1, 2, 3, NaN], "score": 1}]',
     '[{"image_id": 1e300, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]',
     '[{"image_id": 11, "category_id": 1, "bbox": [9, 9, -3, 4], "score": 1}]',
     '[{"image_id": 11, "category_id": 1, "bbox": [1, 2, 3], "score": 1}, '
     '{"image_id": 11, "category_id": 1, "bbox": [1, 2, 3, 4, 5], "score": 1}]',
     '[{"image_id": "a", "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}]'],
)  # fmt: skip
def test_what_is_no_coco_result_is_named(dataset, tmp_path, text):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(UserError, match=r"results\.json: not COCO results"):
        read_detections([tmp_path / "results.json"], dataset)


def test_a_missing_file_is_named(dataset, tmp_path):
    for name in ("a.txt", "a.json", "x.jsonl"):
        with pytest.raises(UserError, match=f"{name}: No such file"):
            read_detections([tmp_path / name], dataset)
