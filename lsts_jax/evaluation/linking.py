"""Causal linking: a detection gets the mean score of its object so far (numpy only).

Seq-Bbox Matching (Belhassen et al., VISAPP 2019), in its online form: the boxes of two successive
frames are paired in falling similarity; pairs form tubelets, and the newest box gets the mean score
of its tubelet. The similarity is IoU times the product of the scores. In the paper a box has a
score for every class; here a box has one class, and only boxes of the same class are paired. Pairs
need an IoU of at least `link_iou`. Boxes are not moved.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int, Int32, Int64
from numpy import ndarray

from lsts_jax.data.boxes import iou
from lsts_jax.evaluation.matching import DetectionArrays, ranges
from lsts_jax.evaluation.seq_nms import overlapping


def link(
    found: DetectionArrays, videos: Sequence[Int[ndarray, "_"]], *, link_iou: float = 0.5
) -> DetectionArrays:
    """The detections with the mean scores of their tubelets; no score depends on a later frame.

    Args:
      found: detections after NMS.
      videos: frames of every video, numbered as in `found`, in the order of time.
    """
    by_frame = np.argsort(found.frame, kind="stable")
    frames, scores = found.frame[by_frame], found.scores.copy()
    for video in videos:
        start = np.searchsorted(frames, video, side="left")
        count = np.searchsorted(frames, video, side="right") - start
        rows, time = by_frame[ranges(start, count)], np.repeat(np.arange(len(video)), count)
        # one class after the other, with an empty frame between, so that classes are not linked
        time = (time + found.classes[rows] * (len(video) + 1)).astype(np.int32)
        order = np.argsort(time, kind="stable")
        rows, time = rows[order], time[order]
        boxes = found.boxes[rows]
        pairs = overlapping(time, boxes, 1, link_iou)
        common = iou(boxes[pairs[:, 0]], boxes[pairs[:, 1]])
        scores[rows] = _means(found.scores[rows].astype(np.float64).tolist(), time, pairs, common)
    return found._replace(scores=scores)


def _means(
    score: list[float], time: Int32[ndarray, "n"], pairs: Int64[ndarray, "p 2"], common: Float64[ndarray, "p"]
) -> list[float]:
    """Mean score of every box's tubelet up to it. Pairs (later box, earlier box) ascend in the later one."""
    mean, length = score.copy(), [1] * len(score)
    borders = np.flatnonzero(np.diff(time[pairs[:, 0]], prepend=-1, append=-1))
    for start, end in pairwise(borders.tolist()):
        later, earlier = pairs[start:end].T.tolist()
        similar = [c * mean[b] * score[a] for a, b, c in zip(later, earlier, common[start:end], strict=True)]
        free_later, free_earlier = set(later), set(earlier)
        for place in sorted(range(len(similar)), key=similar.__getitem__, reverse=True):
            box, before = later[place], earlier[place]
            if box in free_later and before in free_earlier:
                free_later.remove(box)
                free_earlier.remove(before)
                length[box] = length[before] + 1
                mean[box] = mean[before] + (score[box] - mean[before]) / length[box]
    return mean
