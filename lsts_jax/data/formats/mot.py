"""MOTChallenge: annotated sequences of people.

    ROOT/SEQUENCE/gt/gt.txt                 frames, corners and track ids count from 1
        frame, id, x, y, w, h, conf, X, Y, Z               MOT15
        frame, id, x, y, w, h, conf, class, visibility     MOT16 and later, class 1: pedestrian
    ROOT/SEQUENCE/img1/*                    pictures in natural order, or, where there is no such folder,
    ROOT/SEQUENCE/*.{avi,mp4,...}           one video file

A list names a sequence, or a range of its frames, counted from 0 and without the end, as in
PETS09-S2L1:500-795. A range is a video of its own: triplets of the frames before it do not reach into it.
Rows with conf 0 and, from MOT16 on, of another class than pedestrian are ignored regions.

seqinfo.ini is not read: its frame rate can be wrong, and the files tell the rest.
"""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from threading import Lock

import cv2
import numpy as np
from jaxtyping import Float64, UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects, Sample, Video, number_samples
from lsts_jax.data.video.pictures import decode_picture, pictures_in, read_picture
from lsts_jax.data.video.video_io import VIDEO_SUFFIXES, open_source
from lsts_jax.errors import UserError

PEDESTRIAN = 1
JPEG_QUALITY = 95


class MOTChallenge:
    """A `VideoDataset`: the sequences, or ranges of them, below `config.root` that `lists` name."""

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        self.class_names = config.class_names or ("person",)
        if len(self.class_names) != 1:
            raise UserError(
                f"config.data.class_names names {len(config.class_names)} classes, but MOTChallenge "
                'annotates people alone; name one class, such as ("person",)'
            )
        self.videos: list[Video] = []
        self._frames: list[PictureFrames | VideoFrames] = []
        self._objects: list[list[Objects]] = []
        for name in lists:
            folder, start, stop = find_sequence(Path(config.root), name)
            frames = open_frames(folder, start, stop, name)
            self.videos.append(Video(name, len(frames)))
            self._frames.append(frames)
            self._objects.append(read_objects(folder / "gt" / "gt.txt", start, len(frames), frames.size))
        self.samples = [Sample(i, t) for i, video in enumerate(self.videos) for t in range(video.num_frames)]
        self._global_ids = number_samples(self.samples)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        return self._frames[video].read(t)

    def objects(self, video: int, t: int) -> Objects:
        return self._objects[video][t]

    def frame_name(self, video: int, t: int) -> str:
        return self._frames[video].name(t)

    def global_id(self, video: int, t: int) -> int:
        return self._global_ids[Sample(video, t)]


class PictureFrames:
    """Frames that are picture files."""

    def __init__(self, files: Sequence[Path]):
        self.files = files
        self.size = read_picture(files[0]).shape[:2]

    def __len__(self) -> int:
        return len(self.files)

    def read(self, t: int) -> UInt8[ndarray, "H W 3"]:
        return read_picture(self.files[t])

    def name(self, t: int) -> str:
        return str(self.files[t])


class VideoFrames:
    """Frames start..stop - 1 of a video file, in any order.

    Seeking in a video is slow where keyframes are far apart, and not exact in every container. The file is
    therefore decoded once, at the first use in a process, and its frames are kept as JPEG of quality 95 in
    memory: a fifth of the bytes of PNG, encoded in a twentieth of the time, and what img1 would hold.
    """

    def __init__(self, file: Path, start: int, stop: int, size: tuple[int, int]):
        self.file, self.start, self.stop, self.size = file, start, stop, size
        self._encoded: list[bytes] | None = None
        self._lock = Lock()

    def __reduce__(self):
        return VideoFrames, (self.file, self.start, self.stop, self.size)

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self, t: int) -> UInt8[ndarray, "H W 3"]:
        with self._lock:
            if self._encoded is None:
                self._encoded = self._encode()
        return decode_picture(self._encoded[t], self.name(t))

    def name(self, t: int) -> str:
        return f"{self.file}, frame {self.start + t}"

    def _encode(self) -> list[bytes]:
        encoded = []
        for _, image in islice(open_source(self.file), self.start, self.stop):
            bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            encoded.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes())
        if len(encoded) < len(self):
            raise UserError(
                f"{self.file}: ends after {self.start + len(encoded)} frames, before frame {self.stop - 1} "
                "that its header promises; restore it or name a shorter range in the list"
            )
        return encoded


def find_sequence(root: Path, name: str) -> tuple[Path, int, int | None]:
    """Folder, first frame and end of the frames that a list names; the end is None where it names none.

    Raises `UserError` if there is no such sequence.
    """
    sequence, start, stop = re.fullmatch(r"(.*?)(?::(\d+)-(\d+))?", name, re.DOTALL).groups()
    if not sequence or not (root / sequence).is_dir():
        there = ", ".join(sorted(file.parent.parent.name for file in root.glob("*/gt/gt.txt"))) or "none"
        raise UserError(
            f"{root / sequence}: no such sequence; name another in --config.data.train_lists and val_lists, "
            f"with a range as in NAME:0-500 if you like (there: {there})"
        )
    return root / sequence, int(start or 0), int(stop) if stop else None


def open_frames(folder: Path, start: int, stop: int | None, name: str) -> PictureFrames | VideoFrames:
    """Frames start..stop - 1 of a sequence. Raises `UserError` if there are none or not as many."""
    if (folder / "img1").is_dir():
        files = pictures_in(folder / "img1")
        total = len(files)
    else:
        files = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in VIDEO_SUFFIXES]
        if len(files) != 1:
            raise UserError(
                f"{folder}: holds no folder img1 and {len(files)} video files; a sequence has "
                "pictures in img1 or one video file"
            )
        source = open_source(files[0])
        total = source.num_frames or sum(1 for _ in source)
    stop = total if stop is None else stop
    if not start < stop <= total:
        raise UserError(
            f"{name}: {folder} has {total} frames; name a range within 0-{total} in the list, end excluded"
        )
    if (folder / "img1").is_dir():
        return PictureFrames(files[start:stop])
    return VideoFrames(files[0], start, stop, source.size)


def read_objects(file: Path, start: int, num_frames: int, size: tuple[int, int]) -> list[Objects]:
    """What gt.txt has of `num_frames` frames from frame `start` (counted from 0) on.

    Raises `UserError` naming file and line.
    """
    rows = _read_rows(file)
    frames = rows[:, 0] - 1 - start
    return [_objects(rows[frames == t], size) for t in range(num_frames)]


def _read_rows(file: Path) -> Float64[ndarray, "n 8"]:
    """frame, id, x, y, w, h, conf, class (pedestrian where the file has none)."""
    try:
        lines = file.read_text().splitlines()
    except (OSError, ValueError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else error
        raise UserError(f"{file}: {reason}; sequences without annotations cannot be listed") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.split(",")]
            if len(values) not in (9, 10) or values[0] < 1 or not np.abs(values).max() < 1 << 31:
                raise ValueError
        except ValueError as error:
            raise UserError(
                f"{file}, line {number}: {line[:80]!r} is not frame, id, x, y, w, h, conf and 2 (MOT16) or 3 "
                "(MOT15) columns more, frames counted from 1; repair it"
            ) from error
        rows.append([*values[:7], values[7] if len(values) == 9 else PEDESTRIAN])
    return np.array(rows, np.float64).reshape(-1, 8)


def _objects(rows: Float64[ndarray, "n 8"], size: tuple[int, int]) -> Objects:
    corners = rows[:, 2:4] - 1  # from 1 to 0
    ignored = (rows[:, 6] == 0) | (rows[:, 7] != PEDESTRIAN)
    return Objects(
        np.concatenate([corners, corners + rows[:, 4:6] - 1], axis=1).astype(np.float32),
        np.where(ignored, 0, 1).astype(np.int32),
        rows[:, 1].astype(np.int32),
        ignored,
        size,
    )
