"""Motion of annotated objects, by which FGFA splits ImageNet VID's metric (numpy only).

The motion IoU of an object in a frame is the mean IoU of its box with its own boxes in the frames up to 10
before and after; the slower it moves, the higher. Slow is above 0.9, fast below 0.7, both ends included.
"""

import numpy as np
from jaxtyping import Float, Int32
from numpy import ndarray

REACH = 10  # frames to both sides
RANGES = {"slow": (0.9, 1.0), "medium": (0.7, 0.9), "fast": (0.0, 0.7)}


def motion_iou(
    frame: Int32[ndarray, "n"], track: Int32[ndarray, "n"], boxes: Float[ndarray, "n 4"]
) -> Float[ndarray, "n"]:
    """Motion IoU of each object of one video.

    Args:
      frame: in which it is.
      track: which object it is; -1 where unknown.
      boxes: inclusive corners.

    Returns:
      The mean; 0 for objects that are not seen again within reach (as an empty entry in FGFA's file).
    """
    total, count = np.zeros(len(frame)), np.zeros(len(frame), int)
    order = np.lexsort((frame, track))
    f, k, b = frame[order], track[order], boxes[order].astype(np.float64)
    for step in range(1, min(2 * REACH, len(f) - 1) + 1):
        # a track has each frame once, so that its frames within reach are at most so many places away
        near = (k[step:] == k[:-step]) & (k[step:] >= 0) & (np.abs(f[step:] - f[:-step]) <= REACH)
        near &= f[step:] != f[:-step]
        overlap = _iou(b[:-step][near], b[step:][near])
        for places in (np.flatnonzero(near), np.flatnonzero(near) + step):
            np.add.at(total, order[places], overlap)
            np.add.at(count, order[places], 1)
    return total / np.maximum(count, 1)


def in_ranges(values: Float[ndarray, "n"]) -> dict[str, ndarray]:
    """Which objects are slow, medium and fast."""
    return {name: (values >= low) & (values <= high) for name, (low, high) in RANGES.items()}


def _iou(a: Float[ndarray, "n 4"], b: Float[ndarray, "n 4"]) -> Float[ndarray, "n"]:
    low, high = np.maximum(a[:, :2], b[:, :2]), np.minimum(a[:, 2:], b[:, 2:])
    common = np.maximum(high - low + 1, 0).prod(axis=1)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2] + 1).prod(axis=1)
    return common / (area(a) + area(b) - common)
