"""Which frames are trained on together (paper, section 3.4): two keyframes and the frame itself."""

from typing import Literal

import numpy as np

# (first, last + 1) relative to the frame, the authors' ranges for a keyframe every 10 frames.
OLD_KEY = {"offline": (-10, -5), "online": (-15, -10)}
NEW_KEY = {"offline": (-5, 5), "online": (-10, 0)}


def sample_triplet(
    rng: np.random.Generator, t: int, num_frames: int, schedule: Literal["offline", "online"]
) -> tuple[int, int]:
    """Draws (old key, new key) for frame `t` of a video, clamped to it; a still is all three."""
    old, new = (t + int(rng.integers(*keys[schedule])) for keys in (OLD_KEY, NEW_KEY))
    last = num_frames - 1
    return min(max(old, 0), last), min(max(new, 0), last)
