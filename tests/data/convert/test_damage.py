"""What is wrong in a file of annotations is told in a line that names the file and the line or the field."""

import re
from dataclasses import replace

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.convert.__main__ import run
from lsts_jax.data.convert.yolo import parse_row
from lsts_jax.data.open import open_dataset
from lsts_jax.errors import UserError
from tests.data.convert.trees import TREES, pictures, text

COCO = "annotations/instances_default.json"
VISDRONE = "annotations/uav0000013_00000_v.txt"
KITTI = "training/label_02/0000.txt"
VIS = "instances.json"
YOLO = "labels/train/yard_0.txt"
VOC = "Annotations/yard/0001.xml"

# Format, file, what in it becomes what, what is told after the file.
WRONG = [
    ("cvat_coco", COCO, "[1.5, 2", '["x", 2', r": annotations\[0\]: .* is not a box of 4 finite numbers"),
    ("cvat_coco", COCO, "[1.5, 2", "[1e12, 2", r": annotations\[0\]: .* is not a box in a picture"),
    ("cvat_coco", COCO, '"image_id": 9', '"image_id": 1.5', r": annotations\[5\]: image_id is '1.5'"),
    ("cvat_coco", COCO, '"category_id": 1', '"category_id": 5', r": annotations\[2\]: category 5 is not in"),
    ("cvat_coco", COCO, '"id": 1', '"id": 2', r": images\[1\] has the id or the file_name of another"),
    ("cvat_coco", COCO, '"track_id": 4', '"track_id": 4.5', r": annotations\[0\]: the track id is '4.5'"),
    ("cvat_coco", COCO, '"name": "bus"', '"name": ""', r": categories\[0\] has no name"),
    ("cvat_mot", "gt/gt.txt", "1,1,0.0", "1.5,1,0.0", ", line 1: '1.5,.* has a frame or an id that is no"),
    ("cvat_mot", "gt/gt.txt", "1,2,1.0", "1,3,1.0", ", line 1: class 3 is not in labels.txt, whose 2"),
    ("cvat_mot", "gt/gt.txt", ",1.0", "", ", line 1: '1,1,0.0,3,10,20,1,2' is not frame, id, x"),
    ("cvat_mot", "gt/labels.txt", "person\ncar\n", "\n", ": names no class; write"),
    ("cvat_mot", "gt/gt.txt", "4,3,60,40,0,8,1,1,1.0\n", "\0", ", line 6: "),
    (
        "youtube_vis",
        VIS,
        "null, [5, 5, 6, 7]",
        "null",
        r": annotations\[0\]: bboxes is of 2 frames, .* has 3",
    ),
    ("youtube_vis", VIS, '"video_id": 7', '"video_id": []', r": annotations\[0\]: video_id is"),
    ("youtube_vis", VIS, "[null, {", '[null, 7, {"x": ', ": is not valid json"),
    (
        "youtube_vis",
        VIS,
        '[null, {"size": [48',
        '[null, {"size": [4',
        r": annotations\[1\], frame 1: run lengths",
    ),
    ("youtube_vis", VIS, "[4, 5, 6, 7]", "7", r": annotations\[0\], frame 0: bbox is not a list"),
    ("yolo", YOLO, "1 0.5", "2 0.5", ", line 1: class 2 is not one of the 2"),
    ("yolo", YOLO, "0.25 0.5 3", "0.25", ", line 1: has 4 columns"),
    ("yolo", YOLO, "0 0.125", "0 x", ", line 2: .* has text for a number"),
    ("yolo", "data.yaml", "names:", "names: [", ": is not valid yaml"),
    ("yolo", "data.yaml", "  1: dog", "  2: dog", ": names is neither a list nor a table with the numbers"),
    ("visdrone", VISDRONE, "1,4,0,1", "1,4,0", ", line 1: has 9 columns, not the 10"),
    ("visdrone", VISDRONE, "1,4,0,1", "1,12,0,1", ", line 1: category 12 is not one of 0 to 11"),
    ("kitti", KITTI, "10.5", "nan", ", line 1: .* is not a box in a picture"),
    ("kitti", KITTI, "10.5", "left", ", line 1: .* is not a box of 4 numbers"),
    ("kitti", KITTI, "Pedestrian 0", "Pedestrian", ", line 1: has 16 columns, not the 17"),
    ("voc", VOC, "<xmin>1</xmin>", "", ": an object has no bndbox of 4 numbers"),
    ("voc", VOC, "<name>dog</name>", "", ": an object has no name"),
    ("voc", VOC, "<annotation>", "<!DOCTYPE x><annotation>", ": declares a document type"),
]


@pytest.mark.parametrize(("name", "file", "old", "new", "told"), WRONG)
def test_what_is_wrong_is_told(name, file, old, new, told, tmp_path):
    TREES[name](tmp_path)
    content = (tmp_path / file).read_text()
    assert old in content
    (tmp_path / file).write_text(content.replace(old, new, 1))
    with pytest.raises(UserError, match=re.escape(str(tmp_path / file)) + told):
        run([str(tmp_path), str(tmp_path / "train.json")])
    assert not (tmp_path / "train.json").exists()


@pytest.mark.parametrize(("name", "file"), [("visdrone", VISDRONE), ("cvat_mot", "gt/gt.txt")])
def test_frames_that_are_counted_otherwise_than_the_pictures_are_told(name, file, tmp_path):
    """Rows from 0, pictures from 1: all boxes would be those of the next picture, the first ones lost."""
    TREES[name](tmp_path)
    rows = [row.split(",", 1) for row in (tmp_path / file).read_text().splitlines()]
    moved = [f"{int(frame) - 1},{rest}\n" for frame, rest in rows if frame in "12"]
    (tmp_path / file).write_text("".join(moved))
    with pytest.raises(UserError, match=rf"{file}(, line 1)?: .*frames 0 to 1, .* 1 to [24][;:] number"):
        run([str(tmp_path), str(tmp_path / "train.json")])


@pytest.mark.parametrize(
    ("row", "box", "track"),
    [
        ("1 0.5 0.5 0.5 0.25", (25, 75, 50, 50), None),
        ("1 0.5 0.5 0.5 0.25 7", (25, 75, 50, 50), "7"),
        ("1 0.5 0.5 0.5 0.25 0.9", (25, 75, 50, 50), None),  # a confidence
        ("1 0.5 0.5 0.5 0.25 0.9 7", (25, 75, 50, 50), "7"),
        ("1 0.1 0.2 0.5 0.2 0.1 0.7", (10, 40, 40, 100), None),  # a triangle
        ("1 0.1 0.2 0.5 0.2 0.1 0.7 0.3 0.3 12", (10, 40, 40, 100), "12"),  # four corners
    ],
)
def test_lines_of_yolo(row, box, track):
    name, sides, found = parse_row(row.split(), ("cat", "dog"), False, (200, 100), "x")
    assert name == "dog" and sides == pytest.approx(box) and found == track


def test_points_of_yolo_are_left_out():
    row = ["0", "0.5", "0.5", "0.5", "0.25", "0.1", "0.2", "2", "0.3", "0.4", "1"]
    assert parse_row(row, ("cat",), True, (200, 100), "x") == ("cat", (25, 75, 50, 50), None)


@pytest.mark.parametrize("labels", [("car", "bus"), ("bus",)])
@pytest.mark.parametrize("name", ["{:06d}.jpg", "take_{}.jpg"])
def test_one_export_of_cvat_is_the_same_read_and_converted(tmp_path, labels, name):
    """Names that are nothing but numbers are the frames; pictures of other names are counted from 1."""
    pictures(tmp_path / "a/img1", *(name.format(t) for t in (3, 10, 11)))
    frames = (3, 10, 11) if name.startswith("{") else (1, 2, 3)
    rows = [f"{t},{t},{1000.123 * t},2,10.5,20,{t % 2},{len(labels)},1" for t in frames]
    text(tmp_path / "a/gt/gt.txt", *rows, f"{frames[0]},9,1,1,0,5,1,1,1", "99,9,1,1,5,5,1,1,1")
    text(tmp_path / "a/gt/labels.txt", *labels)
    run([str(tmp_path), str(tmp_path / "all.json")])
    config = DataConfig(root=str(tmp_path), format="mot", class_names=())
    mot = open_dataset(config, ("a",))
    coco = open_dataset(replace(config, format="coco_vid"), ("all",))
    assert (mot.class_names, mot.videos) == (coco.class_names, coco.videos)
    for t in range(3):
        assert mot.frame_name(0, t) == coco.frame_name(0, t)
        for one, other in zip(mot.objects(0, t), coco.objects(0, t), strict=True):
            np.testing.assert_array_equal(one, other)


def test_two_pictures_of_one_number_are_refused(tmp_path):
    TREES["cvat_mot"](tmp_path)
    pictures(tmp_path / "img1", "1.jpg")
    with pytest.raises(UserError, match=r"000001\.jpg and 1\.jpg have|1\.jpg and 000001\.jpg have"):
        run([str(tmp_path), str(tmp_path / "train.json")])
