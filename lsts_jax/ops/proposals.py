"""Proposals from the outputs of the region proposal network (Ren et al., 2015, section 3.3)."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float32, Int32

from lsts_jax.ops.boxes import clip, decode
from lsts_jax.ops.nms import nms_in_order
from lsts_jax.structs import STRIDE, Proposals


def propose(
    objectness: Float32[Array, "M"],
    deltas: Float32[Array, "M 4"],
    anchors: Float32[Array, "M 4"],
    *,
    size: Int32[Array, "2"],
    pre_nms: int,
    post_nms: int,
    nms_threshold: float,
    stride: int = STRIDE,
) -> Proposals:
    """Moves the anchors by their deltas and keeps the best boxes after NMS.

    Boxes have no minimum size. As in the authors' operator, anchors of cells that extend beyond the picture
    (the last row and column if the picture is not a multiple of the stride) score -1, so that they rank
    last. Cells that lie in the padding of the canvas are excluded.

    Args:
      objectness: softmax score of the foreground for each anchor.
      deltas: regressed values multiplied by their deviations.
      anchors: boxes of `anchor_grid`; their centres determine their cells.
      size: (height, width) of the picture without the padding.
      pre_nms: number of best boxes that enter NMS; equal scores keep the order of `anchors`.
      post_nms: R, number of proposals.
      nms_threshold: largest IoU of two proposals.
      stride: pixels per cell.

    Returns:
      Proposals in falling objectness, repeated cyclically to fill R. No gradient flows through them.
    """
    objectness, deltas = lax.stop_gradient((objectness, deltas))
    centres = (anchors[:, :2] + anchors[:, 2:]) / 2
    extent = size[::-1]  # (x, y)
    whole = extent // stride * stride
    some = -(-extent // stride) * stride
    in_whole_cell = jnp.all(centres < whole.astype(jnp.float32)[None], axis=1)
    takes_part = jnp.all(centres < some.astype(jnp.float32)[None], axis=1)
    scores = jnp.where(takes_part, jnp.where(in_whole_cell, objectness, -1.0), -jnp.inf)

    scores, best = lax.top_k(scores, min(pre_nms, len(scores)))  # equal scores keep their order
    boxes = clip(decode(anchors[best], deltas[best]), size)
    total = jnp.sum(scores != -jnp.inf, dtype=jnp.int32)
    kept, _ = nms_in_order(boxes, total, threshold=nms_threshold, max_kept=post_nms)
    return Proposals(boxes[kept], scores[kept])
