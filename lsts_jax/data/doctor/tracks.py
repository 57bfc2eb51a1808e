"""Tracks of objects: gaps and speed."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lsts_jax.data.dataset import Objects, Sample, VideoDataset
from lsts_jax.data.doctor.findings import Finding, Kind
from lsts_jax.data.motion import RANGES, in_ranges, motion_iou

Tracks = dict[tuple[int, int], dict[int, Float[ndarray, "4"]]]


def collect_tracks(annotated: dict[Sample, Objects]) -> Tracks:
    """Boxes of every track (video, track), by frame."""
    tracks: Tracks = defaultdict(dict)
    for (video, t), objects in annotated.items():
        for track, box in zip(objects.track_ids.tolist(), objects.boxes, strict=True):
            if track >= 0:
                tracks[video, track][t] = box
    return tracks


def gaps(dataset: VideoDataset, samples: Sequence[Sample], tracks: Tracks) -> list[Finding]:
    """Tracks that are missing in listed frames between their first and last frame."""
    times: dict[int, list[int]] = defaultdict(list)
    for video, t in sorted(samples):
        times[video].append(t)
    findings = []
    for (video, track), boxes in tracks.items():
        listed = times[video]
        between = listed[bisect_right(listed, min(boxes)) : bisect_left(listed, max(boxes))]
        absent = [t for t in between if t not in boxes]
        if absent:
            what = f"track {track} is missing in {len(absent)} frames, first in {absent[0]}"
            findings.append(Finding(Kind.TRACK_GAPS, dataset.videos[video].name, what))
    return findings


def motion_histogram(tracks: Tracks) -> dict[str, int]:
    """Number of tracked objects in every motion range of the metric."""
    histogram = dict.fromkeys(RANGES, 0)
    rows_of = defaultdict(list)
    for (video, track), boxes in tracks.items():
        rows_of[video] += [(t, track, box) for t, box in boxes.items()]
    for rows in rows_of.values():
        frame, track, boxes = (np.array(column) for column in zip(*rows, strict=True))
        values = motion_iou(frame.astype(np.int32), track.astype(np.int32), boxes)
        for name, chosen in in_ranges(values).items():
            histogram[name] += int(chosen.sum())
    return histogram
