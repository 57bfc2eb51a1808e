"""Greedy non-maximum suppression, exact, without a loop over boxes.

Greedy suppression visits boxes in falling score and keeps a box unless it overlaps one kept before. Over
boxes in that order it is the one solution of

    keep_j = candidate_j and not any(keep_i and IoU_ij > threshold for i before j)

and iterating this from keep = candidate reaches it: after k rounds the answer is right for every box whose
chain of suppressions is at most k long, so it takes a few parallel rounds instead of one step a box.
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32, Int32

from lsts_jax.ops.boxes import iou

# Boxes that are compared with each other at once. Larger blocks waste comparisons where few are needed to
# fill max_kept, smaller ones take more steps.
BLOCK = 512


def nms(
    boxes: Float32[Array, "n 4"],
    scores: Float32[Array, "n"],
    *,
    threshold: float,
    max_kept: int,
    valid: Bool[Array, "n"] | None = None,
) -> tuple[Int32[Array, "{max_kept}"], Int32[Array, ""]]:
    """Keep boxes in falling score that overlap no kept one by more than `threshold`, at most `max_kept`.

    Boxes go by in blocks: each is suppressed by those kept so far and then within itself, until enough are
    kept or none are left.

    Args:
      boxes: pixels, inclusive corners.
      scores: equal ones keep the order of the input.
      threshold: a box whose IoU with a kept one is exactly this stays.
      max_kept: number of slots of the answer.
      valid: boxes that take part; all by default.

    Returns:
      Indices of the kept boxes in falling score, repeated cyclically to fill the slots (authors) or all 0 if
      there is none, and how many were kept.
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
    """Greedy suppression class by class where all classes share the boxes.

    One matrix of overlaps serves all classes; the classes differ in who comes first.

    Args:
      boxes: pixels, inclusive corners.
      scores: of the N classes without the background; equal ones keep the order of the boxes.
      threshold: a box whose IoU with a kept one of the class is exactly this stays.
      score_threshold: a box takes part in a class if its score is above this.

    Returns:
      True where a box is kept for a class.
    """
    overlaps = jnp.triu(iou(boxes, boxes) > threshold, k=1)
    overlaps = overlaps | overlaps.T
    by_class = scores.T
    first, second = by_class[:, :, None], by_class[:, None, :]
    index = jnp.arange(len(boxes), dtype=jnp.int32)
    before = (first > second) | ((first == second) & (index[:, None] < index[None, :])[None])
    return _suppress(by_class > score_threshold, before & overlaps[None]).T


def _suppress(candidate: Bool[Array, "*N n"], suppresses: Bool[Array, "*N n n"]) -> Bool[Array, "*N n"]:
    """Solve keep_j = candidate_j and not any_i(keep_i and suppresses_ij) by iteration."""

    def round_(keep):
        return candidate & ~jnp.any(keep[..., :, None] & suppresses, axis=-2)

    def changes(state):
        previous, keep = state
        return jnp.any(previous != keep)

    state = (candidate, round_(candidate))
    return lax.while_loop(changes, lambda state: (state[1], round_(state[1])), state)[1]
