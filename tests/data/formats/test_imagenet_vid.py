"""The ILSVRC2015 reader: lists, annotations, pictures, global ids, and what is wrong with them."""

import pickle
import re
from dataclasses import replace

import numpy as np
import pytest

from lsts_jax.config import IMAGENET_VID_CLASSES, DataConfig
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.formats.imagenet_lists import ListedFrame, read_list
from lsts_jax.data.formats.imagenet_xml import WNIDS, parse_annotation, read_annotation
from lsts_jax.data.open import open_dataset
from lsts_jax.errors import UserError
from tests.data.trees import frame_of, picture, write_imagenet, write_list, write_turned_photo, write_xml

IDS = {"dog": 1, "n02084071": 1, "disc": 2}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_imagenet(tmp_path_factory.mktemp("ilsvrc"))


@pytest.fixture
def config(tree):
    return DataConfig(root=str(tree))


def listed(tmp_path, name, *lines):
    write_list(tmp_path, name, *lines)
    return read_list(tmp_path / "ImageSets" / f"{name}.txt")


def test_the_training_lists(config):
    dataset = open_dataset(config, config.train_lists)
    assert isinstance(dataset, VideoDataset)
    assert [(v.name, v.num_frames, v.is_still) for v in dataset.videos] == [
        ("train/a", 20, False),
        ("train/b", 8, False),
        ("train/c", 12, False),
        ("train/s1", 1, True),
        ("train/s2", 1, True),
    ]
    assert len(dataset.samples) == 6 + 8 + 6 + 2
    assert dataset.samples[1] == (0, 5) and dataset.samples[-1] == (4, 0)
    assert dataset.frame_name(2, 7).endswith("/Data/VID/train/c/000007.JPEG")
    assert dataset.frame_name(4, 0).endswith("/Data/DET/train/s2.JPEG")
    assert frame_of(dataset.frame(0, 19)) == (0, 19)  # not a sample, but within reach of triplets
    assert dataset.frame(2, 3).shape == (64, 48, 3)
    assert dataset.global_id(0, 2) == 1 and dataset.global_id(4, 0) == 22
    with pytest.raises(KeyError):
        dataset.global_id(0, 3)


def test_objects_of_videos_and_stills(config):
    dataset = pickle.loads(pickle.dumps(open_dataset(config, config.train_lists)))
    dog = dataset.objects(0, 4)
    assert dog.boxes.tolist() == [[8, 10, 22, 29]] and dog.boxes.dtype == np.float32
    assert IMAGENET_VID_CLASSES[dog.classes[0] - 1] == "dog"
    assert dog.track_ids.tolist() == [3] and dog.ignored.tolist() == [False] and dog.size == (48, 64)
    still = dataset.objects(3, 0)
    assert still.track_ids.tolist() == [-1] and still.size == (48, 64)


def test_classes_follow_the_config(config):
    cats_only = replace(config, class_names=("cat", "domestic_cat"))
    dataset = open_dataset(cats_only, config.train_lists)
    assert dataset.objects(2, 0).classes.tolist() == [2]
    assert dataset.objects(0, 0).boxes.shape == (0, 4)


def test_the_wordnet_ids_are_in_the_order_of_the_names():
    names = dict(zip(IMAGENET_VID_CLASSES, WNIDS, strict=True))
    assert (names["airplane"], names["dog"], names["turtle"], names["zebra"]) == (
        "n02691156",
        "n02084071",
        "n01662784",
        "n02391049",
    )


def test_lines_of_each_kind(tmp_path):
    assert listed(tmp_path, "VID_train", "x/v 1 10 300", "", "x/v 1 0 300") == [
        ListedFrame("x/v", 10, 300),
        ListedFrame("x/v", 0, 300),
    ]
    assert listed(tmp_path, "VID_val_videos", "v/a 1 0 2", "v/b 3 0 1") == [
        ListedFrame("v/a", 0, 2, 1),
        ListedFrame("v/a", 1, 2, 2),
        ListedFrame("v/b", 0, 1, 3),
    ]
    assert listed(tmp_path, "VID_val_frames", "v/a/000004 7") == [ListedFrame("v/a", 4, 5, 7)]
    assert listed(tmp_path, "DET_train", "n01/n01_2 1") == [ListedFrame("n01/n01_2", 0, 1)]


def test_first_frames_alone_are_not_taken_for_whole_videos(tmp_path):
    """A list of one frame a video has 0 in the third column, like a list of videos, but 1 in the second."""
    assert listed(tmp_path, "VID_first", "x/a 1 0 9", "x/b 1 0 9") == [
        ListedFrame("x/a", 0, 9),
        ListedFrame("x/b", 0, 9),
    ]


@pytest.mark.parametrize(
    "name, line",
    [
        ("VID_a", "x/v 1 300 300"),  # counted from 1: the trap of one well-known converter
        ("VID_a", "x/v 1 -1 300"),
        ("VID_a", "x/v 1 ten 300"),
        ("VID_a", "x/v 1 10"),
        ("VID_a", "x/v 1 10 300 9"),
        ("VID_a", "x/v 1 0 0"),
        ("VID_a", "000001 1"),  # no video
        ("VID_a", "x/v/last 1"),
        ("DET_a", "x/v 1 10 300"),
        ("DET_a", "../../secret 1"),
        ("VID_a", "/etc/v 1 0 9"),
        ("DET_a", r"a\..\..\secret 1"),
        ("DET_a", "C:/secret 1"),
        ("DET_a", "a\0b 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, name, line):
    with pytest.raises(UserError, match=rf"{name}\.txt, line 2: .*{re.escape(repr(line)[1:-1])}"):
        listed(tmp_path, name, "x/v 1" if name == "DET_a" else "x/v 1 10 300", line)


def test_global_ids_count_from_1(tmp_path):
    for name, line in (("VID_videos", "v/a 0 0 3"), ("VID_frames", "v/a/000000 0")):
        with pytest.raises(UserError, match=rf"{name}\.txt, line 1: "):
            listed(tmp_path, name, line)


def test_global_ids_are_those_of_the_list(config, tree):
    write_list(tree, "VID_some", "val/v 101 0 5")
    dataset = open_dataset(config, ("VID_some",))
    assert [dataset.global_id(*sample) for sample in dataset.samples] == [101, 102, 103, 104, 105]
    # two lists that both count from 1 cannot both be right
    write_list(tree, "VID_more", "train/b 1 0 8")
    dataset = open_dataset(config, ("VID_val_videos", "VID_more"))
    assert [dataset.global_id(*sample) for sample in dataset.samples] == list(range(1, 14))


def test_frame_lists_reach_to_their_last_frame(config, tree):
    write_list(tree, "VID_frames", "val/v/000001 1", "val/v/000003 2", "val/v/000002 3")
    dataset = open_dataset(config, ("VID_frames",))
    assert dataset.videos[0].num_frames == 4
    assert [s.t for s in dataset.samples] == [1, 3, 2] and dataset.global_id(0, 3) == 2


def test_what_is_missing_is_named(config, tree, tmp_path):
    with pytest.raises(UserError, match=r"nowhere: no such folder; set --config\.data\.root"):
        open_dataset(replace(config, root=str(tmp_path / "nowhere")), config.train_lists)
    with pytest.raises(UserError, match=r"VID_no\.txt: no such list; .*there: .*VID_train_15frames"):
        open_dataset(config, ("VID_no",))
    with pytest.raises(UserError, match=r"mine\.txt: the name of a list begins with VID_"):
        open_dataset(config, ("mine",))
    with pytest.raises(UserError, match="list"):
        open_dataset(config, ())
    write_list(tree, "VID_empty", "")
    with pytest.raises(UserError, match=r"VID_empty\.txt: names no frame"):
        open_dataset(config, ("VID_empty",))
    write_list(tree, "VID_gone", "train/gone 1 3 9")
    dataset = open_dataset(config, ("VID_gone",))
    with pytest.raises(UserError, match=r"gone/000003\.JPEG: no such picture"):
        dataset.frame(0, 3)
    with pytest.raises(UserError, match=r"gone/000003\.xml: no such annotation"):
        dataset.objects(0, 3)


def test_lists_in_folders_of_imagesets(config, tree):
    write_list(tree, "mine/DET_few", "train/s2 1")
    dataset = open_dataset(config, ("mine/DET_few",))
    assert [video[:3] for video in dataset.videos] == [("train/s2", 1, True)] and dataset.frame(
        0, 0
    ).shape == (64, 48, 3)


def test_annotations_are_taken_as_they_are(tmp_path):
    write_xml(tmp_path / "a.xml", [("disc", 0, -4, 2.5, 900, 7), ("moon", 1, 0, 0, 1, 1)], None)
    found = read_annotation(tmp_path / "a.xml", IDS)
    assert found.boxes.tolist() == [[-4, 2.5, 900, 7]] and found.classes.tolist() == [2]
    assert found.track_ids.tolist() == [0] and found.size is None
    write_xml(tmp_path / "a.xml", [])
    assert read_annotation(tmp_path / "a.xml", IDS).boxes.shape == (0, 4)


def test_degraded_objects_are_read_where_they_are_marked(tmp_path):
    write_xml(tmp_path / "a.xml", [("dog", 1, 0, 0, 5, 5), ("moon", 2, 0, 0, 5, 5), ("disc", 3, 0, 0, 5, 5)])
    text = (tmp_path / "a.xml").read_text()
    assert read_annotation(tmp_path / "a.xml", IDS).degraded is None
    first, second, third = text.split("</object>")[:3]
    mark = "<degraded>{}</degraded></object>"
    marked = f"{first}{mark.format(0)}{second}{mark.format(0)}{third}{mark.format(1)}</annotation>"
    found = parse_annotation(marked.encode(), "a", IDS)
    assert found.degraded.tolist() == [False, True] and found.degraded.dtype == bool
    some = f"{first}</object>{second}{mark.format(1)}{third}{mark.format(1)}</annotation>"
    assert parse_annotation(some.encode(), "a", IDS).degraded.tolist() == [False, True]
    other = f"{first}</object>{second}{mark.format(1)}{third}</object></annotation>"
    assert parse_annotation(other.encode(), "a", IDS).degraded is None  # "moon" is no class
    with pytest.raises(UserError, match="a: degraded is 'much', not 0 or 1; repair it"):
        parse_annotation(marked.replace("ed>1<", "ed>much<").encode(), "a", IDS)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("<annotation><object>", "no element found|not well-formed|unclosed"),
        ("", "no element found"),
        ("<annotation><object><name>dog</name></object></annotation>", "no bndbox/xmin"),
        ("<annotation><object/></annotation>", "no name"),
    ],
)
def test_a_damaged_annotation_is_named(tmp_path, text, reason):
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(UserError, match=rf"a\.xml: .*({reason}).*; repair it"):
        read_annotation(tmp_path / "a.xml", IDS)


def test_an_annotation_in_memory_is_named(tmp_path):
    write_xml(tmp_path / "a.xml", [("disc", 7, 1, 2, 3, 4)])
    data = (tmp_path / "a.xml").read_bytes()
    assert parse_annotation(data, "x", IDS).boxes.tolist() == [[1, 2, 3, 4]]
    for damaged in (data[:-5], data.replace(b"7", b"99999999999"), b"<!DOCTYPE a>" + data):
        with pytest.raises(UserError, match=r"^shard 3, record 9: .*; repair it"):
            parse_annotation(damaged, "shard 3, record 9", IDS)


@pytest.mark.parametrize("corner", ["nan", "inf", "left"])
def test_a_corner_that_is_no_number_is_named(tmp_path, corner):
    write_xml(tmp_path / "a.xml", [("dog", 1, corner, 0, 5, 5)])
    with pytest.raises(UserError, match=r"a\.xml: "):
        read_annotation(tmp_path / "a.xml", IDS)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_entities_are_refused(tmp_path, encoding):
    bomb = f"""<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a [<!ENTITY a "dog">]>
    <annotation><object><name>&a;</name></object></annotation>"""
    (tmp_path / "a.xml").write_bytes(bomb.encode(encoding))
    with pytest.raises(UserError, match=r"a\.xml: declares a document type"):
        read_annotation(tmp_path / "a.xml", IDS)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_lists_of_editors_are_read(tmp_path, encoding):
    file = tmp_path / "VID_val_videos.txt"
    file.write_text("val/v 1 0 2\r\n", encoding=encoding)
    assert [frame.path for frame in read_list(file)] == ["val/v", "val/v"]


def test_photos_are_read_as_they_are_stored(tmp_path):
    """The boxes of ILSVRC are those of the stored pixels."""
    root = write_imagenet(tmp_path)
    write_turned_photo(root / "Data/DET/train/s1.JPEG", picture(9))
    dataset = open_dataset(DataConfig(root=str(root)), ("DET_train_30classes",))
    assert dataset.frame(0, 0).shape == (48, 64, 3)
