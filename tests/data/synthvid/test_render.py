"""Boxes, occlusion, motion blur and defocus of scenes made by hand and drawn at random."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lsts_jax.data.synthvid import (
    motion,
    shapes,
)
from lsts_jax.data.synthvid.classes import CLASSES
from lsts_jax.data.synthvid.recipes import RECIPES
from lsts_jax.data.synthvid.render import (
    MOST_SUBFRAMES,
    _count,
    blur_length,
    render_frame,
)
from lsts_jax.data.synthvid.scene import Assets, make_scene
from tests.data.synthvid.common import DISC, SMALL, SQUARE, draw_scene, look, plain_scene, still_layer


def test_disc_has_the_box_worked_by_hand():
    picture, (state,) = look(plain_scene(still_layer(DISC, 50, 40, 20.3, object_class=0, trackid=0)))
    assert state.box == (30, 20, 70, 60)
    assert state.in_frame == pytest.approx(1, abs=1e-3)
    assert state.covered == 0 and not state.occluded
    assert picture[40, 50].tolist() == [255, 255, 255] and picture[5, 5].tolist() == [0, 0, 0]


def test_box_is_clipped_to_the_frame():
    _, (state,) = look(plain_scene(still_layer(DISC, 0, 40, 20.3, object_class=0, trackid=0)))
    assert state.box == (0, 20, 20, 60)
    assert state.in_frame == pytest.approx(0.5, abs=0.02)


def test_object_outside_is_not_annotated():
    _, (state,) = look(plain_scene(still_layer(DISC, -19, 40, 20.3, object_class=0, trackid=0)))
    assert state.box is None and 0 < state.in_frame < 0.02
    _, (state,) = look(plain_scene(still_layer(DISC, -60, 40, 20.3, object_class=0, trackid=0)))
    assert state.box is None and state.in_frame == 0


@pytest.mark.parametrize(("x", "covered"), [(20.0, 0.5), (50.0, 1.0)])
def test_box_includes_what_is_hidden(x, covered):
    thing = still_layer(DISC, 50, 40, 20.3, object_class=0, trackid=0)
    wall = still_layer(SQUARE, x, 40, 30.0, colour=(0.5, 0.5, 0.5))  # its right edge at x + 30
    _, (state,) = look(plain_scene(thing, wall))
    assert state.covered == pytest.approx(covered, abs=0.02) and state.occluded
    assert state.box == ((30, 20, 70, 60) if covered < 1 else None)
    _, (state,) = look(plain_scene(wall, thing))  # behind the object it hides nothing
    assert state.covered == 0 and state.box == (30, 20, 70, 60)


def test_objects_hide_each_other():
    back = still_layer(DISC, 40, 40, 20.3, object_class=0, trackid=1)
    front = still_layer(DISC, 60, 40, 20.3, object_class=1, trackid=0)
    _, (of_front, of_back) = look(plain_scene(back, front))
    # two discs of radius r at distance d share 2 r² acos(d / 2r) - d/2 sqrt(4r² - d²)
    r, d = 20.3, 20.0
    shared = 2 * r**2 * np.arccos(d / (2 * r)) - d / 2 * np.sqrt(4 * r**2 - d**2)
    assert of_back.covered == pytest.approx(shared / (np.pi * r**2), abs=0.01)
    assert of_front.covered == 0


def test_motion_blur_is_the_average_over_the_exposure():
    layer = still_layer(DISC, 50, 40, 12.0, frames=3, colour=(1.0, 0.5, 0.2), object_class=0, trackid=0)
    times = motion.clock(3)
    poses = layer.poses.copy()
    poses[:, 0] += 18 * (times - 1)  # 18 pixels a frame
    scene = plain_scene(layer._replace(poses=poses), frames=3, shutter=0.5)
    blurred, (state,) = look(scene, 1)
    assert state.blur == pytest.approx(9.0, abs=0.01)
    assert state.box == (38, 28, 62, 52)  # of the middle of the exposure
    sharp = []
    for shift in np.linspace(-4.5, 4.5, 91):
        moved = layer._replace(poses=layer.poses + [shift, 0, 0, 0])
        sharp.append(look(plain_scene(moved, frames=3), 1)[0].astype(np.float64))
    assert np.abs(blurred - np.mean(sharp, 0)).max() < 5
    assert np.abs(sharp[45] - blurred).max() > 0.3 * 255


def test_defocus_is_a_gaussian_of_its_standard_deviation():
    layer = still_layer(SQUARE, 30, 40, 30.5, object_class=0, trackid=0)  # an edge between 60 and 61
    picture, (state,) = look(plain_scene(layer, defocus=np.array([3.0])))
    profile = picture[40, :, 0] / 255.0
    spread = -np.diff(profile[40:90])  # derivative of the edge: the kernel
    centre = (spread * np.arange(spread.size)).sum() / spread.sum()
    assert np.sqrt((spread * (np.arange(spread.size) - centre) ** 2).sum() / spread.sum()) == pytest.approx(
        3, rel=0.05
    )
    assert state.box == (0, 10, 60, 70)


def test_camera_motion_blurs_the_background():
    times = motion.clock(3)
    background = np.zeros((84, 124, 3), np.uint8)
    background[:, 62:] = 200  # in the frame's coordinates: right of 40
    background = np.pad(background[20:64], ((20, 20), (0, 0), (0, 0)))
    scene = plain_scene(frames=3, size=(40, 80), background=background, shutter=1.0)
    still, _ = look(scene, 1)
    assert still[20, 39, 0] == 0 and still[20, 40, 0] == 200
    moving = scene._replace(camera=np.stack([10 * (times - 1), 0 * times], 1))
    blurred, _ = look(moving, 1)
    assert blurred[20, 33, 0] == 0 and blurred[20, 47, 0] == 200
    assert np.all(np.diff(blurred[20, 33:47, 0].astype(int)) >= 0)
    assert 60 < blurred[20, 39, 0] < 140
    later, _ = look(moving, 2)  # the camera has gone 10 pixels to the right
    assert later[20, 23, 0] == 0 and later[20, 37, 0] == 200


def test_blur_of_a_whole_turn_is_the_way_round_in_as_many_sub_frames_as_allowed():
    poses = np.tile([0.0, 0, 100, 0], (len(motion.clock(1)), 1))
    poses[:, 3] = np.linspace(0, 2 * np.pi, len(poses))
    length = blur_length(poses, 0, 1.0)
    assert length == pytest.approx(200 * np.pi, rel=0.01)
    assert _count(length) == MOST_SUBFRAMES and _count(0.0) == 1


def independent_mask(contours, pose, height, width, steps=5) -> np.ndarray:
    """Coverage by crossing numbers at steps² points a pixel."""
    x, y, radius, angle = pose
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    offsets = (np.arange(steps) + 0.5) / steps - 0.5
    xs = (np.arange(width)[:, None] + offsets).ravel()
    ys = (np.arange(height)[:, None] + offsets).ravel()
    inside = np.zeros((ys.size, xs.size), bool)
    for contour in contours:
        a = radius * contour @ turn + [x, y]
        for (x1, y1), (x2, y2) in zip(a, np.roll(a, -1, axis=0), strict=True):
            rows = np.flatnonzero((y1 > ys) != (y2 > ys))
            crossing = x1 + (ys[rows] - y1) / (y2 - y1) * (x2 - x1)
            inside[rows] ^= xs < crossing[:, None]
    return inside.reshape(height, steps, width, steps).mean((1, 3))


@pytest.mark.parametrize("difficulty", ["easy", "hard"])
def test_boxes_are_tight_around_an_independently_drawn_mask(difficulty):
    compared = 0
    for seed in range(5):
        scene = draw_scene(seed, difficulty)
        for frame in (2, 17):
            states = {s.trackid: s for s in render_frame(scene, frame, np.random.default_rng(0))[1]}
            for layer in scene.layers:
                if layer.trackid is None or states[layer.trackid].box is None:
                    continue
                kind = CLASSES[difficulty][layer.object_class]
                pose = layer.poses[(2 * frame + 1) * motion.SUBSTEPS // 2]
                mask = independent_mask(shapes.silhouette(kind.silhouette), pose, *scene.size) >= 0.5
                rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                expected = [columns[0], rows[0], columns[-1], rows[-1]]
                assert np.abs(np.array(states[layer.trackid].box) - expected).max() <= 1
                compared += 1
    assert compared > 10


def test_defocus_bursts_show_in_the_pictures():
    for seed in range(20):
        scene = draw_scene(seed, "hard", frames=30, noise=0.0, shake=0.0, dash=0.0, whirl=0.0)
        if np.ptp(scene.defocus) > 2:
            break
    frames = [int(scene.defocus.argmin()), int(scene.defocus.argmax())]
    clean, burst = (look(scene, f)[0].astype(np.float32) for f in frames)
    assert cv2.Laplacian(burst, cv2.CV_32F).var() < 0.2 * cv2.Laplacian(clean, cv2.CV_32F).var()


def test_sizes_follow_the_short_side():
    radii = {}
    for scale in (1, 3):
        config = replace(SMALL, height=96 * scale, width=128 * scale)
        scene = make_scene(
            np.random.default_rng(5), RECIPES["easy"], config, Assets(), frames=2, first_class=0
        )
        radii[scale] = sorted(layer.poses[0, 2] for layer in scene.layers if layer.trackid is not None)
    np.testing.assert_allclose(radii[3][-1] / radii[1][-1], 3)
