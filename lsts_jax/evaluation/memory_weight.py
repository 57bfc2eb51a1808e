"""Weight of LSTS's memory in degraded and in clean objects: what its quality networks have learned."""

from collections import defaultdict
from functools import partial

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lsts_jax.config import Config
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.evaluation.inside import events_inside
from lsts_jax.evaluation.scoring import Truth
from lsts_jax.models.detector import Detector
from lsts_jax.structs import STRIDE, Alignment
from lsts_jax.video import keyframe_of

VIDEOS, SEGMENTS = 40, 160
"""Most videos that are looked at, and most segments, shared equally by the videos."""
EVERY = 4
"""Of the frames between keyframes, one in this many is looked at."""


def memory_weights(
    detector: Detector, variables: dict, config: Config, dataset: VideoDataset, truth: Truth
) -> dict[str, float]:
    """Mean weight of the memory in degraded and in clean objects, from 0 to 1.

    SRFU and DFA blend a frame's own feature and the aligned memory by weights that sum to one (paper, section
    3.3). The weight in an object is the mean over the cells of its box. Sampled are keyframes and frames
    between them, of at most `VIDEOS` videos and `SEGMENTS` segments, from the second of a video on.

    Returns:
      Means by "KIND, keyframe" (SRFU) and "KIND, other frame" (DFA), KIND being degraded or clean. Empty if
      the annotations do not say which objects are degraded, or if the method learns no offsets.

    Raises:
      UserError: a frame cannot be read.
    """
    if truth.degraded is None or detector.temporal.learned_offsets(variables["params"]) is None:
        return {}
    interval = config.model.keyframe_interval
    start, renew, lend = (partial(event, variables) for event in events_inside(detector))
    weights = defaultdict(list)
    long = [frames for frames in truth.frames_by_video() if len(frames) > interval]
    chosen = np.unique(np.linspace(0, len(long) - 1, min(VIDEOS, len(long))).round().astype(int))
    for frames in (long[i] for i in chosen):
        video, times = int(truth.video_of_frame[frames[0]]), truth.samples[frames, 1].tolist()
        memory = None
        for begin in range(0, min(len(times), SEGMENTS // len(chosen) * interval), interval):
            segment = times[begin : begin + interval]
            key = segment[keyframe_of(config.model.schedule, len(segment), interval)]
            frame = read_frame(dataset, video, key, config.data)
            if memory is None:
                memory = start(frame)
                continue
            memory, bundle = renew(memory, frame)
            seen = [("keyframe", key, frame, bundle)]
            for t in [t for t in segment if t != key][::EVERY]:
                frame = read_frame(dataset, video, t, config.data)
                seen.append(("other frame", t, frame, lend(memory, frame)))
            for kind, t, frame, bundle in seen:
                objects = dataset.objects(video, t)
                if not isinstance(bundle, Alignment) or objects.degraded is None:
                    continue
                quality = np.asarray(bundle.quality)[1]
                for i in np.flatnonzero(~objects.ignored):
                    name = "degraded" if objects.degraded[i] else "clean"
                    box = objects.boxes[i] * float(frame.scale) / STRIDE
                    weights[f"{name}, {kind}"].append(mean_within(quality, box))
    return {name: float(np.mean(values)) for name, values in sorted(weights.items())}


def mean_within(values: Float[ndarray, "h w"], box: Float[ndarray, "4"]) -> float:
    """Mean over the cells that a box touches; (x1, y1, x2, y2) in cells."""
    x1, y1, x2, y2 = np.maximum(np.floor(box).astype(int), 0)
    return float(values[y1 : y2 + 1, x1 : x2 + 1].mean())
