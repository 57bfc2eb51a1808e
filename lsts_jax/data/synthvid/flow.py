"""True optical flow between any two frames of a SynthVID video.

    scene, _ = scene_of(settings, find_assets(settings), Clip("val", 0, settings.frames))
    truth = flow_between(scene, frame=7, other=4)

Flow is that of the thing in front at the middle of the exposure; blur, defocus and grain have no part in it.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from lsts_jax.data.synthvid import motion
from lsts_jax.data.synthvid.scene import Layer, Scene
from lsts_jax.data.synthvid.sprites import Window, warp

BACKGROUND = -1


class TrueFlow(NamedTuple):
    """Positions of a frame's content in another frame."""

    flow: Float[np.ndarray, "H W 2"]  # (x, y) in pixels: p of the frame lies at p + flow(p) of the other
    visible: Bool[np.ndarray, "H W"]  # it is seen there: within the frame, and nothing is in front


def flow_between(scene: Scene, frame: int, other: int) -> TrueFlow:
    """True flow from a frame to another one, earlier or later."""
    height, width = scene.size
    here, there = front(scene, frame), front(scene, other)
    points = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    flow = np.empty((height, width, 2))
    flow[:] = _at(scene.camera, frame) - _at(scene.camera, other)
    for index in np.unique(here[here != BACKGROUND]):
        layer, mask = scene.layers[index], here == index
        flow[mask] = carried(points[mask], layer, frame, other) - points[mask]
    column, row = np.moveaxis(np.rint(points + flow).astype(int), -1, 0)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    found = there[np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)]
    return TrueFlow(flow, inside & (found == here))


def front(scene: Scene, frame: int) -> Int[np.ndarray, "H W"]:
    """Index of the layer in front at every pixel, `BACKGROUND` where there is none."""
    height, width = scene.size
    window: Window = (0, 0, width, height)
    found = np.full((height, width), BACKGROUND)
    for index, layer in enumerate(scene.layers):
        opaque = warp(layer.sprite, _at(layer.poses, frame), window)[..., 3] >= 128
        found[opaque] = index
    return found


def carried(
    points: Float[np.ndarray, "n 2"], layer: Layer, frame: int, other: int
) -> Float[np.ndarray, "n 2"]:
    """Points (x, y) that move with a layer, from a frame to another."""
    x, y, radius, angle = _at(layer.poses, frame)
    new_x, new_y, new_radius, new_angle = _at(layer.poses, other)
    turned = (points - (x, y)) @ _rotation(new_angle - angle).T
    return turned * (new_radius / radius) + (new_x, new_y)


def _rotation(angle: float) -> Float[np.ndarray, "2 2"]:
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def _at(values: Float[np.ndarray, "N C"], frame: int) -> Float[np.ndarray, "C"]:
    return motion.at(values, np.array([float(frame)]))[0]
