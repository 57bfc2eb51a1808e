"""Tracks of thousands of frames are looked through in no time."""

from unittest.mock import Mock

import numpy as np

from lsts_jax.data.dataset import Sample, Video, VideoDataset
from lsts_jax.data.doctor.tracks import gaps, motion_histogram

BOX = np.float32([0, 0, 9, 9])


def test_each_track_is_looked_for_in_its_own_frames():
    compared = 0

    class Time(int):
        def __lt__(self, other):
            nonlocal compared
            compared += 1
            return int(self) < int(other)

        def __gt__(self, other):
            return Time.__lt__(other, self)

    samples = [Sample(0, Time(t)) for t in range(2_000)]
    tracks = {(0, track): {2 * track: BOX, 2 * track + 2: BOX} for track in range(500)}
    found = gaps(Mock(spec=VideoDataset, videos=[Video("v", 2_000)]), samples, tracks)
    assert len(found) == 500
    assert found[3].what == "track 3 is missing in 1 frames, first in 7"
    assert compared < 50_000  # not 500 times 2,000


def test_tracks_are_grouped_by_video_once():
    walks = []

    class Tracks(dict):
        def items(self):
            walks.append(self)
            return super().items()

    tracks = Tracks({(video, 0): {0: BOX, 1: BOX} for video in range(50)})
    assert motion_histogram(tracks) == {"slow": 100, "medium": 0, "fast": 0}
    assert len(walks) < 10
