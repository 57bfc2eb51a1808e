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
from jaxtyping import Bool, Float, Int32, Int64
from numpy import ndarray

from lsts_jax.errors import UserError

PAIRS_AT_ONCE = 1 << 20
"""Pairs of boxes whose overlap is computed at once, which bounds the memory."""


class Annotations(NamedTuple):
    """What is to be found in a data set: the boxes of all frames, one after the other."""

    frame: Int32[ndarray, "n"]  # position in the data set's list of frames, from 0
    classes: Int32[ndarray, "n"]  # 1..N; of no account where ignored
    boxes: Float[ndarray, "n 4"]  # pixels of the original picture
    ignored: Bool[ndarray, "n"]  # a region, of any class, in which nothing is scored


class DetectionArrays(NamedTuple):
    """What a detector found in a data set: the detections of all frames, one after the other."""

    frame: Int32[ndarray, "m"]  # numbered as in `Annotations`
    classes: Int32[ndarray, "m"]  # 1..N
    scores: Float[ndarray, "m"]
    boxes: Float[ndarray, "m 4"]


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


def vid_map(
    annotations: Annotations,
    detections: DetectionArrays,
    class_names: tuple[str, ...],
    *,
    iou_threshold: float = 0.5,
    pixel_tolerance: int = 10,
    in_range: Bool[ndarray, "n"] | None = None,
) -> VidMap:
    """Scores the detections of a data set by ImageNet VID's metric.

    A detection that takes no object and of which an ignored region of its frame covers half or more counts
    neither as true nor as false. `iou_threshold` and `pixel_tolerance` are those of min(threshold,
    w h / ((w + tolerance)(h + tolerance))); a tolerance of 0 gives the threshold itself.

    `in_range` restricts the score to some of the objects by FGFA's rules for slow, medium and fast ones: a
    detection that takes an object out of range counts neither way; one that takes none is false with weight 1
    if the object of any class that it overlaps most is in range, and 0 if not (of several that it overlaps
    alike, all of a frame included that it misses: with the share of them that is out of range; in a frame
    without objects: with the share of all objects that is in range).

    Raises `UserError` if no frame has an object, a detection is of no known class or holds a number that is
    not finite.
    """
    _check(annotations, detections, class_names)
    regions = _sorted_by_frame(annotations, annotations.ignored)
    if in_range is None:
        in_range = ~annotations.ignored
        everything = None
    else:
        everything = _sorted_by_frame(annotations, ~annotations.ignored)
        all_in_range = _sort(annotations, in_range, ~annotations.ignored)
    average_precision, curves = {}, {}
    for number, name in enumerate(class_names, start=1):
        chosen = ~annotations.ignored & (annotations.classes == number)
        objects, counts = _sorted_by_frame(annotations, chosen), _sort(annotations, in_range, chosen)
        if not counts.any():
            continue
        found = _ranked(detections, number)
        thresholds = _overlap_thresholds(objects.boxes, iou_threshold, pixel_tolerance)
        taken = _match(found, objects, thresholds)
        true = (taken >= 0) & counts[taken]
        weights = np.where(taken >= 0, true, 1.0)
        if everything is not None:
            weights = np.where(taken >= 0, weights, _blame(found, everything, all_in_range))
        weights = np.where((taken < 0) & _covered(found, regions), 0.0, weights)
        curves[name] = _precision_recall(found.scores, true, weights, int(counts.sum()))
        average_precision[name] = _area(curves[name])
    return VidMap(sum(average_precision.values()) / max(1, len(average_precision)), average_precision, curves)


def _blame(found: DetectionArrays, objects: Annotations, in_range: Bool[ndarray, "n"]) -> Float[ndarray, "m"]:
    """Weight of each detection as a false one where only some objects are in range; see `vid_map`."""
    first = np.searchsorted(objects.frame, found.frame, side="left")
    last = np.searchsorted(objects.frame, found.frame, side="right")
    sums = np.concatenate([[0], np.cumsum(in_range)])
    # those that it overlaps alike: all of the frame, unless it touches one
    alike, inside = last - first, sums[last] - sums[first]
    best = np.zeros(len(found.frame))
    blocks = [(d, t, i / (a + b - i)) for d, t, i, a, b in _overlaps(found, objects)]
    for detection, _, iou in blocks:
        np.maximum.at(best, detection, iou)
    alike[best > 0], inside[best > 0] = 0, 0
    for detection, target, iou in blocks:
        top = iou == best[detection]
        np.add.at(alike, detection[top], 1)
        np.add.at(inside, detection[top], in_range[target[top]])
    share = inside / np.maximum(alike, 1)
    return np.where(alike == 0, in_range.mean(), np.where(alike == 1, share, 1 - share))


def _check(annotations: Annotations, detections: DetectionArrays, class_names: tuple[str, ...]) -> None:
    known = (annotations.classes >= 1) & (annotations.classes <= len(class_names))
    if not np.any(known & ~annotations.ignored):
        raise UserError("no annotated object in the frames to evaluate: check the list and the class names")
    unknown = (detections.classes < 1) | (detections.classes > len(class_names))
    _reject(detections, unknown, "class", detections.classes)
    _reject(detections, ~np.isfinite(detections.scores), "score", detections.scores)
    _reject(detections, ~np.isfinite(detections.boxes).all(axis=1), "box", detections.boxes)


def _reject(detections: DetectionArrays, wrong: Bool[ndarray, "m"], what: str, values: ndarray) -> None:
    if wrong.any():
        first = wrong.argmax()
        raise UserError(f"frame {detections.frame[first]}: a detection has the {what} {values[first]}")


def _sorted_by_frame(annotations: Annotations, chosen: Bool[ndarray, "n"]) -> Annotations:
    return Annotations(*(_sort(annotations, field, chosen) for field in annotations))


def _sort(annotations: Annotations, values: ndarray, chosen: Bool[ndarray, "n"]) -> ndarray:
    """The chosen values in the order of their frames."""
    index = np.flatnonzero(chosen)
    return values[index[np.argsort(annotations.frame[index], kind="stable")]]


def _ranked(detections: DetectionArrays, number: int) -> DetectionArrays:
    """A class's detections in falling score; ties by frame, then in the order given."""
    index = np.flatnonzero(detections.classes == number)
    index = index[np.lexsort((detections.frame[index], -detections.scores[index]))]
    return DetectionArrays(*(field[index] for field in detections))


def _overlap_thresholds(
    boxes: Float[ndarray, "n 4"], iou_threshold: float, pixel_tolerance: int
) -> Float[ndarray, "n"]:
    width, height = _sides(boxes.astype(np.float64))
    tolerant = width * height / ((width + pixel_tolerance) * (height + pixel_tolerance))
    return np.minimum(iou_threshold, tolerant)


def _match(
    found: DetectionArrays, objects: Annotations, thresholds: Float[ndarray, "n"]
) -> Int64[ndarray, "m"]:
    """The object that each detection, in falling score, takes, or -1: the best free one at or over its
    threshold."""
    pairs = []
    for detection, target, intersection, area, target_area in _overlaps(found, objects):
        iou = intersection / (area + target_area - intersection)
        enough = iou >= thresholds[target]
        pairs.append((detection[enough], target[enough], iou[enough]))
    detection, target, iou = (np.concatenate(column) for column in zip(*pairs, strict=True))
    # In this order the first free object that a detection meets is its best one.
    order = np.lexsort((target, -iou, detection))
    taken = np.full(len(found.frame), -1, np.int64)
    free = np.ones(len(objects.frame), bool)
    for i, j in zip(detection[order], target[order], strict=True):
        if taken[i] < 0 and free[j]:
            taken[i], free[j] = j, False
    return taken


def _covered(found: DetectionArrays, regions: Annotations) -> Bool[ndarray, "m"]:
    """Which detections have half of their own area, or more, inside an ignored region."""
    covered = np.zeros(len(found.frame), bool)
    for detection, _, intersection, area, _ in _overlaps(found, regions):
        covered[detection[intersection >= 0.5 * area]] = True
    return covered


def _overlaps(found: DetectionArrays, targets: Annotations):
    """All pairs of a detection and a target of its frame that touch; `targets` are sorted by frame.

    Yields, in bounded blocks: index of the detection, index of the target, area of the intersection, area
    of the detection, area of the target.
    """
    first = np.searchsorted(targets.frame, found.frame, side="left")
    count = np.searchsorted(targets.frame, found.frame, side="right") - first
    some = np.flatnonzero(count)
    blocks = np.cumsum(count[some]) // PAIRS_AT_ONCE
    for block in np.split(some, np.flatnonzero(np.diff(blocks)) + 1):
        detection = np.repeat(block, count[block])
        starts = np.cumsum(count[block]) - count[block]
        target = np.arange(len(detection)) + np.repeat(first[block] - starts, count[block])
        one, other = found.boxes[detection].astype(np.float64), targets.boxes[target].astype(np.float64)
        low, high = np.maximum(one[:, :2], other[:, :2]), np.minimum(one[:, 2:], other[:, 2:])
        sides = high - low + 1
        touch = (sides > 0).all(axis=1)
        intersection = sides[touch].prod(axis=1)
        areas = (np.multiply(*_sides(boxes[touch])) for boxes in (one, other))
        yield detection[touch], target[touch], intersection, *areas


def _sides(boxes: Float[ndarray, "n 4"]) -> tuple[Float[ndarray, "n"], Float[ndarray, "n"]]:
    """Width and height of boxes with inclusive corners."""
    return boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1


def _precision_recall(
    scores: Float[ndarray, "m"], true: Bool[ndarray, "m"], weights: Float[ndarray, "m"], objects: int
) -> PrecisionRecall:
    rank = np.flatnonzero(true)
    found, counted = np.arange(1, len(rank) + 1), np.cumsum(weights)[rank]
    return PrecisionRecall(scores[rank], found / counted, found / objects, objects)


def _area(curve: PrecisionRecall) -> float:
    """Area under the interpolated curve: precision is the best at this recall or any higher one.

    Recall rises by 1 / objects at each true positive and nowhere else, so the area is a plain sum.
    """
    envelope = np.maximum.accumulate(curve.precision[::-1])
    return float(envelope.sum() / curve.objects)
