"""The metric in one call, as the tests use it."""

from lsts_jax.evaluation.matching import match
from lsts_jax.evaluation.vid_map import blame, score


def vid_map(annotations, detections, class_names, *, in_range=None, **thresholds):
    """The metric of detections; `in_range` restricts it to some objects by FGFA's rules."""
    matches = match(annotations, detections, len(class_names), **thresholds)
    weights = None if in_range is None else blame(annotations, detections, matches, in_range)
    return score(annotations, detections, matches, class_names, in_range=in_range, weights=weights)
