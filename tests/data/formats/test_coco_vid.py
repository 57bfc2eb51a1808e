"""The COCO-VID reader: videos and stills, boxes, categories, where pictures lie, and what is wrong."""

import json
import logging
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.formats.coco_images import Ids
from lsts_jax.data.formats.coco_json import read_json
from lsts_jax.data.open import open_dataset
from lsts_jax.errors import UserError
from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.evaluation.scoring import read_truth, score_all
from tests.data.trees import picture, write_coco, write_picture, write_turned_photo
from tests.data.video.clips import picture_of, write_clip

VIDEOS = [{"id": 5, "name": "park"}, {"id": 2, "name": "street"}]


def image(file, video=None, frame=None, **more):
    there = {} if video is None else {"video_id": video, "frame_id": frame}
    return {"file_name": file, "height": 48, "width": 64, **there, **more}


def box(image, category, *corner_and_sides, **more):
    return {"image_id": image, "category_id": category, "bbox": corner_and_sides, **more}


@pytest.fixture
def config(tmp_path):
    """A video of frames 1, 2, 5 in disorder, a still, and a video of one frame."""
    write_coco(
        tmp_path,
        "annotations/train",
        [
            image("street/b.png", 2, 2),
            image("still.png"),
            image("street/a.png", 2, 1),
            image("park/0.png", 5, 0, height=0),
            image("street/c.png", 2, 5),
        ],
        [
            box(3, 7, 10, 20, 5, 6.5, instance_id=9),
            box(1, 3, 1, 2, 30, 40, track_id=8),
            box(2, 3, 0, 0, 64, 48),
            box(3, 3, -4, 0, 10, 10, iscrowd=1, instance_id=4),
            box(5, 3, 3, 4, 0, 10),
            box(5, 7, 3, 4, 1, 1, ignore=True),
        ],
        videos=VIDEOS,
    )
    for value, name in enumerate(["street/a", "street/b", "street/c", "still", "park/0"]):
        write_picture(tmp_path / f"{name}.png", picture(40 * value))
    return DataConfig(root=str(tmp_path), format="coco_vid", class_names=())


def open_one(tmp_path, images, annotations=(), *, class_names=(), **more):
    write_coco(tmp_path, "x", images, list(annotations), **more)
    for item in images:
        write_picture(tmp_path / item["file_name"], picture(0))
    return open_dataset(DataConfig(root=str(tmp_path), format="coco_vid", class_names=class_names), ("x",))


def test_videos_and_stills_in_the_order_of_frame_ids(config):
    dataset = open_dataset(config, ("annotations/train",))
    assert isinstance(dataset, VideoDataset)
    assert [video[:3] for video in dataset.videos] == [
        ("street", 3, False),
        ("still", 1, True),
        ("park", 1, False),
    ]
    assert dataset.samples == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]
    reds = [dataset.frame(*sample)[0, 0, 0] for sample in dataset.samples]
    assert reds == [0, 40, 80, 120, 160]
    assert dataset.frame_name(0, 2).endswith("street/c.png")
    assert [dataset.global_id(*sample) for sample in dataset.samples] == [1, 2, 3, 4, 5]
    for t in (-1, 3):
        with pytest.raises(IndexError):
            dataset.frame(0, t)


def test_boxes_have_inclusive_corners(config):
    dataset = pickle.loads(pickle.dumps(open_dataset(config, ("annotations/train",))))
    first = dataset.objects(0, 0)
    assert first.boxes.tolist() == [[10, 20, 14, 25.5], [-4, 0, 5, 9]] and first.boxes.dtype == np.float32
    assert first.classes.tolist() == [2, 0] and first.ignored.tolist() == [False, True]
    assert first.track_ids.tolist() == [9, 4] and first.size == (48, 64)
    assert dataset.objects(0, 1).track_ids.tolist() == [8]
    still = dataset.objects(1, 0)
    assert still.boxes.tolist() == [[0, 0, 63, 47]] and still.track_ids.tolist() == [-1]
    last = dataset.objects(0, 2)  # a box without a width has no pixel
    assert last.boxes.tolist() == [[3, 4, 3, 4]] and last.ignored.tolist() == [True]
    nothing = dataset.objects(2, 0)
    assert nothing.boxes.shape == (0, 4) and nothing.size is None


def test_categories_are_told_by_name(config, tmp_path):
    assert open_dataset(config, ("annotations/train",)).class_names == ("dog", "cat")
    some = DataConfig(root=config.root, format="coco_vid", class_names=("bird", "cat"))
    dataset = open_dataset(some, ("annotations/train",))
    assert dataset.class_names == ("bird", "cat")
    assert dataset.objects(0, 0).classes.tolist() == [2]  # the crowd is of dogs
    # another file has other ids and more names
    names = [{"id": 0, "name": "cat"}, {"id": 1, "name": "fox"}]
    write_coco(tmp_path, "more", [image("still.png")], [box(1, 1, 1, 1, 2, 2)], categories=names)
    dataset = open_dataset(config, ("annotations/train", "more"))
    assert dataset.class_names == ("dog", "cat", "fox")
    assert dataset.objects(0, 0).classes.tolist() == [2, 0] and dataset.objects(3, 0).classes.tolist() == [3]
    assert dataset.frame_name(3, 0).endswith("still.png") and dataset.global_id(3, 0) == 6
    with pytest.raises(UserError, match=r"no category of more is in .*class_names; .*there: cat, fox"):
        open_dataset(DataConfig(root=config.root, format="coco_vid", class_names=("whale",)), ("more",))


def test_regions_of_no_category_are_ignored_for_every_class(tmp_path):
    regions = [box(1, 0, 1, 2, 3, 4, iscrowd=1), box(1, 3, 5, 5, 2, 2, iscrowd=1), box(1, 7, 8, 8, 1, 1)]
    dataset = open_one(tmp_path, [image("a.png")], regions, class_names=("cat",))
    found = dataset.objects(0, 0)  # the second region is of dogs alone
    assert found.boxes.tolist() == [[1, 2, 3, 5], [8, 8, 8, 8]] and found.ignored.tolist() == [True, False]
    assert found.classes.tolist() == [0, 1]


def test_frames_marked_for_training_are_the_samples(tmp_path):
    images = [
        image(f"{v}{t}.png", v, t, is_vid_train_frame=t == 1 and v == 1) for v in (1, 2) for t in range(3)
    ]
    stills = [image("s.png", is_vid_train_frame=True), image("n.png", is_vid_train_frame=False)]
    dataset = open_one(tmp_path, images + stills)
    assert dataset.samples == [(0, 1), (2, 0)]
    assert dataset.frame_name(0, 2).endswith("12.png")  # within reach of triplets
    for item in images:
        item["is_vid_train_frame"] = False  # as in mmtracking's validation file
    assert len(open_one(tmp_path, images).samples) == 6


@pytest.mark.parametrize("folder", ["", "Data/VID", "Data/DET", "images", "frames", "val", "images/val"])
def test_pictures_are_found(tmp_path, folder):
    write_coco(tmp_path, "ann/val", [image(f"a/{t}.png", 1, t) for t in range(3)], [])
    write_picture(tmp_path / folder / "a/2.png", picture(90))  # the others are missing
    dataset = open_dataset(DataConfig(root=str(tmp_path), format="coco_vid", class_names=()), ("ann/val",))
    assert dataset.frame(0, 2)[0, 0, 0] == 90
    with pytest.raises(UserError, match=r"a/0\.png: no such picture"):
        dataset.frame(0, 0)


@pytest.mark.parametrize("folder", ["default", "images/default"])
def test_pictures_of_a_subset_are_found(tmp_path, folder):
    """COCO's own layout, and CVAT's."""
    write_coco(tmp_path, "annotations/instances_default", [image("0.png")], [])
    write_picture(tmp_path / folder / "0.png", picture(90))
    config = DataConfig(root=str(tmp_path), format="coco_vid", class_names=())
    assert open_dataset(config, ("annotations/instances_default",)).frame(0, 0)[0, 0, 0] == 90


@pytest.mark.parametrize("size", [(64, 48), (48, 64), None])
def test_a_turned_photo_has_the_size_that_its_annotator_saw(tmp_path, size):
    write_turned_photo(tmp_path / "a.jpg", picture(9))  # stored 48 x 64, upright 64 x 48
    image = {"file_name": "a.jpg"} | (dict(zip(("height", "width"), size, strict=True)) if size else {})
    write_coco(tmp_path, "val", [image], [{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4]}])
    dataset = open_dataset(DataConfig(root=str(tmp_path), format="coco_vid", class_names=()), ("val",))
    assert dataset.frame(0, 0).shape[:2] == (size or (64, 48))


def test_missing_pictures_are_named(tmp_path):
    write_coco(tmp_path, "val", [image("a/0.png", 1, 0)], [])
    with pytest.raises(UserError, match=r"val\.json: pictures such as a/0\.png are not in .*, images/val;"):
        open_dataset(DataConfig(root=str(tmp_path), format="coco_vid", class_names=()), ("val",))


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/x", "..", r"..\x", r"a\..\..\x", "C:/x", "a\0b", "a/" * 501, "b" * 256],
)  # fmt: skip
def test_nothing_leads_out_of_the_root(tmp_path, name):
    write_coco(tmp_path, "x", [image(name + ".png" if name != ".." else name)], [])
    config = DataConfig(root=str(tmp_path), format="coco_vid", class_names=())
    with pytest.raises(UserError, match=r"x\.json: images\[0\]: file_name .* points out of the data set"):
        open_dataset(config, ("x",))
    with pytest.raises(UserError, match=r"points out of config\.data\.root"):
        open_dataset(config, (name,))


def test_a_missing_file_is_named(config):
    with pytest.raises(UserError, match=r"val\.json: no such file; .*there: annotations/train"):
        open_dataset(config, ("val",))


def test_annotations_of_no_image_are_left_out(tmp_path, caplog):
    caplog.set_level(logging.WARNING, "lsts_jax")
    dataset = open_one(tmp_path, [image("a.png", id=10)], [box(i, 3, 1, 1, 2, 2) for i in (9, 10, 11)])
    assert dataset.objects(0, 0).boxes.tolist() == [[1, 1, 2, 2]]
    assert any(
        "2 of 3 annotations cannot be used: 2 of no image" in record.getMessage() for record in caplog.records
    )


def test_videos_without_names(tmp_path):
    """CenterTrack's files call the name file_name, and some have no list of videos."""
    images = [image("a.png", 4, 1), image("b.png", 6, 1)]
    dataset = open_one(tmp_path, images, videos=[{"id": 4, "file_name": "MOT17-02"}])
    assert [video.name for video in dataset.videos] == ["MOT17-02", "6"]


def test_attributes_of_videos_group_their_objects(tmp_path):
    """Lists of texts, as DAVIS has them; CVAT's, which are pairs, are none."""
    images = [image("a.png", 1, 1), image("b.png", 2, 1), image("c.png", 3, 1)]
    videos = [
        {"id": 1, "name": "one", "attributes": ["FM", "OCC"]},
        {"id": 2, "name": "two", "attributes": ["OCC"]},
        {"id": 3, "name": "three", "attributes": {"FM": True}},
    ]
    boxes = [box(1, 3, 0, 0, 9, 9), box(2, 3, 0, 0, 9, 9), box(3, 3, 0, 0, 9, 9)]
    dataset = open_one(tmp_path, images, boxes, videos=videos)
    assert [video.attributes for video in dataset.videos] == [("FM", "OCC"), ("OCC",), ()]
    truth = read_truth(dataset)
    found = {name: members.tolist() for name, members in truth.attributes.items()}
    assert found == {"FM": [True, False, False], "OCC": [True, True, False]}
    hit = DetectionArrays(*map(np.array, ([1], [1], [0.9], [[0.0, 0, 8, 8]])))
    scores = score_all(truth, hit, dataset.class_names)["mAP by attribute"]
    assert scores == {"FM": 0.0, "OCC": 0.5}


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"images": []}, "has no images"),
        ({"images": [{"id": 1}]}, r"images\[0\] has no file_name"),
        ({"images": [image("a.png", id=1.5)]}, r"images\[0\] has no id that is a whole number"),
        ({"images": [image("a.png", 3, id=1)]}, r"images\[0\] has no video_id and frame_id"),
        ({"images": [image("a.png", id=1, height="tall")]}, "height and width"),
        ({"images": [image("a.png", id=1, height=1 << 40)]}, "."),
        ({"images": [image("a.png", id=1), image("b.png", id=1)]}, "two images of one id"),
        ({"images": [image("a.png", 1, 7, id=1), image("b.png", 1, 7, id=2)]}, "two images of one frame_id"),
        ({"categories": None}, "has no list 'categories'"),
        ({"categories": [{"name": "dog"}]}, r"categories\[0\] has no id"),
        ({"categories": [{"id": 3, "name": "dog"}] * 2}, r"categories\[1\] has no id of its own"),
        ({"annotations": [{"id": 5, "bbox": [1, 2, 3, 4]}]}, "annotations without an image_id"),
        ({"annotations": [box(1, 3, 1, 2, 3) | {"id": 77}]}, "annotation 77 has no bbox of 4"),
        ({"annotations": [box(1, 3, 1, 2, 3, 4), {"image_id": 1}]}, "annotation 1 has no category_id"),
        ({"annotations": [box(1, 3, 1, 2, 3, "wide")]}, "annotation 0 has no bbox"),
        ({"annotations": [box(1, 3, 1, 2, 3, float("nan"))]}, "annotation 0 has no bbox of 4 finite numbers"),
        ({"annotations": [box(1, 4, 1, 2, 3, 4)]}, r"annotations\[0\] is of a category that is not in"),
        ({"annotations": [box(1, 3, 1, 2, 3, 4, instance_id=1 << 31)]}, "instance_id is neither text nor"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path, change, reason):
    content = {"images": [image("a.png", id=1)], "annotations": [], "categories": [{"id": 3, "name": "dog"}]}
    (tmp_path / "x.json").write_text(json.dumps(content | change))
    write_picture(tmp_path / "a.png", picture(0))
    with pytest.raises(UserError, match=rf"x\.json: .*{reason}.*; repair it"):
        open_dataset(DataConfig(root=str(tmp_path), format="coco_vid", class_names=()), ("x",))


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, '{"images": 3}', "\xff"])
def test_what_is_no_coco_is_named(tmp_path, text):
    (tmp_path / "x.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"x\.json: .*; repair it"):
        read_json(tmp_path / "x.json", tmp_path, Ids())


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), min_size=1, max_size=12, unique=True),
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from([3, 7]), st.integers(1, 50)), max_size=20),
)
def test_every_annotation_comes_out_with_its_image(tmp_path_factory, frames, boxes):
    """Against a search for each image. Video 0 stands for stills."""
    root = tmp_path_factory.mktemp("coco")
    images = [
        image(f"{v}_{t}.png", v or None, t if v else None, id=100 - i) for i, (v, t) in enumerate(frames)
    ]
    boxes = [(i % len(frames), category, w) for i, category, w in boxes]
    dataset = open_one(root, images, [box(100 - i, category, 0, 0, w, 1) for i, category, w in boxes])
    found = {}
    for video, t in dataset.samples:
        objects = dataset.objects(video, t)
        name = dataset.frame_name(video, t).rpartition("/")[2]
        assert name not in found
        found[name] = list(zip(objects.classes.tolist(), (objects.boxes[:, 2] + 1).tolist(), strict=True))
    assert found == {
        f"{v}_{t}.png": [({3: 1, 7: 2}[category], w) for j, category, w in boxes if j == i]
        for i, (v, t) in enumerate(frames)
    }
    for video in range(len(dataset.videos)):
        names = [dataset.frame_name(video, t) for t in range(dataset.videos[video].num_frames)]
        times = [int(name.rpartition("_")[2].removesuffix(".png")) for name in names]
        assert times == sorted(times)


def test_ids_may_be_text(tmp_path):
    """Text of a number is that number; tracks as text are told apart."""
    images = [
        image("a.png", "left", "0", id="frame-1"),
        image("b.png", "left", "1", id="2"),
        image("c.png", id=3),
    ]
    boxes = [
        box("frame-1", "cat", 1, 1, 2, 2, instance_id="obj-0"),
        box(2, "dog", 3, 1, 2, 2, instance_id="obj-1"),
        box("2", "cat", 5, 1, 2, 2, instance_id="obj-0"),
        box("3", "dog", 7, 1, 2, 2, track_id="7"),
    ]
    names = [{"id": "dog", "name": "dog"}, {"id": "cat", "name": "cat"}]
    dataset = open_one(tmp_path, images, boxes, categories=names, videos=[{"id": "left", "name": "street"}])
    assert [video[:3] for video in dataset.videos] == [("street", 2, False), ("c", 1, True)]
    first, second, still = (dataset.objects(*sample) for sample in dataset.samples)
    assert first.boxes[:, 0].tolist() == [1] and first.classes.tolist() == [2]
    assert second.boxes[:, 0].tolist() == [3, 5] and still.boxes[:, 0].tolist() == [7]
    assert second.track_ids[1] == first.track_ids[0] != second.track_ids[0] > 7
    assert still.track_ids.tolist() == [7]
    ids = np.array([dataset.ids(value) for value in ("frame-1", "2", 3, "other")])
    assert dataset.frames_of_images(ids).tolist() == [0, 1, 2, -1]


def test_tracks_of_cvat_make_videos(tmp_path):
    """No video_id, and the track is an attribute: pictures that share one are the frames of a video."""
    names = [
        "a/frame_000010.png",
        "a/frame_000002.png",
        "b/frame_000002.png",
        "b/x.png",
        "b/frame_000003.png",
    ]
    track = lambda number: {"attributes": {"occluded": False, "track_id": number}}
    boxes = [
        box(1, 3, 1, 1, 2, 2, **track(0)),
        box(2, 3, 3, 1, 2, 2, **track(0)),
        box(3, 3, 5, 1, 2, 2, **track(1)),
        box(5, 3, 7, 1, 2, 2, **track(2)),
    ]
    dataset = open_one(tmp_path, [image(name) for name in names], boxes)
    assert [(video.num_frames, video.is_still) for video in dataset.videos] == [(2, False)] + [(1, True)] * 3
    assert [dataset.frame_name(0, t)[-6:] for t in range(2)] == ["02.png", "10.png"]
    assert [dataset.objects(0, t).boxes[0, 0] for t in range(2)] == [3, 1]
    assert [dataset.objects(v, 0).track_ids.tolist() for v in range(4)] == [[0], [1], [], [2]]


def test_an_absolute_path_below_the_root_is_read(tmp_path):
    """As Label Studio writes it; elsewhere it leads out."""
    write_picture(tmp_path / "images/a.png", picture(70))
    config = DataConfig(root=str(tmp_path), format="coco_vid", class_names=())
    for name in (tmp_path / "images/a.png", f"file://{tmp_path}/images/a.png"):
        write_coco(tmp_path, "x", [image(str(name))], [])
        assert open_dataset(config, ("x",)).frame(0, 0)[0, 0, 0] == 70
    write_coco(tmp_path, "x", [image(f"{tmp_path}/../a.png")], [])
    with pytest.raises(UserError, match="points out of the data set"):
        open_dataset(config, ("x",))


def test_annotations_are_counted_by_what_becomes_of_them(tmp_path, caplog):
    boxes = [
        box(1, 3, 1, 1, 2, 2),
        box(1, 3, 30, 40, -5, -6),  # drawn backwards
        box(1, 3, 30, 40, 5, 0),
        box(1, 7, 1, 1, 2, 2),
        box(1, 3, 1, 1, 2, 2, iscrowd=1),
        box(9, 3, 1, 1, 2, 2),
    ]
    dataset = open_one(tmp_path, [image("a.png")], boxes, class_names=("dog",))
    counts = dataset.counts
    assert (counts.read, counts.ignored, counts.dropped) == (
        {"dog": 1},
        {"iscrowd or ignore": 1},
        {"class cat": 1},
    )
    assert counts.lost == {"of no area": 2, "of no image": 1}
    assert "3 of 6 annotations cannot be used" in caplog.text
    assert f"{tmp_path / 'x.json'}: annotations[1]" in caplog.text and "annotations[5]" in caplog.text


def test_json_of_editors_is_read(tmp_path):
    write_coco(tmp_path, "x", [image("a.png")], [])
    for encoding in ("utf-8-sig", "utf-16"):
        text = json.dumps(json.loads((tmp_path / "x.json").read_bytes()))
        (tmp_path / "x.json").write_text(text, encoding=encoding)
        assert len(read_json(tmp_path / "x.json", tmp_path, Ids()).images.ids) == 1


def test_a_mask_of_cvat_with_a_track_is_an_object(tmp_path):
    masks = [
        box(1, 3, 1, 2, 3, 4, iscrowd=1, attributes={"track_id": 7}),
        box(1, 3, 1, 2, 3, 4, iscrowd=1, instance_id=8),
        box(1, 3, 1, 2, 3, 4, ignore=1, attributes={"track_id": 9}, instance_id=2),
    ]
    found = open_one(tmp_path, [image("a.png", 1, 0)], masks).objects(0, 0)
    assert found.ignored.tolist() == [False, True, True] and found.track_ids.tolist() == [7, 8, 2]


def test_a_category_id_of_two_meanings_is_no_result(config, tmp_path):
    names = [{"id": 3, "name": "fox"}, {"id": 9, "name": "cat"}]
    write_coco(tmp_path, "more", [image("still.png", id=99)], [], categories=names)
    dataset = open_dataset(config, ("annotations/train", "more"))
    assert dataset.classes_of_categories(np.array([9])).tolist() == [dataset.class_names.index("cat") + 1]
    with pytest.raises(
        UserError, match=r"annotations/train\.json and more\.json have category 3 for different"
    ):
        dataset.classes_of_categories(np.array([9, 3]))


def test_images_are_frames_of_video_files(tmp_path):
    """One video counts from 0, one from 1, a third has its pictures; frames are read in any order."""
    write_clip(tmp_path / "zero.mp4", 6)
    write_clip(tmp_path / "sub/one.avi", 4)
    write_clip(tmp_path / "three.mp4", 2)
    write_picture(tmp_path / "three/0.png", np.full((48, 64, 3), 200, np.uint8))
    images = [image(f"zero/{t:05d}.jpg", 1, t) for t in (0, 3, 5, 9)]
    images += [image(f"sub/one/img_{t}.jpg", 2, t) for t in (1, 4)] + [image("three/0.png", 3, 0)]
    write_coco(tmp_path, "x", images, [box(1, 3, 1, 1, 5, 5)])
    dataset = open_dataset(DataConfig(root=str(tmp_path), format="coco_vid", class_names=()), ("x",))
    for one in (dataset, pickle.loads(pickle.dumps(dataset))):
        for video, t, frame in ((0, 2, 5), (0, 0, 0), (0, 1, 3), (1, 1, 3), (1, 0, 0)):
            assert abs(one.frame(video, t).mean((0, 1)) - picture_of(frame).mean((0, 1))).max() < 5
        assert one.frame(2, 0).mean() == 200
    assert dataset.frame_name(1, 0) == f"{tmp_path / 'sub/one.avi'}, frame 0"
    with pytest.raises(UserError, match=r"zero\.mp4, frame 9: cannot be decoded, or the video ends"):
        dataset.frame(0, 3)


def test_a_category_counts_as_its_supercategory(tmp_path):
    write_picture(tmp_path / "a.png", picture(0))
    categories = [
        {"id": 1, "name": "bus", "supercategory": "vehicle"},
        {"id": 2, "name": "car", "supercategory": "vehicle"},
        {"id": 3, "name": "dog", "supercategory": "animal"},
    ]
    found = [box(1, category, 1, 1, 5, 5) for category in (1, 2, 3)]
    write_coco(tmp_path, "train", [image("a.png")], found, categories=categories)
    config = DataConfig(root=str(tmp_path), format="coco_vid", class_names=("car", "vehicle"))
    dataset = open_dataset(config, ("train",))
    assert dataset.objects(0, 0).classes.tolist() == [2, 1]
    assert (dict(dataset.counts.read), dict(dataset.counts.dropped)) == (
        {"bus": 1, "car": 1},
        {"class dog": 1},
    )
