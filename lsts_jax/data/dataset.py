"""What a data set is to the rest of the package: videos, their frames, and what is annotated in them."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float32, Int32, UInt8
from numpy import ndarray

from lsts_jax.data.counts import Counts


class Video(NamedTuple):
    """A video, or a still: a video of one frame."""

    name: str
    num_frames: int
    is_still: bool = False


class Sample(NamedTuple):
    """A frame that a list names: to train on, or to be scored."""

    video: int
    t: int


class Objects(NamedTuple):
    """What is annotated in a frame, in pixels of the original picture and as the annotation has it: boxes
    may reach beyond the picture."""

    boxes: Float32[ndarray, "n 4"]
    classes: Int32[ndarray, "n"]  # 1..N, 0 where ignored
    track_ids: Int32[ndarray, "n"]  # -1 where unknown
    ignored: Bool[ndarray, "n"]  # a region in which nothing is learned or scored
    size: tuple[int, int] | None  # height, width of the picture, where the annotation tells
    degraded: Bool[ndarray, "n"] | None = None  # blurred or hidden; None where the annotation does not tell


@runtime_checkable
class VideoDataset(Protocol):
    """Frames are counted from 0. Everything is read when it is asked for, from any thread; an instance can
    be pickled, so that worker processes read by themselves. What is missing or damaged raises `UserError`.
    """

    class_names: tuple[str, ...]  # those of the config or, where it names none, all that the data has
    videos: Sequence[Video]
    samples: Sequence[Sample]  # the frames that the lists name, in their order; all others can be read too

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        """The picture, RGB."""
        ...

    def objects(self, video: int, t: int) -> Objects:
        """What is annotated in the frame."""
        ...

    def frame_name(self, video: int, t: int) -> str:
        """The file, as messages name the frame."""
        ...

    def global_id(self, video: int, t: int) -> int:
        """Number of a sample in the official text format: that of the list, or else its position in
        `samples` counted from 1. Raises KeyError for a frame that is no sample."""
        ...


@runtime_checkable
class Counted(Protocol):
    """A `VideoDataset` that reads all annotations when it is opened."""

    counts: Counts


@runtime_checkable
class ReadByFrame(Protocol):
    """A `VideoDataset` that reads an annotation when it is asked for."""

    def unknown_names(self, video: int, t: int) -> Counter[str]:
        """Names in the annotation of a frame that are no class, and how often each stands there."""
        ...


def leads_out(path: str) -> bool:
    """Whether a path that a list gives is not below the folder it is relative to, on any system, or is longer
    than systems have them."""
    if len(path) > 1000 or any(len(part.encode(errors="replace")) > 255 for part in re.split(r"[/\\]", path)):
        return True
    return re.search(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\0", path) is not None


def number_samples(samples: Sequence[Sample]) -> dict[Sample, int]:
    """Global ids of samples that no list numbers: the position of the first mention, counted from 1."""
    ids: dict[Sample, int] = {}
    for position, sample in enumerate(samples, start=1):
        ids.setdefault(sample, position)
    return ids
