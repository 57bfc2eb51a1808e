"""Renders the frames of a scene and their ground truth.

Every layer is averaged over sub-frames of the exposure (motion blur), the layers are composited
from back to front, and the picture is blurred (defocus) and gets noise.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from lsts_jax.data.synthvid import motion
from lsts_jax.data.synthvid.scene import NOISE_SHIFT, Layer, Scene
from lsts_jax.data.synthvid.sprites import Window, warp

LEAST_VISIBLE = 0.15  # smallest visible share of an object's outline for an annotation
LEAST_SIDE = 3  # pixels of a box
OCCLUDED = 0.2  # covered share from which an object counts as occluded
SUBFRAME_STEP = 1.25  # pixels between sub-frames; no more than MOST_SUBFRAMES
MOST_SUBFRAMES = 48

# Limits from which an object counts as degraded: lengths in short sides of the frame. Bursts are well above,
# the other frames well below.
DEGRADED_BLUR = 0.04
DEGRADED_DEFOCUS = 0.02
DEGRADED_COVERED = 0.5


class ObjectState(NamedTuple):
    """State of an object in a frame, annotated or not."""

    trackid: int
    object_class: int  # 0-based
    centre: tuple[float, float]  # x, y in the middle of the exposure
    box: tuple[int, int, int, int] | None  # x1, y1, x2, y2 inclusive; None: not annotated
    blur: float  # pixels that its outline moves during the exposure
    in_frame: float  # share of its outline
    covered: float  # share of the outline in the frame that is hidden

    @property
    def occluded(self) -> bool:
        return self.covered >= OCCLUDED


def is_degraded(state: ObjectState, defocus: float, short: int) -> bool:
    """True if an object is blurred by motion, out of focus or covered so much that its texture is
    hard to read.

    Args:
      defocus: blur of the frame in pixels.
      short: short side of the frame in pixels.
    """
    return (
        state.blur >= DEGRADED_BLUR * short
        or defocus >= DEGRADED_DEFOCUS * short
        or state.covered >= DEGRADED_COVERED
    )


def render_frame(
    scene: Scene, frame: int, rng: np.random.Generator
) -> tuple[UInt8[np.ndarray, "H W 3"], list[ObjectState]]:
    """Renders the frame in RGB and its objects by track id; `rng` only shifts the noise."""
    height, width = scene.size
    picture = _background(scene, frame)
    covered = np.zeros((height, width), np.float32)
    states = []
    for layer in reversed(scene.layers):
        states += _look(layer, frame, scene.shutter, covered)
    for layer in scene.layers:
        _lay_over(picture, layer, frame, scene.shutter)
    if scene.defocus[frame] > 0.15:  # a narrower blur changes nothing
        picture = cv2.GaussianBlur(picture, (0, 0), float(scene.defocus[frame]))
    top, left = rng.integers(NOISE_SHIFT, size=2)
    picture += scene.grain[top : top + height, left : left + width]
    np.clip(np.rint(picture, out=picture), 0, 255, out=picture)
    return picture.astype(np.uint8), sorted(states, key=lambda s: s.trackid)


def _times(frame: int, shutter: float, count: int) -> Float[np.ndarray, "S"]:
    """Middles of `count` equal parts of the exposure, which is centred on the frame's time."""
    return frame + shutter * ((np.arange(count) + 0.5) / count - 0.5)


def _count(blur: float) -> int:
    return int(np.clip(np.ceil(blur / SUBFRAME_STEP), 1, MOST_SUBFRAMES))


def blur_length(poses: Float[np.ndarray, "N 4"], frame: int, shutter: float) -> float:
    """Longest distance, in pixels, that one of four points on the rim moves during the exposure."""
    moments = motion.at(poses, frame + shutter * np.linspace(-0.5, 0.5, motion.SUBSTEPS + 1))
    angles = moments[:, 3:] + np.arange(4) * np.pi / 2
    rim = moments[:, None, :2] + moments[:, 2, None, None] * np.stack([np.cos(angles), np.sin(angles)], -1)
    return float(np.linalg.norm(np.diff(rim, axis=0), axis=-1).sum(0).max())


def _background(scene: Scene, frame: int) -> Float32[np.ndarray, "H W 3"]:
    height, width = scene.size
    margin = (scene.background.shape[0] - height) // 2
    if not scene.camera.any():
        return scene.background[margin : margin + height, margin : margin + width].astype(np.float32)
    moments = motion.at(scene.camera, frame + scene.shutter * np.linspace(-0.5, 0.5, motion.SUBSTEPS + 1))
    length = float(np.linalg.norm(np.diff(moments, axis=0), axis=1).sum())
    views = motion.at(scene.camera, _times(frame, scene.shutter, _count(length)))
    total = np.zeros((height, width, 3), np.float32)
    for x, y in views:
        shift = np.array([[1, 0, margin + x], [0, 1, margin + y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.accumulate(cv2.warpAffine(scene.background, shift, (width, height), flags=flags), total)
    return total / len(views)


def _window(layer: Layer, poses: Float[np.ndarray, "S 4"], size: tuple[int, int]) -> Window | None:
    """The part of the frame that the layer may cover at these poses; None if it covers none."""
    reach = layer.sprite.reach * poses[:, 2:3] + 2
    left, top = np.floor((poses[:, :2] - reach).min(0)).astype(int)
    right, bottom = np.ceil((poses[:, :2] + reach).max(0)).astype(int) + 1
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[1]), min(bottom, size[0])
    return (int(left), int(top), int(right), int(bottom)) if left < right and top < bottom else None


def _look(layer: Layer, frame: int, shutter: float, covered: Float32[np.ndarray, "H W"]) -> list[ObjectState]:
    """State of the layer's object (None for an occluder) in the middle of the exposure, given the
    mask `covered` of the layers in front, to which the layer is added."""
    pose = motion.at(layer.poses, np.array([float(frame)]))
    window = _window(layer, pose, covered.shape)
    box, in_frame, hidden = None, 0.0, 0.0
    if window is not None:
        left, top, right, bottom = window
        alpha = warp(layer.sprite, pose[0], window)[..., 3].astype(np.float32) / 255
        front = covered[top:bottom, left:right]
        seen = float(alpha.sum())
        in_frame = min(seen / (layer.sprite.area * pose[0, 2] ** 2), 1.0)
        hidden = float((alpha * front).sum()) / max(seen, 1e-6)
        box = _box(alpha >= 0.5, left, top)
        front += alpha * (1 - front)
    if layer.trackid is None or layer.object_class is None:
        return []
    if box and (
        in_frame * (1 - hidden) < LEAST_VISIBLE or min(box[2] - box[0], box[3] - box[1]) < LEAST_SIDE - 1
    ):
        box = None
    x, y = pose[0, :2]
    blur = blur_length(layer.poses, frame, shutter)
    return [ObjectState(layer.trackid, layer.object_class, (float(x), float(y)), box, blur, in_frame, hidden)]


def _box(mask: Bool[np.ndarray, "_ _"], left: int, top: int) -> tuple[int, int, int, int] | None:
    """The smallest box (inclusive corners) of a mask whose corner is at (left, top); None for an
    empty mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return None
    return int(left + columns[0]), int(top + rows[0]), int(left + columns[-1]), int(top + rows[-1])


def _lay_over(picture: Float32[np.ndarray, "H W 3"], layer: Layer, frame: int, shutter: float) -> None:
    """Composites the layer, averaged over the exposure, onto the picture (0..255), in place."""
    count = _count(blur_length(layer.poses, frame, shutter))
    poses = motion.at(layer.poses, _times(frame, shutter, count))
    window = _window(layer, poses, picture.shape[:2])
    if window is None:
        return
    left, top, right, bottom = window
    total = np.zeros((bottom - top, right - left, 4), np.float32)
    for pose in poses:
        cv2.accumulate(warp(layer.sprite, pose, window), total)
    total /= count
    view = picture[top:bottom, left:right]
    view *= 1 - total[..., 3:] / 255
    view += total[..., :3]
