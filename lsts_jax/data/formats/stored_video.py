"""The frames of a video file, with random access."""

from pathlib import Path
from threading import Lock

from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.formats.jpeg_store import JpegStore, Place
from lsts_jax.data.video.source import select
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError


class StoredVideo:
    """Frames start..stop - 1 of a video file, counted from 0.

    Seeking in a video is slow if keyframes are far apart, and inexact in some containers. The file
    is therefore decoded once, at the first access in a process, and its frames are stored as JPEG
    of quality 95: a fifth of the bytes of PNG and a twentieth of its encoding time.
    """

    def __init__(self, file: Path, start: int, stop: int, store: JpegStore):
        self.file, self.start, self.stop, self._store = file, start, stop, store
        self._places: dict[int, Place] | None = None
        self._lock = Lock()

    def __reduce__(self):
        return type(self), (self.file, self.start, self.stop, self._store)

    def __len__(self) -> int:
        return self.stop - self.start

    def read(self, t: int) -> UInt8[ndarray, "H W 3"]:
        """Frame start + t. Raises `UserError` if it cannot be decoded."""
        with self._lock:
            if self._places is None:
                self._places = self._decode()
        if t not in self._places:
            raise UserError(
                f"{self.name(t)}: cannot be decoded, or the video ends before it; restore the file or leave "
                "the frame out of the list"
            )
        return self._store.get(self._places[t], self.name(t))

    def name(self, t: int) -> str:
        return f"{self.file}, frame {self.start + t}"

    def _decode(self) -> dict[int, Place]:
        """Decodes and stores the frames, and returns their places. Frames that cannot be decoded
        are left out."""
        chosen = select(open_source(self.file), start=self.start, end=self.stop, stride=1)
        return {frame.number - self.start: self._store.put(frame.picture) for frame in chosen}
