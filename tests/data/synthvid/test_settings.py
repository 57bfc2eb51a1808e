"""Classes, difficulties, frozen benchmarks, and settings that are refused."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from lsts_jax.data.synthvid import (
    BENCHMARKS,
    CLASS_NAMES,
    render_dataset,
    shapes,
    textures,
)
from lsts_jax.data.synthvid.classes import CLASSES
from lsts_jax.data.synthvid.recipes import RECIPES
from lsts_jax.data.synthvid.render import (
    blur_length,
    render_frame,
)
from lsts_jax.data.synthvid.scene import Assets, make_scene
from lsts_jax.errors import UserError
from tests.data.synthvid.common import SMALL, draw_scene


def test_classes():
    assert len(set(CLASS_NAMES["easy"])) == 8
    assert all(len(set(CLASS_NAMES[d])) == len(CLASS_NAMES[d]) >= 12 for d in ("medium", "hard"))
    for difficulty in ("medium", "hard"):  # the outline alone does not tell the class
        outlines = [c.silhouette for c in CLASSES[difficulty]]
        assert all(outlines.count(o) >= 2 for o in outlines)


def test_what_a_blurred_frame_shows_is_shared_by_classes():
    """A hue has one outline, and comes with every texture."""
    for difficulty, hues, patterns in (("bursts", 3, 4), ("bursts16", 4, 4), ("bursts24", 4, 6)):
        classes = CLASSES[difficulty]
        assert len(set(CLASS_NAMES[difficulty])) == len(classes) == hues * patterns
        assert len({(c.hue, c.silhouette) for c in classes}) == len({c.hue for c in classes}) == hues
        assert len({(c.hue, c.texture) for c in classes}) == len(classes)


def test_easy_outlines_are_told_apart():
    drawn = [shapes.draw(shapes.silhouette(c.silhouette), 49, 22.0) > 0.5 for c in CLASSES["easy"]]
    for a, b in combinations(drawn, 2):
        assert (a & b).sum() / (a | b).sum() < 0.85


@pytest.mark.parametrize("name", ["stripes", "zigzag", "checker", "dots", "rings", "pinwheel"])
def test_textures_vary_where_they_should(name):
    fixed, same, varied = (
        textures.pattern(np.random.default_rng(seed), name, 41, varied=v)
        for seed, v in ((0, False), (1, False), (1, True))
    )
    assert np.array_equal(fixed, same) and np.abs(fixed - varied).mean() > 0.1


def degradations(difficulty) -> np.ndarray:
    """(blur, defocus) in short sides of every object and frame of some videos."""
    found = []
    for seed in range(10):
        scene = draw_scene(seed, difficulty, frames=40)
        for layer in scene.layers:
            if layer.trackid is not None:
                found += [(blur_length(layer.poses, f, scene.shutter), scene.defocus[f]) for f in range(40)]
    return np.array(found) / 96


def test_difficulties_differ_as_they_promise():
    easy, medium, hard = (degradations(d) for d in ("easy", "medium", "hard"))
    assert easy[:, 0].max() < 0.04 and easy[:, 1].max() < 0.005
    for column in range(2):
        worst = [np.quantile(d[:, column], 0.95) for d in (easy, medium, hard)]
        assert worst[0] < worst[1] < worst[2]
    hopeless = (hard[:, 0] > 0.12) | (hard[:, 1] > 0.03)
    clean = (hard[:, 0] < 0.04) & (hard[:, 1] < 0.012)
    assert hopeless.mean() > 0.15 and clean.mean() > 0.3  # trouble, but with clean frames to remember


FROZEN = {  # numbers of things, size, class and box of each object of the first frame of val, mean colour
    "s": (
        (240, 40, 40, 4000),
        (128, 192),
        [
            ("red_striped", 75, 56, 120, 101),
            ("blue_ringed", 6, 24, 73, 91),
            ("blue_striped", 131, 15, 183, 67),
        ],
        (119.2, 134.5, 134.9),
    ),
    "m": (
        (480, 80, 60, 8000),
        (256, 384),
        [
            ("red_striped", 188, 75, 281, 167),
            ("yellow_striped", 88, 52, 158, 123),
            ("yellow_ringed", 121, 49, 228, 146),
            ("red_dotted", 200, 154, 303, 255),
        ],
        (153.7, 123.7, 92.9),
    ),
    "l": (
        (600, 100, 60, 12000),
        (480, 720),
        [
            ("red_striped", 368, 163, 504, 298),
            ("blue_zigzagged", 53, 249, 207, 405),
            ("yellow_zigzagged", 109, 26, 245, 170),
            ("blue_spoked", 291, 350, 469, 479),
            ("yellow_zigzagged", 224, 244, 331, 355),
            ("green_ringed", 496, 127, 649, 266),
        ],
        (151.8, 126.2, 118.4),
    ),
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_benchmarks_are_frozen(name):
    """Whoever breaks this makes another benchmark, whose scores cannot be compared with the old one's."""
    s = BENCHMARKS[name]
    numbers, size, expected, colour = FROZEN[name]
    assert (s.videos, s.val_videos, s.frames, s.stills) == numbers and (s.height, s.width) == size
    assert (s.seed, s.quality, s.cutouts, s.backgrounds) == (0, 92, "", "")
    rng = np.random.default_rng((0, 1, 0))
    scene = make_scene(rng, RECIPES[s.difficulty], s, Assets(), frames=s.frames, first_class=0)
    picture, states = render_frame(scene, 0, rng)
    assert [CLASS_NAMES[s.difficulty][state.object_class] for state in states] == [e[0] for e in expected]
    np.testing.assert_allclose([state.box for state in states], [e[1:] for e in expected], atol=1)
    np.testing.assert_allclose(picture.mean((0, 1)), colour, atol=0.5)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("frames", 0, "--frames 0: must be 1 to"),
        ("val_videos", -1, "--val-videos -1: must be 0 or more"),
        ("height", 8, "--height 8: must be 32 or more"),
        ("quality", 101, "--quality 101: must be 1 to 100"),
        ("seed", -1, "--seed -1"),
        ("cutouts", "nowhere", "--cutouts nowhere: no such folder"),
        ("backgrounds", "nowhere", "--backgrounds nowhere: no such folder"),
    ],
)
def test_wrong_settings_name_the_option(tmp_path, field, value, message):
    with pytest.raises(UserError, match=message):
        render_dataset(tmp_path / "out", replace(SMALL, **{field: value}), progress=False)
    assert not (tmp_path / "out").exists()
