"""Matching of detections and objects, frame by frame: the first half of the metric (numpy only)."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float64, Int32, Int64
from numpy import ndarray

from lsts_jax.data.boxes import area, intersection, sides
from lsts_jax.errors import UserError

PAIRS_AT_ONCE = 1 << 19
"""Pairs of boxes per block of the IoU computation, which bounds the memory."""


class Annotations(NamedTuple):
    """Annotated objects of a data set: the boxes of all frames, one after the other."""

    frame: Int32[ndarray, "n"]  # position in the data set's list of frames, from 0
    classes: Int32[ndarray, "n"]  # 1..N; not used for ignored regions
    boxes: Float[ndarray, "n 4"]  # pixels of the original picture
    ignored: Bool[ndarray, "n"]  # a region that is not scored, for all classes


class DetectionArrays(NamedTuple):
    """Detections in a data set: those of all frames, one after the other."""

    frame: Int32[ndarray, "m"]  # numbered as in `Annotations`
    classes: Int32[ndarray, "m"]  # 1..N
    scores: Float[ndarray, "m"]
    boxes: Float[ndarray, "m 4"]


class Matches(NamedTuple):
    """Result of matching, per detection. Objects are numbered as in the annotations."""

    taken: Int32[ndarray, "m"]  # matched object, or -1
    nearest: Int32[ndarray, "m"]  # object of highest IoU, of any class; -1: touches none
    ties: Int64[ndarray, "t 2"]  # pairs (detection, object): further objects with the IoU of `nearest`
    hidden: Bool[ndarray, "m"]  # unmatched, and half or more of it lies in an ignored region
    ranked: list[Int32[ndarray, "_"]]  # for every class, its detections in falling score
    wanted_iou: Float64[ndarray, "n"]  # IoU threshold of every object


class Pairs(NamedTuple):
    """Pairs of a detection and an annotation of its frame that touch."""

    detection: Int64[ndarray, "p"]  # ascending if the frames of the detections are
    target: Int64[ndarray, "p"]
    intersection: Float64[ndarray, "p"]  # pixels
    area: Float64[ndarray, "p"]  # of the detection
    target_area: Float64[ndarray, "p"]

    @property
    def iou(self) -> Float64[ndarray, "p"]:
        return self.intersection / (self.area + self.target_area - self.intersection)


def match(
    annotations: Annotations,
    detections: DetectionArrays,
    num_classes: int,
    *,
    iou_threshold: float = 0.5,
    pixel_tolerance: int = 10,
) -> Matches:
    """Matches detections, in falling score, to the free object of highest IoU of their class and frame.

    The threshold of an object of w x h pixels is min(threshold, w h / ((w + tolerance)(h + tolerance))); with
    tolerance 0 it is `threshold`. Of objects with equal IoU the first in the list is matched. Detections of
    equal score are ranked by frame, then in the given order.

    Raises `UserError` if no frame has an object, or a detection has an unknown class or a number that is not
    finite.
    """
    check(annotations, detections, num_classes)
    objects = np.flatnonzero(~annotations.ignored)
    width, height = sides(annotations.boxes)
    tolerant = width * height / ((width + pixel_tolerance) * (height + pixel_tolerance))
    wanted_iou = np.minimum(iou_threshold, tolerant)
    count = len(detections.frame)
    taken, nearest = np.full(count, -1, np.int32), np.full(count, -1, np.int32)
    ties = [np.zeros((0, 2), np.int64)]
    for pairs in touching(annotations, detections, objects):
        iou = pairs.iou
        top = np.flatnonzero(iou == best_of_detection(pairs, iou))
        first = is_first(pairs.detection[top])
        nearest[pairs.detection[top[first]]] = pairs.target[top[first]]
        ties.append(np.stack([pairs.detection[top[~first]], pairs.target[top[~first]]], axis=1))
        enough = iou >= wanted_iou[pairs.target]
        enough &= detections.classes[pairs.detection] == annotations.classes[pairs.target]
        found, wanted = pairs.detection[enough], pairs.target[enough]
        order = np.lexsort((wanted, -iou[enough], found, -detections.scores[found]))
        _take(taken, found[order], wanted[order])
    hidden = np.zeros(count, bool)
    for pairs in touching(annotations, detections, np.flatnonzero(annotations.ignored)):
        hidden[pairs.detection[pairs.intersection >= 0.5 * pairs.area]] = True
    hidden &= taken < 0
    ranked = rank(detections, num_classes)
    return Matches(taken, nearest, np.concatenate(ties), hidden, ranked, wanted_iou)


def _take(taken: Int32[ndarray, "m"], detection: Int64[ndarray, "p"], target: Int64[ndarray, "p"]) -> None:
    """Matches every detection to the first of its targets that is free in its turn.

    Pairs are sorted in the order of trial. A round settles all detections whose first target cannot be
    matched to an earlier detection any more. The first detection of a frame and class is always among these,
    so there are at most as many rounds as a frame has objects of a class.
    """
    while len(detection):
        first = is_first(detection)
        place = target - target.min()
        earliest = np.empty(place.max() + 1, np.int64)
        earliest[place[::-1]] = np.arange(len(place))[::-1]  # of several assignments the last stays
        settled = first & (detection[earliest[place]] == detection)
        taken[detection[settled]] = target[settled]
        gone = np.zeros(len(earliest), bool)
        gone[place[settled]] = True
        left = ~gone[place] & (taken[detection] < 0)
        detection, target = detection[left], target[left]


def rank(detections: DetectionArrays, num_classes: int) -> list[Int32[ndarray, "_"]]:
    """The detections of every class in falling score; ties by frame, then in the given order."""
    in_order = is_ascending(detections.frame)
    ranked = []
    for number in range(1, num_classes + 1):
        rows = np.flatnonzero(detections.classes == number).astype(np.int32)
        scores = -detections.scores[rows]
        if in_order:
            ranked.append(rows[np.argsort(scores, kind="stable")])
        else:
            ranked.append(rows[np.lexsort((detections.frame[rows], scores))])
    return ranked


def touching(
    annotations: Annotations, detections: DetectionArrays, chosen: Int64[ndarray, "k"]
) -> Iterator[Pairs]:
    """All pairs of a detection and a selected annotation of its frame with common pixels.

    Yields blocks of bounded size. A block holds all pairs of its frames, sorted by detection (in the given
    order), then by annotation.
    """
    chosen = chosen[np.argsort(annotations.frame[chosen], kind="stable")]
    frames, first_target, targets = np.unique(
        annotations.frame[chosen], return_index=True, return_counts=True
    )
    by_frame = None
    if not is_ascending(detections.frame):
        by_frame = np.argsort(detections.frame, kind="stable").astype(np.int32)
    sorted_frames = detections.frame if by_frame is None else detections.frame[by_frame]
    start = np.searchsorted(sorted_frames, frames, side="left")
    found = np.searchsorted(sorted_frames, frames, side="right") - start
    blocks = np.cumsum(found * targets) // PAIRS_AT_ONCE
    for block in np.split(np.arange(len(frames)), np.flatnonzero(np.diff(blocks)) + 1):
        rows = ranges(start[block], found[block])
        detection = rows if by_frame is None else by_frame[rows].astype(np.int64)
        each = np.repeat(targets[block], found[block])
        target = chosen[ranges(np.repeat(first_target[block], found[block]), each)]
        boxes = np.repeat(detections.boxes[detection].astype(np.float64), each, axis=0)
        others = annotations.boxes[target].astype(np.float64)
        detection = np.repeat(detection, each)
        common = intersection(boxes, others)
        touch = common > 0
        areas = area(boxes[touch]), area(others[touch])
        yield Pairs(detection[touch], target[touch], common[touch], *areas)


def best_of_detection(pairs: Pairs, values: Float64[ndarray, "p"]) -> Float64[ndarray, "p"]:
    """For every pair, the largest value among its detection's pairs in the block."""
    if not len(values):
        return values
    starts = np.flatnonzero(is_first(pairs.detection))
    return np.repeat(np.maximum.reduceat(values, starts), np.diff(starts, append=len(values)))


def ranges(start: Int64[ndarray, "k"], count: Int64[ndarray, "k"]) -> Int64[ndarray, "s"]:
    """The concatenated ranges start, start + 1, ... of `count` numbers."""
    ends = np.cumsum(count)
    return np.arange(ends[-1] if len(ends) else 0) + np.repeat(start - ends + count, count)


def is_first(values: ndarray) -> Bool[ndarray, "p"]:
    """Mask of the values that differ from their predecessor."""
    return np.concatenate([np.ones(min(1, len(values)), bool), values[1:] != values[:-1]])


def is_ascending(values: ndarray) -> bool:
    return bool((values[1:] >= values[:-1]).all())


def check(annotations: Annotations, detections: DetectionArrays, num_classes: int) -> None:
    """Raises `UserError`; see `match`."""
    known = (annotations.classes >= 1) & (annotations.classes <= num_classes)
    if not np.any(known & ~annotations.ignored):
        raise UserError("no annotated object in the frames to evaluate: check the list and the class names")
    unknown = (detections.classes < 1) | (detections.classes > num_classes)
    _reject(detections, unknown, "class", detections.classes)
    _reject(detections, ~np.isfinite(detections.scores), "score", detections.scores)
    _reject(detections, ~np.all(np.isfinite(detections.boxes), axis=1), "box", detections.boxes)


def _reject(detections: DetectionArrays, wrong: Bool[ndarray, "m"], what: str, values: ndarray) -> None:
    if wrong.any():
        first = wrong.argmax()
        number = detections.frame[first] + 1  # counted from 1, as in lists and the official text
        raise UserError(f"frame {number}: a detection has the {what} {values[first]}")
