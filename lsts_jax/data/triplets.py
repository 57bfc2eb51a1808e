"""Frames of a training sample (paper, section 3.4): the current frame and its keyframes."""

from typing import Literal

import numpy as np

Reach = tuple[int, int]
"""First and last + 1 of the frames that a keyframe is drawn from, relative to the current frame."""


def key_ranges(
    schedule: Literal["offline", "online"],
    interval: int,
    keyframes: Literal[0, 1, 2] = 2,
    reach: Reach | None = None,
) -> tuple[Reach, ...]:
    """Ranges of frames that the keyframes of a training sample are drawn from, the oldest keyframe
    first. At test time every `interval`-th frame is a keyframe.

    With segments of n frames and two keyframes, offline: old in [t - n, t - n/2), new in [t - n/2,
    t + n/2); online: new in [t - n, t), old in [t - 3n/2, t - n). These are the ranges of LSTS's
    authors at n = 10. A single keyframe is as far from the frame as at test time: offline as the
    new one above, online in [t - n + 1, t], the range of DFF's authors at n = 10.

    Args:
      reach: use this range for every keyframe instead.
    """
    n = interval
    ahead = max(n // 2, 1)  # offline, frames from the first of a segment to its keyframe, + 1
    if keyframes == 0:
        return ()
    if reach:
        return (reach,) * keyframes
    if keyframes == 1:
        return ((1 - n, 1) if schedule == "online" else (ahead - n, ahead),)
    if schedule == "online":
        return (-n - ahead, -n), (-n, 0)
    return (-n, ahead - n), (ahead - n, ahead)


def sample_keys(
    rng: np.random.Generator, t: int, num_frames: int, ranges: tuple[Reach, ...]
) -> tuple[int, ...]:
    """Draws a keyframe from every range for frame `t` of a video, clamped to the video; for a still
    all keyframes are the still.

    All keyframes differ before they are clamped.
    """
    last, drawn = num_frames - 1, []
    for reach in ranges:
        offset = int(rng.integers(*reach))
        while offset in drawn:
            offset = int(rng.integers(*reach))
        drawn.append(offset)
    return tuple(min(max(t + offset, 0), last) for offset in drawn)
