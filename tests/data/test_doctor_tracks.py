"""Tracks of thousands of frames are looked through in no time."""

from unittest.mock import Mock

import numpy as np

from lsts_jax.data.dataset import Sample, Video, VideoDataset
from lsts_jax.data.doctor.tracks import gaps, motion_histogram

BOX = np.float32([0, 0, 9, 9])


def test_each_track_is_looked_for_in_its_own_frames():
    looked = []

    class Frames(dict):
        def __contains__(self, t):
            looked.append(t)
            return super().__contains__(t)

    samples = [Sample(0, t) for t in reversed(range(4_000))]
    tracks = {(0, track): Frames({2 * track: BOX, 2 * track + 2: BOX}) for track in range(1_000)}
    dataset = Mock(spec=VideoDataset, videos=[Video("v", 4_000)])
    found = gaps(dataset, samples, tracks)
    assert found[3].what == "track 3 is missing in 1 frames, first in 7"
    assert (len(found), len(looked)) == (1_000, 1_000)


def test_videos_are_grouped_once():
    tracks = {(video, 0): {0: BOX, 1: BOX} for video in range(2_000)}
    assert motion_histogram(tracks) == {"slow": 4_000, "medium": 0, "fast": 0}
