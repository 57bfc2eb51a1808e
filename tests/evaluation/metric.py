"""The metric in one call, as the tests use it."""

from lsts_jax.evaluation.matching import match
from lsts_jax.evaluation.vid_map import blame, score


def vid_map(annotations, detections, class_names, *, iou_threshold=0.5, pixel_tolerance=10, in_range=None):
    """The metric of detections; `in_range` restricts it to some objects by FGFA's rules."""
    matches = match(
        annotations,
        detections,
        len(class_names),
        iou_threshold=iou_threshold,
        pixel_tolerance=pixel_tolerance,
    )
    weights = None if in_range is None else blame(annotations, detections, matches, in_range)
    return score(annotations, detections, matches, class_names, in_range=in_range, weights=weights)
