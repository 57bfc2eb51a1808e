"""Which frames are trained on together (paper, section 3.4): two keyframes and the frame itself."""

from typing import Literal, NamedTuple

import numpy as np


class KeyRanges(NamedTuple):
    """Where the keyframes of a training sample lie: (first, last + 1) relative to its frame."""

    old: tuple[int, int]
    new: tuple[int, int]


def key_ranges(schedule: Literal["offline", "online"], interval: int) -> KeyRanges:
    """Ranges that follow from where keyframes lie at test, one every `interval` frames.

    With n frames a segment, offline: old in [t - n, t - n/2), new in [t - n/2, t + n/2), which is as far as a
    frame can lie from the keyframe of its segment; online: new in [t - n, t), old in [t - 3n/2, t - n). These
    are the authors' ranges at n = 10.
    """
    n = interval
    if schedule == "online":
        return KeyRanges(old=(-n - max(n // 2, 1), -n), new=(-n, 0))
    ahead = max(n // 2, 1)  # frames from the first frame of a segment to its keyframe, + 1
    return KeyRanges(old=(-n, ahead - n), new=(ahead - n, ahead))


def sample_triplet(rng: np.random.Generator, t: int, num_frames: int, ranges: KeyRanges) -> tuple[int, int]:
    """Draws (old key, new key) for frame `t` of a video, clamped to it; a still is all three."""
    old, new = (t + int(rng.integers(*reach)) for reach in ranges)
    last = num_frames - 1
    return min(max(old, 0), last), min(max(new, 0), last)
