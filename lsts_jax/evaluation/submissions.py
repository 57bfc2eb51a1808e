"""Files of detections from any detector: official text, JSON lines, COCO results (NumPy only).

Frame numbers in a file:

    *.jsonl   from 0 in one video, as predict.py writes them. The video is the data set's only one, or the one
              after which the file or its folder is named
    *.json    COCO results. image_id: from the annotation file (coco_vid); else as in the official text,
              or as in *.jsonl if the file's folder is named after a video
    other     official text: numbers of the list, over all videos, from 1

Frames outside the lists are left out and counted. Class numbers refer to the data set's classes; in files
written by an evaluation of this package, to the classes of the evaluated detector.
"""

import json
import logging
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Int32, Int64
from numpy import ndarray

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.degrade import original
from lsts_jax.data.formats.coco_images import Ids
from lsts_jax.data.formats.coco_vid import CocoVID
from lsts_jax.data.formats.text import read_text as read_whole
from lsts_jax.data.video.pictures import is_hidden
from lsts_jax.errors import UserError
from lsts_jax.evaluation.detections import join, read_jsonl, read_text
from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.evaluation.results import COMPARISON, METRICS, REPORT, SPEED, class_names_of
from lsts_jax.evaluation.video_names import named_after

SUFFIXES = (".txt", ".jsonl", ".json")
NO_DETECTIONS = (METRICS, SPEED, COMPARISON)  # in the folders that evaluations write
WRITTEN_BESIDE = (*NO_DETECTIONS, REPORT)
COLUMNS = 7  # of a result: image, category, score, x, y, w, h

Samples = Mapping[int, Sequence[int]]  # frames to be scored, by video

logger = logging.getLogger(__name__)


class _Submission(NamedTuple):
    """The content of a file."""

    found: DetectionArrays
    frames: Int[ndarray, "f"]  # frames named by the file, also those without detections


def read_detections(paths: Sequence[Path], dataset: VideoDataset) -> DetectionArrays:
    """Reads the detections of all files, sorted by frame. A folder means its files, without hidden
    ones. A file without detections is valid.

    Raises `UserError` naming the file if it cannot be read, its video is unknown, it has a class
    that the data set does not have, none of its frames are in the data set, or another file has the
    same frames.
    """
    files = [file for path in paths for file in _files(Path(path))]
    wanted = np.unique([dataset.global_id(video, t) - 1 for video, t in dataset.samples])
    samples = defaultdict(list)
    for video, t in dataset.samples:
        samples[video].append(t)
    parts, owner = [], np.full(wanted.max() + 1, -1)
    for number, file in enumerate(files):
        submission = _read(file, dataset, samples)
        if len(submission.frames) and not np.isin(submission.frames, wanted).any():
            raise UserError(f"{file}: has none of the {len(wanted)} frames to be scored")
        found, left_out = _within(submission.found, wanted)
        if left_out:
            logger.warning("%s: %d detections are in frames that are not scored", file, left_out)
        if not len(found.frame):
            logger.warning("%s: no detections in the frames to be scored", file)
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
    there = sorted(file for file in path.rglob("*") if file.is_file() and not is_hidden(file, path))
    files = [file for file in there if file.suffix.lower() in SUFFIXES and file.name not in NO_DETECTIONS]
    if others := [file for file in there if file not in set(files) and file.name not in WRITTEN_BESIDE]:
        logger.warning(
            "%s: %d files without detections were not read, such as %s", path, len(others), others[0]
        )
    if not files:
        raise UserError(f"{path}: no {', '.join(SUFFIXES)} in this folder")
    return files


def _within(found: DetectionArrays, wanted: Int64[ndarray, "f"]) -> tuple[DetectionArrays, int]:
    """The detections in the wanted frames, sorted by frame, and the number of other detections."""
    place = np.searchsorted(wanted, found.frame).clip(max=len(wanted) - 1)
    inside = wanted[place] == found.frame
    if inside.all() and (found.frame[1:] >= found.frame[:-1]).all():
        return found, 0
    rows = np.flatnonzero(inside)
    rows = rows[np.argsort(found.frame[rows], kind="stable")]
    return DetectionArrays(*(column[rows] for column in found)), int((~inside).sum())


def _read(file: Path, dataset: VideoDataset, samples: Samples) -> _Submission:
    match file.suffix.lower():
        case ".jsonl":
            read = list(read_jsonl(file, dataset.class_names))
            frames = np.array([frame.frame for frame in read], np.int32)
            ids = _ids_of(_video_of(file, dataset), dataset, samples)
            found = join(read)
            return _Submission(found._replace(frame=_renumber(found.frame, ids)), _renumber(frames, ids))
        case ".json":
            found = _read_results(file, dataset, samples)
        case _:
            found = read_text(file, len(class_names_of(file) or dataset.class_names))
            found = found._replace(classes=_renamed(found.classes, file, dataset))
    return _Submission(found, found.frame)


def _renamed(classes: Int32[ndarray, "m"], file: Path, dataset: VideoDataset) -> Int32[ndarray, "m"]:
    """Detections with the data set's class numbers, if metrics.json beside the file says it uses others.

    Raises `UserError` naming a class that the data set does not have.
    """
    names = class_names_of(file)
    if names is None or names == dataset.class_names:
        return classes
    numbers = {name: number for number, name in enumerate(dataset.class_names, start=1)}
    for number in np.unique(classes).tolist():
        if names[number - 1] not in numbers:
            raise UserError(
                f"{file}: has detections of {names[number - 1]!r}, which is not a class of the data set"
            )
    return np.array([0, *(numbers.get(name, 0) for name in names)], np.int32)[classes]


def _video_of(file: Path, dataset: VideoDataset) -> int:
    names = [video.name for video in dataset.videos]
    if len(names) == 1:
        return 0
    if (video := named_after(file, names)) is None:
        raise UserError(
            f"{file}: belongs to which video? Put it into a folder named after the video, such as "
            f"{PurePosixPath(names[0]).name}"
        )
    return video


def _ids_of(video: int, dataset: VideoDataset, samples: Samples) -> Int32[ndarray, "t"]:
    """The data set's number of every frame of a video; -1: not scored."""
    ids = np.full(dataset.videos[video].num_frames + 1, -1, np.int32)  # the last entry: all other frames
    for t in samples.get(video, ()):
        ids[t] = dataset.global_id(video, t) - 1
    return ids


def _renumber(frames: Int[ndarray, "m"], ids: Int32[ndarray, "t"]) -> Int32[ndarray, "m"]:
    """Frame numbers of a video converted to the data set's numbers; -1: not scored."""
    return ids[np.where((frames >= 0) & (frames < len(ids)), frames, -1)]


def _read_results(file: Path, dataset: VideoDataset, samples: Samples) -> DetectionArrays:
    dataset = original(dataset)
    rows = _parse_results(file, dataset.ids if isinstance(dataset, CocoVID) else None)
    image, category = rows[:, 0].astype(np.int64), rows[:, 1].astype(np.int64)
    if isinstance(dataset, CocoVID):
        frame, classes = dataset.frames_of_images(image), dataset.classes_of_categories(category)
    else:
        video = named_after(file, [one.name for one in dataset.videos])
        if video is None and (image < 1).any():
            first = (image < 1).argmax()
            what = f"image_id {image[first]} is not a frame of the val lists, which count from 1"
            raise UserError(f"{file}, result {first + 1}: {what}")
        frame = image - 1 if video is None else _renumber(image, _ids_of(video, dataset, samples))
        known = len(class_names_of(file) or dataset.class_names)
        classes = np.where((category >= 1) & (category <= known), category, -1)
    if (strangers := classes < 0).any():
        first = strangers.argmax()
        what = f"category_id {category[first]} is not a class of the data set"
        raise UserError(f"{file}, result {first + 1}: {what}")
    corners = np.concatenate([rows[:, 3:5], rows[:, 3:5] + rows[:, 5:] - 1], axis=1)
    found = DetectionArrays(frame.astype(np.int32), classes.astype(np.int32), rows[:, 2], corners)
    if isinstance(dataset, CocoVID):
        return DetectionArrays(*(column[classes > 0] for column in found))  # 0: unknown
    return found._replace(classes=_renamed(found.classes, file, dataset))


def _parse_results(file: Path, ids: Ids | None) -> ndarray:
    """COCO results as an array [m COLUMNS]. A result becomes numbers as soon as it is parsed, because files
    can be large. `ids`: numbers of image ids that may be text."""
    numbers = array("d")

    def shrink(item: dict[str, Any]) -> None:
        if {"image_id", "category_id", "score", "bbox"} <= set(item):
            x, y, width, height = item["bbox"]
            own: Any = (ids(item[key]) if ids else item[key] for key in ("image_id", "category_id"))
            numbers.extend((*own, item["score"], x, y, width, height))

    try:
        content = json.loads(read_whole(file), object_hook=shrink)
        rows = np.array(numbers).reshape(-1, COLUMNS)
        if not isinstance(content, list) or len(content) != len(rows):
            raise ValueError("expected a list of image_id, category_id, score and bbox [x, y, w, h]")
        if not np.isfinite(rows).all() or (rows[:, :2] % 1 != 0).any() or (np.abs(rows[:, :2]) > 2**31).any():
            raise ValueError("a number is not finite, or an id is not a whole number")
        if (negative := (rows[:, 5:] < 0).any(axis=1)).any():
            raise ValueError(f"result {negative.argmax() + 1}: a box has a width or height below 0")
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise UserError(f"{file}: not COCO results: {error}") from error
    return rows
