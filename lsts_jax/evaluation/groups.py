"""The metric for groups of objects: by motion, size, length of track, degradation and attributes of
videos (numpy only)."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int32
from numpy import ndarray

from lsts_jax.data.boxes import area
from lsts_jax.data.motion import in_ranges
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches
from lsts_jax.evaluation.vid_map import blame, score

SMALL, LARGE = 32**2, 96**2  # pixels of the original picture, COCO's
# Frames: TAO's 3 and 10 seconds at 30 frames per second, the rate of most of ImageNet VID.
SHORT, LONG = 90, 300

Groups = dict[str, dict[str, Bool[ndarray, "n"]]]
"""`groups["size"]["small"]`: mask of the objects in the group."""


def groups_of(
    annotations: Annotations,
    videos: Int32[ndarray, "n"],
    tracks: Int32[ndarray, "n"],
    motion: Float[ndarray, "n"],
    degraded: Bool[ndarray, "n"] | None = None,
    attributes: Mapping[str, Bool[ndarray, "n"]] | None = None,
) -> Groups:
    """Masks of all groups that have objects.

    Args:
      videos: video of every object.
      tracks: track of every object, -1 if unknown.
      motion: motion IoU of every object.
      degraded: mask of the objects annotated as degraded (blurred, hidden); the others are clean.
      attributes: by name, mask of the objects in videos that have the attribute.
    """
    groups = {
        "motion": in_ranges(motion),
        "size": by_size(annotations.boxes),
        "track length": by_track_length(videos, tracks),
    }
    if attributes:
        groups["attribute"] = dict(attributes)
    if degraded is not None:
        groups["degraded"] = {"degraded": degraded, "clean": ~degraded}
    filled = {
        kind: {name: members for name, members in of_kind.items() if (members & ~annotations.ignored).any()}
        for kind, of_kind in groups.items()
    }
    return {kind: of_kind for kind, of_kind in filled.items() if of_kind}


def by_size(boxes: Float[ndarray, "n 4"]) -> dict[str, Bool[ndarray, "n"]]:
    pixels = area(boxes)
    return {
        "small": pixels < SMALL,
        "medium": (pixels >= SMALL) & (pixels <= LARGE),
        "large": pixels > LARGE,
    }


def by_track_length(
    videos: Int32[ndarray, "n"], tracks: Int32[ndarray, "n"]
) -> dict[str, Bool[ndarray, "n"]]:
    """Masks by the number of listed frames of an object's track; objects without a track are in no group."""
    pairs = np.stack([videos, tracks], axis=1)
    _, track, lengths = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    length, known = lengths[track.reshape(-1)], tracks >= 0
    return {
        "short": known & (length < SHORT),
        "medium": known & (length >= SHORT) & (length <= LONG),
        "long": known & (length > LONG),
    }


def scores_by_group(
    annotations: Annotations,
    detections: DetectionArrays,
    matches: Matches,
    class_names: tuple[str, ...],
    groups: Groups,
) -> dict[str, dict[str, float]]:
    """ImageNet VID's mAP of every group of objects, by FGFA's rules.

    Detections matched to an object outside the group do not count. Unmatched detections are false positives:
    in groups by size if their own size is the group's, in other groups with the weight of `blame`.
    """
    sizes = by_size(detections.boxes)
    result: dict[str, dict[str, float]] = {kind: {} for kind in groups}
    for kind, of_kind in groups.items():
        for name, members in of_kind.items():
            if kind == "size":
                weights = sizes[name].astype(np.float64)
            else:
                weights = blame(annotations, detections, matches, members)
            scored = score(annotations, detections, matches, class_names, in_range=members, weights=weights)
            result[kind][name] = scored.mAP
    return result
