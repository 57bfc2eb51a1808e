"""Kinds of detection errors, and the cost of each kind in mAP (numpy only).

The kinds of TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", 2020). The
error of a detection that takes no object is the first of these that applies:

    location    overlaps an object of its class, by 0.1 or more and less than its threshold
    class       overlaps an object of another class by its threshold or more
    duplicate   overlaps an object of its class enough, but another detection has taken it
    both        overlaps some object by 0.1 or more: neither the class nor the place is right
    background  overlaps nothing by 0.1

An object that no detection takes is missed if no detection is wrong about it in its class or place alone.

Different from TIDE's code: an object's threshold is that of the metric (see `matching.match`). Of
several errors of a kind about one object the one of the highest score is mended, whatever errors of other
kinds are about it. A class whose objects are all missed counts 1, not 0, when they are mended.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int8, Int32, Int64
from numpy import ndarray

from lsts_jax.evaluation.matching import (
    Annotations,
    DetectionArrays,
    Matches,
    Pairs,
    best_of_detection,
    is_first,
    rank,
    touching,
)
from lsts_jax.evaluation.vid_map import score

KINDS = ("class", "location", "both", "duplicate", "background")
CLASS, LOCATION, BOTH, DUPLICATE, BACKGROUND = range(len(KINDS))
NEAR = 0.1
"""IoU below which a detection has nothing to do with an object (TIDE)."""


class Errors(NamedTuple):
    """The error of each detection, and the missed objects."""

    kind: Int8[ndarray, "m"]  # index in KINDS; -1 of true detections and of those that do not count
    about: Int32[ndarray, "m"]  # the object of a class, location or duplicate error, otherwise -1
    missed: Bool[ndarray, "n"]


def find_errors(annotations: Annotations, detections: DetectionArrays, matches: Matches) -> Errors:
    """Sorts the false detections and the missed objects."""
    false = np.flatnonzero((matches.taken < 0) & ~matches.hidden)
    kind, about = np.full(len(matches.taken), -1, np.int8), np.full(len(matches.taken), -1, np.int32)
    kind[false] = BACKGROUND
    wrong = DetectionArrays(*(column[false] for column in detections))
    for pairs in touching(annotations, wrong, np.flatnonzero(~annotations.ignored)):
        pairs = pairs._replace(detection=false[pairs.detection])
        iou = pairs.iou
        own = detections.classes[pairs.detection] == annotations.classes[pairs.target]
        near, enough = iou >= NEAR, iou >= matches.wanted_iou[pairs.target]
        placed = np.isin(pairs.detection, pairs.detection[own & enough])
        kind[pairs.detection[near]] = BOTH
        for number, chosen in (  # what applies first comes last
            (DUPLICATE, own & enough),
            (CLASS, ~own & enough),
            (LOCATION, own & near & ~placed),
        ):
            detection, target = _best(pairs, iou, chosen)
            kind[detection], about[detection] = number, target
    missed = ~annotations.ignored
    missed[matches.taken[matches.taken >= 0]] = False
    missed[about[(kind == CLASS) | (kind == LOCATION)]] = False
    return Errors(kind, about, missed)


def costs(
    annotations: Annotations,
    detections: DetectionArrays,
    matches: Matches,
    errors: Errors,
    class_names: tuple[str, ...],
) -> dict[str, float]:
    """Gain in mAP if only the errors of one kind were corrected, by kind; "missed" for missed objects.

    Class and location: the error of the highest score about each object that is not taken becomes true, and
    all others go. Both, duplicate and background: they go. Missed: these objects are not counted.
    """
    whole = score(annotations, detections, matches, class_names)
    gained = {}
    for number, name in enumerate(KINDS):
        of_kind = errors.kind == number
        mended = matches._replace(hidden=matches.hidden | of_kind)
        if number in (CLASS, LOCATION):
            mended = _mend(annotations, detections, mended, errors, of_kind, len(class_names))
        gained[name] = score(annotations, detections, mended, class_names).mAP - whole.mAP
    left = score(annotations, detections, matches, class_names, in_range=~errors.missed).AP
    gained["missed"] = float(np.mean([left.get(name, 1.0) for name in whole.AP])) - whole.mAP
    return gained


def confusion(
    annotations: Annotations,
    detections: DetectionArrays,
    matches: Matches,
    errors: Errors,
    num_classes: int,
    *,
    score_threshold: float = 0.5,
) -> Int64[ndarray, "N1 N1"]:
    """Confusion matrix of the detections that reach the threshold.

    Rows are annotated, columns detected classes, 0 the background. Every object counts once: where it is
    taken, or else as the class of its best class error, or else as background. So does every detection that
    counts: in the row of the background if no object is left for it. Rows sum to the objects of a class,
    columns to the detections as it.
    """
    seen = (detections.scores >= score_threshold) & ~matches.hidden
    row = np.where(seen & (matches.taken >= 0), matches.taken, -1)
    free = ~annotations.ignored
    free[row[row >= 0]] = False
    confused = _first_about(detections, errors, seen & (errors.kind == CLASS), free)
    row[confused] = errors.about[confused]
    free[row[row >= 0]] = False
    of_row = np.where(row >= 0, annotations.classes[row], 0)
    counts = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    np.add.at(counts, (of_row[seen], detections.classes[seen]), 1)
    np.add.at(counts[:, 0], annotations.classes[free], 1)
    return counts


def _best(
    pairs: Pairs, iou: Float64[ndarray, "p"], chosen: Bool[ndarray, "p"]
) -> tuple[Int64[ndarray, "d"], Int64[ndarray, "d"]]:
    """The chosen pair of largest IoU for each detection: detections, objects."""
    pairs, iou = Pairs(*(column[chosen] for column in pairs)), iou[chosen]
    top = np.flatnonzero(iou == best_of_detection(pairs, iou))
    top = top[is_first(pairs.detection[top])]
    return pairs.detection[top], pairs.target[top]


def _mend(
    annotations: Annotations,
    detections: DetectionArrays,
    matches: Matches,
    errors: Errors,
    of_kind: Bool[ndarray, "m"],
    num_classes: int,
) -> Matches:
    """The matches where the best error of a kind about each object that is not taken takes it."""
    free = ~annotations.ignored
    free[matches.taken[matches.taken >= 0]] = False
    right = _first_about(detections, errors, of_kind, free)
    taken, hidden, classes = matches.taken.copy(), matches.hidden.copy(), detections.classes.copy()
    taken[right], hidden[right] = errors.about[right], False
    classes[right] = annotations.classes[errors.about[right]]
    return matches._replace(
        taken=taken, hidden=hidden, ranked=rank(detections._replace(classes=classes), num_classes)
    )


def _first_about(
    detections: DetectionArrays, errors: Errors, chosen: Bool[ndarray, "m"], free: Bool[ndarray, "n"]
) -> Int64[ndarray, "k"]:
    """Rows of the chosen error of highest score about each free object."""
    rows = np.flatnonzero(chosen)
    rows = rows[free[errors.about[rows]]]
    rows = rows[np.lexsort((-detections.scores[rows], errors.about[rows]))]
    return rows[is_first(errors.about[rows])]
