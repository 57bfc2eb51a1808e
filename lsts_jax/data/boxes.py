"""Sizes and overlap of boxes with inclusive corners, in NumPy, for readers, the data check and the
metric.

`ops/boxes.py` has the JAX functions that the network uses.
"""

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray


def sides(boxes: Float[ndarray, "n 4"]) -> tuple[Float64[ndarray, "n"], Float64[ndarray, "n"]]:
    """Width and height of every box."""
    boxes = boxes.astype(np.float64, copy=False)
    return boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1


def area(boxes: Float[ndarray, "n 4"]) -> Float64[ndarray, "n"]:
    """Number of pixels of every box."""
    width, height = sides(boxes)
    return width * height


def intersection(a: Float[ndarray, "n 4"], b: Float[ndarray, "n 4"]) -> Float64[ndarray, "n"]:
    """Number of pixels that every box of `a` shares with its partner in `b`."""
    a, b = a.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    common = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + 1
    return np.maximum(common, 0).prod(axis=1)


def iou(a: Float[ndarray, "n 4"], b: Float[ndarray, "n 4"]) -> Float64[ndarray, "n"]:
    """Intersection over union of every box of `a` with its partner in `b`."""
    common = intersection(a, b)
    return common / (area(a) + area(b) - common)
