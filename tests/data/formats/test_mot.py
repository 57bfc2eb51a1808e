"""The MOTChallenge reader: both kinds of gt.txt, pictures and video files, ranges, and real sequences."""

import os
import pickle
import tempfile
import tracemalloc
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Sample, VideoDataset, number_samples
from lsts_jax.data.formats import mot_frames, stored_video
from lsts_jax.data.open import open_dataset
from lsts_jax.data.video.video_io import open_source
from lsts_jax.data.video.writer import VideoWriter
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_picture, write_sequence, write_turned_photo
from tests.data.video.clips import damage, write_clip

MOT15 = """1,7,1,1,10,20,1,-1,-1,-1
3,7,11.5,5,10,20,1,-1,-1,-1
3,8,31,5,4.5,6,0,-1,-1,-1

2,7,6,3,10,20,1,4.2,5.1,0
"""
MOT16 = "2,4,6,3,10,20,1,1,0.86\n2,5,16,3,10,20,0,1,0.5\n2,6,26,3,10,20,1,7,0.5\n"


@pytest.fixture
def config(tmp_path):
    write_sequence(tmp_path / "S1", 12, MOT15)
    write_sequence(tmp_path / "S2", 3, MOT16)
    return DataConfig(root=str(tmp_path), format="mot", class_names=("person",), train_lists=("S1", "S2"))


def test_frames_and_boxes_count_from_0(config):
    dataset = open_dataset(config, config.train_lists)
    assert isinstance(dataset, VideoDataset)
    assert [video[:3] for video in dataset.videos] == [("S1", 12, False), ("S2", 3, False)]
    assert dataset.samples[:2] == [(0, 0), (0, 1)] and len(dataset.samples) == 15
    assert dataset.frame(0, 11)[0, 0].tolist() == [110, 100, 50]  # 000012.png, after 000002.png
    assert dataset.frame_name(0, 11).endswith("S1/img1/000012.png")
    first = dataset.objects(0, 0)
    assert first.boxes.tolist() == [[0, 0, 9, 19]]  # the 10 x 20 pixels in the upper left corner
    assert (first.classes.tolist(), first.track_ids.tolist(), first.size) == ([1], [7], (48, 64))
    assert dataset.objects(0, 1).boxes.tolist() == [[5, 2, 14, 21]]  # wherever its row stands
    third = dataset.objects(0, 2)
    assert third.boxes.tolist() == [[10.5, 4, 19.5, 23], [30, 4, 33.5, 9]]
    assert (third.classes.tolist(), third.ignored.tolist()) == ([1, 0], [False, True])
    assert dataset.objects(0, 3).boxes.shape == (0, 4)


def test_classes_of_mot16(config):
    found = open_dataset(config, ("S2",)).objects(0, 1)
    assert found.track_ids.tolist() == [4, 5, 6]
    assert found.ignored.tolist() == [False, True, True]  # conf 0; a static person
    assert found.classes.tolist() == [1, 0, 0]


def test_a_range_is_a_video_of_its_own(config):
    dataset = open_dataset(config, ("S1:0-2", "S2", "S1:2-12"))
    assert [v.num_frames for v in dataset.videos] == [2, 3, 10]
    assert dataset.frame(2, 0)[0, 0, 0] == 20 and len(dataset.objects(2, 0).boxes) == 2
    assert dataset.frame_name(2, 0).endswith("000003.png")
    assert [dataset.global_id(*sample) for sample in dataset.samples] == list(range(1, 16))


def test_a_frame_listed_twice_has_its_first_number():
    samples = [Sample(0, 0), Sample(0, 3), Sample(0, 0)]
    assert number_samples(samples) == {Sample(0, 0): 1, Sample(0, 3): 2}


def test_a_video_file_serves_any_frame_in_any_order(config, tmp_path):
    folder = tmp_path / "V"
    with VideoWriter(folder / "clip.mp4", 10, (48, 64)) as video:
        for t in range(16):
            video.write(picture(15 * t))
    (folder / "gt").mkdir()
    (folder / "gt/gt.txt").write_text("6,1,1,1,9,9,1,-1,-1,-1\n")
    dataset = pickle.loads(pickle.dumps(open_dataset(config, ("V", "V:5-9"))))
    assert [v.num_frames for v in dataset.videos] == [16, 4]
    for t in (9, 2, 15, 0):
        assert np.abs(dataset.frame(0, t).reshape(-1, 3).mean(0) - [15 * t, 100, 50]).max() < 7
    assert np.abs(dataset.frame(1, 3).reshape(-1, 3).mean(0) - [120, 100, 50]).max() < 7
    assert len(dataset.objects(0, 5).boxes) == len(dataset.objects(1, 0).boxes) == 1
    assert dataset.frame_name(1, 3).endswith("clip.mp4, frame 8")
    again = pickle.loads(pickle.dumps(dataset))
    assert len(pickle.dumps(dataset)) < 20_000  # without the pictures
    np.testing.assert_array_equal(again.frame(1, 0), dataset.frame(0, 5))


def test_memory_does_not_grow_with_a_video(config, tmp_path):
    """Of a frame its place is kept, not its 700 bytes of JPEG; two ranges share one temporary file."""
    (tmp_path / "V/gt").mkdir(parents=True)
    (tmp_path / "V/gt/gt.txt").touch()
    write_clip(tmp_path / "V" / "clip.avi", 256, codec="MJPG")
    dataset = open_dataset(config, ("V:0-128", "V:128-256"))
    open_files = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else None
    tracemalloc.start()
    try:
        pictures = [dataset.frame(video, t)[0, 0, 0] for video in (0, 1) for t in (0, 15)]
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000, (kept, most)
    assert np.abs(np.subtract(pictures, [6, 231, 6, 231], dtype=float)).max() < 20
    if open_files:
        assert len(os.listdir("/proc/self/fd")) == open_files + 1


def test_no_room_for_the_frames_of_a_video_is_told(config, tmp_path, monkeypatch):
    (tmp_path / "V/gt").mkdir(parents=True)
    (tmp_path / "V/gt/gt.txt").touch()
    write_clip(tmp_path / "V" / "clip.avi", 2, codec="MJPG")
    dataset = open_dataset(config, ("V",))
    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"No space left.* TMPDIR to a"):
        patched.setattr(tempfile, "TemporaryFile", partial(open, "/dev/full", "r+b"))
        dataset.frame(0, 0)
    assert open_dataset(config, ("V",)).frame(0, 1).shape == (48, 64, 3)


@pytest.mark.parametrize("promised", [4, 9])
def test_the_frames_of_a_video_are_counted_whatever_its_header_says(config, tmp_path, monkeypatch, promised):
    write_clip(tmp_path / "V" / "clip.mp4", 6)
    (tmp_path / "V/gt").mkdir()
    (tmp_path / "V/gt/gt.txt").touch()
    changed = lambda path: replace(open_source(path), num_frames=promised)
    monkeypatch.setattr(mot_frames, "open_source", changed)
    dataset = open_dataset(config, ("V", "V:2-6"))
    assert [video.num_frames for video in dataset.videos] == [6, 4]
    assert dataset.frame(1, 3).shape == (48, 64, 3)
    with pytest.raises(UserError, match=r"V:2-8: .*V has 6 frames"):
        open_dataset(config, ("V:2-8",))


@pytest.mark.parametrize("lost", [(0,), (3, 4)])
def test_a_damaged_frame_of_a_video_moves_no_other(config, tmp_path, lost):
    damage(write_clip(tmp_path / "V" / "clip.avi", 12, codec="MJPG"), *lost)
    (tmp_path / "V/gt").mkdir()
    (tmp_path / "V/gt/gt.txt").write_text("6,1,1,1,9,9,1,-1,-1,-1\n")
    dataset = open_dataset(config, ("V",))
    assert dataset.videos[0].num_frames == 12
    for t in range(12):
        if t in lost:
            with pytest.raises(UserError, match=rf"clip\.avi, frame {t}: cannot be decoded"):
                dataset.frame(0, t)
        else:
            assert abs(float(dataset.frame(0, t)[..., 0].mean()) - 15 * t - 6) < 3


def test_turned_photos_are_upright(config, tmp_path):
    for file in (tmp_path / "S2/img1").iterdir():
        file.unlink()
    write_turned_photo(tmp_path / "S2/img1/000002.jpg", picture(9))
    dataset = open_dataset(config, ("S2",))
    assert dataset.frame(0, 0).shape == (64, 48, 3) and dataset.objects(0, 0).size == (64, 48)


def test_hidden_files_are_no_frames(config, tmp_path):
    for folder in ("S1/img1/._000002.png", "S1/img1/.000001.png"):
        (tmp_path / folder).write_bytes(b"Mac OS X")
    assert open_dataset(config, ("S1",)).videos[0].num_frames == 12
    write_clip(tmp_path / "V" / "clip.mp4", 3)
    (tmp_path / "V/._clip.mp4").write_bytes(b"Mac OS X")
    (tmp_path / "V/gt").mkdir()
    (tmp_path / "V/gt/gt.txt").touch()
    assert open_dataset(config, ("V",)).videos[0].num_frames == 3


@pytest.mark.parametrize(
    "name, message",
    [
        ("S9", r"S9: no such sequence; .*there: S1, S2"),
        ("S1:5-13", "S1:5-13: .* has 12 frames; name a range within 0-12"),
        ("S1:5-5", "S1:5-5: .* has 12 frames"),
        ("S1:5", "S1:5: no such sequence"),
        ("", "no such sequence"),
    ],
)
def test_a_wrong_name_is_named(config, name, message):
    with pytest.raises(UserError, match=message):
        open_dataset(config, (name,))


@pytest.mark.parametrize(
    "line, wrong",
    [
        ("1,2,3,4,5,6", "'1,2,3,4,5,6' is not frame, id"),
        ("0,1,1,1,9,9,1,-1,-1,-1", "no picture has the number 0"),
        ("-1,1,1,1,9,9,1,-1,-1,-1", "'{line}' has a frame or an id that is no"),
        ("1.5,1,1,1,9,9,1,-1,-1,-1", "'{line}' has a frame or an id that is no"),
        ("1,0.5,1,1,9,9,1,-1,-1,-1", "'{line}' has a frame or an id that is no"),
        ("1,1,x,1,9,9,1,-1,-1,-1", "'1,1,x,"),
        ("1,1,nan,1,9,9,1,1,1", "'1,1,nan,"),
        ("a", "'a' is not frame, id"),
    ],
)
def test_a_wrong_row_is_named(config, tmp_path, line, wrong):
    (tmp_path / "S1/gt/gt.txt").write_text(MOT15 + line)
    with pytest.raises(UserError, match=r"gt\.txt, line 6: " + wrong.format(line=line)):
        open_dataset(config, ("S1",))


def test_what_is_missing_is_named(config, tmp_path):
    (tmp_path / "empty/img1").mkdir(parents=True)
    (tmp_path / "none/gt").mkdir(parents=True)
    write_sequence(tmp_path / "test", 2, "")
    (tmp_path / "test/gt/gt.txt").unlink()
    for name, message in [
        ("empty", "empty/img1: there are no pictures"),
        ("none", "no folder img1 and 0 video files"),
        ("test", r"gt\.txt: no such file"),
    ]:
        with pytest.raises(UserError, match=message):
            open_dataset(config, (name,))
    with pytest.raises(UserError, match="class_names names 30 classes"):
        open_dataset(DataConfig(root=str(tmp_path), format="mot"), ("S1",))


def test_real_sequences(shared):
    config = DataConfig(root=str(shared / "data/mot"), format="mot", class_names=("person",))
    dataset = open_dataset(config, ("PETS09-S2L1", "TUD-Campus", "TUD-Stadtmitte", "PETS09-S2L1:500-795"))
    assert [v.num_frames for v in dataset.videos] == [795, 71, 179, 295]
    found = [dataset.objects(0, t) for t in range(795)]
    assert sum(len(objects.boxes) for objects in found) == 4650
    assert sum(int(objects.ignored.sum()) for objects in found) == 174
    assert len(set(np.concatenate([objects.track_ids for objects in found]))) == 19
    np.testing.assert_allclose(found[0].boxes[0], [498, 157, 528.03, 231.17], rtol=1e-6)
    assert [dataset.objects(v, 0).size for v in range(3)] == [(576, 768), (480, 640), (480, 640)]
    np.testing.assert_array_equal(dataset.objects(3, 0).boxes, found[500].boxes)
    clip = open_source(shared / "data/mot/TUD-Campus/TUD-Campus.mp4")
    true = {frame.number: frame.picture for frame in clip}
    for t in (70, 0, 33):
        distances = [np.abs(dataset.frame(1, t).astype(int) - true[other]).mean() for other in range(71)]
        assert np.argmin(distances) == t and distances[t] < 2


def test_the_class_can_be_left_to_the_reader(tmp_path):
    write_sequence(tmp_path / "s", 2, "1,1,5,5,10,10,1,-1,-1,-1\n")
    config = DataConfig(root=str(tmp_path), format="mot", class_names=())
    assert open_dataset(config, ("s",)).class_names == ("person",)


def write_numbered(folder, numbers, rows, *, name="{:06d}.png", columns="1,1,1", labels=()):
    """Pictures of these numbers, and a row each for frames, whose x from 1 is ten times the frame."""
    for number in numbers:
        write_picture(folder / "img1" / name.format(number), picture(10 * number))
    (folder / "gt").mkdir(parents=True)
    text = "".join(f"{frame},1,{10 * frame},20,30,40,{columns}\n" for frame in rows)
    (folder / "gt/gt.txt").write_text(text)
    if labels:
        (folder / "gt/labels.txt").write_text("\n".join(labels))
    return DataConfig(root=str(folder.parent), format="mot", class_names=(), train_lists=("S",), val_lists=())


@pytest.mark.parametrize(
    "numbers, rows, name",
    [
        ((1, 2, 4, 5, 6), (1, 2, 4, 5, 6), "{:06d}.png"),  # one was taken out
        ((1, 3, 5, 7), range(1, 8), "{:06d}.png"),  # every second, rows of all
        ((11, 12, 13), (11, 13), "{:06d}.png"),  # an excerpt
        ((0, 1, 2), (0, 1, 2), "{:06d}.png"),
        ((1, 2, 3), range(1, 6), "{:06d}.png"),  # rows beyond the end
        ((2, 10, 9), (2, 9, 10), "cam2_{}.png"),
    ],
)
def test_a_row_belongs_to_the_picture_that_carries_its_number(tmp_path, caplog, numbers, rows, name):
    dataset = open_dataset(write_numbered(tmp_path / "S", numbers, rows, name=name), ("S", "S:1-3"))
    for video, start in ((0, 0), (1, 1)):
        for t in range(dataset.videos[video].num_frames):
            number = sorted(numbers)[start + t]
            assert dataset.frame_name(video, t).endswith(name.format(number))
            assert dataset.frame(video, t)[0, 0, 0] == 10 * number
            boxes = dataset.objects(video, t).boxes
            assert boxes[:, 0].tolist() == ([10 * number - 1] if number in rows else [])
    strangers = len(set(rows) - set(numbers))
    assert dataset.counts.lost.total() == strangers and dataset.counts.read.total() == len(rows) - strangers
    warnings = [record.getMessage() for record in caplog.records if "of no picture" in record.getMessage()]
    assert len(warnings) == (strangers > 0)
    assert all(
        f"{strangers} of {len(rows)}" in warning and "gt.txt, line " in warning for warning in warnings
    )


@pytest.mark.parametrize(
    "numbers, rows, name, message",
    [
        (range(6), range(1, 7), "{:06d}.png", r"gt\.txt, line 6: no picture has the number 6"),
        (range(1, 7), range(6), "{:06d}.png", "frames 0 to 5, pictures are numbered 1 to 6: number both"),
        (range(11, 15), range(1, 5), "{:06d}.png", "numbered 11 to 14"),
        ((1, 2), (1, 2), "{}_left1.png", "have the same number"),
        ((1,), (1,), "left.png", "has no number"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, numbers, rows, name, message):
    config = write_numbered(tmp_path / "S", numbers, rows, name=name)
    with pytest.raises(UserError, match=message):
        open_dataset(config, ("S",))


def test_a_row_of_a_video_belongs_to_its_frame(tmp_path, monkeypatch):
    """Frames count from 1; one that cannot be decoded shifts none of the others."""
    config = write_numbered(tmp_path / "S", (), (1, 3, 6, 9))
    with VideoWriter(tmp_path / "S" / "clip.mp4", 10, (48, 64)) as video:
        for t in range(6):
            video.write(picture(40 * t))
    (tmp_path / "S/._clip.mp4").write_bytes(b"of a desktop")
    source = open_source(tmp_path / "S" / "clip.mp4")
    damaged = replace(source, read=lambda: (frame for frame in source.read() if frame[0] not in (0, 3)))
    for module in (mot_frames, stored_video):
        monkeypatch.setattr(module, "open_source", lambda path: damaged)
    dataset = open_dataset(config, ("S",))
    assert dataset.counts.lost == {"of no picture": 1}
    assert [len(dataset.objects(0, t).boxes) for t in range(6)] == [1, 0, 1, 0, 0, 1]
    for t in (1, 2, 4, 5):
        assert abs(dataset.frame(0, t)[..., 0].mean() - 40 * t) < 7
    for t in (0, 3):
        with pytest.raises(UserError, match=f"frame {t}: cannot be decoded"):
            dataset.frame(0, t)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_text_of_editors_is_read(tmp_path, encoding):
    config = write_numbered(tmp_path / "S", (1, 2), (1, 2), columns="1,2,1", labels=("cat", "dog"))
    for file in (tmp_path / "S/gt").iterdir():
        file.write_text(file.read_text().replace("\n", "\r\n"), encoding=encoding)
    dataset = open_dataset(config, ("S",))
    assert dataset.class_names == ("cat", "dog") and dataset.objects(0, 1).classes.tolist() == [2]


def test_classes_of_cvat(tmp_path):
    """Corners count from 0; pictures whose names are more than a number are counted from 1."""
    config = write_numbered(
        tmp_path / "S", range(4), (1, 2, 3), name="frame_{:06d}.PNG", labels=("car", "bus", "person")
    )
    rows = [
        "1,1,10,20,30,40,1,1,0.9",
        "2,2,10,20,30,40,1,2,1",
        "2,3,1,2,3,4,1,3,1,0",
        "4,1,10,20,30,40,0,1,1",
    ]
    (tmp_path / "S/gt/gt.txt").write_text("\n".join(rows))
    dataset = open_dataset(config, ("S",))
    assert dataset.class_names == ("car", "bus", "person")
    assert [dataset.objects(0, t).classes.tolist() for t in range(4)] == [[1], [2, 3], [], [0]]
    assert dataset.objects(0, 1).boxes.tolist() == [[10, 20, 39, 59], [1, 2, 3, 5]]
    assert dataset.counts.read == {"car": 1, "bus": 1, "person": 1} and dataset.counts.ignored == {
        "conf 0": 1
    }
    some = open_dataset(replace(config, class_names=("person", "bus")), ("S",))
    assert [some.objects(0, t).classes.tolist() for t in range(4)] == [[], [2, 1], [], []]
    assert some.counts.dropped == {"class car": 2}
    with pytest.raises(
        UserError, match=r"labels\.txt is in config\.data\.class_names.*there: car, bus, person"
    ):
        open_dataset(replace(config, class_names=("whale",)), ("S",))
    (tmp_path / "S/gt/gt.txt").write_text("1,1,10,20,30,40,1,4,1")
    with pytest.raises(UserError, match=r"gt\.txt, line 1: class 4 is not in labels\.txt"):
        open_dataset(config, ("S",))


def test_columns_of_visdrone_are_refused(tmp_path):
    config = write_numbered(tmp_path / "S", (1, 2), (1, 2), columns="1,4,0,1")
    with pytest.raises(UserError, match=r"VisDrone's category.*lsts_jax\.data\.convert"):
        open_dataset(config, ("S",))


def test_a_box_of_no_area_is_lost_with_a_word(tmp_path, caplog):
    config = write_numbered(tmp_path / "S", (1, 2), (1,))
    with (tmp_path / "S/gt/gt.txt").open("a") as file:
        file.write("2,1,10,20,0,40,1,1,1\n2,2,10,20,-3,-4,1,1,1\n")
    dataset = open_dataset(config, ("S",))
    assert dataset.counts.lost == {"of no area": 2} and not len(dataset.objects(0, 1).boxes)
    assert "2 of 3 annotations cannot be used" in caplog.text and "gt.txt, line 2" in caplog.text


def test_a_damaged_first_picture_is_no_end(tmp_path):
    config = write_numbered(tmp_path / "S", (1, 2), (1, 2))
    (tmp_path / "S/img1/000001.png").write_bytes(b"")
    dataset = open_dataset(config, ("S",))
    assert dataset.objects(0, 1).size == (48, 64)
    with pytest.raises(UserError, match=r"000001\.png"):
        dataset.frame(0, 0)
