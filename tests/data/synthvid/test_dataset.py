"""Layout, lists, annotations and truth of the data set; repeating, completing and refusing."""

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import cv2
import pytest

from lsts_jax.data.synthvid import (
    CLASS_NAMES,
    render_dataset,
)
from lsts_jax.data.synthvid.layout import Clip, image_sets
from lsts_jax.errors import UserError
from tests.data.synthvid.common import (
    SMALL,
    contents,
)


def test_layout_is_that_of_ilsvrc2015(small):
    clips = [
        *(f"VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_0000000{i}" for i in range(2)),
        *(f"VID/val/ILSVRC2015_val_0000000{i}" for i in range(2)),
    ]
    pictures = [f"{clip}/{frame:06d}" for clip in clips for frame in range(17)]
    pictures += [f"DET/train/ILSVRC2014_train_0000/ILSVRC2014_train_0000000{i}" for i in range(2)]
    lists = ["VID_train_15frames", "VID_val_videos", "VID_val_frames", "DET_train_30classes"]
    expected = {f"Data/{p}.JPEG" for p in pictures} | {f"Annotations/{p}.xml" for p in pictures}
    expected |= {f"ImageSets/{name}.txt" for name in lists} | {"synthvid.json"}
    assert set(contents(small)) == expected


def test_lists(small):
    lines = {p.stem: p.read_text().splitlines() for p in (small / "ImageSets").iterdir()}
    video = "train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000"
    # floor((i + .5) * 17 / 15)
    frames = [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16]
    assert lines["VID_train_15frames"][:15] == [f"{video} 1 {f} 17" for f in frames]
    assert len(lines["VID_train_15frames"]) == 30
    assert lines["VID_val_videos"] == [
        "val/ILSVRC2015_val_00000000 1 0 17",
        "val/ILSVRC2015_val_00000001 18 0 17",
    ]
    assert lines["VID_val_frames"][17] == "val/ILSVRC2015_val_00000001/000000 18"
    assert len(lines["VID_val_frames"]) == 34
    assert lines["DET_train_30classes"][1] == "train/ILSVRC2014_train_0000/ILSVRC2014_train_00000001 1"


def test_short_videos_are_listed_whole_and_empty_lists_left_out():
    lists = image_sets(replace(SMALL, videos=1, val_videos=0, stills=0, frames=3))
    assert [line.split()[2:] for line in lists.pop("VID_train_15frames")] == [
        ["0", "3"],
        ["1", "3"],
        ["2", "3"],
    ]
    assert not lists


def test_a_folder_holds_a_thousand_training_videos():
    assert Clip("train", 2345, 1).path == "train/ILSVRC2015_VID_train_0002/ILSVRC2015_train_00002345"


def test_annotations(small):
    objects = 0
    for path in (small / "Annotations").rglob("*.xml"):
        root = ElementTree.parse(path).getroot()
        assert (root.findtext("size/width"), root.findtext("size/height")) == ("64", "48")
        picture = cv2.imread(
            str(small / "Data" / path.relative_to(small / "Annotations").with_suffix(".JPEG"))
        )
        assert picture.shape == (48, 64, 3)
        for thing in root.iter("object"):
            objects += 1
            x1, y1, x2, y2 = (int(thing.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax"))
            assert 0 <= x1 < x2 <= 63 and 0 <= y1 < y2 <= 47
            assert thing.findtext("name") in CLASS_NAMES["easy"]
            tags = [child.tag for child in thing]
            if "VID" in path.parts:
                assert tags == ["trackid", "name", "bndbox", "occluded", "generated"]
                assert thing.findtext("generated") == "0" and thing.findtext("occluded") in "01"
            else:
                assert tags == ["name", "bndbox"]
    assert objects > 60


def test_truth_agrees_with_annotations(small):
    truth = json.loads((small / "synthvid.json").read_text())
    assert truth["complete"] and truth["class_names"] == list(CLASS_NAMES["easy"])
    assert len(truth["videos"]) == 6
    for name, video in truth["videos"].items():
        if name.startswith("DET"):
            continue
        assert len(video["defocus"]) == 17
        for frame in range(17):
            root = ElementTree.parse(small / "Annotations" / name / f"{frame:06d}.xml").getroot()
            found = {int(o.findtext("trackid")): o for o in root.iter("object")}
            assert set(found) == {t["trackid"] for t in video["tracks"] if t["annotated"][frame]}
            for track in video["tracks"]:
                if track["trackid"] in found:
                    thing = found[track["trackid"]]
                    assert thing.findtext("name") == track["class"]
                    assert int(thing.findtext("occluded")) == (track["covered"][frame] >= 0.2)


def test_bytes_do_not_depend_on_the_number_of_workers(small, tmp_path):
    render_dataset(tmp_path / "again", SMALL, workers=2, progress=False)
    assert contents(tmp_path / "again") == contents(small)


def test_another_seed_gives_other_pictures(small, tmp_path):
    few = replace(SMALL, videos=1, val_videos=0, stills=0, frames=1, seed=4)
    render_dataset(tmp_path, few, workers=1, progress=False)
    name = "Data/VID/train/ILSVRC2015_VID_train_0000/ILSVRC2015_train_00000000/000000.JPEG"
    assert contents(tmp_path)[name] != contents(small)[name]
    assert len({v for k, v in contents(small).items() if k.endswith("/000000.JPEG")}) == 4  # videos differ


def test_repeating_completes_what_is_missing_and_else_does_nothing(tmp_path):
    few = replace(SMALL, videos=1, val_videos=1, frames=2)
    assert render_dataset(tmp_path, few, workers=1, progress=False)
    whole = contents(tmp_path)
    assert not render_dataset(tmp_path, few, workers=1, progress=False)
    next(tmp_path.rglob("*.JPEG")).unlink()
    next(tmp_path.rglob("*.xml")).write_text("half of it")
    truth = tmp_path / "synthvid.json"
    truth.write_text(truth.read_text().replace('"complete":true', '"complete":false'))
    assert render_dataset(tmp_path, few, workers=1, progress=False)
    assert contents(tmp_path) == whole


def test_a_folder_of_something_else_is_refused(small, tmp_path):
    (tmp_path / "thesis.txt").write_text("do not touch")
    with pytest.raises(UserError, match="not empty and holds no SynthVID"):
        render_dataset(tmp_path, SMALL, progress=False)
    assert set(contents(tmp_path)) == {"thesis.txt"}
    with pytest.raises(UserError, match="not a folder"):
        render_dataset(tmp_path / "thesis.txt", SMALL, progress=False)
    before = contents(small)
    with pytest.raises(UserError, match="holds a SynthVID with difficulty easy, not hard"):
        render_dataset(small, replace(SMALL, difficulty="hard"), progress=False)
    assert contents(small) == before
    (tmp_path / "synthvid.json").write_text("{")
    with pytest.raises(UserError, match=r"synthvid\.json: cannot be read"):
        render_dataset(tmp_path, SMALL, progress=False)
