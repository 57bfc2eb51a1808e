"""Settings and scenes that the tests of SynthVID share."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from lsts_jax.data.synthvid import (
    SynthVIDConfig,
    motion,
    shapes,
)
from lsts_jax.data.synthvid.recipes import RECIPES
from lsts_jax.data.synthvid.render import (
    render_frame,
)
from lsts_jax.data.synthvid.scene import NOISE_SHIFT, Assets, Layer, Scene, make_scene
from lsts_jax.data.synthvid.sprites import make_sprite

SMALL = SynthVIDConfig(videos=2, val_videos=2, frames=17, height=48, width=64, stills=2, seed=3)

BURSTS = replace(SMALL, difficulty="bursts", videos=1, val_videos=3, frames=30)


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


DISC = shapes.silhouette("disc")

SQUARE = [np.array([[-1.0, -1.0], [1, -1], [1, 1], [-1, 1]])]


def still_layer(contours, x, y, radius, frames=1, colour=(1.0, 1.0, 1.0), **names) -> Layer:
    side = 4 * int(np.ceil(radius))
    alpha = shapes.draw(contours, side, radius)
    sprite = make_sprite(np.broadcast_to(np.float32(colour), (side, side, 3)).copy(), alpha, radius)
    return Layer(sprite, np.tile([x, y, radius, 0.0], (len(motion.clock(frames)), 1)), **names)


def plain_scene(*layers, frames=1, size=(80, 100), **changes) -> Scene:
    scene = Scene(
        size=size,
        background=np.zeros((size[0] + 4, size[1] + 4, 3), np.uint8),
        camera=np.zeros((len(motion.clock(frames)), 2)),
        layers=layers,
        shutter=0.0,
        defocus=np.zeros(frames),
        grain=np.zeros((size[0] + NOISE_SHIFT, size[1] + NOISE_SHIFT, 3), np.int8),
    )
    return scene._replace(**changes)


def look(scene, frame=0):
    return render_frame(scene, frame, np.random.default_rng(0))


def draw_scene(seed, difficulty, frames=20, **changes) -> Scene:
    config = replace(SMALL, difficulty=difficulty, height=96, width=128)
    recipe = replace(RECIPES[difficulty], **changes)
    return make_scene(
        np.random.default_rng(seed), recipe, config, Assets(), frames=frames, first_class=seed % 8
    )
