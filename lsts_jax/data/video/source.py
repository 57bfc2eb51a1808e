"""A source of video: frames with numbers and times, from files, pictures, cameras or streams."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from jaxtyping import UInt8
from numpy import ndarray

# Frames per second of sources without times, such as folders of pictures.
DEFAULT_FPS = 25.0


class SourceFrame(NamedTuple):
    """A frame that could be decoded."""

    number: int  # position in the source, from 0; frames that cannot be decoded count too
    time: float  # seconds since the first frame, from the container's timestamps; strictly increasing
    picture: UInt8[ndarray, "H W 3"]  # RGB
    name: str | None = None  # name of the picture file, fit for UTF-8; None for frames of a video


@dataclass(frozen=True)
class VideoSource:
    """Numbered frames in order; can be iterated over repeatedly unless it is live."""

    name: str
    size: tuple[int, int]  # height, width of the first frame; later ones may differ
    fps: float | None  # rate at which nearly every frame can be shown; None if unknown, as for pictures
    num_frames: int | None  # from the header, which may be wrong; None if it has none
    read: Callable[[], Iterator[SourceFrame]]
    is_live: bool = False  # frames arrive in real time, once, and may never end
    close: Callable[[], None] = lambda: None  # ends a live source; can be called from any thread

    def __iter__(self) -> Iterator[SourceFrame]:
        """Yields frames in order. Frames that cannot be decoded are left out with a warning, and
        their numbers are skipped."""
        return self.read()


def select(source: VideoSource, *, start: int, end: int | None, stride: int) -> VideoSource:
    """Selects frames start, start + stride, … before `end`; they keep their numbers and times."""

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
