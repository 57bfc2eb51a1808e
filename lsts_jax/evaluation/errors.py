"""Kinds of detection errors, and the cost of each kind in mAP (numpy only).

The kinds of TIDE (Bolya et al., "TIDE: A General Toolbox for Identifying Object Detection Errors", 2020). The
error of a detection without a matched object is the first of these that applies:

    location    IoU with an object of its class is 0.1 or more, but below the object's threshold
    class       IoU with an object of another class reaches that object's threshold
    duplicate   IoU with an object of its class is enough, but another detection is matched to the object
    both        IoU with an object of another class is 0.1 or more, but below the threshold
    background  IoU with all objects is below 0.1

An unmatched object is missed unless it is the object of a location or class error.

Different from TIDE's code: an object's threshold is that of the metric (see `matching.match`). Of several
errors of a kind for one object, the one of highest score is corrected, whatever errors of other kinds the
object has. A class whose objects are all missed has AP 1, not 0, after correction.
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
"""IoU below which a detection is unrelated to an object (TIDE)."""


class Errors(NamedTuple):
    """Error of every detection, and the missed objects."""

    kind: Int8[ndarray, "m"]  # index in KINDS; -1 for true detections and for those that do not count
    about: Int32[ndarray, "m"]  # object of a class, location or duplicate error, otherwise -1
    missed: Bool[ndarray, "n"]


def find_errors(annotations: Annotations, detections: DetectionArrays, matches: Matches) -> Errors:
    """Classifies the false detections and lists the missed objects."""
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
        for number, chosen in (  # the kind that applies first is written last
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

    Class and location: for every unmatched object the error of highest score becomes true, and all other
    errors of the kind are removed. Both, duplicate and background: removed. Missed: the objects do not count.
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

    Rows are annotated classes, columns detected classes, 0 is the background. Every object counts
    once: in the column of its own class if matched, else of its best class error, else of the
    background. Every detection counts once: in the row of the background if no object remains. A
    row sums to the objects of its class, a column to the detections of its class.
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
    """The selected pair of largest IoU for every detection: detections, and their objects."""
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
    """The matches after every unmatched object is matched to its best error of a kind."""
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
    """Rows of the selected error of highest score for every unmatched object."""
    rows = np.flatnonzero(chosen)
    rows = rows[free[errors.about[rows]]]
    rows = rows[np.lexsort((-detections.scores[rows], errors.about[rows]))]
    return rows[is_first(errors.about[rows])]
