"""Conversion of pictures and annotations to the detector's input: resizing, mirroring, padding,
slots.

Boxes are scaled linearly in their inclusive corners and never rounded (authors).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int32, UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects
from lsts_jax.errors import UserError
from lsts_jax.structs import Frame, GroundTruth

Size = tuple[int, int]  # height, width


def resized(size: Size, config: DataConfig) -> tuple[float, Size]:
    """Scale (resized / original side lengths), and the (height, width) of the resized picture in
    whole pixels.

    The short side becomes `short_side`, unless the long side would then exceed `long_side`
    (authors).

    Raises `UserError` if a side would have no pixel.
    """
    scale = config.short_side / min(size)
    if round(scale * max(size)) > config.long_side:
        scale = config.long_side / max(size)
    height, width = (round(side * scale) for side in size)  # half to even, as OpenCV rounds
    if min(height, width) < 1:
        raise UserError(f"a picture of {size[0]}x{size[1]} (height x width) is too thin to be resized")
    return scale, (height, width)


def choose_canvas(size: Size, canvases: tuple[Size, ...]) -> Size:
    """Canvas of the smallest area that holds a resized picture of `size`.

    Raises `UserError` if no canvas does.
    """
    holding = [c for c in canvases if c[0] >= size[0] and c[1] >= size[1]]
    if not holding:
        raise UserError(
            f"a resized picture of {size[0]}x{size[1]} (height x width) fits none of config.data.canvases "
            f"{', '.join(f'{h}x{w}' for h, w in canvases)}; add a larger one"
        )
    return min(holding, key=lambda c: c[0] * c[1])


def canvas_of(size: Size, config: DataConfig) -> Size:
    """Canvas of a picture whose original (height, width) is `size`.

    Raises `UserError` if no canvas holds it, or a side of the resized picture would have no pixel.
    """
    return choose_canvas(resized(size, config)[1], config.canvases)


def to_frame(
    image: UInt8[ndarray, "H W 3"],
    config: DataConfig,
    canvas: Size,
    out: UInt8[ndarray, "H2 W2 3"] | None = None,
) -> Frame:
    """The picture in the detector's input format: resized as the authors do (bilinear on 8 bits),
    in the upper left corner of a black canvas.

    Args:
      out: black pixels of the canvas, which are overwritten and returned.

    Raises `UserError` if the picture does not fit.
    """
    scale, (height, width) = resized(image.shape[:2], config)
    if height > canvas[0] or width > canvas[1]:
        raise UserError(
            f"a resized picture of {height}x{width} (height x width) does not fit the canvas {canvas[0]}x"
            f"{canvas[1]} of its batch: its size differs from its annotation or its video; repair it"
        )
    pixels = np.zeros((*canvas, 3), np.uint8) if out is None else out
    # fx and fy, not dsize: OpenCV then samples at exactly 1 / scale
    cv2.resize(image, None, pixels[:height, :width], fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return Frame(pixels, np.array([height, width], np.int32), np.array(scale, np.float32))


def flip_image(image: UInt8[ndarray, "H W 3"]) -> UInt8[ndarray, "H W 3"]:
    """The mirror image, left to right."""
    return cv2.flip(image, 1)


def flip_boxes(boxes: Float32[ndarray, "n 4"], width: int) -> Float32[ndarray, "n 4"]:
    """Boxes in the mirror image of a picture of `width` pixels."""
    return np.stack([width - 1 - boxes[:, 2], boxes[:, 1], width - 1 - boxes[:, 0], boxes[:, 3]], axis=1)


def clip_objects(objects: Objects, size: Size) -> Objects:
    """Clips objects to a picture of `size`, and drops those without a pixel in it."""
    limit = np.array([size[1] - 1, size[0] - 1], np.float32)
    corners = np.maximum(objects.boxes[:, :2], 0), np.minimum(objects.boxes[:, 2:], limit)
    kept = (corners[1] >= corners[0]).all(axis=1)
    return Objects(
        np.concatenate(corners, axis=1)[kept],
        objects.classes[kept],
        objects.track_ids[kept],
        objects.ignored[kept],
        objects.size,
    )


def to_slots(
    boxes: Float32[ndarray, "n 4"],
    classes: Int32[ndarray, "n"],
    ignored: Bool[ndarray, "n"],
    max_objects: int,
) -> GroundTruth:
    """Ground truth in `max_objects` slots: first the objects, then as many ignored regions as fit.
    Empty slots are zero."""
    order = np.argsort(ignored, kind="stable")[:max_objects]
    count = len(order)
    truth = GroundTruth(
        np.zeros((max_objects, 4), np.float32),
        np.zeros(max_objects, np.int32),
        np.zeros(max_objects, bool),
        np.zeros(max_objects, bool),
    )
    truth.boxes[:count] = boxes[order]
    truth.classes[:count] = np.where(ignored, 0, classes)[order]
    truth.valid[:count] = ~ignored[order]
    truth.ignored[:count] = ignored[order]
    return truth
