"""Writing of mp4 files."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.opencv import spell
from lsts_jax.errors import UserError

# H.264, which browsers play, if this build of OpenCV can write it; else MPEG-4 part 2.
CODECS = ("avc1", "mp4v")


class VideoWriter:
    """Writes an mp4 file with `fps` frames per second; a context manager.

    Sides must be even in mp4: the last row or column of an odd side is written twice.

    Raises `UserError` if the file cannot be written.
    """

    def __init__(self, path: Path | str, fps: float | int, size: tuple[int, int]):
        self.path, self.size = Path(path), size
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path.parent}: {error.strerror}; name another folder") from error
        padded = (size[1] + size[1] % 2, size[0] + size[0] % 2)
        for codec in CODECS:
            self._writer = cv2.VideoWriter(
                spell(self.path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, padded
            )
            if self._writer.isOpened():
                return
        raise UserError(f"{path}: cannot be written; name an .mp4 file in a folder that you may write to")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def write(self, image: UInt8[ndarray, "H W 3"]) -> None:
        """Appends an RGB frame. Raises ValueError if its size differs from that of the video."""
        if image.shape[:2] != self.size:
            raise ValueError(f"{self.path}: a frame of {image.shape[:2]} in a video of {self.size}")
        height, width = self.size
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._writer.write(np.pad(bgr, ((0, height % 2), (0, width % 2), (0, 0)), "edge"))
