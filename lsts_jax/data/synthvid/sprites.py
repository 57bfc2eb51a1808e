"""Flat moving things: premultiplied RGBA pictures at several sizes."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from lsts_jax.data.synthvid import shapes, textures
from lsts_jax.data.synthvid.classes import ObjectClass
from lsts_jax.data.video.pictures import is_hidden
from lsts_jax.errors import UserError

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
MOST_LEVELS = 3


class Sprite(NamedTuple):
    """A thing of radius 1, centred in its pictures, which are drawn at several radii."""

    # premultiplied RGBA; every level has half the size of the previous one
    levels: tuple[UInt8[np.ndarray, "_ _ 4"], ...]
    radius: float  # pixels, of the first level
    reach: float  # distance of the farthest point from the centre; 1 for drawn classes
    area: float  # of the coverage, in squared radii


def make_sprite(
    picture: Float32[np.ndarray, "S S 3"], alpha: Float32[np.ndarray, "S S"], radius: float
) -> Sprite:
    """Makes a sprite from a picture (0..1) with the same centre; S must be a multiple of
    2**(MOST_LEVELS - 1)."""
    rgba = np.dstack([picture * alpha[..., None], alpha]) * 255
    levels: list[np.ndarray] = [np.round(rgba).astype(np.uint8)]
    while len(levels) < MOST_LEVELS and radius / 2 ** len(levels) >= 8:
        half = levels[-1].shape[0] // 2
        levels.append(cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA))
    side = alpha.shape[0]
    y, x = np.nonzero(alpha > 0)
    middle = (side - 1) / 2
    reach = np.hypot(x - middle, y - middle).max() / radius
    return Sprite(tuple(levels), radius, float(reach), float(alpha.sum()) / radius**2)


def _side(radius: float) -> int:
    """Side of a picture that holds the unit disc and a transparent border."""
    unit = 2 ** (MOST_LEVELS - 1)
    return -(-int(np.ceil(2.1 * radius + 3)) // unit) * unit


def drawn(
    rng: np.random.Generator, kind: ObjectClass, radius: float, contrast: float, *, varied: bool
) -> Sprite:
    """An instance of a drawn class, with random colours and, if `varied`, a random phase of its
    texture."""
    side = _side(radius)
    alpha = shapes.draw(shapes.silhouette(kind.silhouette), side, radius)
    colours = textures.object_colours(rng, kind.hue, contrast)
    return make_sprite(textures.paint(rng, kind.texture, side, colours, alpha, varied=varied), alpha, radius)


def occluder(rng: np.random.Generator, contours: list[shapes.Contour], radius: float) -> Sprite:
    """A dull sprite of the given outline: post, stone or bush."""
    side = _side(radius)
    alpha = shapes.draw(contours, side, radius)
    hue, saturation = rng.random(), rng.uniform(0.05, 0.45)
    value = rng.uniform(0.2, 0.7)
    dark, light = (textures.colour(hue, saturation, value * k) for k in (0.6, 1.2))
    grain = textures.fractal_noise(rng, side, side, rng.uniform(3, 10), gain=0.7)
    return make_sprite(np.clip(textures.mix(dark, light, grain), 0, 1), alpha, radius)


def pictures_in(folder: Path) -> list[Path]:
    """Picture files of a folder and its subfolders, sorted by path; hidden ones are left out."""
    files = (p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file())
    return sorted(p for p in files if not is_hidden(p, folder))


@lru_cache(maxsize=256)
def read_cutout(path: Path) -> Float32[np.ndarray, "H W 4"]:
    """RGBA (0..1), cropped to the opaque part. Raises UserError if the picture cannot be used."""
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise UserError(f"{path}: cannot be read as a picture; replace or remove it")
    if stored.ndim != 3 or stored.shape[2] != 4:
        raise UserError(f"{path}: has no alpha channel; save the cut-out as an RGBA PNG")
    rgba = cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA).astype(np.float32) / np.iinfo(stored.dtype.str).max
    rows, columns = (np.flatnonzero((rgba[..., 3] > 0.5).any(axis)) for axis in (1, 0))
    if rows.size < 2 or columns.size < 2:
        raise UserError(f"{path}: nothing in it is opaque; replace or remove it")
    return rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def cutout(rng: np.random.Generator, path: Path, radius: float) -> Sprite:
    """A sprite from a picture file, its longer side two radii, randomly mirrored, and a little
    brighter or darker."""
    rgba = read_cutout(path)
    scale = 2 * radius / max(rgba.shape[:2])
    width, height = (max(round(n * scale), 2) for n in rgba.shape[1::-1])
    premultiplied = np.dstack([rgba[..., :3] * rgba[..., 3:], rgba[..., 3]])
    small = cv2.resize(
        premultiplied, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    if rng.random() < 0.5:
        small = small[:, ::-1]
    side = _side(radius)
    top, left = (side - height) // 2, (side - width) // 2
    canvas = np.zeros((side, side, 4), np.float32)
    canvas[top : top + height, left : left + width] = small
    alpha = canvas[..., 3]
    picture = canvas[..., :3] / np.maximum(alpha, 1e-3)[..., None] * rng.uniform(0.85, 1.15)
    return make_sprite(np.clip(picture, 0, 1).astype(np.float32), alpha, radius)


Window = tuple[int, int, int, int]  # left, top, right, bottom; right and bottom excluded


def warp(sprite: Sprite, pose: Float[np.ndarray, "4"], window: Window) -> UInt8[np.ndarray, "_ _ 4"]:
    """Draws the sprite at a pose (x, y, radius, angle) in a window of the frame, premultiplied
    RGBA."""
    x, y, radius, angle = pose
    level = 0
    while level + 1 < len(sprite.levels) and sprite.radius / 2 ** (level + 1) >= radius:
        level += 1
    picture = sprite.levels[level]
    scale = radius / (sprite.radius / 2**level)
    middle = (picture.shape[0] - 1) / 2
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    left, top, right, bottom = window
    matrix = np.array(
        [
            [cosine, -sine, x - left - cosine * middle + sine * middle],
            [sine, cosine, y - top - sine * middle - cosine * middle],
        ]
    )
    return cv2.warpAffine(picture, matrix, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
