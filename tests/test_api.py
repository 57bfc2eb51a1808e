"""`load`, `stream` and `live`: what a folder of a run gives on pictures of any size."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from time import sleep

import numpy as np
import pytest

import lsts_jax
from lsts_jax.api import _Clock, require_rgb, tight_canvas
from lsts_jax.config_io import save_config
from lsts_jax.data.transforms import to_frame
from lsts_jax.errors import UserError
from lsts_jax.streaming import VideoDetector
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state
from tests.data.trees import write_picture
from tests.tiny import CLASS_NAMES, tiny_config, tiny_detector

SIZE = (60, 110)  # resized to 52 x 96 at most, a canvas of 64 x 96


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config, workdir = tiny_config(), tmp_path_factory.mktemp("run")
    detector, variables = tiny_detector(config)
    save_config(config, workdir / "config.json")
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(
            init_state(detector, build_optimizer(config.optimizer, 10, detector.temporal), variables, 0)
        )
    return workdir


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    images = rng.integers(0, 256, (8, *SIZE, 3), np.uint8)
    for t, image in enumerate(images):
        write_picture(folder / f"frame{t}.png", image)
    return folder, images


@pytest.fixture(scope="module")
def loaded(run):
    return lsts_jax.load(run)


@cache
def video_detector(schedule):
    return VideoDetector(*tiny_detector(tiny_config()), interval=3, schedule=schedule)


def expected(config, images, schedule):
    canvas = tight_canvas(images[0].shape[:2], config)
    return list(video_detector(schedule).stream(to_frame(image, config.data, canvas) for image in images))


def assert_same(results, wanted):
    for result, one in zip(results, wanted, strict=True):
        np.testing.assert_allclose(result.boxes, one.boxes[one.valid], atol=1e-2)
        np.testing.assert_allclose(result.scores, one.scores[one.valid], atol=1e-5)
        assert len(result.scores) > 0


def test_stream_gives_every_frame_in_order_as_the_detector_does(loaded, pictures):
    folder, images = pictures
    results = list(loaded.stream(folder))
    assert [result.frame_index for result in results] == list(range(8))
    assert results[5].time == pytest.approx(5 / 25)
    for result, image in zip(results, images, strict=True):
        np.testing.assert_array_equal(result.image, image)
        assert all(a >= b for a, b in pairwise(result.scores))
        assert result.plot(score_threshold=0.0).shape == image.shape
        assert result.latency > 0
    assert loaded.class_names == CLASS_NAMES
    assert_same(results, expected(loaded.config, images, "offline"))


def test_a_schedule_that_there_is_not():
    with pytest.raises(UserError, match="schedule='later': choose from offline, online"):
        lsts_jax.load.__wrapped__("synthvid-s", schedule="later")  # without the tests' own check of types


def test_live_is_the_online_schedule_and_another_size_another_video(loaded, pictures):
    folder, images = pictures
    wanted = expected(loaded.config, images, "online")
    results = list(loaded.stream(folder, live=True))
    assert [result.frame_index for result in results] == list(range(8))
    assert_same(results, wanted)
    live = loaded.live()
    live(np.zeros((58, 108, 3), np.uint8))  # on the same canvas
    again = [live(image) for image in images]
    assert_same(again, wanted)
    assert [(result.frame_index, result.time) for result in again] == [(t, t / 25) for t in range(8)]


def test_pictures_of_another_shape_are_another_video(loaded, tmp_path):
    rng = np.random.default_rng(1)
    shapes = [SIZE, SIZE, (58, 108), (58, 108), SIZE]  # on one canvas
    images = [rng.integers(0, 256, (*shape, 3), np.uint8) for shape in shapes]
    for t, image in enumerate(images):
        write_picture(tmp_path / f"{t}.png", image)
    results = list(loaded.stream(tmp_path))
    assert [(found.frame_index, found.file_name) for found in results] == [(t, f"{t}.png") for t in range(5)]
    parts = [images[:2], images[2:4], images[4:]]
    assert_same(results, [found for part in parts for found in expected(loaded.config, part, "offline")])


def test_a_damaged_picture_keeps_the_numbers_of_the_others(loaded, pictures, tmp_path):
    folder, _ = pictures
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "frame3.png").write_bytes(b"")
    found = [result.frame_index for result in loaded.stream(tmp_path)]
    assert found == [0, 1, 2, 4, 5, 6, 7]


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        lsts_jax.load(tmp_path)


@pytest.mark.parametrize("kind, shape", [(np.float32, (4, 5, 3)), (np.uint8, (4, 5)), (np.uint8, (4, 5, 4))])
def test_what_is_no_rgb_picture_is_refused(kind, shape):
    with pytest.raises(UserError, match="give RGB pixels, uint8"):
        require_rgb(np.zeros(shape, kind))
    require_rgb(np.zeros((4, 5, 3), np.uint8))


def test_a_picture_alone_is_the_first_of_a_video(loaded, pictures):
    _, images = pictures
    found = [loaded.detect(image) for image in (images[0], images[1], images[0])]
    wanted = [expected(loaded.config, image[None], "online")[0] for image in images[:2]]
    assert_same(found, [*wanted, wanted[0]])
    assert [result.frame_index for result in found] == [0, 0, 0]


def test_threads_share_a_detector(loaded, pictures):
    _, images = pictures
    wanted = [loaded.detect(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(loaded.detect, [*images, *images]))
    for one, other in zip(found, [*wanted, *wanted], strict=True):
        assert one.frame_index == 0
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.scores, other.scores)


def test_a_latency_leaves_out_the_time_of_the_consumer():
    clock = _Clock()
    begin = clock.seconds()
    with clock.stopped():
        sleep(0.2)
        assert clock.seconds() - begin < 0.1
    assert clock.seconds() - begin < 0.1
