"""Lists and class names made from a tree of ILSVRC2015."""

import logging
import shutil
from dataclasses import replace
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsts_jax.config import IMAGENET_VID_CLASSES, DataConfig
from lsts_jax.data.formats import imagenet_tree
from lsts_jax.data.formats.imagenet_lists import ListedFrame, open_list, read_list
from lsts_jax.data.formats.imagenet_tree import spread
from lsts_jax.data.open import open_dataset
from lsts_jax.data.synthvid.dataset import render_dataset
from lsts_jax.data.synthvid.settings import SynthVIDConfig
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_imagenet, write_picture, write_xml

DOG, CAT, HAMMER = "n02084071", "n02121808", "n03481172"
NAMES = ("VID_train_15frames", "VID_val_videos", "VID_val_frames", "DET_train_30classes")


@pytest.fixture
def bare(tmp_path):
    """The tree of `write_imagenet` as it is downloaded: without lists."""
    write_imagenet(tmp_path)
    shutil.rmtree(tmp_path / "ImageSets")
    return tmp_path


def write_still(root, name, *classes):
    write_picture(root / f"Data/DET/train/{name}.JPEG", picture(0))
    write_xml(root / f"Annotations/DET/train/{name}.xml", [(c, None, 1, 2, 30, 40) for c in classes])


def write_frames(root, video, numbers):
    for t in numbers:
        (root / f"Data/VID/{video}").mkdir(parents=True, exist_ok=True)
        (root / f"Data/VID/{video}/{t:06d}.JPEG").touch()


def lines(root, name):
    return (root / f"ImageSets/{name}.txt").read_text().splitlines()


def test_the_training_frames_of_a_tree(bare):
    write_frames(bare, "train/ILSVRC2015_VID_train_0000/long", range(300))
    dataset = open_dataset(DataConfig(root=str(bare)), ("VID_train_15frames",))
    assert [(v.name, v.num_frames) for v in dataset.videos] == [
        ("train/ILSVRC2015_VID_train_0000/long", 300),
        ("train/a", 20),
        ("train/b", 8),
        ("train/c", 12),
    ]
    times = [[s.t for s in dataset.samples if s.video == video] for video in range(4)]
    assert times[0] == list(range(10, 300, 20))  # as published
    assert times[1] == [0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 18, 19]
    assert times[2:] == [list(range(8)), list(range(12))]
    assert lines(bare, "VID_train_15frames")[0] == "train/ILSVRC2015_VID_train_0000/long 1 10 300"


def test_val_frames_are_numbered_through_from_1(bare):
    write_frames(bare, "val/u", range(3))
    videos, frames = (open_dataset(DataConfig(root=str(bare)), (name,)) for name in NAMES[1:3])
    assert lines(bare, "VID_val_videos") == ["val/u 1 0 3", "val/v 4 0 5"]
    assert lines(bare, "VID_val_frames")[2:5] == ["val/u/000002 3", "val/v/000000 4", "val/v/000001 5"]
    assert videos.videos == frames.videos and videos.samples == frames.samples
    assert [videos.global_id(*s) for s in videos.samples] == list(range(1, 9))
    assert [frames.global_id(*s) for s in frames.samples] == list(range(1, 9))


def test_lists_made_of_synthvid_are_its_own(tmp_path):
    settings = SynthVIDConfig(videos=2, val_videos=2, frames=17, stills=3, height=32, width=48)
    render_dataset(tmp_path, settings, workers=1, progress=False)
    own = {name: lines(tmp_path, name) for name in NAMES}
    shutil.rmtree(tmp_path / "ImageSets")
    dataset = open_dataset(DataConfig(root=str(tmp_path), class_names=()), NAMES[::3])
    open_dataset(DataConfig(root=str(tmp_path)), NAMES[1:3])
    assert {name: lines(tmp_path, name) for name in NAMES} == own
    shown = {dataset.class_names[c - 1] for s in dataset.samples for c in dataset.objects(*s).classes}
    assert dataset.class_names == tuple(sorted(shown)) and len(shown) > 2


def test_a_made_list_is_read_the_next_time(bare, caplog):
    caplog.set_level(logging.INFO, "lsts_jax")
    for name in NAMES:
        file = bare / f"ImageSets/{name}.txt"
        made = open_list(bare, name, ("dog",))
        assert made == read_list(file)
        before = file.stat().st_mtime_ns
        assert open_list(bare, name, ("dog",)) == made and file.stat().st_mtime_ns == before
        assert sum(f"{name}.txt: no such list; made from" in r.getMessage() for r in caplog.records) == 1
    assert sorted(file.name for file in (bare / "ImageSets").iterdir()) == sorted(f"{n}.txt" for n in NAMES)


def test_stills_hold_one_of_the_classes(bare):
    write_still(bare, "ILSVRC2014_train_0000/x.y", HAMMER, DOG)
    write_still(bare, "n1/tool", HAMMER)
    write_still(bare, "n1/cat", CAT)
    write_still(bare, "n1/none")
    write_xml(bare / "Annotations/DET/train/n1/unpictured.xml", [(DOG, None, 1, 2, 30, 40)])
    write_still(bare, "val", DOG)
    (bare / "Annotations/DET/val").mkdir()
    (bare / "Annotations/DET/train/val.xml").rename(bare / "Annotations/DET/val/val.xml")
    everything = ["ILSVRC2014_train_0000/x.y", "n1/cat", "s1", "s2"]
    for class_names, expected in [
        (("cat", "dog"), ["ILSVRC2014_train_0000/x.y", "s1", "s2"]),  # the wnid is that of domestic_cat
        (("domestic_cat",), ["n1/cat"]),
        ((HAMMER,), ["ILSVRC2014_train_0000/x.y", "n1/tool"]),
        (IMAGENET_VID_CLASSES, everything),
        ((), everything),
    ]:
        shutil.rmtree(bare / "ImageSets", ignore_errors=True)
        found = open_list(bare, "DET_train_30classes", class_names)
        assert found == [ListedFrame(f"train/{still}", 0, 1) for still in expected]


def test_hidden_files_and_folders_are_in_no_list(bare):
    wanted = [open_list(bare, name, ("dog",)) for name in ("DET_train_30classes", "VID_train_15frames")]
    shutil.rmtree(bare / "ImageSets")
    write_still(bare, "._s1", DOG)
    write_still(bare, ".trash/s3", DOG)
    write_frames(bare, "train/.trash", range(20))
    found = [open_list(bare, name, ("dog",)) for name in ("DET_train_30classes", "VID_train_15frames")]
    assert found == wanted


def test_no_class_has_more_stills_than_its_share(bare, monkeypatch):
    monkeypatch.setattr(imagenet_tree, "STILLS_PER_CLASS", 3)
    for i in range(10):
        write_still(bare, f"bird{i}", "n01503061")
    write_still(bare, "bird1", "n01503061", CAT)
    found = open_list(bare, "DET_train_30classes", IMAGENET_VID_CLASSES)
    # floor of 10/6, 30/6, 50/6; and bird1 is the only cat
    assert [frame.path for frame in found] == [f"train/{n}" for n in ("bird1", "bird5", "bird8", "s1", "s2")]


def test_a_damaged_annotation_is_left_out_of_the_stills(bare, caplog):
    (bare / "Annotations/DET/train/s1.xml").write_text("<annotation>")
    assert [f.path for f in open_list(bare, "DET_train_30classes", ("dog",))] == ["train/s2"]
    assert any("1 annotations cannot be read, such as" in r.getMessage() for r in caplog.records)


def test_a_video_ends_before_its_first_gap(bare, caplog):
    write_frames(bare, "val/u", [0, 1, 2, 4, 5])
    write_frames(bare, "val/w", [1, 2, 3])  # counted from 1
    (bare / "Data/VID/val/u/thumbs.db").touch()
    assert [f[:3] for f in open_list(bare, "VID_val_videos", ())] == [
        *(("val/u", t, 3) for t in range(3)),
        *(("val/v", t, 5) for t in range(5)),
    ]
    assert any(
        "2 videos lack frames" in r.getMessage() and "000003.JPEG" in r.getMessage() for r in caplog.records
    )


def test_what_cannot_be_written_is_used_from_memory(bare, caplog):
    (bare / "ImageSets").touch()  # a file: nothing can be written below it
    config = DataConfig(root=str(bare))
    dataset = open_dataset(config, ("VID_val_videos",))
    assert [dataset.global_id(*s) for s in dataset.samples] == [1, 2, 3, 4, 5]
    assert any("VID_val_videos.txt: File exists" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize(
    "name, folder, reason",
    [
        ("VID_train_15frames", "Data/VID/train", "no folder in .*Data/VID/train has frames 000000"),
        ("VID_val_frames", "Data/VID/val", "no folder in .*Data/VID/val has frames 000000"),
        ("DET_train_30classes", "Annotations/DET", "no still in .*Data/DET/train has an annotation in"),
        ("DET_train_30classes", "Data/DET", "no still in .*Data/DET/train has an annotation in"),
    ],
)
def test_a_list_that_cannot_be_made_is_named(bare, name, folder, reason):
    shutil.rmtree(bare / folder)
    with pytest.raises(
        UserError, match=rf"{name}\.txt: no such list, and {reason}.*; put it there, or leave"
    ):
        open_dataset(DataConfig(root=str(bare)), (name,))
    assert not (bare / "ImageSets").exists()


def test_other_lists_are_not_made(bare):
    with pytest.raises(UserError, match=r"VID_train_10frames\.txt: no such list; put it there"):
        open_dataset(DataConfig(root=str(bare)), ("VID_train_10frames",))


def test_a_name_that_a_list_cannot_hold_is_named(bare):
    write_frames(bare, "val/my video", range(2))
    with pytest.raises(UserError, match=r"'val/my video': rename it"):
        open_dataset(DataConfig(root=str(bare)), ("VID_val_videos",))


def test_class_names_come_from_the_annotations(bare):
    config = DataConfig(root=str(bare), class_names=())
    assert open_dataset(config, ("VID_val_videos",)).class_names == IMAGENET_VID_CLASSES
    for t, found in enumerate([["zebra crossing", "car"], ["car"], [], ["bicycle", HAMMER], ["car"]]):
        write_xml(bare / f"Annotations/VID/val/v/{t:06d}.xml", [(name, 1, 1, 2, 30, 40) for name in found])
    dataset = open_dataset(config, ("VID_val_videos",))
    assert dataset.class_names == ("bicycle", "car", HAMMER, "zebra crossing")
    assert dataset.objects(0, 0).classes.tolist() == [4, 2]
    same = open_dataset(replace(config, class_names=dataset.class_names), ("VID_val_videos",))
    assert same.objects(0, 3).classes.tolist() == [1, 3]


def test_lists_without_objects_have_no_class_names(bare):
    for t in range(5):
        write_xml(bare / f"Annotations/VID/val/v/{t:06d}.xml", [])
    with pytest.raises(UserError, match=r"000000\.xml and the other 4 annotations .* have no object"):
        open_dataset(DataConfig(root=str(bare), class_names=()), ("VID_val_videos",))


@given(st.integers(0, 3000), st.integers(1, 40))
def test_spread_is_the_rule(n, number):
    expected = (
        [floor((i + Fraction(1, 2)) * n / number) for i in range(number)] if n >= number else list(range(n))
    )
    found = spread(range(n), number)
    assert found == expected and len(set(found)) == min(n, number)
