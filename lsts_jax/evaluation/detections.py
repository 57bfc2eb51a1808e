"""Detections on disk: the official ImageNet VID text, and JSON lines (numpy only).

Text, one line per detection: `frame_id class score x1 y1 x2 y2`, where frame_id counts the frames of the
whole val list from 1, score has 4 decimals and corners have 2. Rounded scores can tie, so the metric of a
file can differ from that of the arrays in the fourth digit.

JSON lines, one per frame of a video, also for frames without detections:
`{"frame": 0, "time": 0.0, "detections": [{"class": "dog", "score": 0.98, "box": [x1, y1, x2, y2]}]}`,
with `"file_name": "frame_0.jpg"` for picture files, and in tracked videos `"track": 3` for every detection
(-1: no track).
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TextIO

import numpy as np
from jaxtyping import Bool, Float, Int32
from numpy import ndarray

from lsts_jax.data.boxes import sides
from lsts_jax.data.formats.text import UTF16
from lsts_jax.errors import UserError
from lsts_jax.evaluation.matching import DetectionArrays

LINES_AT_ONCE = 1 << 16
ROUNDING = 0.02  # pixels: text has corners of 2 decimals
TEXT_EXPECTED = "expected `frame_id class score x1 y1 x2 y2`, ids counted from 1 and finite numbers"
TEXT_ROW = np.dtype([("frame", "i4"), ("class", "i4"), ("score", "f8"), ("box", "f8", 4)])
TEXT_COLUMNS = TEXT_ROW.names or ()


class FrameDetections(NamedTuple):
    """Detections in a frame, in pixels of the original picture."""

    frame: int  # from 0: position in the val list (text) or in the video (JSON lines)
    classes: Int32[ndarray, "d"]  # 1..N
    scores: Float[ndarray, "d"]
    boxes: Float[ndarray, "d 4"]
    time: float = 0.0  # seconds since the start of the video; not in the text format
    track_ids: Int32[ndarray, "d"] | None = None  # -1: no track; None: not tracked; not in the text format
    file_name: str | None = None  # of the picture; only written as JSON lines


def join(frames: Iterable[FrameDetections]) -> DetectionArrays:
    """The detections of many frames as flat arrays, the input of the metric."""
    frames = list(frames)
    numbers = np.array([frame.frame for frame in frames], np.int32)
    return DetectionArrays(
        np.repeat(numbers, [len(frame.scores) for frame in frames]),
        np.concatenate([np.zeros(0, np.int32)] + [frame.classes for frame in frames]),
        np.concatenate([np.zeros(0, np.float32)] + [frame.scores for frame in frames]),
        np.concatenate([np.zeros((0, 4), np.float32)] + [frame.boxes for frame in frames]),
    )


def write_text(path: Path | str, found: DetectionArrays) -> None:
    """Writes the detections of a data set in the official text format, in the order given."""
    with _open(path, "w") as file:
        for begin in range(0, len(found.frame), LINES_AT_ONCE):
            frame, classes, scores, boxes = (x[begin : begin + LINES_AT_ONCE].tolist() for x in found)
            file.writelines(
                f"{f + 1} {c} {s:.4f} {x1:.2f} {y1:.2f} {x2:.2f} {y2:.2f}\n"
                for f, c, s, (x1, y1, x2, y2) in zip(frame, classes, scores, boxes, strict=True)
            )


@contextmanager
def jsonl_writer(
    path: Path | str, class_names: tuple[str, ...]
) -> Iterator[Callable[[FrameDetections], None]]:
    """Yields a function that appends a frame to a new file of JSON lines and returns once it is on disk."""
    with _open(path, "w") as file:

        def write(frame: FrameDetections) -> None:
            found = [
                {
                    "class": class_names[number - 1],
                    "score": round(score, 4),
                    "box": [round(corner, 2) for corner in box],
                }
                for number, score, box in _rows(frame)
            ]
            if frame.track_ids is not None:
                for row, track in zip(found, frame.track_ids.tolist(), strict=True):
                    row["track"] = track
            name = {} if frame.file_name is None else {"file_name": frame.file_name}
            line = {"frame": frame.frame} | name | {"time": round(frame.time, 6), "detections": found}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()

        yield write


def read_text(path: Path | str, num_classes: int) -> DetectionArrays:
    """Reads a file in the official text format; frame numbers are converted to count from 0.

    Numbers are float64, so that scoring uses exactly the numbers in the file.
    Raises `UserError` naming file and line if a line is not a detection, its class is not in 1..num_classes,
    or its corners are in another order.
    """
    blocks = [_columns(np.zeros(0, TEXT_ROW))]
    with _open(path, "r") as file:
        first_line = 1
        while lines := list(islice(file, LINES_AT_ONCE)):
            try:
                blocks.append(_columns(_parse_text(lines, num_classes)))
            except ValueError as error:
                number, reason = _first_fault(lines, num_classes)
                text = lines[number].strip()[:80]
                raise UserError(f"{path}, line {first_line + number}: {reason}, found {text!r}") from error
            first_line += len(lines)
    columns = []
    for name in TEXT_COLUMNS:  # in blocks: files can have 50 million lines
        columns.append(np.concatenate([block.pop(name) for block in blocks]))
    frame, *rest = columns
    return DetectionArrays(frame - np.int32(1), *rest)


def read_jsonl(path: Path | str, class_names: tuple[str, ...]) -> Iterator[FrameDetections]:
    """Reads JSON lines, frame by frame; `track_ids` is None for frames without tracks.

    Raises `UserError` naming file and line.
    """
    class_ids = {name: number for number, name in enumerate(class_names, start=1)}
    with _open(path, "r") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield _parse_json(line, class_ids)
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                reason = f"there is no {error}" if isinstance(error, KeyError) else error
                raise UserError(
                    f"{path}, line {number}: not a frame's detections as predict.py writes them: {reason}"
                ) from error


def _rows(frame: FrameDetections) -> Iterator[tuple[int, float, list[float]]]:
    return zip(frame.classes.tolist(), frame.scores.tolist(), frame.boxes.tolist(), strict=True)


def _parse_text(lines: list[str], num_classes: int) -> ndarray:
    """The rows of lines of text. Raises `ValueError` with the expected format."""
    lines = [line for line in lines if not line.isspace()]
    if not lines:
        return np.zeros(0, TEXT_ROW)
    try:
        rows = np.loadtxt(lines, TEXT_ROW, comments=None, ndmin=1)
    except ValueError as error:
        raise ValueError(TEXT_EXPECTED) from error
    finite = np.isfinite(rows["score"]).all() and np.isfinite(rows["box"]).all()
    if not finite or rows["frame"].min() < 1 or rows["class"].min() < 1:
        raise ValueError(TEXT_EXPECTED)
    if rows["class"].max() > num_classes:
        raise ValueError(f"expected a class from 1 to {num_classes}")
    if are_backwards(rows["box"]).any():
        raise ValueError("expected corners in the order x1 y1 x2 y2, left before right and top before bottom")
    return rows


def are_backwards(boxes: Float[ndarray, "n 4"]) -> Bool[ndarray, "n"]:
    """Mask of boxes whose end is before their start, by more than the rounding of small boxes can
    cause."""
    width, height = sides(boxes)
    return (width < -ROUNDING) | (height < -ROUNDING)


def _columns(rows: ndarray) -> dict[str, ndarray]:
    return {name: rows[name].copy() for name in TEXT_COLUMNS}


def _first_fault(lines: list[str], num_classes: int) -> tuple[int, str]:
    """Index of the first invalid line, and the format expected there."""
    for number, line in enumerate(lines):
        try:
            _parse_text([line], num_classes)
        except ValueError as error:
            return number, str(error)
    return 0, TEXT_EXPECTED


def _parse_json(line: str, class_ids: dict[str, int]) -> FrameDetections:
    frame = json.loads(line)
    if not -(1 << 31) < frame["frame"] < 1 << 31:
        raise ValueError("a frame's number is out of range")
    found = frame["detections"]
    scores = np.array([row["score"] for row in found], np.float64)
    boxes = np.array([row["box"] for row in found], np.float64).reshape(len(found), 4)
    if not (np.isfinite(scores).all() and np.isfinite(boxes).all()):
        raise ValueError("a number is not finite")
    if (backwards := are_backwards(boxes)).any():
        box = found[int(backwards.argmax())]["box"]
        raise ValueError(f"the corners {box} are not in the order x1, y1, x2, y2")
    unknown = [row["class"] for row in found if row["class"] not in class_ids]
    if unknown:
        raise ValueError(f"class {unknown[0]!r} is not one of the {len(class_ids)} class names")
    classes = np.array([class_ids[row["class"]] for row in found], np.int32)
    tracks = [row.get("track", -1) for row in found]
    if not all(type(track) is int and -1 <= track < 1 << 31 for track in tracks):
        raise ValueError("a track is a whole number from 0 on, or -1")
    track_ids = np.array(tracks, np.int32) if any("track" in row for row in found) else None
    return FrameDetections(int(frame["frame"]), classes, scores, boxes, float(frame["time"]), track_ids)


def _open(path: Path | str, mode: Literal["r", "w"]) -> TextIO:
    try:
        if mode == "w":
            return open(path, mode, encoding="utf-8")
        with open(path, "rb") as file:
            encoding = "utf-16" if file.read(2) in UTF16 else "utf-8-sig"
        # Bytes that are not text become a line that does not parse and is named in the error.
        return open(path, mode, encoding=encoding, errors="replace")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
