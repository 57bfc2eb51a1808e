"""Interface of a data set: videos, their frames and their annotations."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Bool, Float32, Int32, UInt8
from numpy import ndarray

from lsts_jax.data.counts import Counts


class Video(NamedTuple):
    """A video, or a still, which is a video of one frame."""

    name: str
    num_frames: int
    is_still: bool = False
    attributes: tuple[str, ...] = ()  # what the annotations say of the whole video: "fast motion"


class Sample(NamedTuple):
    """A frame in a list, to train on or to score."""

    video: int
    t: int


class Objects(NamedTuple):
    """Annotations of a frame, in pixels of the original picture. Boxes are not clipped: they may
    reach beyond the picture."""

    boxes: Float32[ndarray, "n 4"]
    classes: Int32[ndarray, "n"]  # 1..N, 0 where ignored
    track_ids: Int32[ndarray, "n"]  # -1 if unknown
    ignored: Bool[ndarray, "n"]  # a region that is neither trained on nor scored
    size: tuple[int, int] | None  # height, width of the picture; None if the annotation does not say
    degraded: Bool[ndarray, "n"] | None = None  # blurred or hidden; None if the annotation does not say


@runtime_checkable
class VideoDataset(Protocol):
    """Videos with annotations. Frames are counted from 0.

    Pictures and annotations are read on demand, from any thread. An instance can be pickled, so
    that worker processes can read by themselves. Missing or damaged files raise `UserError`.
    """

    class_names: tuple[str, ...]  # from the config, or all classes of the data if the config names none
    videos: Sequence[Video]
    samples: Sequence[Sample]  # the frames that the lists name, in order; other frames can be read too

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        """The picture, RGB."""
        ...

    def objects(self, video: int, t: int) -> Objects:
        """Annotations of the frame."""
        ...

    def frame_name(self, video: int, t: int) -> str:
        """File name of the frame, for messages."""
        ...

    def global_id(self, video: int, t: int) -> int:
        """Number of a sample in the official text format: from the list, or else its position in
        `samples` counted from 1.

        Raises KeyError for a frame that is not a sample.
        """
        ...


@runtime_checkable
class Counted(Protocol):
    """A `VideoDataset` that reads all annotations when it is opened."""

    counts: Counts


@runtime_checkable
class ReadByFrame(Protocol):
    """A `VideoDataset` that reads every annotation on demand."""

    def unknown_names(self, video: int, t: int) -> Counter[str]:
        """Names in the annotation of a frame that are not classes, with their number of objects."""
        ...


def leads_out(path: str) -> bool:
    """True if a path in a list points out of the folder that it is relative to, on any operating
    system, or is longer than operating systems allow."""
    if len(path) > 1000 or any(len(part.encode(errors="replace")) > 255 for part in re.split(r"[/\\]", path)):
        return True
    return re.search(r"(^|[/\\])\.\.([/\\]|$)|^[/\\]|^[A-Za-z]:|\0", path) is not None


def number_samples(samples: Sequence[Sample]) -> dict[Sample, int]:
    """Global ids of samples that no list numbers: the position of their first mention, counted from
    1."""
    ids: dict[Sample, int] = {}
    for position, sample in enumerate(samples, start=1):
        ids.setdefault(sample, position)
    return ids
