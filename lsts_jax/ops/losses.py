"""Losses of the two heads, and the selection of hard regions.

All losses have weight 1 in the total. Box losses are divided by a constant, the configured size of
the batch, not by the number of objects; class losses by the number of labels other than -1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32, Int32


class HeadLosses(NamedTuple):
    classes: Float32[Array, ""]
    boxes: Float32[Array, ""]


def smooth_l1(x: Float32[Array, "*n"]) -> Float32[Array, "*n"]:
    """x^2 / 2 up to |x| = 1 and |x| - 1/2 from there (Girshick, Fast R-CNN, 2015, equation 3)."""
    magnitude = jnp.abs(x)
    return jnp.where(magnitude < 1, 0.5 * x * x, magnitude - 0.5)


def rpn_losses(
    logits: Float32[Array, "M 2"],
    deltas: Float32[Array, "M 4"],
    labels: Int32[Array, "M"],
    target_deltas: Float32[Array, "M 4"],
    *,
    batch: int,
) -> HeadLosses:
    """Losses of the region proposal network.

    Args:
      logits: of (background, object) for each anchor.
      deltas: as regressed, in deviations.
      labels: 1, 0, or -1 for anchors that do not count.
      target_deltas: in deviations; only those of label 1 are used.
      batch: number of anchors that are sampled.

    Returns:
      Mean of -log p over the anchors that count (0 if there are none), and the sum of smooth L1 over the
      positive anchors, divided by `batch`.
    """
    box = _box_losses(deltas, target_deltas, labels == 1)
    return HeadLosses(_mean_cross_entropy(logits, labels, labels >= 0), jnp.sum(box) / batch)


def ohem_select(
    logits: Float32[Array, "R classes"],
    deltas: Float32[Array, "R 4"],
    labels: Int32[Array, "R"],
    target_deltas: Float32[Array, "R 4"],
    valid: Bool[Array, "R"],
    *,
    rois: int,
) -> Bool[Array, "R"]:
    """Selects the regions of largest loss, objects and background together (Shrivastava et al., 2016).

    The loss of a region is -log(p + 1e-14) plus, for objects, the smooth L1 of its deltas. The
    selection has no gradient.

    Args:
      logits: of the background and the N classes for each region.
      deltas: as regressed, in deviations, like `target_deltas`.
      labels: 1..N, 0 for background.
      valid: regions that may be kept.
      rois: number of regions to keep.

    Returns:
      Mask of the `rois` valid regions of largest loss; all valid regions if there are fewer.
    """
    logits, deltas = lax.stop_gradient((logits, deltas))
    probability = jnp.take_along_axis(jax.nn.softmax(logits), labels[:, None], axis=1)[:, 0]
    loss = -jnp.log(probability + 1e-14) + _box_losses(deltas, target_deltas, labels > 0)
    _, hardest = lax.top_k(jnp.where(valid, loss, -jnp.inf), min(rois, len(loss)))
    return jnp.zeros_like(valid).at[hardest].set(True) & valid


def rfcn_losses(
    logits: Float32[Array, "R classes"],
    deltas: Float32[Array, "R 4"],
    labels: Int32[Array, "R"],
    target_deltas: Float32[Array, "R 4"],
    kept: Bool[Array, "R"],
    *,
    rois: int,
) -> HeadLosses:
    """Losses of the R-FCN head over the regions that `ohem_select` kept; arguments as there.

    Returns:
      Mean of -log p over the kept regions (0 if there are none), and the sum of smooth L1 over the objects
      among them, divided by `rois` whatever the number of kept regions.
    """
    box = _box_losses(deltas, target_deltas, kept & (labels > 0))
    return HeadLosses(_mean_cross_entropy(logits, labels, kept), jnp.sum(box) / rois)


def _mean_cross_entropy(
    logits: Float32[Array, "n c"], labels: Int32[Array, "n"], takes_part: Bool[Array, "n"]
) -> Float32[Array, ""]:
    log_probability = jax.nn.log_softmax(logits)
    picked = jnp.take_along_axis(log_probability, jnp.maximum(labels, 0)[:, None], axis=1)[:, 0]
    count = jnp.maximum(jnp.sum(takes_part, dtype=jnp.float32), 1)
    return -jnp.sum(jnp.where(takes_part, picked, 0.0)) / count


def _box_losses(
    deltas: Float32[Array, "n 4"], targets: Float32[Array, "n 4"], positive: Bool[Array, "n"]
) -> Float32[Array, "n"]:
    return jnp.where(positive, jnp.sum(smooth_l1(deltas - targets), axis=1), 0.0)
