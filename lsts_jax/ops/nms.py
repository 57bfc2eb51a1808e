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
    n = len(boxes)
    valid = jnp.ones(n, bool) if valid is None else valid
    order = jnp.lexsort((-scores, ~valid))
    block = min(BLOCK, n)
    padding = -n % block
    order = jnp.pad(order.astype(jnp.int32), (0, padding))
    candidates = boxes[order]
    total = jnp.sum(valid, dtype=jnp.int32)
    slots = jnp.arange(max_kept, dtype=jnp.int32)

    def unfinished(state):
        start, _, count = state
        return (start < total) & (count < max_kept)

    def visit(state):
        start, kept, count = state  # kept: places in `order`
        here = lax.dynamic_slice_in_dim(candidates, start, block)
        overlaps_kept = (iou(candidates[kept], here) > threshold) & (slots < count)[:, None]
        place = start + jnp.arange(block, dtype=jnp.int32)
        free = (place < total) & ~jnp.any(overlaps_kept, axis=0)
        keep = _suppress(free, jnp.triu(iou(here, here) > threshold, k=1))
        slot = jnp.where(keep, count + jnp.cumsum(keep, dtype=jnp.int32) - 1, max_kept)
        kept = kept.at[slot].set(place, mode="drop")
        return start + block, kept, jnp.minimum(count + jnp.sum(keep, dtype=jnp.int32), max_kept)

    zero = jnp.int32(0)
    _, kept, count = lax.while_loop(unfinished, visit, (zero, jnp.zeros(max_kept, jnp.int32), zero))
    filled = order[kept[slots % jnp.maximum(count, 1)]]
    return jnp.where(count > 0, filled, 0), count


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
    overlaps = jnp.triu(iou(boxes, boxes) > threshold, k=1)
    overlaps = overlaps | overlaps.T
    by_class = scores.T
    first, second = by_class[:, :, None], by_class[:, None, :]
    index = jnp.arange(len(boxes), dtype=jnp.int32)
    before = (first > second) | ((first == second) & (index[:, None] < index[None, :])[None])
    return _suppress(by_class > score_threshold, before & overlaps[None]).T


def _suppress(candidate: Bool[Array, "*N n"], suppresses: Bool[Array, "*N n n"]) -> Bool[Array, "*N n"]:
    """Solves keep_j = candidate_j and not any_i(keep_i and suppresses_ij) by iteration."""

    def round_(keep):
        return candidate & ~jnp.any(keep[..., :, None] & suppresses, axis=-2)

    def changes(state):
        previous, keep = state
        return jnp.any(previous != keep)

    state = (candidate, round_(candidate))
    return lax.while_loop(changes, lambda state: (state[1], round_(state[1])), state)[1]
