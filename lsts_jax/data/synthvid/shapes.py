"""Outlines of the drawn objects: closed polygons, filled by the even-odd rule."""

import cv2
import numpy as np
from jaxtyping import Float, Float32

Contour = Float[np.ndarray, "P 2"]
CURVE_POINTS = 180


def _polar(radius, count: int = CURVE_POINTS, start: float = 0.0) -> Contour:
    """Points at `count` equal angles; `radius` is a number, or one number per angle."""
    angle = start + 2 * np.pi * np.arange(count) / count
    return np.broadcast_to(radius, count)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)


def _star(points: int, inner: float) -> list[Contour]:
    return [_polar(np.where(np.arange(2 * points) % 2, inner, 1.0), 2 * points, -np.pi / 2)]


def _heart() -> list[Contour]:
    t = 2 * np.pi * np.arange(CURVE_POINTS) / CURVE_POINTS
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return [np.stack([x, y], 1)]


def _fish() -> list[Contour]:
    """The fish curve; it crosses itself between body and tail."""
    t = 2 * np.pi * np.arange(CURVE_POINTS) / CURVE_POINTS
    return [np.stack([np.cos(t) - np.sin(t) ** 2 / np.sqrt(2), 1.15 * np.cos(t) * np.sin(t)], 1)]


def _leaf() -> list[Contour]:
    x = np.linspace(-1, 1, CURVE_POINTS // 2, endpoint=False)
    return [np.concatenate([np.stack([s * x, s * 0.52 * (1 - x**2)], 1) for s in (1, -1)])]


def _cross() -> list[Contour]:
    arm = 0.36
    quarter = np.array([[arm, arm], [arm, 1], [-arm, 1]])  # the lower end of the upright
    turn = np.array([[0, -1], [1, 0]])
    return [np.concatenate([quarter @ np.linalg.matrix_power(turn.T, k) for k in range(4)])]


def _arrow() -> list[Contour]:
    half = np.array([[-1, 0.26], [0.05, 0.26], [0.05, 0.72], [1, 0]])
    return [np.concatenate([half, half[-2::-1] * [1, -1]])]


def _gear() -> list[Contour]:
    teeth = 9
    profile = np.array([1.0, 1.0, 0.78, 0.78])
    return [_polar(np.tile(profile, teeth), 4 * teeth)]


def _flower() -> list[Contour]:
    angle = 2 * np.pi * np.arange(CURVE_POINTS) / CURVE_POINTS
    return [_polar(0.84 + 0.16 * np.cos(6 * angle))]


SILHOUETTES = {
    "disc": lambda: [_polar(1.0)],
    "ring": lambda: [_polar(1.0), _polar(0.52)],
    "star": lambda: _star(5, 0.46),
    "heart": _heart,
    "fish": _fish,
    "leaf": _leaf,
    "cross": _cross,
    "arrow": _arrow,
    "gear": _gear,
    "flower": _flower,
}


def silhouette(name: str) -> list[Contour]:
    """Contours [P 2] of an outline, (x, y) with y down. The centre of its box is at the origin, and
    the farthest point from there has distance 1."""
    contours = SILHOUETTES[name]()
    points = np.concatenate(contours)
    middle = (points.min(0) + points.max(0)) / 2
    reach = np.linalg.norm(points - middle, axis=1).max()
    return [(c - middle) / reach for c in contours]


def blob(rng: np.random.Generator, roughness: float = 0.35) -> list[Contour]:
    """A smooth irregular outline inside the unit disc that belongs to no class: stones, leaves,
    spots."""
    angle = 2 * np.pi * np.arange(CURVE_POINTS) / CURVE_POINTS
    waves = np.arange(2, 7)
    height = rng.uniform(-1, 1, waves.size) / waves**0.7
    phase = rng.uniform(0, 2 * np.pi, waves.size)
    radius = 1 + roughness * (height[:, None] * np.cos(waves[:, None] * angle + phase[:, None])).sum(0)
    outline = _polar(radius) * [1, rng.uniform(0.5, 1)]
    return [outline / np.linalg.norm(outline, axis=1).max()]


def draw(contours: list[Contour], side: int, radius: float) -> Float32[np.ndarray, "S S"]:
    """Coverage (0..1) of the contours, scaled by `radius` pixels, in the middle of a square picture."""
    oversample, shift = 4, 4
    big = np.zeros((side * oversample, side * oversample), np.uint8)
    middle = (big.shape[0] - 1) / 2
    points = [np.round((c * radius * oversample + middle) * 2**shift).astype(np.int32) for c in contours]
    cv2.fillPoly(big, points, 255, cv2.LINE_8, shift)
    return cv2.resize(big, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
