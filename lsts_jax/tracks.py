"""Linking of detections to tracks over time, by the package norfair-enough.

norfair-enough is the maintained fork of norfair (BSD-3, NumPy 2): small, without torch or a second
OpenCV. It keeps classes apart and can age tracks over missing frames. A track is a Kalman filter on
the corners of its box; it takes the detection with the highest IoU with its predicted box.
"""

import logging
from collections.abc import Iterable, Iterator

import numpy as np

from lsts_jax.api import Result
from lsts_jax.errors import UserError

# Frames without a detection after which a track ends: about a second.
MAX_GAP = 30
# IoU of a detection and its track's predicted box; low, since people walk far at 7 frames per second.
MIN_IOU = 0.2
UNTRACKED = -1  # as MOTChallenge writes it


def link(results: Iterable[Result], *, score: float = 0.5) -> Iterator[Result]:
    """Yields the results of one video with `track_ids` added.

    Ids count from 1, and a track has one class. A detection below `score` starts no track and has
    the id -1. The first detection of an object also has the id -1: a track gets its number at the
    second detection, so that a single false alarm gets none. A track ends after 30 frames without a
    detection; frames missing between two results (`frame_index`) count, and the filter predicts
    through them. Memory use is constant.

    Raises `UserError` at once if norfair-enough is not installed.
    """
    try:
        from norfair import Detection, Tracker
    except ImportError as error:
        raise UserError("tracks need a package: pip install norfair-enough") from error
    # norfair warns whenever the predicted box of a lost track has no area, which is harmless.
    logging.getLogger("norfair.distances").setLevel(logging.ERROR)
    tracker = Tracker("iou", 1 - MIN_IOU, hit_counter_max=MAX_GAP, past_detections_length=0)

    def linked() -> Iterator[Result]:
        last = None
        for result in results:
            # Enough steps to end every track: an interruption of an hour costs no more.
            steps = 1 if last is None else min(max(1, result.frame_index - last), MAX_GAP + 2)
            last = result.frame_index
            for _ in range(steps - 1):
                tracker.update()
            # norfair counts a detection once per elapsed frame; one detection must not be enough for an id.
            tracker.initialization_delay = period = min(steps, MAX_GAP - 1)
            certain = np.flatnonzero(result.scores >= score)
            # Edges instead of inclusive corners: a box of one pixel has an area.
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
                if track.last_detection.age == track.age:  # detected in this frame
                    ids[track.last_detection.data] = track.id
            yield result._replace(track_ids=ids)

    return linked()
