"""Writes one video of SynthVID as an mp4 file, to try a detector on."""

from pathlib import Path

import numpy as np

from lsts_jax.data.synthvid.classes import class_names
from lsts_jax.data.synthvid.layout import SPLITS
from lsts_jax.data.synthvid.recipes import RECIPES
from lsts_jax.data.synthvid.render import render_frame
from lsts_jax.data.synthvid.scene import find_assets, make_scene
from lsts_jax.data.synthvid.settings import SynthVIDConfig, check
from lsts_jax.data.video.source import DEFAULT_FPS
from lsts_jax.data.video.writer import VideoWriter

INDEX = 14  # split of videos that no data set contains: three objects with --benchmark s, two by default


def render_video(path: Path | str, settings: SynthVIDConfig) -> None:
    """Writes one video of `settings.frames` frames as an mp4 file. No data set of the same seed
    contains it.

    Raises `UserError` for a setting out of range, and if the file cannot be written.
    """
    check(settings)
    rng = np.random.default_rng((settings.seed, len(SPLITS), INDEX))
    assets, recipe = find_assets(settings), RECIPES[settings.difficulty]
    first_class = INDEX % len(class_names(settings.difficulty, settings.cutouts))
    scene = make_scene(rng, recipe, settings, assets, frames=settings.frames, first_class=first_class)
    with VideoWriter(path, DEFAULT_FPS, scene.size) as video:
        for frame in range(settings.frames):
            video.write(render_frame(scene, frame, rng)[0])
