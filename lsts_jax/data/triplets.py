"""Which frames are trained on together (paper, section 3.4): keyframes and the frame itself."""

from typing import Literal

import numpy as np

Reach = tuple[int, int]
"""First and last + 1 of the frames that a keyframe is drawn from, relative to the frame trained on."""


def key_ranges(
    schedule: Literal["offline", "online"],
    interval: int,
    keyframes: Literal[0, 1, 2] = 2,
    reach: Reach | None = None,
) -> tuple[Reach, ...]:
    """Where the keyframes of a training sample lie, the oldest first; at test one comes every `interval`
    frames.

    With n frames a segment, two keyframes, offline: old in [t - n, t - n/2), new in [t - n/2, t + n/2);
    online: new in [t - n, t), old in [t - 3n/2, t - n): LSTS's authors at n = 10. One keyframe lies as far
    from the frame as at test, offline as the new one above, online in [t - n + 1, t]: DFF's authors at
    n = 10. `reach`: instead of all this, the same frames for every keyframe.
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
    """Draws a keyframe of each range for frame `t` of a video, clamped to it; a still is all of them.

    Before they are clamped no two are alike, where ranges meet.
    """
    last, drawn = num_frames - 1, []
    for reach in ranges:
        offset = int(rng.integers(*reach))
        while offset in drawn:
            offset = int(rng.integers(*reach))
        drawn.append(offset)
    return tuple(min(max(t + offset, 0), last) for offset in drawn)
