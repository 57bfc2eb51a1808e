"""The rows of a gt.txt, and the classes in its labels.txt."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from lsts_jax.data.formats.text import read_text
from lsts_jax.errors import UserError

PEDESTRIAN = 1
FRAME, TRACK, CONF, CLASS = 0, 1, 6, 7  # columns
COLUMNS = (9, 10)
# Largest values of VisDrone's last three columns: category, truncation, occlusion.
VISDRONE = (11, 1, 2)


class Rows(NamedTuple):
    """Annotations in the order of the file."""

    frames: Int64[ndarray, "n"]  # numbers as in the file
    tracks: Int64[ndarray, "n"]
    boxes: Float64[ndarray, "n 4"]  # counted from 0, corners included
    is_ignored: ndarray  # [n] conf is 0
    classes: Int64[ndarray, "n"]  # PEDESTRIAN where the file has no such column
    lines: Int64[ndarray, "n"]  # line numbers, from 1


def read_rows(file: Path, labels: tuple[str, ...]) -> Rows:
    """Reads the rows of gt.txt: MOTChallenge's, whose corners count from 1, or, with the `labels`
    of a labels.txt, CVAT's, whose corners count from 0 and whose eighth column is a class.

    Raises `UserError` naming file and line.
    """
    try:
        text = read_text(file)
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise UserError(f"{file}: {reason}; sequences without annotations cannot be listed") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    rows = [_parse(line, f"{file}, line {number}", labels) for number, line in lines]
    if not labels:
        _refuse_visdrone(file, rows)
    has_class = np.array([bool(labels) or len(row) == min(COLUMNS) for row in rows], bool)
    table = np.array([row[: CLASS + 1] for row in rows], np.float64).reshape(-1, CLASS + 1)
    corners = table[:, 2:4] - (0 if labels else 1)
    return Rows(
        table[:, FRAME].astype(np.int64),
        table[:, TRACK].astype(np.int64),
        np.concatenate([corners, corners + table[:, 4:6] - 1], axis=1),
        table[:, CONF] == 0,
        np.where(has_class, table[:, CLASS], PEDESTRIAN).astype(np.int64),
        np.array([number for number, _ in lines], np.int64),
    )


def read_labels(file: Path) -> tuple[str, ...]:
    """The classes of labels.txt, one per line; none if there is no such file. Raises `UserError`."""
    try:
        names = tuple(line.strip() for line in read_text(file).splitlines() if line.strip())
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: {error}; restore it, one class per line") from error
    if not names:
        raise UserError(f"{file}: names no class; write the classes into it, one per line, or remove it")
    return names


def _parse(line: str, where: str, labels: tuple[str, ...]) -> list[float]:
    """The numbers of a row. Raises `UserError`."""
    try:
        values = [float(value) for value in line.split(",")]
        if len(values) not in COLUMNS or not np.abs(values).max() < 1 << 31:
            raise ValueError
    except ValueError as error:
        raise UserError(
            f"{where}: {line[:80]!r} is not frame, id, x, y, w, h, conf and 2 (MOT16) or 3 (MOT15) columns "
            "more; repair it"
        ) from error
    if values[FRAME] < 0 or any(values[column] % 1 for column in (FRAME, TRACK)):
        raise UserError(f"{where}: {line[:80]!r} has a frame or an id that is not a whole number; repair it")
    if labels and values[CLASS] not in range(1, len(labels) + 1):
        raise UserError(
            f"{where}: class {values[CLASS]:g} is not in labels.txt, whose {len(labels)} lines count from 1; "
            "repair one of them"
        )
    return values


def _refuse_visdrone(file: Path, rows: list[list[float]]) -> None:
    """Raises `UserError` if the columns are VisDrone's, whose classes would all become people."""
    if not rows or any(len(row) != max(COLUMNS) for row in rows):
        return
    last: Float64[ndarray, "n 3"] = np.array([row[CLASS:] for row in rows])
    if ((last % 1 == 0) & (last >= 0) & (last <= VISDRONE)).all() and last.any():
        raise UserError(
            f"{file}: its last three columns are not MOT15's position in the world but VisDrone's category, "
            "truncation and occlusion; convert it to COCO-VID with python -m lsts_jax.data.convert"
        )
