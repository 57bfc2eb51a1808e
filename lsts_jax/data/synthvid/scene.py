"""A random scene: background, moving objects, occluders in front of them, and camera."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int8, UInt8

from lsts_jax.data.synthvid import motion, shapes, sprites, textures
from lsts_jax.data.synthvid.classes import CLASSES, class_names
from lsts_jax.data.synthvid.recipes import Recipe
from lsts_jax.data.synthvid.settings import SynthVIDConfig
from lsts_jax.errors import UserError

PATH_TRIES = 6  # number of random paths, of which the one with the least overlap is used
LARGEST_OCCLUDER = 512.0  # largest radius in pixels of drawn sprites; larger ones are enlarged
NOISE_SHIFT = 64  # the noise of a frame is one tile, shifted by less than this


class Layer(NamedTuple):
    """A sprite and its poses; objects have a class (0-based) and a track id, occluders have
    neither."""

    sprite: sprites.Sprite
    poses: Float[np.ndarray, "N 4"]  # x, y, radius in pixels of the frame, angle; on motion's clock
    object_class: int | None = None
    trackid: int | None = None


class Scene(NamedTuple):
    """A video before it is rendered; layers go from the back to the front."""

    size: tuple[int, int]
    background: UInt8[np.ndarray, "_ _ 3"]  # the frame and a margin of the same width all around
    camera: Float[np.ndarray, "N 2"]  # x, y in pixels, on motion's clock; within the margin
    layers: tuple[Layer, ...]
    shutter: float  # exposure, in frames
    defocus: Float[np.ndarray, "T"]  # standard deviation in pixels
    grain: Int8[np.ndarray, "_ _ 3"]  # sensor noise in grey levels


class Assets(NamedTuple):
    """Pictures of the user in place of drawn ones; empty: none."""

    cutouts: tuple[tuple[Path, ...], ...] = ()  # by class
    backgrounds: tuple[Path, ...] = ()


def find_assets(settings: SynthVIDConfig) -> Assets:
    """Raises UserError if a folder named in the settings is missing or has no pictures."""
    cutouts, backgrounds = [], []
    for name in class_names(settings.difficulty, settings.cutouts) if settings.cutouts else ():
        folder = Path(settings.cutouts) / name
        cutouts.append(tuple(sprites.pictures_in(folder)))
        if not cutouts[-1]:
            raise UserError(f"--cutouts: {folder} has no pictures; add RGBA PNG files or remove the folder")
    if settings.backgrounds:
        folder = Path(settings.backgrounds)
        backgrounds = sprites.pictures_in(folder) if folder.is_dir() else []
        if not backgrounds:
            raise UserError(
                f"--backgrounds {folder}: no such folder, or no pictures in it; give one with photos"
            )
    return Assets(tuple(cutouts), tuple(backgrounds))


def make_scene(
    rng: np.random.Generator,
    recipe: Recipe,
    settings: SynthVIDConfig,
    assets: Assets,
    *,
    frames: int,
    first_class: int,
) -> Scene:
    """Draws a random scene; its first object has the class `first_class`, so that a data set
    contains all classes."""
    short = min(settings.height, settings.width)
    extent = np.array([settings.width, settings.height]) / short
    times = motion.clock(frames)
    camera = _camera(rng, recipe, times)
    wanted = int(rng.integers(recipe.objects[0], recipe.objects[1] + 1))
    worlds: list[np.ndarray] = []  # poses before the camera's motion, in short sides
    for _ in range(wanted):
        worlds.append(_object_poses(rng, recipe, times, extent, worlds))
    screens = [_pixels(world, camera, short) for world in worlds]
    layers = []
    for i, poses in enumerate(screens):
        classes = len(assets.cutouts) or len(CLASSES[settings.difficulty])
        kind = first_class if i == 0 else int(rng.integers(classes))
        radius = float(poses[:, 2].max())
        if assets.cutouts:
            files = assets.cutouts[kind]
            sprite = sprites.cutout(rng, files[rng.integers(len(files))], radius)
        else:
            drawn = CLASSES[settings.difficulty][kind]
            sprite = sprites.drawn(rng, drawn, radius, recipe.contrast, varied=recipe.varied_textures)
        layers.append(Layer(sprite, poses, kind, i))
    layers = [layers[i] for i in rng.permutation(wanted)]
    for _ in range(rng.integers(recipe.occluders[0], recipe.occluders[1] + 1)):
        world = worlds[rng.integers(wanted)]
        layers.append(_occluder(rng, recipe, times, world, camera, short, float(np.hypot(*extent))))
    margin = int(np.ceil(np.abs(camera).max() * short)) + 2
    height, width = settings.height + 2 * margin, settings.width + 2 * margin
    defocus = motion.bursts(rng, times, every=recipe.defocus_every, length=recipe.burst_length)
    at_frames = np.arange(frames) * motion.SUBSTEPS + motion.SUBSTEPS // 2
    sharpness = recipe.defocus * rng.random() + recipe.defocus_burst * defocus[at_frames]
    grain = rng.normal(0, recipe.noise, (settings.height + NOISE_SHIFT, settings.width + NOISE_SHIFT, 3))
    return Scene(
        size=(settings.height, settings.width),
        background=_background(rng, recipe, assets, height, width),
        camera=camera * short,
        layers=tuple(layers),
        shutter=float(rng.uniform(*recipe.shutter)),
        defocus=sharpness * short,
        grain=np.clip(np.round(grain), -100, 100).astype(np.int8),
    )


def _camera(rng: np.random.Generator, recipe: Recipe, times: motion.Series) -> Float[np.ndarray, "N 2"]:
    """A slow pan of the camera, with bursts of trembling."""
    pan = np.stack([motion.wander(rng, times, 35.0), 0.5 * motion.wander(rng, times, 35.0)], 1)
    frequency, phase = rng.uniform(0.35, 0.8, 2), rng.uniform(0, 2 * np.pi, 2)
    tremble = np.sin(2 * np.pi * frequency * times[:, None] + phase)
    envelope = motion.bursts(rng, times, every=recipe.shake_every, length=recipe.burst_length)
    return recipe.pan * pan + recipe.shake * envelope[:, None] * tremble


def _object_poses(
    rng: np.random.Generator,
    recipe: Recipe,
    times: motion.Series,
    extent: np.ndarray,
    others: list[np.ndarray],
) -> Float[np.ndarray, "N 4"]:
    """x, y, radius (short sides) and angle of an object, apart from the others where possible."""
    radius = rng.uniform(*recipe.diameter) / 2
    radii = radius * np.exp(recipe.zoom * motion.wander(rng, times, 30.0))
    dash = motion.bursts(rng, times, every=recipe.dash_every, length=recipe.burst_length)
    low, high = np.log(recipe.speed)
    speed = np.exp(rng.uniform(low, high) + 0.5 * motion.wander(rng, times, 15.0)) + recipe.dash * dash
    whirl = motion.bursts(rng, times, every=recipe.whirl_every, length=recipe.burst_length)
    turning = recipe.spin * motion.wander(rng, times, 25.0) + recipe.whirl * whirl * rng.choice([-1, 1])
    angle = rng.uniform(-recipe.tilt, recipe.tilt) + motion.travel(turning)
    tries = [
        motion.path(rng, motion.travel(speed), extent=extent, radius=radius, leave=recipe.leave)
        for _ in range(PATH_TRIES)
    ]

    def overlap(centres: np.ndarray) -> float:
        apart = [np.linalg.norm(centres - o[:, :2], axis=1) / (radii + o[:, 2]) for o in others]
        return float(sum(np.maximum(1 - a, 0).mean() for a in apart))

    return np.column_stack([min(tries, key=overlap), radii, angle])


def _pixels(world: np.ndarray, camera: np.ndarray, short: int) -> Float[np.ndarray, "N 4"]:
    """Poses as the camera sees them; the left edge of the frame is at -1/2."""
    poses = world.copy()
    poses[:, :2] = (world[:, :2] - camera) * short - 0.5
    poses[:, 2] *= short
    return poses


def _occluder(
    rng: np.random.Generator,
    recipe: Recipe,
    times: motion.Series,
    world: np.ndarray,
    camera: np.ndarray,
    short: int,
    diagonal: float,
) -> Layer:
    """A post or a bush, standing or drifting, that covers the object `world` at a random time."""
    moment = rng.integers(len(times))
    half_width = rng.uniform(*recipe.occluder)
    if rng.random() < 0.5:
        radius, thin = diagonal, half_width / diagonal
        contours = [np.array([[-thin, -1], [thin, -1], [thin, 1], [-thin, 1]])]
        angle = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.15)
    else:
        radius, contours, angle = half_width * 1.4, shapes.blob(rng), rng.uniform(0, 2 * np.pi)
    aim = world[moment, :2] + rng.uniform(-0.5, 0.5, 2) * world[moment, 2]
    drift = rng.choice([0, 1]) * rng.uniform(0.3, 1) * recipe.speed[1] * rng.choice([-1, 1], 2)
    centres = aim + (times - times[moment])[:, None] * drift
    rest = np.tile([radius, angle], (len(times), 1))
    return Layer(
        sprites.occluder(rng, contours, min(radius * short, LARGEST_OCCLUDER)),
        _pixels(np.column_stack([centres, rest]), camera, short),
    )


def _background(
    rng: np.random.Generator, recipe: Recipe, assets: Assets, height: int, width: int
) -> UInt8[np.ndarray, "_ _ 3"]:
    """RGB background: drawn, or a random crop of a photo of the user."""
    if not assets.backgrounds:
        clutter = int(rng.integers(recipe.clutter[0], recipe.clutter[1] + 1))
        drawn = textures.background(
            rng,
            height,
            width,
            saturation=recipe.saturation,
            clutter=clutter,
            decoys=recipe.decoys,
            varied=recipe.varied_textures,
        )
        return np.round(drawn * 255).astype(np.uint8)
    path = assets.backgrounds[rng.integers(len(assets.backgrounds))]
    photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if photo is None:
        raise UserError(f"{path}: cannot be read as a picture; replace or remove it")
    scale = max(height / photo.shape[0], width / photo.shape[1])
    wide, high = max(round(photo.shape[1] * scale), width), max(round(photo.shape[0] * scale), height)
    photo = cv2.resize(photo, (wide, high), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = rng.integers(high - height + 1), rng.integers(wide - width + 1)
    return cv2.cvtColor(photo[top : top + height, left : left + width], cv2.COLOR_BGR2RGB)
