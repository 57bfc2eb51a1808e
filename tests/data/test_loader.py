"""The loader: what an epoch holds, what a triplet is, and batches that depend on nothing but the step."""

import logging
import pickle
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.loader import TripletLoader, read_frame
from lsts_jax.data.open import open_dataset
from lsts_jax.data.triplets import key_ranges
from lsts_jax.errors import UserError
from lsts_jax.structs import Triplet
from tests.data.trees import frame_of, picture, write_imagenet, write_picture, write_sequence, write_xml

CLASS_NAMES = ("dog", "domestic_cat")
LANDSCAPE, PORTRAIT = (48, 64), (64, 48)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_imagenet(tmp_path_factory.mktemp("ilsvrc"))


@pytest.fixture
def config(tree):
    return DataConfig(
        root=str(tree),
        class_names=CLASS_NAMES,
        short_side=48,
        long_side=64,
        canvases=(LANDSCAPE, PORTRAIT),
        max_objects=3,
        workers=0,
    )


def build(config, batch_size=2, seed=0):
    return TripletLoader(
        open_dataset(config, config.train_lists),
        config,
        batch_size=batch_size,
        seed=seed,
        ranges=key_ranges("offline", 10),
    )


def leaves(batch):
    return [batch] if isinstance(batch, np.ndarray) else [leaf for part in batch for leaf in leaves(part)]


def assert_equal(left, right):
    for a, b in zip(leaves(left), leaves(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def frames(frame):
    """(video, frame) of each picture of a batch of `write_imagenet`."""
    return [frame_of(pixels) for pixels in frame.pixels]


def items(batch):
    """(video, frame, left side of the box, which tells a mirror image) of each example."""
    x1 = batch.ground_truth.boxes[:, 0, 0].tolist()
    return [(*current, left) for current, left in zip(frames(batch.current), x1, strict=True)]


def test_shapes_and_types_of_a_batch(config):
    batch = build(config).make_batch(0)
    assert isinstance(batch, Triplet)
    height, width = batch.current.pixels.shape[1:3]
    assert (height, width) in config.canvases
    for frame in (batch.old_key, batch.new_key, batch.current):
        assert (frame.pixels.shape, frame.pixels.dtype) == ((2, height, width, 3), np.uint8)
        assert (frame.size.tolist(), frame.size.dtype) == ([[height, width]] * 2, np.int32)
        assert (frame.scale.tolist(), frame.scale.dtype) == ([1.0, 1.0], np.float32)
    truth = batch.ground_truth
    assert [x.shape for x in truth] == [(2, 3, 4), (2, 3), (2, 3), (2, 3)]
    assert [x.dtype for x in truth] == [np.float32, np.int32, bool, bool]
    assert [x.shape for x in (batch.new_is_old, batch.current_is_new)] == [(2,), (2,)]


def test_an_epoch_holds_every_picture_and_its_mirror_image_once(config):
    loader = build(config, batch_size=1)
    assert loader.steps_per_epoch == 2 * (6 + 8 + 6 + 2)
    epochs = [
        [items(loader.make_batch(step))[0] for step in range(44 * epoch, 44 * (epoch + 1))]
        for epoch in (0, 1)
    ]
    assert len(set(epochs[0])) == 44
    assert sorted(epochs[0]) == sorted(epochs[1]) and epochs[0] != epochs[1]
    plain = build(replace(config, flip=False), batch_size=1)
    assert plain.steps_per_epoch == 22
    assert {items(plain.make_batch(step))[0] for step in range(22)} < set(epochs[0])


def test_a_batch_has_one_canvas_and_leftovers_change(config):
    loader = build(config, batch_size=4)  # 30 landscape items: 7 batches; 14 portrait: 3
    assert loader.steps_per_epoch == 10
    seen = []
    for epoch in range(2):
        batches = [loader.make_batch(10 * epoch + step) for step in range(10)]
        canvases = [batch.current.pixels.shape[1:3] for batch in batches]
        assert sorted(canvases) == [LANDSCAPE] * 7 + [PORTRAIT] * 3
        assert canvases != sorted(canvases)  # mixed
        held = {item for batch in batches for item in items(batch)}
        assert len(held) == 40
        seen.append(held)
    assert seen[0] != seen[1]


def test_the_triplet_and_its_flags(config):
    loader = build(config, batch_size=1)
    flags = set()
    for step in range(3 * 44):
        batch = loader.make_batch(step)
        (video, old), (same, new), (current, t) = (
            frames(frame)[0] for frame in (batch.old_key, batch.new_key, batch.current)
        )
        assert video == same == current
        last = loader.dataset.videos[video].num_frames - 1 if video < 3 else 0  # stills are 4 and 5 here
        assert max(t - 10, 0) <= old <= max(t - 6, 0) and max(t - 5, 0) <= new <= min(t + 4, last)
        assert (batch.new_is_old[0], batch.current_is_new[0]) == (old == new, new == t)
        flags.add((bool(batch.new_is_old[0]), bool(batch.current_is_new[0])))
    assert flags == {(False, False), (False, True), (True, False), (True, True)}


def test_boxes_follow_the_picture(tmp_path, config):
    """Clipped to the original picture, mirrored, scaled without rounding; pixels agree."""
    image = np.zeros((30, 41, 3), np.uint8)
    image[5:15, 31:] = 255
    write_picture(tmp_path / "Data/DET/s.JPEG", image)
    write_xml(
        tmp_path / "Annotations/DET/s.xml",
        [("dog", None, 31, 5, 90, 14), ("dog", None, 41, 5, 90, 14)],
        (30, 41),
    )
    (tmp_path / "ImageSets").mkdir()
    (tmp_path / "ImageSets/DET_one.txt").write_text("s 1\n")
    config = replace(
        config, root=str(tmp_path), train_lists=("DET_one",), short_side=45, canvases=((46, 64),)
    )
    loader = build(config, batch_size=1)
    boxes = {}
    for step in range(2):
        batch = loader.make_batch(step)
        assert batch.ground_truth.valid[0].tolist() == [True, False, False]
        assert (batch.current.size.tolist(), batch.current.scale.tolist()) == ([[45, 62]], [1.5])
        box = batch.ground_truth.boxes[0, 0].tolist()
        boxes[box[0]] = box
        bright = batch.current.pixels[0, ..., 0] > 128
        rows, columns = np.nonzero(bright)
        assert np.abs(np.array([columns.min(), rows.min(), columns.max(), rows.max()]) - box).max() <= 1.5
        assert not batch.current.pixels[0, 45:].any() and not batch.current.pixels[0, :, 62:].any()
    assert boxes == {46.5: [46.5, 7.5, 60, 21], 0: [0, 7.5, 13.5, 21]}


def test_frames_without_objects_are_dropped(config):
    assert build(replace(config, class_names=("domestic_cat",))).steps_per_epoch == 6  # 6 frames and mirrors
    with pytest.raises(
        UserError, match=r"train_lists .*: 0 of 22 frames have an object of config\.data\.class_names"
    ):
        build(replace(config, class_names=("zebra",)))
    with pytest.raises(UserError, match="too few for a batch of 99"):
        build(config, batch_size=99)


def test_ignored_regions_take_slots(tmp_path):
    gt = "1,1,1,1,10,10,1,-1,-1,-1\n1,2,20,20,10,10,0,-1,-1,-1\n2,2,20,20,10,10,0,-1,-1,-1\n"
    write_sequence(tmp_path / "S", 3, gt)
    config = DataConfig(
        root=str(tmp_path), format="mot", class_names=("person",), train_lists=("S",), flip=False,
        short_side=48, long_side=64, canvases=(LANDSCAPE,), max_objects=4, workers=0,
    )  # fmt: skip
    loader = build(config, batch_size=1)
    assert loader.steps_per_epoch == 1  # nothing is to be found in frames 1 and 2
    truth = loader.make_batch(0).ground_truth
    assert truth.boxes[0, :2].tolist() == [[0, 0, 9, 9], [19, 19, 28, 28]]
    assert truth.classes[0].tolist() == [1, 0, 0, 0]
    assert truth.valid[0].tolist() == [True, False, False, False]
    assert truth.ignored[0].tolist() == [False, True, False, False]


def test_warnings(config, caplog):
    with caplog.at_level(logging.WARNING):
        build(replace(config, max_objects=0), batch_size=15)
    assert [record.getMessage() for record in caplog.records] == [
        "22 frames have more than config.data.max_objects = 0 boxes, up to 1; raise it to use them all",
        "14 samples on canvas 64x48 fill no batch of 15 and are never trained on; lower "
        "config.train.batch_size to use them",
    ]


def test_errors_name_the_frame(config, tree, tmp_path):
    with pytest.raises(UserError, match=r"000000\.JPEG: a resized picture of 64x48 .*canvases 48x64"):
        build(replace(config, canvases=(LANDSCAPE,)))
    dataset = open_dataset(config, ("VID_val_videos",))
    with pytest.raises(UserError, match=r"000002\.JPEG: a resized picture .* fits none"):
        read_frame(dataset, 0, 2, replace(config, canvases=(PORTRAIT,)))
    root = write_imagenet(tmp_path)
    for t in range(8):  # portrait, but annotated as landscape
        write_picture(root / f"Data/VID/train/b/{t:06d}.JPEG", picture(10, PORTRAIT))
    loader = build(replace(config, root=str(root)), batch_size=1)
    with pytest.raises(UserError, match=r"samples cannot be read.*train/b/00000\d\.JPEG: .* does not fit"):
        list(loader.iterate(0, 44))


def test_a_damaged_sample_is_skipped_told_once_and_replaced(tmp_path, config, caplog):
    root = write_imagenet(tmp_path)
    config = replace(config, root=str(root), max_bad_share=0.1)
    whole = [items(batch) for batch in build(config).iterate(0, 22)]
    (root / "Annotations/VID/train/a/000005.xml").write_text("<annotation>")
    (root / "Data/VID/train/b/000004.JPEG").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        loader = build(config)
        assert loader.bad_samples == 1
        found = list(loader.iterate(0, 2 * loader.steps_per_epoch))
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [m.startswith("skipped: ") for m in messages] == [True, True]
    assert "000005.xml: no element found" in messages[0]
    assert "000004.JPEG: cannot be decoded" in messages[1]
    assert loader.bad_samples == 2
    assert not {(0, 5), (1, 4)} & {item[:2] for batch in found for item in items(batch)}
    assert {(0, 5), (1, 4)} <= {item[:2] for batch in whole for item in batch}
    again = list(build(replace(config, workers=3)).iterate(0, 2 * loader.steps_per_epoch))
    for left, right in zip(found, again, strict=True):
        assert_equal(left, right)
    with pytest.raises(UserError, match=r"2 of 22 samples .* config\.data\.max_bad_share = 0\.05"):
        list(build(replace(config, max_bad_share=0.05)).iterate(0, 22))
    with pytest.raises(UserError, match=r"1 of 22 samples .*000005\.xml"):
        build(replace(config, max_bad_share=0.0))


class Unreadable:
    """A data set with frames that fail, all with the message of the file that they are in; it notes what is
    read."""

    def __init__(self, dataset, *bad):
        self._dataset, self.bad, self.tried = dataset, bad, []

    def __getattr__(self, name):
        return getattr(self._dataset, name)

    def frame(self, video, t):
        self.tried.append((video, t))
        if (video, t) in self.bad:
            raise UserError(f"video{video}.mp4: cannot be decoded")
        return self._dataset.frame(video, t)


def videos(config, *bad, **options):
    """A loader of the two videos of `write_imagenet`, of which video 0 has 6 samples and video 1 has 8."""
    config = replace(config, train_lists=("VID_train_15frames",), **options)
    dataset = Unreadable(open_dataset(config, config.train_lists), *bad)
    assert len(dataset.samples) == 20 and sum(sample.video == 1 for sample in dataset.samples) == 8
    return TripletLoader(dataset, config, batch_size=1, seed=0, ranges=key_ranges("offline", 10))


def test_every_sample_of_an_unreadable_video_counts_and_is_tried_once(config):
    """They all fail with one message, that of the file; its good frames are used."""
    bad = [(1, t) for t in range(6)]
    loader = videos(config, *bad, max_bad_share=0.5)
    seen = {item[:2] for batch in loader.iterate(0, 3 * loader.steps_per_epoch) for item in items(batch)}
    assert loader.bad_samples == 6
    assert {(1, 6), (1, 7)} <= seen and not seen & set(bad)
    tried = [frame for frame in loader.dataset.tried if frame in bad]
    assert sorted(tried) == bad
    with pytest.raises(UserError, match=r"5 of 20 samples cannot be read.*max_bad_share = 0\.2"):
        list(videos(config, *bad, max_bad_share=0.2).iterate(0, 200))


def test_a_damaged_keyframe_costs_no_sample(config):
    """Sooner or later many a sample would draw it. Another keyframe is drawn in its place."""
    loader = videos(config, (2, 3), max_bad_share=0.0)
    assert (2, 3) not in loader.dataset.samples
    keys = set()
    for batch in loader.iterate(0, 4 * loader.steps_per_epoch):
        keys |= {frames(frame)[0] for frame in (batch.old_key, batch.new_key)}
    assert loader.bad_samples == 0
    assert (2, 3) not in keys and (2, 2) in keys and (2, 4) in keys


def test_where_no_keyframe_can_be_read_the_frame_is_its_own(config):
    bad = [(1, t) for t in range(8) if t != 4]
    loader = videos(config, *bad, max_bad_share=0.5)
    found = [batch for batch in loader.iterate(0, 40) if frames(batch.current) == [(1, 4)]]
    assert found
    for batch in found:
        assert batch.new_is_old[0] and batch.current_is_new[0]
        assert_equal(batch.old_key, batch.current)


def test_what_was_mended_counts_no_longer(config):
    """An earlier process of the run found it."""
    loader = videos(config, max_bad_share=0.1)
    loader.bad.merge([3, 5])
    assert loader.bad_samples == 2
    list(loader.iterate(0, loader.steps_per_epoch))
    assert loader.bad_samples == 0
    with pytest.raises(UserError, match="3 of 20 samples"):
        loader.bad.merge([1, 2, 3])


def test_the_padding_of_each_canvas_is_told(tmp_path, caplog):
    """A picture of 48x64 fills it but for a stripe of 16 columns of 80."""
    config = DataConfig(
        root=str(write_imagenet(tmp_path)),
        class_names=CLASS_NAMES,
        short_side=48,
        long_side=64,
        canvases=((48, 80), PORTRAIT),
    )
    with caplog.at_level(logging.INFO):
        build(config)
    messages = [record.getMessage() for record in caplog.records]
    assert "20.0 % padding" in messages[0]
    assert messages[0].startswith("canvas 48x80: 15 frames")
    assert messages[1].startswith("canvas 64x48: 7 frames, 0.0 % padding")


def test_read_frame(config):
    dataset = open_dataset(config, config.train_lists)
    frame = read_frame(dataset, 2, 3, replace(config, short_side=24, canvases=((36, 40), (40, 40))))
    assert (frame.pixels.shape, frame.size.tolist(), float(frame.scale)) == ((36, 40, 3), [32, 24], 0.5)


def test_seed_and_epoch_change_the_batches(config):
    first, other = build(config), build(config, seed=1)
    assert_equal(first.make_batch(7), build(config).make_batch(7))
    assert [items(first.make_batch(i)) for i in range(4)] != [items(other.make_batch(i)) for i in range(4)]
    # a triplet is drawn anew in every epoch
    single = build(replace(config, train_lists=("VID_train_15frames",), flip=False), batch_size=1)
    keys = [dict() for _ in range(2)]
    for epoch in range(2):
        for step in range(20):
            batch = single.make_batch(20 * epoch + step)
            keys[epoch][items(batch)[0]] = (frames(batch.old_key), frames(batch.new_key))
    assert keys[0].keys() == keys[1].keys() and keys[0] != keys[1]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_threads_give_the_batches_in_order_from_any_step(config, workers):
    loader = build(replace(config, workers=workers))
    expected = [loader.make_batch(step) for step in range(25)]
    for start in (0, 5, 23):  # an epoch has 22 steps
        found = list(loader.iterate(start, 25 - start))
        assert len(found) == 25 - start
        for batch, wanted in zip(found, expected[start:], strict=True):
            assert_equal(batch, wanted)
    assert list(loader.iterate(3, 0)) == []


def test_leaving_early_ends_the_threads(config):
    working = lambda: [thread for thread in threading.enumerate() if "prefetch" in thread.name]
    batches = build(replace(config, workers=4)).iterate(0, 10**6)
    next(batches)
    assert working()
    batches.close()
    deadline = time.monotonic() + 10
    while working() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not working()


def test_a_loader_can_be_pickled(config):
    loader = build(config)
    assert_equal(pickle.loads(pickle.dumps(loader)).make_batch(3), loader.make_batch(3))


def test_two_threads_may_ask_for_different_epochs(config):
    """Another thread puts the order of the next epoch into the cache before this one has looked it up."""

    class Raced(TripletLoader):
        @property
        def _epoch_order(self):
            return self._stored

        @_epoch_order.setter
        def _epoch_order(self, order):
            self._stored = order if order[0] < 0 else (order[0] + 1, -order[1])

    loader = build(config)
    wanted = loader.names(0)
    loader.__class__ = Raced
    loader._epoch_order = (-1, None)
    assert loader.names(0) == wanted
