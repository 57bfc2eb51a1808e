"""python -m lsts_jax.data.convert: recognising formats, where the result may lie, what is not overwritten."""

import errno
import json
import os
import re
import shutil

import numpy as np
import pytest

from lsts_jax.data.convert import __main__ as command
from lsts_jax.data.convert.__main__ import run
from lsts_jax.errors import UserError
from tests.data.convert.test_formats import config_of, seen
from tests.data.convert.trees import TREES, Seen, pictures, text
from tests.data.trees import write_coco, write_imagenet, write_sequence
from tests.data.video.test_pictures import encode, with_orientation


def convert(source, out, *options):
    run([str(source), str(out), *options])


def test_training_and_validation_are_parted_by_names(tmp_path):
    TREES["youtube_vis"](tmp_path)
    convert(tmp_path, tmp_path / "train.json", "--videos", "*/0043*")
    convert(tmp_path, tmp_path / "val.json", "--videos", "*/aa")
    assert [*seen(config_of(tmp_path))] == ["JPEGImages/0043f083b5"]
    assert [*seen(config_of(tmp_path), "val")] == ["JPEGImages/aa"]
    with pytest.raises(UserError, match=r"--videos x: matches none of the names; there are JPEGImages/0043"):
        convert(tmp_path, tmp_path / "none.json", "--videos", "x")


def test_the_result_can_lie_above_several_data_sets(tmp_path, monkeypatch):
    """Splits in folders of their own have one root, also by relative paths."""
    wanted = TREES["visdrone"](tmp_path / "VID-train")
    shutil.copytree(tmp_path / "VID-train", tmp_path / "VID-val")
    (tmp_path / "VID-val" / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "VID-val" / "deep")
    convert("..", "../../lists/../val.json")
    convert("../../VID-train", "../../train.json")
    assert list(seen(config_of(tmp_path)).values()) == list(wanted.values())
    assert list(seen(config_of(tmp_path), "val").values()) == list(wanted.values())


def test_the_result_can_lie_deep_in_the_data_set(tmp_path):
    wanted = TREES["voc"](tmp_path)
    convert(tmp_path, tmp_path / "lists/a/train.json")
    assert seen(config_of(tmp_path), "lists/a/train") == wanted


@pytest.mark.parametrize("out", ["../other/train.json", "train.txt", "."])
def test_a_place_without_a_common_root_is_refused(tmp_path, out):
    TREES["kitti"](tmp_path / "data")
    with pytest.raises(UserError, match=r"name a file in .*data|name it NAME\.json"):
        convert(tmp_path / "data", tmp_path / "data" / out)
    assert not (tmp_path / "other").exists()


def test_only_an_earlier_conversion_is_replaced(tmp_path):
    TREES["cvat_coco"](tmp_path)
    out = tmp_path / "annotations/instances_default.json"
    before = out.read_bytes()
    with pytest.raises(UserError, match=r"instances_default\.json: exists but is not an earlier conversion"):
        convert(tmp_path, out)
    assert out.read_bytes() == before
    link = tmp_path / "link.json"
    link.symlink_to(out)
    with pytest.raises(UserError, match=r"link\.json: exists but is not an earlier"):
        convert(tmp_path, link)
    link.unlink()
    convert(tmp_path, tmp_path / "train.json")
    first = (tmp_path / "train.json").read_bytes()
    convert(tmp_path, tmp_path / "train.json")  # its own result is no second json of the format
    assert (tmp_path / "train.json").read_bytes() == first


def test_a_failed_conversion_leaves_the_earlier_one(tmp_path, monkeypatch):
    TREES["kitti"](tmp_path)
    out = tmp_path / "train.json"
    convert(tmp_path, out)
    before, files = out.read_bytes(), sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(json, "dumps", lambda item: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        convert(tmp_path, out)
    assert out.read_bytes() == before and sorted(tmp_path.rglob("*")) == files


def test_the_json_alone_names_the_data_set(tmp_path):
    wanted = TREES["cvat_coco"](tmp_path)
    other = tmp_path / "annotations/instances_other.json"
    shutil.copy(tmp_path / "annotations/instances_default.json", other)
    with pytest.raises(UserError, match=r"has .*default\.json, .*other\.json; name the one"):
        convert(tmp_path, tmp_path / "train.json")
    convert(other, tmp_path / "train.json")
    assert seen(config_of(tmp_path)) == wanted


def test_pictures_of_the_split_are_taken(tmp_path):
    for split in ("Train", "Val"):
        TREES["cvat_coco"](tmp_path / split)
        shutil.move(tmp_path / split / "images", tmp_path / "images" / split)
        place = tmp_path / f"annotations/instances_{split}.json"
        place.parent.mkdir(exist_ok=True)
        shutil.move(tmp_path / split / "annotations/instances_default.json", place)
    convert(tmp_path / "annotations/instances_Val.json", tmp_path / "val.json")
    assert [*seen(config_of(tmp_path), "val")] == ["images/Val"]
    convert_same = tmp_path / "annotations/instances_default.json"
    shutil.copy(tmp_path / "annotations/instances_Val.json", convert_same)
    with pytest.raises(UserError, match=r"its pictures are in images/Train/ and in images/Val/"):
        convert(convert_same, tmp_path / "train.json")


def test_ids_as_text_and_paths_as_other_tools_write_them(tmp_path):
    """Label Studio's: text for ids, absolute paths, and those of Windows."""
    wanted = TREES["cvat_coco"](tmp_path)
    file = tmp_path / "annotations/instances_default.json"
    content = json.loads(file.read_text())
    for image, place in zip(
        content["images"], (str(tmp_path / "images") + "/", "images\\", "./images/"), strict=True
    ):
        image |= {"id": f"image-{image['id']}", "file_name": place + image["file_name"]}
    for item in content["annotations"]:
        item |= {"image_id": f"image-{item['image_id']}"}
        item["attributes"] = {
            key: f"obj-{value}" for key, value in item["attributes"].items() if key == "track_id"
        }
    file.write_text(json.dumps(content))
    convert(tmp_path, tmp_path / "train.json")
    tracks = {4: 1 << 30, 6: (1 << 30) + 1}  # text gets numbers of its own
    frames = [[one._replace(track=tracks.get(one.track, -1)) for one in frame] for frame in wanted["images"]]
    assert seen(config_of(tmp_path)) == {"images": frames}


def test_hidden_files_are_no_data(tmp_path):
    wanted = TREES["voc"](tmp_path)
    for file in [*tmp_path.rglob("*.jpg"), *tmp_path.rglob("*.xml")]:
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\26\7")
    shutil.copytree(tmp_path / "JPEGImages", tmp_path / "__MACOSX/JPEGImages")
    convert(tmp_path, tmp_path / "train.json")
    assert seen(config_of(tmp_path)) == wanted


def test_two_formats_in_a_folder_are_told_apart_by_the_option(tmp_path):
    wanted = TREES["kitti"](tmp_path)
    TREES["visdrone"](tmp_path)
    with pytest.raises(
        UserError, match=r"looks like visdrone \(.*\), kitti \(.*\); select one with --format"
    ):
        convert(tmp_path, tmp_path / "train.json")
    convert(tmp_path, tmp_path / "train.json", "--format", "kitti")
    assert seen(config_of(tmp_path)) == wanted
    with pytest.raises(UserError, match=r"--format voc: .* has no Annotations"):
        convert(tmp_path, tmp_path / "train.json", "--format", "voc")


def test_an_unknown_folder_is_told_what_was_looked_for(tmp_path):
    pictures(tmp_path, "a.png")
    with pytest.raises(UserError) as caught:
        convert(tmp_path, tmp_path / "train.json")
    assert all(module.LOOKED_FOR in str(caught.value) for module in command.FORMATS.values())
    with pytest.raises(UserError, match="nowhere: no such folder"):
        convert(tmp_path / "nowhere", tmp_path / "train.json")


def test_what_is_read_as_it_is_needs_no_conversion(tmp_path):
    write_coco(tmp_path / "coco", "train", [{"file_name": "a.png", "video_id": 1, "frame_id": 0}], [])
    write_sequence(tmp_path / "mot/S1", 2, "1,1,1,1,5,5,1,-1,-1,-1\n")
    write_imagenet(tmp_path / "imagenet")
    text(tmp_path / "cvat/annotations.xml", "<annotations/>")
    for name, told in {
        "coco": "train.json is COCO-VID, which --config.data.format coco_vid reads directly",
        "mot": "S1/gt/gt.txt without labels.txt is MOTChallenge",
        "imagenet": "--config.data.format imagenet_vid",
        "cvat": "export the task as COCO 1.0 or MOT 1.1",
    }.items():
        with pytest.raises(UserError, match=told):
            convert(tmp_path / name, tmp_path / name / "out.json")


def test_annotations_without_pictures_are_told(tmp_path):
    TREES["cvat_mot"](tmp_path)
    shutil.rmtree(tmp_path / "img1")
    with pytest.raises(UserError, match="has annotations, but none of their pictures"):
        convert(tmp_path, tmp_path / "train.json")
    assert not (tmp_path / "train.json").exists()


def test_links_are_followed_once(tmp_path):
    TREES["yolo"](tmp_path / "real")
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("images", "labels", "data.yaml"):
        (folder / name).symlink_to(tmp_path / "real" / name)
    (folder / "images/train/again").symlink_to(folder)
    convert(folder, folder / "train.json")
    assert len(seen(config_of(folder))) == 2


@pytest.mark.parametrize(("name", "file"), [("kitti", "training/image_02/0000/000001.png"),
                                            ("yolo", "images/train/yard_0.jpg")])  # fmt: skip
def test_pictures_that_cannot_be_read_are_lost_with_a_word(name, file, tmp_path, capsys):
    wanted = TREES[name](tmp_path)
    (tmp_path / file).write_bytes((tmp_path / file).read_bytes()[:60])
    convert(tmp_path, tmp_path / "train.json")
    video = next(key for key in wanted if file.startswith(key) and len(wanted[key]) > 1)
    del wanted[video][1 if name == "kitti" else 0]
    assert seen(config_of(tmp_path)) == wanted
    printed = capsys.readouterr().out
    assert re.search(rf"lost +picture that cannot be read +1   first: {file}\n", printed)
    assert re.search(r"lost +box of (a picture that cannot be read|no picture) +[23] ", printed)


def test_every_picture_has_its_size(tmp_path):
    TREES["visdrone"](tmp_path)
    convert(tmp_path, tmp_path / "train.json")
    images = json.loads((tmp_path / "train.json").read_text())["images"]
    assert [(image["height"], image["width"]) for image in images] == [(48, 64)] * 2


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    TREES["kitti"](tmp_path)
    closed = tmp_path / "training/image_02/0000"
    real = os.scandir

    def scandir(path):
        if str(path) == str(closed):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UserError, match=r"image_02/0000: Permission denied; make it readable"):
        convert(tmp_path, tmp_path / "train.json")


def test_boxes_are_those_of_the_upright_picture(tmp_path):
    """A phone's picture, which is stored lying: people annotate what they see."""
    lying = np.zeros((40, 80, 3), np.uint8)
    (tmp_path / "a.png").write_bytes(with_orientation(encode(lying, ".png"), 6))
    text(tmp_path / "a.txt", "0 0.5 0.5 0.5 0.25")
    text(tmp_path / "classes.txt", "thing")
    convert(tmp_path, tmp_path / "train.json")
    assert seen(config_of(tmp_path)) == {"a": [[Seen("thing", (10, 30, 29, 49), -1)]]}
    content = json.loads((tmp_path / "train.json").read_text())
    assert (content["images"][0]["height"], content["images"][0]["width"]) == (80, 40)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_no_text_is_told(tmp_path):
    TREES["kitti"](tmp_path)
    (tmp_path / "training/image_02/0000" / os.fsdecode(b"\xff000002.png")).touch()
    with pytest.raises(UserError, match=r"the name is not UTF-8; rename the picture"):
        convert(tmp_path, tmp_path / "train.json")


def test_a_warning_where_there_is_nothing_to_learn(tmp_path, caplog):
    TREES["voc"](tmp_path)
    for file in (tmp_path / "Annotations/yard").iterdir():
        text(file, "<annotation/>")
    convert(tmp_path, tmp_path / "train.json")
    assert "no picture has an object" in caplog.text


def test_names_that_label_studio_has_changed_are_a_video(tmp_path):
    names = ["7f3a2b1c-a_10.jpg", "01234567-a_2.jpg", "ffffffff-a_1.jpg"]
    pictures(tmp_path / "images", *names)
    pictures(tmp_path / "dates", "20251124-1.jpg", "20251124-2.jpg", "20251125-1.jpg")
    boxes = {"7f3a2b1c-a_10": 0.25, "01234567-a_2": 0.5, "ffffffff-a_1": 0.75}
    for name, width in boxes.items():
        text(tmp_path / f"labels/{name}.txt", f"0 0.5 0.5 {width} 0.5")
    text(tmp_path / "dates/20251124-2.txt", "0 0.5 0.5 0.25 0.5")
    text(tmp_path / "classes.txt", "thing")
    convert(tmp_path, tmp_path / "train.json")
    found = seen(config_of(tmp_path))
    assert [frame[0].box[0] for frame in found["images"]] == [8, 16, 24]  # frames 1, 2, 10
    assert {name: len(frames) for name, frames in found.items()} == {
        "images": 3,
        "dates": 2,
        "dates/20251125-1": 1,
    }


def test_stills_and_videos_by_their_names(tmp_path):
    names = ["a_1.jpg", "a_2.jpg", "b-07_jpg.rf.3f2a.jpg", "b-8_jpg.rf.77aa.jpg", "dog.jpg", "cat2.jpg"]
    pictures(tmp_path, *names, "sub/1.png", "sub/01.png", "sub/2.png")
    for name in [*names, "sub/1.png"]:
        text((tmp_path / name).with_suffix(".txt"), "0 0.5 0.5 0.5 0.5")
    text(tmp_path / "classes.txt", "thing")
    convert(tmp_path, tmp_path / "train.json")
    box = [Seen("thing", (16, 12, 47, 35), -1)]
    assert seen(config_of(tmp_path)) == {
        "a_": [box, box],
        "b-": [box, box],
        "cat2": [box],
        "dog": [box],
        "sub": [[], box, []],
    }
