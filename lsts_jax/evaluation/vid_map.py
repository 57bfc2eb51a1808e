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
from jaxtyping import Bool, Float, Int32
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
) -> VidMap:
    """Scores the detections of a data set by ImageNet VID's metric.

    A detection that takes no object and of which an ignored region of its frame covers half or more counts
    neither as true nor as false. `iou_threshold` and `pixel_tolerance` are those of min(threshold,
    w h / ((w + tolerance)(h + tolerance))); a tolerance of 0 gives the threshold itself.

    Raises `UserError` if no frame has an object, a detection is of no known class or holds a number that is
    not finite.
    """
    _check(annotations, detections, class_names)
    regions = _sorted_by_frame(annotations, annotations.ignored)
    average_precision, curves = {}, {}
    for number, name in enumerate(class_names, start=1):
        objects = _sorted_by_frame(annotations, ~annotations.ignored & (annotations.classes == number))
        if not len(objects.frame):
            continue
        found = _ranked(detections, number)
        thresholds = _overlap_thresholds(objects.boxes, iou_threshold, pixel_tolerance)
        matched = _match(found, objects, thresholds)
        counted = matched | ~_covered(found, regions)
        curves[name] = _precision_recall(found.scores[counted], matched[counted], len(objects.frame))
        average_precision[name] = _area(curves[name])
    return VidMap(sum(average_precision.values()) / len(average_precision), average_precision, curves)


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
    index = np.flatnonzero(chosen)
    index = index[np.argsort(annotations.frame[index], kind="stable")]
    return Annotations(*(field[index] for field in annotations))


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
) -> Bool[ndarray, "m"]:
    """Which detections, in falling score, take an object: each the best free one at or over its threshold."""
    pairs = []
    for detection, target, intersection, area, target_area in _overlaps(found, objects):
        iou = intersection / (area + target_area - intersection)
        enough = iou >= thresholds[target]
        pairs.append((detection[enough], target[enough], iou[enough]))
    detection, target, iou = (np.concatenate(column) for column in zip(*pairs, strict=True))
    # In this order the first free object that a detection meets is its best one.
    order = np.lexsort((target, -iou, detection))
    matched = np.zeros(len(found.frame), bool)
    taken = np.zeros(len(objects.frame), bool)
    for i, j in zip(detection[order], target[order], strict=True):
        if not matched[i] and not taken[j]:
            matched[i] = taken[j] = True
    return matched


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
    scores: Float[ndarray, "m"], matched: Bool[ndarray, "m"], objects: int
) -> PrecisionRecall:
    rank = np.flatnonzero(matched)
    found = np.arange(1, len(rank) + 1)
    return PrecisionRecall(scores[rank], found / (rank + 1), found / objects, objects)


def _area(curve: PrecisionRecall) -> float:
    """Area under the interpolated curve: precision is the best at this recall or any higher one.

    Recall rises by 1 / objects at each true positive and nowhere else, so the area is a plain sum.
    """
    envelope = np.maximum.accumulate(curve.precision[::-1])
    return float(envelope.sum() / curve.objects)
