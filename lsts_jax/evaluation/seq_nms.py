"""Seq-NMS: suppression along a video (Han et al., "Seq-NMS for Video Object Detection", 2016; numpy only).

Boxes of a class in neighbouring frames are linked where they overlap enough. Of all paths along links, the
one whose scores have the largest sum is taken: its boxes get their mean score, and every box that overlaps
one of them in its frame is removed. So on with what is left, until it is not worth linking; among the rest,
each frame's boxes suppress each other by their own scores.

The numbers are those of FGFA's code. Different from it, an overlap of exactly `nms_iou` suppresses in the
last step too.
"""

from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Int, Int32, Int64
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.errors import UserError
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, ranges, touching

LEAST_SUM = 0.01  # of a path that is worth linking


def seq_nms(
    found: DetectionArrays,
    videos: Sequence[Int[ndarray, "_"]],
    *,
    link_iou: float = 0.5,
    nms_iou: float = 0.3,
) -> DetectionArrays:
    """Detections of a data set, those that are left after Seq-NMS, in the order given and with new scores.

    Args:
      found: best before any suppression: what other frames can vouch for may be what a frame would suppress.
      videos: the frames of each, numbered as in `found`, in the order of time. Those that follow each other
        here are linked, whatever lies between them.

    Raises `UserError` if a detection is in no video.
    """
    by_frame = np.argsort(found.frame, kind="stable")
    frames = found.frame[by_frame]
    scores, kept = found.scores.copy(), np.zeros(len(frames), bool)
    stray = ~np.isin(found.frame, np.concatenate([np.zeros(0, np.int32), *videos]))
    if stray.any():
        raise UserError(f"frame {found.frame[stray.argmax()]}: has detections but is in none of the videos")
    for video in tqdm(videos, "Seq-NMS", unit="video", delay=2.0, dynamic_ncols=True):
        start = np.searchsorted(frames, video, side="left")
        count = np.searchsorted(frames, video, side="right") - start
        rows, time = by_frame[ranges(start, count)], np.repeat(np.arange(len(video)), count)
        # one class after the other, with a frame between them that keeps them from being linked
        time = time + found.classes[rows] * (len(video) + 1)
        order = np.argsort(time, kind="stable")
        rows, time = rows[order], time[order].astype(np.int32)
        links = _overlaps(time, found.boxes[rows], 1, link_iou)
        rivals = _overlaps(time, found.boxes[rows], 0, nms_iou)
        for row, score in zip(rows, _rescore(found.scores[rows].tolist(), links, rivals), strict=True):
            if score is not None:
                scores[row], kept[row] = score, True
    return DetectionArrays(found.frame[kept], found.classes[kept], scores[kept], found.boxes[kept])


def _overlaps(
    time: Int32[ndarray, "n"], boxes: Float[ndarray, "n 4"], step: int, iou: float
) -> Int64[ndarray, "p 2"]:
    """Boxes, and which boxes of `step` frames before they overlap at least so much; ascending."""
    none = np.zeros(len(time), np.int32)
    later = DetectionArrays(time, none, none.astype(np.float32), boxes)
    earlier = Annotations(time + np.int32(step), none, boxes, none.astype(bool))
    blocks = [np.zeros((0, 2), np.int64)]
    for pairs in touching(earlier, later, np.arange(len(time))):
        enough = pairs.iou >= iou
        blocks.append(np.stack([pairs.detection[enough], pairs.target[enough]], axis=1))
    return np.concatenate(blocks)


def _rescore(
    score: list[float], links: Int64[ndarray, "l 2"], rivals: Int64[ndarray, "r 2"]
) -> list[float | None]:
    """The new score of each box, None where it is suppressed. Boxes are numbered in the order of time."""
    count = len(score)
    earlier, later = _lists(links, count), _lists(links[np.argsort(links[:, 1], kind="stable"), ::-1], count)
    rival = _lists(rivals, count)
    # of the best path that ends at a box: the sum of its scores, and the box before
    total, source = [0.0] * count, [-1] * count
    gone = [False] * count
    result: list[float | None] = [None] * count
    ends: list[tuple[float, int]] = []  # a heap of (-total, box), outdated ones among them

    def connect(box: int) -> None:
        total[box], source[box] = score[box], -1
        for other in earlier[box]:
            if not gone[other] and total[other] + score[box] > total[box]:
                total[box], source[box] = total[other] + score[box], other
        heappush(ends, (-total[box], box))

    def take(box: int, new_score: float) -> list[int]:
        """Keeps a box; gives those that are gone with it."""
        removed = [other for other in {box, *rival[box]} if not gone[other]]
        for other in removed:
            gone[other] = True
        result[box] = new_score
        return removed

    for box in range(count):
        connect(box)
    while ends:
        negative, box = heappop(ends)
        if gone[box] or -negative != total[box]:
            continue
        if total[box] < LEAST_SUM:
            break
        path = [box]
        while source[path[-1]] >= 0:
            path.append(source[path[-1]])
        mean = total[box] / len(path)
        removed = [other for box in path for other in take(box, mean)]
        # only paths that led through these change; ascending, because a path's boxes are
        orphans = [after for other in removed for after in later[other] if source[after] == other]
        heapify(orphans)
        while orphans:
            box = heappop(orphans)
            before = total[box]
            if not gone[box]:
                connect(box)
                if total[box] != before:
                    for after in later[box]:
                        if source[after] == box:
                            heappush(orphans, after)
    for box in sorted(range(count), key=lambda box: -score[box]):
        if not gone[box]:
            take(box, score[box])
    return result


def _lists(pairs: Int64[ndarray, "p 2"], count: int) -> list[list[int]]:
    """The second members of the pairs of each first member; pairs are ascending in the first."""
    borders = np.searchsorted(pairs[:, 0], np.arange(count + 1)).tolist()
    members = pairs[:, 1].tolist()
    return [members[low:high] for low, high in pairwise(borders)]
