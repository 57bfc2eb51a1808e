"""The MOTChallenge reader: both kinds of gt.txt, pictures and video files, ranges, and real sequences."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.open import open_dataset
from lsts_jax.data.video.video_io import VideoWriter, open_source
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_sequence

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
    assert dataset.videos == [("S1", 12, False), ("S2", 3, False)]
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


def test_a_video_shorter_than_its_header_is_named(config, tmp_path, monkeypatch):
    from lsts_jax.data.formats import mot

    with VideoWriter(tmp_path / "V" / "clip.mp4", 10, (48, 64)) as video:
        for t in range(6):
            video.write(picture(t))
    (tmp_path / "V/gt").mkdir()
    (tmp_path / "V/gt/gt.txt").touch()
    monkeypatch.setattr(mot, "open_source", lambda path: replace(open_source(path), num_frames=9))
    dataset = open_dataset(config, ("V:2-8",))
    with pytest.raises(UserError, match=r"clip\.mp4: ends after 6 frames, before frame 7"):
        dataset.frame(0, 0)


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
    "line", ["1,2,3,4,5,6", "0,1,1,1,9,9,1,-1,-1,-1", "1,1,x,1,9,9,1,-1,-1,-1", "1,1,nan,1,9,9,1,1,1", "a"]
)
def test_a_wrong_row_is_named(config, tmp_path, line):
    (tmp_path / "S1/gt/gt.txt").write_text(MOT15 + line)
    with pytest.raises(UserError, match=rf"gt\.txt, line 6: '{line}'"):
        open_dataset(config, ("S1",))


def test_what_is_missing_is_named(config, tmp_path):
    (tmp_path / "empty/img1").mkdir(parents=True)
    (tmp_path / "none/gt").mkdir(parents=True)
    write_sequence(tmp_path / "test", 2, "")
    (tmp_path / "test/gt/gt.txt").unlink()
    for name, message in [
        ("empty", "has 0 frames"),
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
    true = dict(open_source(shared / "data/mot/TUD-Campus/TUD-Campus.mp4"))
    for t in (70, 0, 33):
        distances = [np.abs(dataset.frame(1, t).astype(int) - true[other]).mean() for other in range(71)]
        assert np.argmin(distances) == t and distances[t] < 2


def test_the_class_can_be_left_to_the_reader(tmp_path):
    write_sequence(tmp_path / "s", 2, "1,1,5,5,10,10,1,-1,-1,-1\n")
    config = DataConfig(root=str(tmp_path), format="mot", class_names=())
    assert open_dataset(config, ("s",)).class_names == ("person",)
