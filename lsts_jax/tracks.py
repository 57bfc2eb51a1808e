"""Detections linked to tracks over time by the package norfair-enough.

The fork of norfair that is kept up (BSD-3, NumPy 2): small, no torch, no second OpenCV; tells classes apart
and can age tracks over missing frames. A track is a Kalman filter on the corners of its box, and takes the
detection that overlaps most with the box it expects.
"""

import logging
from collections.abc import Iterable, Iterator

import numpy as np

from lsts_jax.api import Result
from lsts_jax.errors import UserError

# Frames that a track lives on without a detection: about a second.
MAX_GAP = 30
# Between a detection and the box that its track expects; low, for people walk far at 7 frames a second.
MIN_IOU = 0.2
UNTRACKED = -1  # as MOTChallenge writes it


def link(results: Iterable[Result], *, score: float = 0.5) -> Iterator[Result]:
    """The results of one video with `track_ids`, one by one, otherwise unchanged.

    Ids count from 1 and never join two classes. A detection below `score` is not linked, opens no track and
    has the id -1. So has the first detection of an object: its track is numbered when it is found again, else
    each false alarm would be one. A track ends when it was not found in 30 frames; frames that are missing
    between two results (`frame_index`) count, and the track moves on in them. Memory does not grow.

    Raises `UserError` at once if norfair-enough is not installed.
    """
    try:
        from norfair import Detection, Tracker
    except ImportError as error:
        raise UserError("tracks need a package: pip install norfair-enough") from error
    # It warns whenever the box of a lost track is expected to have shrunk to nothing, which is harmless.
    logging.getLogger("norfair.distances").setLevel(logging.ERROR)
    tracker = Tracker("iou", 1 - MIN_IOU, hit_counter_max=MAX_GAP, past_detections_length=0)

    def linked() -> Iterator[Result]:
        last = None
        for result in results:
            # So many steps end every track; a stream that was away for an hour takes no more.
            steps = 1 if last is None else min(max(1, result.frame_index - last), MAX_GAP + 2)
            last = result.frame_index
            for _ in range(steps - 1):
                tracker.update()
            # norfair counts detections by the frames that they stand for: one is not enough for an id.
            tracker.initialization_delay = period = min(steps, MAX_GAP - 1)
            certain = np.flatnonzero(result.scores >= score)
            # The edges of the box instead of inclusive corners: a box of one pixel has an area.
            corners = result.boxes[certain].reshape(-1, 2, 2).astype(np.float64) + [[0, 0], [1, 1]]
            found = [
                Detection(points, data=row, label=label)
                for row, label, points in zip(
                    certain.tolist(), result.classes[certain].tolist(), corners, strict=True
                )
            ]
            ids = np.full(len(result.scores), UNTRACKED, np.int32)
            for track in tracker.update(found, period=period):
                assert track.id is not None
                if track.last_detection.age == track.age:  # found in this frame
                    ids[track.last_detection.data] = track.id
            yield result._replace(track_ids=ids)

    return linked()
