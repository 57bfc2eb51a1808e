"""From pictures and annotations to what the device receives: resized, mirrored, padded, in slots.

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


def resize_scale(size: Size, short_side: int, long_side: int) -> float:
    """Resized / original side lengths: the short side becomes `short_side`, unless the long one would
    then exceed `long_side` (authors)."""
    short, long = min(size), max(size)
    scale = short_side / short
    return long_side / long if round(scale * long) > long_side else scale


def resize(
    image: UInt8[ndarray, "H W 3"], short_side: int, long_side: int
) -> tuple[UInt8[ndarray, "h w 3"], float]:
    """The picture resized as the authors do, bilinear on 8 bits, and its scale."""
    scale = resize_scale(image.shape[:2], short_side, long_side)
    # fx and fy, not dsize: OpenCV then samples at exactly 1 / scale
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR), scale


def choose_canvas(size: Size, canvases: tuple[Size, ...]) -> Size:
    """The smallest canvas in area that holds a resized picture of `size`.

    Raises `UserError` if none does.
    """
    holding = [c for c in canvases if c[0] >= size[0] and c[1] >= size[1]]
    if not holding:
        raise UserError(
            f"a resized picture of {size[0]}x{size[1]} (height x width) fits none of config.data.canvases "
            f"{', '.join(f'{h}x{w}' for h, w in canvases)}; add a larger one"
        )
    return min(holding, key=lambda c: c[0] * c[1])


def canvas_of(size: Size, config: DataConfig) -> Size:
    """The canvas of a picture whose original (height, width) is `size`.

    Raises `UserError` if no canvas holds it, or if nothing of it would be left.
    """
    scale = resize_scale(size, config.short_side, config.long_side)
    resized = round(size[0] * scale), round(size[1] * scale)  # half to even, as OpenCV rounds
    if min(resized) < 1:
        raise UserError(f"a picture of {size[0]}x{size[1]} (height x width) is too thin to be resized")
    return choose_canvas(resized, config.canvases)


def pad_to_canvas(image: UInt8[ndarray, "h w 3"], canvas: Size) -> UInt8[ndarray, "H W 3"]:
    """The picture in the upper left corner of a black canvas that is at least as large."""
    height, width = image.shape[:2]
    padded = np.zeros((*canvas, 3), np.uint8)
    padded[:height, :width] = image
    return padded


def to_frame(image: UInt8[ndarray, "H W 3"], config: DataConfig, canvas: Size) -> Frame:
    """The picture as the detector takes it. Raises `UserError` if it does not fit the canvas."""
    choose_canvas_of_frame = canvas_of(image.shape[:2], config)
    del choose_canvas_of_frame
    resized, scale = resize(image, config.short_side, config.long_side)
    return Frame(
        pad_to_canvas(resized, canvas), np.array(resized.shape[:2], np.int32), np.array(scale, np.float32)
    )
