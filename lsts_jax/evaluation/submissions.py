"""Anybody's detections of a data set: the official text, JSON lines, COCO's results (numpy only).

How a file counts frames:

    *.jsonl   from 0 in one video, as predict.py writes them: that of the data set, or of several the one
              that the file's folder (or the file) is named after
    *.json    COCO's results. image_id: that of the annotation file (coco_vid); otherwise as the official
              text counts, or as *.jsonl if the file's folder is named after a video
    other     official text: the numbers of the list, over all videos, from 1

Frames that are not to be scored are left out and counted.
"""

import json
import logging
from array import array
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.formats.coco_vid import CocoVID
from lsts_jax.errors import UserError
from lsts_jax.evaluation.detections import join, read_jsonl, read_text
from lsts_jax.evaluation.matching import DetectionArrays

SUFFIXES = (".txt", ".jsonl", ".json")
COLUMNS = 7  # of a result: image, category, score, x, y, w, h

logger = logging.getLogger(__name__)


def read_detections(paths: Sequence[Path], dataset: VideoDataset) -> DetectionArrays:
    """All files together, sorted by frame. A folder stands for the files in it.

    Raises `UserError` naming the file: it cannot be read, is of no known video, names a class that the data
    set has not, holds none of its frames, or frames that another file holds as well.
    """
    files = [file for path in paths for file in _files(Path(path))]
    wanted = np.unique([dataset.global_id(video, t) - 1 for video, t in dataset.samples])
    parts, owner = [], np.full(wanted.max() + 1, -1)
    for number, file in enumerate(files):
        found, left_out = _within(_read(file, dataset), wanted)
        if not len(found.frame):
            raise UserError(f"{file}: has detections in none of the {len(wanted)} frames to be scored")
        if left_out:
            logger.warning("%s: %d detections are in frames that are not scored", file, left_out)
        frames = np.unique(found.frame)
        if (twice := frames[owner[frames] >= 0]).size:
            raise UserError(
                f"{file}: frame {twice[0] + 1} is in {files[owner[twice[0]]]} as well; give each frame once"
            )
        owner[frames] = number
        parts.append(found)
    if len(parts) == 1:
        return parts[0]
    joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(joined[0], kind="stable")
    return DetectionArrays(*(column[order] for column in joined))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES)
    if not files:
        raise UserError(f"{path}: no {', '.join(SUFFIXES)} in this folder")
    return files


def _within(found: DetectionArrays, wanted: Int64[ndarray, "f"]) -> tuple[DetectionArrays, int]:
    """The detections in the wanted frames, sorted by frame, and how many are in others."""
    place = np.searchsorted(wanted, found.frame).clip(max=len(wanted) - 1)
    inside = wanted[place] == found.frame
    if inside.all() and (found.frame[1:] >= found.frame[:-1]).all():
        return found, 0
    rows = np.flatnonzero(inside)
    rows = rows[np.argsort(found.frame[rows], kind="stable")]
    return DetectionArrays(*(column[rows] for column in found)), int((~inside).sum())


def _read(file: Path, dataset: VideoDataset) -> DetectionArrays:
    match file.suffix:
        case ".jsonl":
            return _of_video(join(read_jsonl(file, dataset.class_names)), _video_of(file, dataset), dataset)
        case ".json":
            return _read_results(file, dataset)
        case _:
            return read_text(file)


def _video_of(file: Path, dataset: VideoDataset) -> int:
    if len(dataset.videos) == 1:
        return 0
    if (video := _named_after(file, dataset)) is None:
        raise UserError(
            f"{file}: of which video? Put it into a folder that is named after one, such as "
            f"{PurePosixPath(dataset.videos[0].name).name}"
        )
    return video


def _named_after(file: Path, dataset: VideoDataset) -> int | None:
    names = (file.resolve().parent.name, file.stem)
    numbers = (i for i, video in enumerate(dataset.videos) if PurePosixPath(video.name).name in names)
    return next(numbers, None)


def _of_video(found: DetectionArrays, video: int, dataset: VideoDataset) -> DetectionArrays:
    """Frames counted in a video become those of the data set; others become -1."""
    ids = np.full(dataset.videos[video].num_frames + 1, -1, np.int32)  # the last stands for all others
    for _, t in (sample for sample in dataset.samples if sample.video == video):
        ids[t] = dataset.global_id(video, t) - 1
    inside = (found.frame >= 0) & (found.frame < len(ids))
    return found._replace(frame=ids[np.where(inside, found.frame, -1)])


def _read_results(file: Path, dataset: VideoDataset) -> DetectionArrays:
    rows = _parse_results(file)
    image, category = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    video = _named_after(file, dataset)
    if isinstance(dataset, CocoVID):
        frame, classes = dataset.frames_of_images(image), dataset.classes_of_categories(category)
    else:
        frame, classes = image - (video is None), category
    strangers = (classes < 0) | (classes > len(dataset.class_names))
    if strangers.any():
        raise UserError(f"{file}: category_id {category[strangers][0]} is no class of the data set")
    corners = np.concatenate([rows[:, 3:5], rows[:, 3:5] + rows[:, 5:] - 1], axis=1)
    found = DetectionArrays(frame.astype(np.int32), classes.astype(np.int32), rows[:, 2], corners)
    if video is not None and not isinstance(dataset, CocoVID):
        found = _of_video(found, video, dataset)
    return DetectionArrays(*(column[classes > 0] for column in found))  # 0: not to be found


def _parse_results(file: Path) -> ndarray:
    """[m COLUMNS]; each result becomes numbers as soon as it is parsed, because files can be large."""
    numbers = array("d")

    def shrink(item: dict[str, Any]) -> None:
        if {"image_id", "category_id", "score", "bbox"} <= set(item):
            numbers.extend((item["image_id"], item["category_id"], item["score"], *item["bbox"]))

    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"), object_hook=shrink)
        rows = np.array(numbers).reshape(-1, COLUMNS)
        if not isinstance(content, list) or len(content) != len(rows):
            raise ValueError("expected a list of image_id, category_id, score and bbox [x, y, w, h]")
        if not np.isfinite(rows).all() or (rows[:, :2] % 1 != 0).any() or (np.abs(rows[:, :2]) > 2**31).any():
            raise ValueError("a number is not finite, or an id is no whole number")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{file}: not COCO's results: {error}") from error
    return rows
