"""The numbers of a report: a run's errors, its operating point, groups of objects and pairs of classes."""

from typing import Any, NamedTuple

import numpy as np

from lsts_jax.evaluation.errors import KINDS, Errors, confusion, costs, find_errors
from lsts_jax.evaluation.groups import groups_of
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches, match
from lsts_jax.evaluation.scoring import Truth
from lsts_jax.evaluation.vid_map import PrecisionRecall, VidMap, operating_point, score

FULL_CONFUSION, PAIRS = 20, 15  # classes up to which the whole matrix is shown; pairs of classes listed
POINTS = 160  # of a curve

MEANING = {
    "class": "IoU is enough, but the object has another class",
    "location": "right class, but IoU too low (0.1 or more)",
    "both": "wrong class and IoU too low (0.1 or more)",
    "duplicate": "the object is matched to another detection",
    "background": "IoU with all objects is below 0.1",
    "missed": "objects without any detection, not even a class or location error",
}


class Run(NamedTuple):
    """Detections on a data set, and their scores."""

    name: str
    detections: DetectionArrays
    metrics: dict[str, Any]  # content of metrics.json; "step", "checkpoint" and "fps" are shown if present


class Side(NamedTuple):
    """A run with the numbers computed from it."""

    run: Run
    matches: Matches
    errors: Errors
    scored: VidMap
    costs: dict[str, float]
    threshold: float  # score threshold of highest F1
    precision: float  # there
    recall: float


class Row(NamedTuple):
    """A group of objects."""

    objects: int | None  # number of objects, if known
    values: list[float | None]  # the score of each run


def examine(annotations: Annotations, run: Run, class_names: tuple[str, ...]) -> Side:
    matches = match(annotations, run.detections, len(class_names))
    errors = find_errors(annotations, run.detections, matches)
    scored = score(annotations, run.detections, matches, class_names)
    gained = costs(annotations, run.detections, matches, errors, class_names)
    point = operating_point(annotations, run.detections, matches)
    return Side(run, matches, errors, scored, gained, *point)


def groups_shown(runs: list[Run], truth: Truth) -> dict[str, dict[str, Row]]:
    """The rows of every dictionary of numbers in the metrics, except AP by class."""
    known = groups_of(truth.annotations, truth.videos, truth.tracks, truth.motion, truth.degraded)
    found: dict[str, dict[str, Row]] = {}
    for head, values in runs[0].metrics.items():
        if head == "AP" or not _are_numbers(values):
            continue
        members = known.get(head.removeprefix("mAP by "), {})
        found[head] = {
            name: Row(
                int((members[name] & ~truth.annotations.ignored).sum()) if name in members else None,
                [one.metrics.get(head, {}).get(name) for one in runs],
            )
            for name in values
        }
    return found


def _are_numbers(values: Any) -> bool:
    return (
        isinstance(values, dict) and bool(values) and all(isinstance(x, int | float) for x in values.values())
    )


def curves_shown(sides: list[Side]) -> dict[str, list[str]]:
    """Precision-recall curves by class, for every run."""
    return {name: [curve_path(side.scored.curves[name]) for side in sides] for name in sides[0].scored.AP}


def curve_path(curve: PrecisionRecall) -> str:
    """A curve as an SVG path, recall to the right and precision upwards, in a square of 100."""
    if not len(curve.recall):
        return ""
    rows = np.unique(np.linspace(0, len(curve.recall) - 1, POINTS).round().astype(int))
    points = np.stack([100 * curve.recall[rows], 100 - 100 * curve.precision[rows]], axis=1)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def kinds_shown(sides: list[Side]) -> list[tuple[str, str, list[tuple[float, int]]]]:
    """Name and meaning of every kind of error; for every run its cost, and its count above the threshold."""
    rows = []
    for number, name in enumerate([*KINDS, "missed"]):
        values = []
        for side in sides:
            shown = (side.errors.kind == number) & (side.run.detections.scores >= side.threshold)
            count = side.errors.missed if name == "missed" else shown
            values.append((side.costs[name], int(count.sum())))
        rows.append((name, MEANING[name], values))
    return sorted(rows, key=lambda row: -row[2][0][0])


def confusions_shown(annotations: Annotations, side: Side, names: tuple[str, ...]) -> dict[str, Any]:
    """Counts and shares of the confusion matrix, background last, and the most frequent confusions."""
    found = side.run.detections, side.matches, side.errors
    counts = confusion(annotations, *found, len(names), score_threshold=side.threshold)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[0] = counts[0] / np.maximum(counts.sum(axis=0), 1)  # of the detections
    pairs = counts[1:, 1:] * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-pairs, axis=None, kind="stable")[:PAIRS]
    places = [(r, c) for r, c in np.transpose(np.unravel_index(order, pairs.shape)) if pairs[r, c]]
    matrix = None
    if len(names) <= FULL_CONFUSION:
        last = [np.roll(values, -1, axis=(0, 1)).tolist() for values in (counts, shares)]
        matrix = [list(zip(*rows, strict=True)) for rows in zip(*last, strict=True)]
    return {
        "names": [*names, "nothing"],
        "matrix": matrix,
        "pairs": [(names[r], names[c], int(pairs[r, c]), float(shares[r + 1, c + 1])) for r, c in places],
    }
