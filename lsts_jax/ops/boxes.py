"""Boxes: overlap, and the regression targets of the R-CNN line (Girshick et al., 2014, appendix C).

Boxes are (x1, y1, x2, y2) pixels with inclusive corners: a box is x2 - x1 + 1 pixels wide and its centre is
x1 + (width - 1) / 2. Deltas are (dx, dy, dw, dh): the shift of the centre in widths and heights, and the
logarithm of the change of width and height.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Int32

# The networks regress deltas divided by these (authors: BBOX_STDS of R-FCN, and of the RPN's normalisation).
ANCHOR_DEVIATIONS = np.array([0.1, 0.1, 0.4, 0.4], np.float32)
ROI_DEVIATIONS = np.array([0.1, 0.1, 0.2, 0.2], np.float32)


def area(boxes: Float32[Array, "*n 4"]) -> Float32[Array, "*n"]:
    """Number of pixels of each box."""
    return (boxes[..., 2] - boxes[..., 0] + 1) * (boxes[..., 3] - boxes[..., 1] + 1)


def iou(a: Float32[Array, "n 4"], b: Float32[Array, "m 4"]) -> Float32[Array, "n m"]:
    """Intersection over union of every box of `a` with every box of `b`."""
    intersection = _intersection(a, b)
    return intersection / (area(a)[:, None] + area(b)[None, :] - intersection)


def covered(boxes: Float32[Array, "n 4"], regions: Float32[Array, "m 4"]) -> Float32[Array, "n m"]:
    """Share of every box's area that lies in every region: 1 for a small box inside a large region."""
    return _intersection(boxes, regions) / area(boxes)[:, None]


def _intersection(a: Float32[Array, "n 4"], b: Float32[Array, "m 4"]) -> Float32[Array, "n m"]:
    a, b = a[:, None, :], b[None, :, :]
    width = jnp.minimum(a[..., 2], b[..., 2]) - jnp.maximum(a[..., 0], b[..., 0]) + 1
    height = jnp.minimum(a[..., 3], b[..., 3]) - jnp.maximum(a[..., 1], b[..., 1]) + 1
    return jnp.maximum(width, 0) * jnp.maximum(height, 0)


def encode(boxes: Float32[Array, "*n 4"], targets: Float32[Array, "*n 4"]) -> Float32[Array, "*n 4"]:
    """Deltas from every box to its target; the inverse of `decode`."""
    width, height, x, y = _size_and_centre(boxes)
    target_width, target_height, target_x, target_y = _size_and_centre(targets)
    return jnp.stack(
        [
            (target_x - x) / width,
            (target_y - y) / height,
            jnp.log(target_width / width),
            jnp.log(target_height / height),
        ],
        axis=-1,
    )


def decode(boxes: Float32[Array, "*n 4"], deltas: Float32[Array, "*n 4"]) -> Float32[Array, "*n 4"]:
    """Boxes moved and scaled by their deltas. dw and dh are not clamped (authors): `clip` the result."""
    width, height, x, y = _size_and_centre(boxes)
    x = deltas[..., 0] * width + x
    y = deltas[..., 1] * height + y
    half_width = 0.5 * (jnp.exp(deltas[..., 2]) * width - 1)
    half_height = 0.5 * (jnp.exp(deltas[..., 3]) * height - 1)
    return jnp.stack([x - half_width, y - half_height, x + half_width, y + half_height], axis=-1)


def _size_and_centre(boxes: Float32[Array, "*n 4"]) -> tuple[Array, Array, Array, Array]:
    width = boxes[..., 2] - boxes[..., 0] + 1
    height = boxes[..., 3] - boxes[..., 1] + 1
    return width, height, boxes[..., 0] + 0.5 * (width - 1), boxes[..., 1] + 0.5 * (height - 1)


def clip(boxes: Float32[Array, "*n 4"], size: Int32[Array, "2"]) -> Float32[Array, "*n 4"]:
    """Boxes clipped to a picture of `size` (height, width): [0, width - 1] x [0, height - 1]."""
    last = (size - 1).astype(jnp.float32)
    x = jnp.clip(boxes[..., 0::2], 0, last[1])
    y = jnp.clip(boxes[..., 1::2], 0, last[0])
    return jnp.stack([x[..., 0], y[..., 0], x[..., 1], y[..., 1]], axis=-1)
