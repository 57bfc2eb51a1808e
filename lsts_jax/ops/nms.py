"""Greedy non-maximum suppression, exact, without a loop over boxes.

Greedy suppression visits boxes in falling score and keeps a box unless it overlaps a kept one. For boxes in
that order, `keep` is the unique solution of

    keep_j = candidate_j and not any(keep_i and IoU_ij > threshold for i before j)

Iteration from keep = candidate converges to it: after k rounds every box with a chain of at most k
suppressions is right. A few parallel rounds replace one step per box.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32, Int32

from lsts_jax.ops.boxes import iou

# Boxes compared with each other at once. Larger blocks waste comparisons if few boxes fill max_kept, smaller
# blocks take more steps.
BLOCK = 512


def nms(
    boxes: Float32[Array, "n 4"],
    scores: Float32[Array, "n"],
    *,
    threshold: float,
    max_kept: int,
    valid: Bool[Array, "n"] | None = None,
) -> tuple[Int32[Array, "{max_kept}"], Int32[Array, ""]]:
    """Keeps boxes in falling score unless IoU with a kept box is above `threshold`; at most `max_kept`.

    Boxes are processed in blocks: a block is suppressed by the boxes kept so far, then within itself, until
    `max_kept` are kept or no box is left.

    Args:
      boxes: pixels, inclusive corners.
      scores: equal scores keep the order of the input.
      threshold: a box with exactly this IoU with a kept one stays.
      max_kept: number of slots of the result.
      valid: boxes to consider; all by default.

    Returns:
      Indices of the kept boxes in falling score, repeated cyclically to fill the slots (authors; all 0 if
      none is kept), and the number of kept boxes.
    """
    valid = jnp.ones(len(boxes), bool) if valid is None else valid
    order = jnp.lexsort((-scores, ~valid)).astype(jnp.int32)
    total = jnp.sum(valid, dtype=jnp.int32)
    kept, count = nms_in_order(boxes[order], total, threshold=threshold, max_kept=max_kept)
    return jnp.where(count > 0, order[kept], 0), count


def nms_in_order(
    boxes: Float32[Array, "n 4"], total: Int32[Array, ""], *, threshold: float, max_kept: int
) -> tuple[Int32[Array, "{max_kept}"], Int32[Array, ""]]:
    """`nms` of the first `total` boxes, which are in falling score."""
    block = min(BLOCK, len(boxes))
    candidates = jnp.pad(boxes, ((0, -len(boxes) % block), (0, 0)))
    slots = jnp.arange(max_kept, dtype=jnp.int32)

    def visit(state):
        start, kept, count, _ = state
        here = lax.dynamic_slice_in_dim(candidates, start, block)
        overlaps_kept = (iou(candidates[kept], here) > threshold) & (slots < count)[:, None]
        place = start + jnp.arange(block, dtype=jnp.int32)
        free = (place < total) & ~jnp.any(overlaps_kept, axis=0)
        keep = _suppress(free, (iou(here, here) > threshold) & _earlier(block))
        slot = jnp.where(keep, count + jnp.cumsum(keep, dtype=jnp.int32) - 1, max_kept)
        kept = kept.at[slot].set(place, mode="drop")
        start, count = start + block, jnp.minimum(count + jnp.sum(keep, dtype=jnp.int32), max_kept)
        return start, kept, count, (start < total) & (count < max_kept)

    # Whether to go on is part of the state: a condition that computes is a launch of its own on a GPU.
    zero = jnp.int32(0)
    state = zero, jnp.zeros(max_kept, jnp.int32), zero, total > 0
    _, kept, count, _ = lax.while_loop(lambda state: state[3], visit, state)
    return kept[slots % jnp.maximum(count, 1)], count


def class_nms(
    boxes: Float32[Array, "R 4"],
    scores: Float32[Array, "R N"],
    *,
    threshold: float,
    score_threshold: float,
) -> Bool[Array, "R N"]:
    """Greedy suppression per class, for boxes that all classes share.

    All classes use one matrix of IoUs; only the order of the boxes differs.

    Args:
      boxes: pixels, inclusive corners.
      scores: of the N classes without the background; equal scores keep the order of the boxes.
      threshold: a box with exactly this IoU with a kept one of the class stays.
      score_threshold: a box counts in a class if its score is above this.

    Returns:
      Mask: the box is kept for the class.
    """
    overlaps = iou(boxes, boxes) > threshold
    by_class = scores.T
    first, second = by_class[:, :, None], by_class[:, None, :]
    before = (first > second) | ((first == second) & _earlier(len(boxes))[None])
    return _suppress(by_class > score_threshold, before & overlaps[None]).T


def _earlier(count: int) -> Bool[Array, "{count} {count}"]:
    """[i, j]: i is before j."""
    index = jnp.arange(count, dtype=jnp.int32)
    return index[:, None] < index[None, :]


def _suppress(candidate: Bool[Array, "*N n"], suppresses: Bool[Array, "*N n n"]) -> Bool[Array, "*N n"]:
    """Solves keep_j = candidate_j and not any_i(keep_i and suppresses_ij) by iteration."""

    def round_(state):
        keep, _ = state
        new = candidate & ~jnp.any(keep[..., :, None] & suppresses, axis=-2)
        return new, jnp.any(new != keep)

    return lax.while_loop(lambda state: state[1], round_, (candidate, jnp.bool_(True)))[0]
