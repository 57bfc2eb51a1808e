"""A source of video: numbered, timed frames, wherever they come from."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxtyping import UInt8
from numpy import ndarray

# Frames a second of sources without times, such as folders of pictures.
DEFAULT_FPS = 25.0


class SourceFrame(NamedTuple):
    """One frame that could be decoded."""

    number: int  # position in the source from 0 on; frames that cannot be decoded are counted too
    time: float  # seconds since the first frame by the container's timestamps; grows from frame to frame
    picture: UInt8[ndarray, "H W 3"]  # RGB
    name: str | None = None  # name of the picture file, fit for UTF-8; None for frames of a video


@dataclass(frozen=True)
class VideoSource:
    """Numbered frames in order; can be iterated over more than once, unless it is live."""

    name: str
    size: tuple[int, int]  # height, width of the first frame; later ones may differ
    fps: float | None  # rate at which nearly every frame can be shown; None where unknown, as for pictures
    num_frames: int | None  # by the header, which may be wrong; None where it has none
    read: Callable[[], Iterator[SourceFrame]]
    is_live: bool = False  # comes at its own pace, once, and may never end
    close: Callable[[], None] = lambda: None  # ends a live source, from any thread: no frame follows

    def __iter__(self) -> Iterator[SourceFrame]:
        """Frames in order. What cannot be decoded is left out with a warning, and its number with it."""
        return self.read()


def select(source: VideoSource, *, start: int, end: int | None, stride: int) -> VideoSource:
    """Frames start, start + stride, … before `end`, which keep their numbers and times."""

    def read() -> Iterator[SourceFrame]:
        for frame in source:
            if end is not None and frame.number >= end:
                return
            if frame.number >= start and (frame.number - start) % stride == 0:
                yield frame

    count = source.num_frames
    if end is not None:
        count = end if count is None else min(count, end)
    count = None if count is None else max(0, -(-(count - start) // stride))
    return replace(source, num_frames=count, read=read)
