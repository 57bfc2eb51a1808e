"""Displacement of objects between a frame and its keyframe, which the sampling offsets should cover."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lsts_jax.structs import STRIDE
from lsts_jax.video import keyframe_of


def synthvid_motion(
    truth: Mapping, *, interval: int, schedule: str, scale: float = 1.0, split: str = "val"
) -> Float[ndarray, "n 2"]:
    """True displacement (x, y), in cells, from an object in a frame to the same object in its keyframe.

    A sampling offset equal to it reads the object in the keyframe. Pairs in which either frame does not
    annotate the object are left out.

    Args:
      truth: content of a SynthVID's synthvid.json.
      interval, schedule: frames in a segment and position of its keyframe (`ModelConfig`).
      scale: side of the network input / side of the picture.
      split: train or val.
    """
    found = []
    for name, video in truth["videos"].items():
        if not name.startswith(f"VID/{split}/"):
            continue
        frames = np.arange(len(video["defocus"]))
        begin = frames // interval * interval
        lengths = np.minimum(interval, len(frames) - begin)
        keyframes = begin + [keyframe_of(schedule, int(n), interval) for n in lengths]
        for track in video["tracks"]:
            centre, there = np.array(track["centre"]), np.array(track["annotated"], bool)
            kept = there & there[keyframes] & (frames != keyframes)
            found.append((centre[keyframes] - centre)[kept] * scale / STRIDE)
    return np.concatenate(found) if found else np.zeros((0, 2))
