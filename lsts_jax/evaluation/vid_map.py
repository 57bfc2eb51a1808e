"""The official ImageNet VID mean average precision (numpy only).

It is Pascal VOC's area under the interpolated precision-recall curve with two changes. A small object asks
for less overlap: the threshold of a box of w x h pixels is min(0.5, w h / ((w + 10)(h + 10))), which forgives
an error of about 5 pixels on every side. And a detection takes the best box that is still *free*, rather
than failing because its best box is taken.

Different from the official script, which averages all 30 classes with 0 or NaN for those without objects:
the mean is over the classes that have objects. Detections of equal score are ranked by frame, then as given.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches, is_first


class PrecisionRecall(NamedTuple):
    """A class's curve, one point for each true positive p in falling score; false ones lie between them."""

    scores: Float[ndarray, "p"]
    precision: Float[ndarray, "p"]
    recall: Float[ndarray, "p"]
    objects: int  # annotated objects of the class


class VidMap(NamedTuple):
    """Fractions of 1. A class without annotated objects is in neither dictionary."""

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
    """ImageNet VID's average precision of detections that are matched.

    A detection that takes no object and of which an ignored region of its frame covers half or more counts
    neither as true nor as false. For slow, medium and fast objects by FGFA's rules `weights` are `blame`'s.

    Args:
      in_range: the objects to be found; a detection that takes another counts neither way. All by default.
      weights: of each detection where it takes none, as a false one. 1 by default.

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
    """Weight of each detection as a false one where only some objects are to be found (FGFA).

    It is 1 if the object of any class that the detection overlaps most is in range, and 0 if not. Where it
    overlaps one in range and one out of range alike, be it not at all: the share of the frame's objects that
    is *out of* range. In a frame without objects: the share of all objects that is in range.
    """
    objects = ~annotations.ignored
    frames, place = np.unique(annotations.frame[objects], return_inverse=True)
    total = np.bincount(place, minlength=len(frames))
    inside = np.bincount(place, in_range[objects], minlength=len(frames))
    outside = (total - inside) / np.maximum(total, 1)
    # of detections that touch nothing: in each frame, and last in one without objects
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


def _precision_recall(
    scores: Float[ndarray, "m"], true: Bool[ndarray, "m"], counted: Float[ndarray, "m"], objects: int
) -> PrecisionRecall:
    rank = np.flatnonzero(true)
    found, total = np.arange(1, len(rank) + 1), np.cumsum(counted)[rank]
    return PrecisionRecall(scores[rank], found / total, found / objects, objects)


def _area(curve: PrecisionRecall) -> float:
    """Area under the interpolated curve: precision is the best at this recall or any higher one.

    Recall rises by 1 / objects at each true positive and nowhere else, so the area is a plain sum.
    """
    envelope = np.maximum.accumulate(curve.precision[::-1])
    return float(envelope.sum() / curve.objects)
