"""True flow: a frame is another one, warped along it, wherever the thing in front is seen in both."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lsts_jax.data.synthvid import flow, motion, sprites
from lsts_jax.data.synthvid.dataset import scene_of
from lsts_jax.data.synthvid.layout import Clip
from lsts_jax.data.synthvid.recipes import RECIPES
from lsts_jax.data.synthvid.render import render_frame
from lsts_jax.data.synthvid.scene import Assets, Layer, Scene, make_scene
from lsts_jax.data.synthvid.settings import SynthVIDConfig

SETTINGS = SynthVIDConfig(difficulty="bursts", frames=12)


def sharp_scene(seed: int) -> Scene:
    """A scene without blur, defocus and grain, so that its frames differ by motion alone."""
    recipe = replace(RECIPES["hard"], shutter=(0.0, 0.0), defocus=0.0, defocus_burst=0.0, noise=0.0)
    rng = np.random.default_rng(seed)
    return make_scene(rng, recipe, SETTINGS, Assets(), frames=12, first_class=0)


def picture(scene: Scene, frame: int) -> np.ndarray:
    return render_frame(scene, frame, np.random.default_rng(0))[0].astype(np.float32)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(("frame", "other"), [(7, 4), (2, 9)])
def test_warping_one_frame_gives_the_other(seed, frame, other):
    scene = sharp_scene(seed)
    truth = flow.flow_between(scene, frame, other)
    source, target = picture(scene, other), picture(scene, frame)
    rows, columns = np.mgrid[: source.shape[0], : source.shape[1]]

    def error(moved: np.ndarray) -> np.ndarray:
        places = np.stack([columns, rows], -1) + moved
        warped = cv2.remap(source, places.astype(np.float32), None, cv2.INTER_LINEAR)
        return np.abs(warped - target).mean(-1)[truth.visible]

    assert truth.visible.mean() > 0.5
    assert np.median(error(truth.flow)) < 1
    assert np.percentile(error(truth.flow), 90) < 12  # outlines are half one thing, half another
    assert error(truth.flow).mean() < 0.4 * error(np.zeros_like(truth.flow)).mean()


def test_flow_of_a_frame_to_itself_is_zero():
    truth = flow.flow_between(sharp_scene(0), 5, 5)
    np.testing.assert_allclose(truth.flow, 0, atol=1e-9)
    assert truth.visible.all()


def two_discs() -> Scene:
    """A disc that rests behind one that goes 4 pixels to the right a frame, before a resting camera."""
    times = motion.clock(8)
    side = 64
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = (np.hypot(rows, columns) <= 20).astype(np.float32)
    disc = sprites.make_sprite(np.full((side, side, 3), 0.5, np.float32), alpha, 20.0)
    still = np.tile([60.0, 40.0, 10.0, 0.0], (len(times), 1))
    moving = still.copy()
    moving[:, 0] = 20 + 4 * times
    return Scene(
        size=(80, 120),
        background=np.zeros((84, 124, 3), np.uint8),
        camera=np.zeros((len(times), 2)),
        layers=(Layer(disc, still, 0, 0), Layer(disc, moving, 0, 1)),
        shutter=0.0,
        defocus=np.zeros(8),
        grain=np.zeros((144, 184, 3), np.int8),
    )


def test_the_thing_in_front_moves_and_hides():
    truth = flow.flow_between(two_discs(), 0, 7)
    np.testing.assert_allclose(truth.flow[40, 20], (28, 0), atol=1e-9)
    np.testing.assert_allclose(truth.flow[40, 60], 0)
    assert truth.visible[40, 20] and truth.visible[40, 65]
    assert not truth.visible[40, 52]  # behind the disc that has come
    assert not truth.visible[40, 40]  # background behind it
    assert truth.visible[10, 10]


def test_what_leaves_the_frame_is_not_visible():
    scene = two_discs()
    camera = scene.camera.copy()
    camera[:, 0] = motion.clock(8)
    truth = flow.flow_between(scene._replace(camera=camera), 0, 2)
    np.testing.assert_allclose(truth.flow[5, 5], (-2, 0), atol=1e-9)
    assert not truth.visible[5, 1] and truth.visible[5, 2]


def test_the_scene_of_a_clip_is_the_one_that_is_rendered():
    clip = Clip("val", 3, SETTINGS.frames)
    first, second = (scene_of(SETTINGS, Assets(), clip)[0] for _ in range(2))
    np.testing.assert_array_equal(first.background, second.background)
    other = scene_of(SETTINGS, Assets(), Clip("val", 4, SETTINGS.frames))[0]
    assert first.background.shape != other.background.shape or (first.background != other.background).any()
