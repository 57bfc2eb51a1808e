"""Motion of annotated objects, by which FGFA splits ImageNet VID's metric (NumPy only).

The motion IoU of an object in a frame is the mean IoU of its box with its own boxes in the frames
up to 10 before and after; slow objects have a high one. Slow is above 0.9, fast below 0.7, medium
from 0.7 to 0.9.
"""

from numbers import Real
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float64, Int, Int32
from numpy import ndarray

from lsts_jax.data.boxes import iou
from lsts_jax.data.matlab import read_cells
from lsts_jax.errors import UserError

REACH = 10  # frames before and after
RANGES = {"slow": (0.9, 1.0), "medium": (0.7, 0.9), "fast": (0.0, 0.7)}


def motion_iou(
    frame: Int32[ndarray, "n"], track: Int32[ndarray, "n"], boxes: Float[ndarray, "n 4"]
) -> Float[ndarray, "n"]:
    """Motion IoU of every object of one video.

    Args:
      frame: frame of every object.
      track: track id of every object; -1 if unknown.
      boxes: inclusive corners.

    Returns:
      The motion IoU; 0 for objects without another box of their track within reach (as an empty
        entry in FGFA's file).
    """
    total, count = np.zeros(len(frame)), np.zeros(len(frame), int)
    order = np.lexsort((frame, track))
    f, k, b = frame[order], track[order], boxes[order].astype(np.float64)
    for step in range(1, min(2 * REACH, len(f) - 1) + 1):
        # a track has a frame once, so its frames within reach are at most this many places away
        near = (k[step:] == k[:-step]) & (k[step:] >= 0) & (np.abs(f[step:] - f[:-step]) <= REACH)
        near &= f[step:] != f[:-step]
        overlap = iou(b[:-step][near], b[step:][near])
        for places in (np.flatnonzero(near), np.flatnonzero(near) + step):
            np.add.at(total, order[places], overlap)
            np.add.at(count, order[places], 1)
    return total / np.maximum(count, 1)


def read_motion_iou(path: str | Path, objects_per_frame: Int[ndarray, "f"]) -> Float64[ndarray, "n"]:
    """Motion IoU of all objects, frame by frame, from FGFA's
    imagenet_vid_groundtruth_motion_iou.mat.

    Its variable `motion_iou` has a cell for every frame of the list, with an entry for every
    object. An empty entry counts as 0; a frame without objects may have one empty entry.

    Args:
      objects_per_frame: number of annotated objects in every frame of the list.

    Raises `UserError` if the file cannot be read or has other frames or numbers of objects.
    """
    cells = _motion_cells(Path(path))
    if len(cells) != len(objects_per_frame):
        raise UserError(f"{path}: has {len(cells)} frames, and the lists name {len(objects_per_frame)}")
    values: list[float] = []
    for frame, (cell, count) in enumerate(zip(cells, objects_per_frame, strict=True), start=1):
        entries = [np.asarray(entry).reshape(-1)[:1] for entry in (cell.reshape(-1) if cell.size else cell)]
        if count == 0 and all(len(entry) == 0 for entry in entries):
            continue
        if len(entries) != count:
            raise UserError(
                f"{path}: has {len(entries)} objects in frame {frame} of the list, but {count} are annotated"
            )
        for entry in entries:
            value = entry[0] if len(entry) else 0.0
            if not (isinstance(value, Real) and 0 <= float(value) <= 1):
                shown = str(value).split("\n")[0][:40]
                raise UserError(f"{path}: {shown} in frame {frame} of the list is not a motion IoU")
            values.append(float(value))
    return np.array(values, np.float64)


def _motion_cells(path: Path) -> ndarray:
    try:
        cells = read_cells(path, "motion_iou")
    except OSError as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"{path}: {reason}; name FGFA's file") from error
    except NotImplementedError:
        raise UserError(f"{path}: is in MATLAB's format 7.3; save it in MATLAB with -v7") from None
    except ValueError as error:
        raise UserError(f"{path}: is damaged or not a MATLAB file ({error}); get it again") from None
    if not isinstance(cells, ndarray) or cells.dtype != object:
        raise UserError(f"{path}: has no cell array motion_iou; is it FGFA's file?")
    return cells.reshape(-1)


def in_ranges(values: Float[ndarray, "n"]) -> dict[str, ndarray]:
    """Masks of the slow, medium and fast objects."""
    return {name: (values >= low) & (values <= high) for name, (low, high) in RANGES.items()}
