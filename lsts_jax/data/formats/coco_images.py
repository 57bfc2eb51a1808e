"""The images of a COCO-VID json: their ids, their files, and their videos."""

import re
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64
from numpy import ndarray

from lsts_jax.data.dataset import Video, leads_out
from lsts_jax.data.formats.text import split_number

LARGEST = 1 << 31  # of tracks and sides


class Images(NamedTuple):
    """The images of a json, video by video, frame by frame."""

    videos: list[Video]
    ids: Int64[ndarray, "n"]
    files: ndarray  # [n] bytes, a quarter of the memory of str
    sizes: Int32[ndarray, "n 2"]  # height, width; 0 if unknown
    is_sample: Bool[ndarray, "n"]


class Ids:
    """Maps ids to numbers: text that is a number to that number, other text to numbers from `first`
    on."""

    def __init__(self, first: int = -LARGEST):
        self.first = first
        self.texts: dict[str, int] = {}

    def __call__(self, value: Any) -> int | None:
        """The number of an id; None if it is neither a whole number nor text."""
        number = whole(value)
        if number is None and isinstance(value, str) and value:
            return self.texts.setdefault(value, self.first + len(self.texts))
        return number


def whole(value: Any) -> int | None:
    """A whole number that a float can represent, also from text; None for anything else."""
    if isinstance(value, str) and re.fullmatch("-?(0|[1-9][0-9]{0,15})", value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and abs(value) < 1 << 53 else None


class ImageItem(NamedTuple):
    """An element of `images`."""

    id: Any
    file_name: Any
    video_id: Any
    frame_id: Any
    height: Any
    width: Any
    is_vid_train_frame: Any


def check_image(item: Any, where: str, root: Path, ids: Ids) -> ImageItem:
    """Checks an image and returns it with numbers for ids and its file below the root. Raises
    ValueError."""
    if not isinstance(item, ImageItem) or not isinstance(item.file_name, str):
        raise ValueError(f"{where} has no file_name")
    key, video, frame = ids(item.id), ids(item.video_id), whole(item.frame_id)
    if key is None:
        raise ValueError(f"{where} has no id that is a whole number or text")
    if not all(isinstance(side, int | float | None) for side in (item.height, item.width)):
        raise ValueError(f"{where}: height and width are not numbers")
    name = relative_to_root(item.file_name, root)
    if leads_out(name):
        raise ValueError(f"{where}: file_name {item.file_name!r} points out of the data set")
    if item.video_id is not None and (video is None or frame is None):
        raise ValueError(f"{where} has no video_id and frame_id that are whole numbers")
    return item._replace(id=key, file_name=name, video_id=video, frame_id=frame)


def relative_to_root(name: str, root: Path) -> str:
    """Makes an absolute path below the root relative to the root; returns any other path unchanged."""
    path = PurePosixPath(name.removeprefix("file://"))
    for folder in (root.absolute(), root.resolve()):
        if path.is_absolute() and path.is_relative_to(folder.as_posix()):
            return path.relative_to(folder.as_posix()).as_posix()
    return name


def join_videos(images: list[ImageItem], table: Float64[ndarray, "m 8"]) -> list[ImageItem]:
    """Groups images into videos by their names, if no image has a video_id: pictures of a folder
    whose names differ only in their last number are a video if they share a track.

    Args:
      table: annotations, see `coco_json`.
    """
    if any(image.video_id is not None for image in images) or not (table[:, 2] >= 0).any():
        return images
    series: dict[int, tuple[str, int]] = {}  # by image id
    for image in images:
        path = PurePosixPath(image.file_name)
        if split := split_number(path.stem):
            before, number, after = split
            series[image.id] = f"{path.with_name(before)}*{after}{path.suffix}", number
    numbers = list(series.values())
    twice = {name for name, _ in numbers} if len(set(numbers)) < len(numbers) else set()
    seen: dict[tuple[str, float], float] = {}
    joined = set()
    for image_id, track in table[table[:, 2] >= 0][:, [0, 2]].tolist():
        name, _ = series.get(image_id, ("", 0))
        if name and name not in twice and seen.setdefault((name, track), image_id) != image_id:
            joined.add(name)
    return [
        image._replace(video_id=series[image.id][0], frame_id=series[image.id][1])
        if image.id in series and series[image.id][0] in joined
        else image
        for image in images
    ]


def arrange(
    images: list[ImageItem],
    video_names: dict[int, str],
    video_attributes: dict[int, tuple[str, ...]],
) -> Images:
    """Sorts images into the order in which their videos are first mentioned. Raises ValueError."""
    if not images:
        raise ValueError("has no images")
    groups: dict[Any, int] = {}  # videos by id, stills by position
    group, frame = [], []
    for number, image in enumerate(images):
        key = (number,) if image.video_id is None else image.video_id
        group.append(groups.setdefault(key, len(groups)))
        frame.append(image.frame_id if image.video_id is not None else 0)
    order = np.lexsort((np.array(frame), np.array(group)))
    ids = np.array([image.id for image in images], np.int64)
    sizes = np.array([[image.height or 0, image.width or 0] for image in images], np.int32)
    chosen = np.array([bool(image.is_vid_train_frame) for image in images])
    counts = np.bincount(group).tolist()
    pairs = list(zip(group, frame, strict=True))
    if len(set(ids.tolist())) < len(ids):
        raise ValueError("has two images of one id")
    if len(set(pairs)) < len(pairs):
        raise ValueError("has two images of one frame_id in a video")
    videos = [
        Video(PurePosixPath(images[key[0]].file_name).with_suffix("").as_posix(), 1, is_still=True)
        if isinstance(key, tuple)
        else Video(video_names.get(key, str(key)), counts[position], attributes=video_attributes.get(key, ()))
        for key, position in groups.items()
    ]
    files = np.array([image.file_name.encode() for image in images], np.bytes_)
    return Images(videos, ids[order], files[order], sizes[order], (chosen | ~chosen.any())[order])
