"""ImageNet VID and DET in the layout of ILSVRC2015, and data sets that copy it (SynthVID).

    ROOT/Data/VID/VIDEO/%06d.JPEG   ROOT/Annotations/VID/VIDEO/%06d.xml   frames counted from 0
    ROOT/Data/DET/STILL.JPEG        ROOT/Annotations/DET/STILL.xml
    ROOT/ImageSets/LIST.txt         a name that begins with VID_ or DET_, and lines of one of these kinds:

    DET_train_30classes   still anything
    VID_train_15frames    video 1 frame number_of_frames
    VID_val_videos        video global_id_of_frame_0 0 number_of_frames     all frames of the video
    VID_val_frames        video/frame global_id

Lists that are missing are made from the tree where it tells what they hold: imagenet_lists.py.

Global ids count from 1. Both kinds of four columns are told apart by their content: a list names whole videos
if its third column is 0 throughout and its second column never repeats.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.config import IMAGENET_VID_CLASSES, DataConfig
from lsts_jax.data.dataset import Objects, Sample, Video, leads_out, number_samples
from lsts_jax.data.pictures import read_picture
from lsts_jax.errors import UserError

# WordNet ids of the 30 classes of ImageNet VID, in the order of IMAGENET_VID_CLASSES.
WNIDS = (
    "n02691156", "n02419796", "n02131653", "n02834778", "n01503061", "n02924116", "n02958343", "n02402425",
    "n02084071", "n02121808", "n02503517", "n02118333", "n02510455", "n02342885", "n02374451", "n02129165",
    "n01674464", "n02484322", "n03790512", "n02324045", "n02509815", "n02411705", "n01726692", "n02355227",
    "n02129604", "n04468005", "n01662784", "n04530566", "n02062744", "n02391049",
)  # fmt: skip


MOST_FRAMES = 1_000_000  # of a video: their files have six digits
MEND = "repair it or take the frame out of the list"


class ListedFrame(NamedTuple):
    """A frame of a list, and what its line tells of it."""

    path: str  # of the video or still, below Data/VID or Data/DET
    t: int
    num_frames: int  # of the video, as far as the line tells: at least t + 1
    global_id: int | None = None


class ImageNetVID:
    """A `VideoDataset`: what `lists` of ImageSets name below `config.root`.

    Objects whose class, a WordNet id or a name, is not in `config.class_names` are left out. Where that is
    empty they are what the annotations of the lists name (`imagenet_lists.find_class_names`). Global ids are
    those of the lists if they number all samples and differ, else positions.
    """

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        # here, because it reads by the functions below
        from lsts_jax.data.imagenet_lists import find_class_names, open_list

        self.root = Path(config.root)
        self.videos: list[Video] = []
        self.samples: list[Sample] = []
        positions: dict[tuple[str, bool], int] = {}
        listed_ids: dict[Sample, int | None] = {}
        for name in lists:
            is_still = PurePosixPath(name).name.startswith("DET_")
            for path, t, num_frames, global_id in open_list(self.root, name, config.class_names):
                video = positions.setdefault((path, is_still), len(self.videos))
                if video == len(self.videos):
                    self.videos.append(Video(path, num_frames, is_still))
                elif num_frames > self.videos[video].num_frames:
                    self.videos[video] = Video(path, num_frames, is_still)
                self.samples.append(Sample(video, t))
                listed_ids[Sample(video, t)] = global_id
        distinct = set(listed_ids.values())
        complete = None not in distinct and len(distinct) == len(listed_ids)
        self._global_ids = listed_ids if complete else number_samples(self.samples)
        self.class_names = config.class_names or find_class_names(
            self._path("Annotations", *sample, ".xml") for sample in listed_ids
        )
        self._class_ids = number_classes(self.class_names)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        return read_picture(self._path("Data", video, t, ".JPEG"))

    def objects(self, video: int, t: int) -> Objects:
        return read_annotation(self._path("Annotations", video, t, ".xml"), self._class_ids)

    def unknown_names(self, video: int, t: int) -> list[str]:
        """Names in the annotation of a frame that are no class."""
        return sorted(read_names(self._path("Annotations", video, t, ".xml")) - self._class_ids.keys())

    def frame_name(self, video: int, t: int) -> str:
        return str(self._path("Data", video, t, ".JPEG"))

    def global_id(self, video: int, t: int) -> int:
        return self._global_ids[Sample(video, t)]

    def _path(self, kind: str, video: int, t: int, suffix: str) -> Path:
        return frame_file(self.root, kind, self.videos[video], t, suffix)


def frame_file(root: Path, kind: str, video: Video, t: int, suffix: str) -> Path:
    """Of a frame of a video, or of a still; kind is Data or Annotations."""
    file = f"DET/{video.name}" if video.is_still else f"VID/{video.name}/{t:06d}"
    return root / kind / f"{file}{suffix}"


def number_classes(class_names: tuple[str, ...]) -> dict[str, int]:
    """Class ids, 1..N, by name, and by WordNet id for the 30 classes of ImageNet VID."""
    ids = {name: number for number, name in enumerate(class_names, start=1)}
    names = zip(WNIDS, IMAGENET_VID_CLASSES, strict=True)
    return {wnid: ids[name] for wnid, name in names if name in ids} | ids


def read_list(file: Path) -> list[ListedFrame]:
    """The frames that a list of ImageSets names, in its order. Raises `UserError` naming file and line."""
    if not file.name.startswith(("VID_", "DET_")):
        raise UserError(f"{file}: the name of a list begins with VID_ (videos) or DET_ (stills); rename it")
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        there = ", ".join(sorted(other.stem for other in file.parent.glob("*.txt"))) or "none"
        raise UserError(
            f"{file}: no such list; put it there, or name others in --config.data.train_lists and val_lists "
            f"(there: {there})"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as text ({error}); restore it") from error
    return parse_list(text.splitlines(), file)


def parse_list(text: Sequence[str], file: Path) -> list[ListedFrame]:
    """The frames that the lines of a list name. Raises `UserError` naming file and line."""
    lines = [line.split() for line in text]
    if not any(lines):
        raise UserError(f"{file}: names no frame; add lines, or leave the list out of the config")
    is_still = file.name.startswith("DET_")
    whole = _names_whole_videos(lines)
    frames = []
    for number, row in enumerate(lines, start=1):
        try:
            frames += _parse_row(row, is_still=is_still, whole=whole) if row else []
        except ValueError as error:
            forms = (
                "`still 1`" if is_still else "`video 1 frame frames`, `video id 0 frames`, `video/frame id`"
            )
            raise UserError(
                f"{file}, line {number}: {' '.join(row)[:80]!r} is not of the form {forms} with frames "
                "counted from 0; repair the line"
            ) from error
    return frames


def _names_whole_videos(lines: list[list[str]]) -> bool:
    """Whether rows of four columns are `video id 0 frames`, not `video 1 frame frames`."""
    rows = [row for row in lines if len(row) == 4]
    return all(row[2] == "0" for row in rows) and len({row[1] for row in rows}) == len(rows)


def _parse_row(row: list[str], *, is_still: bool, whole: bool) -> list[ListedFrame]:
    """The frames that a line names. Raises ValueError."""
    if leads_out(row[0]):
        raise ValueError("leads out of the data set")
    match row:
        case [path, _] if is_still:
            return [ListedFrame(path, 0, 1)]
        case [path, global_id]:
            video, _, t = path.rpartition("/")
            frames = [ListedFrame(video, int(t), int(t) + 1, int(global_id))]
        case [path, first_id, _, num_frames] if whole:
            first, count = int(first_id), int(num_frames)
            if count > MOST_FRAMES:
                raise ValueError("out of range")
            frames = [ListedFrame(path, t, count, first + t) for t in range(count)]
        case [path, _, t, num_frames] if not is_still:
            frames = [ListedFrame(path, int(t), int(num_frames))]
        case _:
            raise ValueError("another number of columns")
    for path, t, num_frames, global_id in frames[:1]:
        if not path or not 0 <= t < num_frames or (global_id is not None and global_id < 1):
            raise ValueError("out of range")
    return frames


def read_annotation(file: Path, class_ids: dict[str, int]) -> Objects:
    """The objects of an XML file whose name is in `class_ids`. Raises `UserError` naming the file if it is
    missing, and for what `parse_annotation` raises."""
    return parse_annotation(_read(file), str(file), class_ids)


def parse_annotation(data: bytes, name: str, class_ids: dict[str, int]) -> Objects:
    """The objects of XML whose name is in `class_ids`.

    Raises `UserError` beginning with `name` if it does not parse or lacks a box, and for a document type:
    entities can grow without bound, and no annotation needs them.
    """
    root = _parse(data, name)
    try:
        return _objects(root, class_ids)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{name}: {error}; {MEND}") from error


def read_names(file: Path) -> set[str]:
    """The names of the objects of an XML file. Raises `UserError` naming the file."""
    return parse_names(_read(file), str(file))


def parse_names(data: bytes, name: str) -> set[str]:
    """The names of the objects of XML. Raises `UserError` beginning with `name`."""
    items = _parse(data, name).iterfind("object")
    return {text.strip() for item in items if (text := item.findtext("name"))}


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = "no such annotation" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"{file}: {reason}; {MEND}") from error


def _parse(data: bytes, name: str) -> ElementTree.Element:
    if b"<!DOCTYPE" in data.replace(b"\0", b""):  # in UTF-16 as well
        raise UserError(f"{name}: declares a document type, which is not read; {MEND}")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{name}: {error}; {MEND}") from error


def _objects(root: ElementTree.Element, class_ids: dict[str, int]) -> Objects:
    """Raises ValueError or OverflowError saying what is wrong."""
    boxes, classes, tracks, marks = [], [], [], []
    for item in root.iterfind("object"):
        class_id = class_ids.get(_text(item, "name").strip())
        if class_id is None:
            continue
        boxes.append([float(_text(item, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")])
        classes.append(class_id)
        tracks.append(int(item.findtext("trackid") or -1))
        marks.append(item.findtext("degraded"))
    with np.errstate(over="ignore"):
        array = np.array(boxes, np.float32).reshape(-1, 4)
    if not np.isfinite(array).all():
        raise ValueError("a box is not finite")
    if unknown := set(marks) - {"0", "1", None}:
        raise ValueError(f"degraded is {unknown.pop()!r}, not 0 or 1")
    size = tuple(int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    return Objects(
        array,
        np.array(classes, np.int32),
        np.array(tracks, np.int32),
        np.zeros(len(classes), bool),
        size if min(size) > 0 else None,
        None if set(marks) <= {None} else np.array([mark == "1" for mark in marks]),
    )


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if not text:
        raise ValueError(f"an object has no {path}")
    return text
