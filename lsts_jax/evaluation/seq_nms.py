"""Seq-NMS: suppression along a video (Han et al., "Seq-NMS for Video Object Detection", 2016; numpy only).

Boxes of a class in neighbouring frames are linked if their IoU is high enough. The path along links with the
largest sum of scores is selected: its boxes get their mean score, and boxes of the same frame that overlap
them are removed. This repeats with the remaining boxes until the sum of the best path is too small. The
remaining boxes go through NMS frame by frame.

The numbers are those of FGFA's code. The one difference: in the last step, too, an IoU of exactly
`nms_iou` suppresses.
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

LEAST_SUM = 0.01  # smallest sum of scores of a path


def seq_nms(
    found: DetectionArrays,
    videos: Sequence[Int[ndarray, "_"]],
    *,
    link_iou: float = 0.5,
    nms_iou: float = 0.3,
) -> DetectionArrays:
    """The detections that remain after Seq-NMS, in the given order, with new scores.

    Args:
      found: detections, best before any NMS, since NMS may remove boxes that other frames support.
      videos: frames of every video, numbered as in `found`, in the order of time. Consecutive frames of
        this list are linked, whatever their distance in time.

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
        # one class after the other, with an empty frame between, so that classes are not linked
        time = time + found.classes[rows] * (len(video) + 1)
        order = np.argsort(time, kind="stable")
        rows, time = rows[order], time[order].astype(np.int32)
        links = overlapping(time, found.boxes[rows], 1, link_iou)
        rivals = overlapping(time, found.boxes[rows], 0, nms_iou)
        for row, score in zip(rows, _rescore(found.scores[rows].tolist(), links, rivals), strict=True):
            if score is not None:
                scores[row], kept[row] = score, True
    return DetectionArrays(found.frame[kept], found.classes[kept], scores[kept], found.boxes[kept])


def overlapping(
    time: Int32[ndarray, "n"], boxes: Float[ndarray, "n 4"], step: int, iou: float
) -> Int64[ndarray, "p 2"]:
    """Pairs of a box and a box `step` frames earlier with at least this IoU; ascending."""
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
    """The new score of every box; None: suppressed. Boxes are numbered in the order of time."""
    count = len(score)
    earlier, later = _lists(links, count), _lists(links[np.argsort(links[:, 1], kind="stable"), ::-1], count)
    rival = _lists(rivals, count)
    # of the best path that ends at a box: sum of scores, and previous box
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
        """Keeps a box; returns the boxes removed with it."""
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
        # only paths through these boxes change; ascending, as the boxes of a path are
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
    """For every first member, the second members of its pairs; pairs are sorted by the first member."""
    borders = np.searchsorted(pairs[:, 0], np.arange(count + 1)).tolist()
    members = pairs[:, 1].tolist()
    return [members[low:high] for low, high in pairwise(borders)]
