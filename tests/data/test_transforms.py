"""Resizing as the authors do, canvases, mirror images, boxes and slots."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects
from lsts_jax.data.transforms import (
    canvas_of,
    choose_canvas,
    clip_objects,
    flip_boxes,
    flip_image,
    resized,
    to_frame,
    to_slots,
)
from lsts_jax.errors import UserError

IMAGE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), np.uint8)


def objects(*boxes, ignored=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    ignored = np.zeros(len(boxes), bool) if ignored is None else np.array(ignored)
    numbers = np.arange(1, len(boxes) + 1, dtype=np.int32)
    return Objects(boxes, numbers, 10 * numbers, ignored, None)


def test_resize_is_the_authors(authors_ops):
    short, long = authors_ops["preproc_a/args"].tolist()
    wanted = authors_ops["preproc_a/resized"]
    height, width = wanted.shape[:2]
    config = DataConfig(short_side=short, long_side=long)
    frame = to_frame(authors_ops["preproc_a/bgr"], config, (height + 3, width + 5))
    np.testing.assert_array_equal(frame.pixels[:height, :width], wanted)
    assert not frame.pixels[height:].any() and not frame.pixels[:, width:].any()
    assert [*frame.size, frame.scale] == pytest.approx(authors_ops["preproc_a/im_info"].tolist(), rel=1e-6)


def test_a_frame_is_drawn_where_it_is_asked_for():
    config, canvases = DataConfig(short_side=48, long_side=64), np.zeros((2, 48, 64, 3), np.uint8)
    frame = to_frame(IMAGE, config, (48, 64), out=canvases[1])
    assert np.shares_memory(frame.pixels, canvases)
    np.testing.assert_array_equal(canvases[1], to_frame(IMAGE, config, (48, 64)).pixels)
    assert canvases[1].any() and not canvases[0].any()


@pytest.mark.parametrize(
    "size, scale",
    [
        ((720, 1280), 1000 / 1280),  # 600 / 720 would make it 1067 wide
        ((480, 640), 600 / 480),
        ((1280, 720), 1000 / 1280),
        ((300, 500), 2.0),  # exactly 600 x 1000
        ((2400, 4002), 0.25),  # 1000.5 is rounded half to even: still 1000
    ],
)
def test_the_scale_of_a_size(size, scale):
    assert resized(size, DataConfig(short_side=600, long_side=1000))[0] == scale


@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40), st.integers(0, 30))
def test_a_canvas_of_exactly_the_predicted_size_holds_the_picture(height, width, short, extra):
    long = short + extra
    config = DataConfig(short_side=short, long_side=long)
    try:
        scale, predicted = resized((height, width), config)
    except UserError:  # too thin
        reject()
    config = replace(config, canvases=(predicted, (99, 99)))
    frame = to_frame(np.full((height, width, 3), 7, np.uint8), config, canvas_of((height, width), config))
    assert tuple(frame.size) == predicted
    assert frame.pixels.shape[:2] in ((99, 99), predicted)
    assert frame.pixels[: predicted[0], : predicted[1]].min() == 7
    assert frame.pixels.sum() == 3 * 7 * predicted[0] * predicted[1]  # black beyond
    assert frame.scale == np.float32(scale)


def test_the_smallest_canvas_that_holds_the_picture():
    canvases = ((64, 96), (96, 64), (96, 96), (64, 70))
    assert choose_canvas((60, 70), canvases) == (64, 70)
    assert choose_canvas((60, 71), canvases) == (64, 96)
    assert choose_canvas((65, 64), canvases) == (96, 64)
    assert choose_canvas((65, 65), canvases) == (96, 96)
    with pytest.raises(UserError, match=r"97x10 .*config\.data\.canvases 64x96, 96x64, 96x96, 64x70"):
        choose_canvas((97, 10), canvases)


def test_a_picture_without_a_short_side_is_refused():
    with pytest.raises(UserError, match=r"2x9000 .* too thin"):
        canvas_of((2, 9000), DataConfig(short_side=6, long_side=1000))


def test_a_picture_that_does_not_fit_is_refused():
    with pytest.raises(UserError, match=r"37x53 .* does not fit the canvas 37x52"):
        to_frame(IMAGE, DataConfig(short_side=37, long_side=53), (37, 52))


def test_boxes_flip_with_their_pixels():
    image = np.zeros((20, 30, 3), np.uint8)
    image[3:8, 4:14] = 255  # columns 4..13, rows 3..7
    mirrored = flip_image(image)
    x1, y1, x2, y2 = flip_boxes(np.array([[4, 3, 13, 7]], np.float32), 30)[0].astype(int)
    assert mirrored.sum() == mirrored[y1 : y2 + 1, x1 : x2 + 1].sum() == image.sum()
    boxes = np.array([[-3, 1, 40, 5], [0.5, 2, 8.25, 9]], np.float32)
    np.testing.assert_array_equal(flip_boxes(flip_boxes(boxes, 30), 30), boxes)


def test_clipping_keeps_every_object_that_has_a_pixel():
    clipped = clip_objects(
        objects(
            [-5, -6, 10, 12],  # cut at the upper left
            [60, 40, 70, 50],  # cut at the lower right
            [63, 10, 80, 20],  # its first column is the last of the picture
            [64, 10, 80, 20],  # begins beyond
            [-9, 10, -1, 20],  # ends before
            [20, 30, 20, 30],  # a single pixel
            [20, 30, 19, 30],  # no width
            ignored=[False, True, False, False, False, True, False],
        ),
        (48, 64),
    )
    assert clipped.boxes.tolist() == [[0, 0, 10, 12], [60, 40, 63, 47], [63, 10, 63, 20], [20, 30, 20, 30]]
    assert clipped.classes.tolist() == [1, 2, 3, 6]
    assert clipped.track_ids.tolist() == [10, 20, 30, 60]
    assert clipped.ignored.tolist() == [False, True, False, True]


def test_slots_hold_objects_before_ignored_regions():
    found = objects([1, 1, 2, 2], [3, 3, 4, 4], [5, 5, 6, 6], ignored=[True, False, False])
    truth = to_slots(found.boxes, found.classes, found.ignored, 4)
    assert truth.boxes.tolist() == [[3, 3, 4, 4], [5, 5, 6, 6], [1, 1, 2, 2], [0, 0, 0, 0]]
    assert truth.classes.tolist() == [2, 3, 0, 0]
    assert truth.valid.tolist() == [True, True, False, False]
    assert truth.ignored.tolist() == [False, False, True, False]
    full = to_slots(found.boxes, found.classes, found.ignored, 1)
    assert full.boxes.tolist() == [[3, 3, 4, 4]] and full.valid.tolist() == [True]
