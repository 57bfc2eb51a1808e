"""Detections from class probabilities and boxes of regions, in the authors' order of steps."""

from functools import partial

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32, Int32

from lsts_jax.ops.boxes import clip
from lsts_jax.ops.nms import class_nms
from lsts_jax.structs import Detections

# Slots beyond max_detections, for ties with the last detection that is kept.
TIE_SLOTS = 20


def select_detections(
    boxes: Float32[Array, "R 4"],
    probabilities: Float32[Array, "R N1"],
    *,
    size: Int32[Array, "2"],
    scale: Float32[Array, ""],
    score_threshold: float,
    nms_threshold: float,
    max_detections: int,
) -> Detections:
    """Clips boxes, scales them to the original picture, applies threshold and per-class NMS, keeps the best.

    Args:
      boxes: class-agnostic boxes in pixels of the resized picture.
      probabilities: class probabilities, background first.
      size: (height, width) of the resized picture.
      scale: resized / original side length.
      max_detections: detections to keep, plus those that tie with the last.

    Returns:
      Detections with D = min(max_detections + 20, R N) slots.
    """
    boxes = clip(boxes, size) / scale
    scores = probabilities[:, 1:]
    keep = class_nms(boxes, scores, threshold=nms_threshold, score_threshold=score_threshold)
    kept = jnp.where(keep, scores, 0.0).reshape(-1)
    slots = min(max_detections + TIE_SLOTS, kept.size)
    top, index = _top_k(kept, slots)
    last = top[min(max_detections, slots) - 1]
    region, label = jnp.divmod(index, jnp.int32(scores.shape[1]))
    valid = (top > 0) & (top >= last)
    return Detections(
        boxes=jnp.where(valid[:, None], boxes[region], 0.0),
        scores=jnp.where(valid, top, 0.0),
        classes=jnp.where(valid, label + 1, 0),
        valid=valid,
    )


def _top_k(values: Float32[Array, "n"], k: int) -> tuple[Float32[Array, "{k}"], Int32[Array, "{k}"]]:
    """`lax.top_k`: values in falling order, equal ones in the order of the input, and their indices."""
    return lax.platform_dependent(
        values, cpu=partial(_top_k_at_once, k=k), default=partial(_top_k_by_parts, k=k)
    )


def _top_k_at_once(
    values: Float32[Array, "n"], *, k: int
) -> tuple[Float32[Array, "{k}"], Int32[Array, "{k}"]]:
    top, index = lax.top_k(values, k)
    return top, index


def _top_k_by_parts(
    values: Float32[Array, "n"], *, k: int
) -> tuple[Float32[Array, "{k}"], Int32[Array, "{k}"]]:
    """Top k by parts: the best of the best of every part. A GPU sorts short rows in one launch
    each, all rows at once."""
    parts = max(1, len(values) // (5 * k))
    rows = jnp.pad(values, (0, -len(values) % parts), constant_values=-jnp.inf).reshape(parts, -1)
    best, place = lax.top_k(rows, min(k, rows.shape[1]))
    first = jnp.arange(parts, dtype=jnp.int32)[:, None] * rows.shape[1]
    top, index = lax.top_k(best.reshape(-1), k)
    return top, (place + first).reshape(-1)[index]
