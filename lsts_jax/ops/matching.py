"""Training targets of the anchors and the regions of interest.

Label -1: not trained on; 0: background. Differences from the authors' code:
- If no anchor inside the picture overlaps an object, the object's best IoU is 0, and the authors' code makes
  every anchor with IoU 0 positive. Here such an object has no best anchor.
- IoUs tie if they are within a few rounding errors of float32; the authors compare in float64.
- Ignored regions, which the authors' data does not have.
- Regions are not reordered (objects first).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float32, Int32, PRNGKeyArray
from numpy import ndarray

from lsts_jax.ops.boxes import ANCHOR_DEVIATIONS, ROI_DEVIATIONS, covered, encode, iou
from lsts_jax.structs import GroundTruth

TIE = 1 - 1e-6


class AnchorTargets(NamedTuple):
    labels: Int32[Array, "M"]  # 1 object, 0 background, -1 not trained on
    deltas: Float32[Array, "M 4"]  # to the best object, divided by the deviations; 0 without objects


class RoITargets(NamedTuple):
    """Regions: the proposals, then the slots of the ground truth. Without gradient."""

    rois: Float32[Array, "R 4"]
    labels: Int32[Array, "R"]  # class 1..N, 0 background
    deltas: Float32[Array, "R 4"]  # to the object, divided by the deviations; 0 for the background
    valid: Bool[Array, "R"]  # False: empty slots, and background in ignored regions


def anchor_targets(
    key: PRNGKeyArray,
    anchors: Float32[Array, "M 4"],
    ground_truth: GroundTruth,
    size: Int32[Array, "2"],
    *,
    batch: int,
    positive_fraction: float,
    positive_iou: float,
    negative_iou: float,
    ignore_iou: float,
) -> AnchorTargets:
    """Labels all anchors (`label_anchors`), then keeps a random batch of labels
    (`subsample_labels`); the others become -1."""
    labels, deltas = label_anchors(
        anchors,
        ground_truth,
        size,
        positive_iou=positive_iou,
        negative_iou=negative_iou,
        ignore_iou=ignore_iou,
    )
    labels = subsample_labels(key, labels, batch=batch, positive_fraction=positive_fraction)
    return AnchorTargets(labels, deltas)


def label_anchors(
    anchors: Float32[Array, "M 4"],
    ground_truth: GroundTruth,
    size: Int32[Array, "2"],
    *,
    positive_iou: float,
    negative_iou: float,
    ignore_iou: float,
) -> AnchorTargets:
    """Matches anchors with objects (Ren et al., 2015, section 3.1.2).

    Only anchors wholly inside the picture count. Positive: IoU >= `positive_iou` with an object, or
    the highest IoU (ties included) with an object, however low. Negative: other anchors with IoU <
    `negative_iou` with all objects, unless an ignored region covers `ignore_iou` of their area.

    Args:
      anchors: boxes in pixels.
      ground_truth: G slots, in pixels of the same picture.
      size: (height, width) of the picture without the padding of its canvas.

    Returns:
      Labels, and deltas to the object of highest IoU (the first of equals) for every anchor inside.
    """
    limit = size[::-1].astype(jnp.float32)[None]  # (x, y)
    inside = jnp.all((anchors[:, :2] >= 0) & (anchors[:, 2:] < limit), axis=1)
    overlap = _overlaps(anchors, ground_truth)
    best = jnp.max(overlap, axis=1)
    best_of_object = jnp.max(jnp.where(inside[:, None], overlap, 0.0), axis=0)
    is_best = (overlap >= best_of_object[None] * TIE) & (best_of_object > 0)[None]
    positive = jnp.any(is_best, axis=1) | (best >= positive_iou)
    negative = (best < negative_iou) & ~_in_ignored(anchors, ground_truth, ignore_iou)
    labels = jnp.where(positive, 1, jnp.where(negative, 0, -1))

    deltas = _targets(anchors, ground_truth.boxes[jnp.argmax(overlap, axis=1)], ANCHOR_DEVIATIONS)
    has_target = inside & jnp.any(ground_truth.valid)
    return AnchorTargets(
        jnp.where(inside, labels, -1).astype(jnp.int32), jnp.where(has_target[:, None], deltas, 0.0)
    )


def subsample_labels(
    key: PRNGKeyArray, labels: Int32[Array, "M"], *, batch: int, positive_fraction: float
) -> Int32[Array, "M"]:
    """Keeps a random `batch` of the labels 0 and 1 and sets the others to -1.

    At most `positive_fraction` of the batch is positive, negatives fill the rest. Both are drawn uniformly
    without replacement.
    """
    for_positives, for_negatives = jax.random.split(key)
    most = int(batch * positive_fraction)
    positives = _choose(for_positives, labels == 1, jnp.int32(most), at_most=most)
    places = batch - jnp.sum(positives, dtype=jnp.int32)
    negatives = _choose(for_negatives, labels == 0, places, at_most=batch)
    return jnp.where(positives | negatives, labels, -1)


def _choose(
    key: PRNGKeyArray, candidates: Bool[Array, "M"], count: Int32[Array, ""], *, at_most: int
) -> Bool[Array, "M"]:
    """True for `count` (or all, if there are fewer) of the candidates, drawn at random."""
    draws = jnp.where(candidates, jax.random.uniform(key, candidates.shape), -1.0)
    at_most = min(at_most, len(candidates))
    _, drawn = lax.top_k(draws, at_most)
    chosen = jnp.zeros_like(candidates).at[drawn].set(jnp.arange(at_most, dtype=jnp.int32) < count)
    return chosen & candidates


def roi_targets(
    proposals: Float32[Array, "R 4"],
    ground_truth: GroundTruth,
    *,
    positive_iou: float,
    ignore_iou: float,
) -> RoITargets:
    """Appends the objects to the proposals and matches all of these regions with the objects, without
    sampling.

    A region belongs to the object of highest IoU (the first of equals) if that IoU is >= `positive_iou`.
    Other regions are background, and not valid if an ignored region covers `ignore_iou` of their area.
    """
    rois = lax.stop_gradient(jnp.concatenate([proposals, ground_truth.boxes]))
    overlap = _overlaps(rois, ground_truth)
    match = jnp.argmax(overlap, axis=1)
    positive = jnp.max(overlap, axis=1) >= positive_iou
    deltas = _targets(rois, ground_truth.boxes[match], ROI_DEVIATIONS)
    filled = jnp.concatenate([jnp.ones(len(proposals), bool), ground_truth.valid])
    return RoITargets(
        rois=rois,
        labels=jnp.where(positive, ground_truth.classes[match], 0),
        deltas=jnp.where(positive[:, None], deltas, 0.0),
        valid=filled & (positive | ~_in_ignored(rois, ground_truth, ignore_iou)),
    )


def _overlaps(boxes: Float32[Array, "n 4"], ground_truth: GroundTruth) -> Float32[Array, "n G"]:
    """IoU with the object of every slot, 0 for empty slots."""
    return jnp.where(ground_truth.valid[None], iou(boxes, ground_truth.boxes), 0.0)


def _in_ignored(boxes: Float32[Array, "n 4"], ground_truth: GroundTruth, share: float) -> Bool[Array, "n"]:
    """True if an ignored region covers at least this share of the box."""
    return jnp.any((covered(boxes, ground_truth.boxes) >= share) & ground_truth.ignored[None], axis=1)


def _targets(
    boxes: Float32[Array, "n 4"], objects: Float32[Array, "n 4"], deviations: Float32[ndarray, "4"]
) -> Float32[Array, "n 4"]:
    return encode(boxes, objects) / deviations[None]
