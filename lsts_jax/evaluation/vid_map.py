"""The official ImageNet VID mean average precision (numpy only).

It is Pascal VOC's area under the interpolated precision-recall curve with two changes. The IoU
threshold is lower for small objects: min(0.5, w h / ((w + 10)(h + 10))) for a box of w x h pixels, which
tolerates an error of about 5 pixels on every side. And a detection is matched to the best object that is
still *free*; in VOC it is false if its best object is already matched.

Different from the official script, which averages all 30 classes with 0 or NaN for those without objects:
the mean is over the classes that have objects. Detections of equal score are ranked by frame, then in the
given order.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches, is_first


class PrecisionRecall(NamedTuple):
    """Precision-recall curve of a class, one point per true positive p in falling score."""

    scores: Float[ndarray, "p"]
    precision: Float[ndarray, "p"]
    recall: Float[ndarray, "p"]
    objects: int  # annotated objects of the class


class VidMap(NamedTuple):
    """Average precisions as fractions of 1. Classes without annotated objects are missing from both
    dictionaries."""

    mAP: float
    AP: dict[str, float]
    curves: dict[str, PrecisionRecall]


def score(
    annotations: Annotations,
    detections: DetectionArrays,
    matches: Matches,
    class_names: tuple[str, ...],
    *,
    in_range: Bool[ndarray, "n"] | None = None,
    weights: Float[ndarray, "m"] | None = None,
) -> VidMap:
    """ImageNet VID's average precision of matched detections.

    An unmatched detection does not count if ignored regions of its frame cover half or more of it. For slow,
    medium and fast objects by FGFA's rules, `weights` come from `blame`.

    Args:
      in_range: objects to score; detections matched to other objects do not count. Default: all.
      weights: weight of every detection as a false positive. Default: 1.

    Returns:
      The mean is over the classes that have objects in range.
    """
    in_range = ~annotations.ignored if in_range is None else in_range & ~annotations.ignored
    average_precision, curves = {}, {}
    for number, (name, rows) in enumerate(zip(class_names, matches.ranked, strict=True), start=1):
        objects = int((in_range & (annotations.classes == number)).sum())
        if not objects:
            continue
        taken = matches.taken[rows]
        true = (taken >= 0) & in_range[taken]
        counted = np.where(taken >= 0, true, 1.0 if weights is None else weights[rows]).astype(np.float64)
        counted[matches.hidden[rows]] = 0.0
        curves[name] = _precision_recall(detections.scores[rows], true, counted, objects)
        average_precision[name] = _area(curves[name])
    return VidMap(sum(average_precision.values()) / max(1, len(average_precision)), average_precision, curves)


def blame(
    annotations: Annotations, detections: DetectionArrays, matches: Matches, in_range: Bool[ndarray, "n"]
) -> Float[ndarray, "m"]:
    """Weight of every detection as a false positive, if only some objects are scored (FGFA).

    The weight is 1 if the object of highest IoU, of any class, is in range, else 0. If the highest IoU ties
    between objects in and out of range (also at IoU 0): the share of the frame's objects that is *out of*
    range. In a frame without objects: the share of all objects that is in range.
    """
    objects = ~annotations.ignored
    frames, place = np.unique(annotations.frame[objects], return_inverse=True)
    total = np.bincount(place, minlength=len(frames))
    inside = np.bincount(place, in_range[objects], minlength=len(frames))
    outside = (total - inside) / np.maximum(total, 1)
    # for detections that touch no object: by frame; last: frames without objects
    by_frame = np.where(inside == total, 1.0, np.where(inside == 0, 0.0, outside))
    by_frame = np.append(by_frame, in_range[objects].mean())
    starts = np.flatnonzero(is_first(detections.frame))
    where = np.searchsorted(frames, detections.frame[starts])
    where[frames[where.clip(max=len(frames) - 1)] != detections.frame[starts]] = len(frames)
    weights = np.repeat(by_frame[where], np.diff(starts, append=len(detections.frame)))
    nearest = matches.nearest
    np.copyto(weights, in_range[nearest], where=nearest >= 0)
    tied, other = matches.ties.T
    mixed = tied[in_range[other] != in_range[nearest[tied]]]
    weights[mixed] = outside[np.searchsorted(frames, detections.frame[mixed])]
    return weights


def operating_point(
    annotations: Annotations, detections: DetectionArrays, matches: Matches
) -> tuple[float, float, float]:
    """Score threshold of highest F1 over all classes, with its precision and recall."""
    rows = np.flatnonzero(~matches.hidden)
    if not len(rows):
        return 1.0, 0.0, 0.0
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    scores, objects = detections.scores[rows], int((~annotations.ignored).sum())
    true, shown = np.cumsum(matches.taken[rows] >= 0), 1 + np.arange(len(rows))
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # equal scores come together
    best = last[np.argmax(true[last] / (shown[last] + objects))]
    return float(scores[best]), float(true[best] / shown[best]), float(true[best] / objects)


def _precision_recall(
    scores: Float[ndarray, "m"], true: Bool[ndarray, "m"], counted: Float[ndarray, "m"], objects: int
) -> PrecisionRecall:
    rank = np.flatnonzero(true)
    found, total = np.arange(1, len(rank) + 1), np.cumsum(counted)[rank]
    return PrecisionRecall(scores[rank], found / total, found / objects, objects)


def _area(curve: PrecisionRecall) -> float:
    """Area under the interpolated curve: precision is the maximum at this or any higher recall.

    Recall rises by 1 / objects at each true positive and nowhere else, so the area is a plain sum.
    """
    envelope = np.maximum.accumulate(curve.precision[::-1])
    return float(envelope.sum() / curve.objects)
