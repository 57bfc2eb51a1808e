"""Delay and steadiness of detection, which average precision over frames does not measure (numpy only)."""

from typing import Any

import numpy as np
from jaxtyping import Float, Int32
from numpy import ndarray

from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches
from lsts_jax.evaluation.vid_map import operating_point

# False detections per annotated object (the authors of the delay).
FALSE_RATIOS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
LONGEST_DELAY = 30  # frames


def steadiness(
    annotations: Annotations,
    tracks: Int32[ndarray, "n"],
    samples: Int32[ndarray, "f 2"],
    detections: DetectionArrays,
    matches: Matches,
) -> dict[str, Any]:
    """`average_delay` in frames and `flicker` as a share; empty if no object has a track.

    The average delay (Mao et al., "A Delay Metric for Video Object Detection", ICCV 2019, and their
    code) uses six score thresholds: those with FALSE_RATIOS false detections per annotated object.
    At a threshold, the delay of a track is the number of frames from its first frame to the first
    one with a detection of it, or to its last frame if there is none, and at most LONGEST_DELAY.
    The mean over the tracks is d; the result is the harmonic mean over the thresholds, 1 /
    mean(1 / (d + 1)) - 1. Unlike in their code, an object counts as detected if the metric matches
    a detection to it: with a lower IoU for small objects, and every detection to one object.

    Flicker is the share of missed objects among those between two frames with a detection of their
    track, at the score threshold of highest F1.

    Args:
      tracks: track of every object, -1 if unknown.
      samples: video and t of every frame, as in `scoring.Truth`.
    """
    rows = np.flatnonzero((tracks >= 0) & ~annotations.ignored)
    if not len(rows):
        return {}
    score = _scores(annotations, detections, matches)[rows]
    videos, times = samples[annotations.frame[rows]].T
    order = np.lexsort((times, tracks[rows], videos))
    keys = np.stack([videos, tracks[rows]], axis=1)[order]
    starts = np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1)))
    score, times = score[order], times[order]
    ends = np.append(starts[1:], len(order))
    there = np.isfinite(score)
    delays = [
        _delays(there & (score >= threshold), times, starts, ends).mean()
        for threshold in _thresholds(annotations, detections, matches)
    ]
    found = there & (score >= operating_point(annotations, detections, matches)[0])
    missed, between = _between(found, starts, ends)
    result = {"average_delay": float(1 / np.mean(1 / (np.array(delays) + 1)) - 1)}
    return result | ({"flicker": missed / between} if between else {})


def _scores(annotations: Annotations, detections: DetectionArrays, matches: Matches) -> Float[ndarray, "n"]:
    """Score of the detection matched to every object, -infinity if there is none."""
    score = np.full(len(annotations.frame), -np.inf)
    matched = matches.taken >= 0
    score[matches.taken[matched]] = detections.scores[matched]
    return score


def _thresholds(annotations: Annotations, detections: DetectionArrays, matches: Matches) -> list[float]:
    """Score at which every ratio is first exceeded; -infinity for a ratio that is never exceeded."""
    wrong = np.sort(detections.scores[(matches.taken < 0) & ~matches.hidden])[::-1]
    objects = int((~annotations.ignored).sum())
    allowed = [int(ratio * objects) for ratio in FALSE_RATIOS]
    return [float(wrong[count]) if count < len(wrong) else -np.inf for count in allowed]


def _delays(found: ndarray, times: ndarray, starts: ndarray, ends: ndarray) -> Float[ndarray, "t"]:
    """Delay of every track, in frames."""
    first = np.minimum.reduceat(np.where(found, times, np.iinfo(np.int32).max), starts)
    return np.minimum(np.minimum(first, times[ends - 1]) - times[starts], LONGEST_DELAY).astype(np.float64)


def _between(found: ndarray, starts: ndarray, ends: ndarray) -> tuple[int, int]:
    """Number of missed objects, and of all objects, between the first and the last detection of
    their track."""
    missed = total = 0
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        hits = np.flatnonzero(found[start:end])
        if len(hits) > 1:
            inner = hits[-1] - hits[0] - 1
            missed, total = missed + int(inner - (len(hits) - 2)), total + int(inner)
    return missed, total
