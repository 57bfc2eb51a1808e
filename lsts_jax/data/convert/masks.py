"""The box around a mask in COCO's encodings, computed without drawing the mask."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Sides = tuple[float, float, float, float]


def box_of(segmentation: Any) -> Sides | None:
    """x, y, width, height of polygons or run lengths; None for an empty mask. Raises ValueError."""
    if isinstance(segmentation, dict):
        return _box_of_runs(segmentation)
    if not isinstance(segmentation, list):
        raise ValueError("a segmentation is neither a list of polygons nor run lengths")
    polygons = [polygon for polygon in segmentation if polygon]
    if not polygons:
        return None
    if not all(isinstance(polygon, list) and len(polygon) % 2 == 0 for polygon in polygons):
        raise ValueError("a polygon is not a list of x, y, x, y")
    try:
        points = np.concatenate([np.array(polygon, np.float64).reshape(-1, 2) for polygon in polygons])
    except TypeError as error:
        raise ValueError("a polygon has corners that are not numbers") from error
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x1, y1, x2 - x1, y2 - y1


def _box_of_runs(encoded: dict[str, Any]) -> Sides | None:
    """Box of run lengths: pixels outside and inside in turn, down every column, column after
    column."""
    size, counts = encoded.get("size"), encoded.get("counts")
    counts = decode_counts(counts) if isinstance(counts, str) else counts
    if not isinstance(counts, list) or not all(type(run) is int and 0 <= run < 1 << 40 for run in counts):
        raise ValueError("the counts of run lengths are not whole numbers")
    if not isinstance(size, list) or len(size) != 2 or not all(type(one) is int and one >= 0 for one in size):
        raise ValueError("the size of run lengths is not height, width")
    height, width = size
    if len(counts) > 1 << 24 or sum(counts) != height * width:
        raise ValueError(f"run lengths are of {sum(counts)} pixels, not of {height} x {width}")
    ends = np.cumsum(np.array(counts, np.int64))
    first, last = ends[:-1:2], ends[1::2] - 1
    inside = first <= last
    if not inside.any():
        return None
    first, last = first[inside], last[inside]
    left, right = int(first[0] // height), int(last[-1] // height)
    # a run that crosses the end of a column has the last and the first pixel
    if (first // height < last // height).any():
        top, bottom = 0, height - 1
    else:
        top, bottom = int((first % height).min()), int((last % height).max())
    return float(left), float(top), float(right - left + 1), float(bottom - top + 1)


def decode_counts(text: str) -> Sequence[int]:
    """Decodes the run lengths in COCO's compressed text.

    A run length is a sequence of groups of 5 bits, low bits first, in characters from "0" on; the
    sixth bit of a character means that another group follows. From the fourth run on, the number is
    the difference to the run length two before. Raises ValueError.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - ord("0")
        if not 0 <= group < 64 or shift > 60:
            raise ValueError("the counts of run lengths are not in COCO's text form")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError("the counts of run lengths end in the middle of a number")
    return counts
