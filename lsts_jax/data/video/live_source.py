"""Cameras and network streams: sources that do not wait for the reader, and that may be
interrupted."""

import logging
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import InitVar, dataclass

import cv2
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.address import name_of
from lsts_jax.data.video.opencv import FASTEST, TIMEOUT, frame_rate, open_capture, read_next
from lsts_jax.data.video.source import SourceFrame
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

# Largest number of frames that wait for detection; a newer frame replaces the oldest.
QUEUE = 4
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between attempts to reconnect, doubled every time


@dataclass
class LiveFrames:
    """The newest frames of a camera or stream, read by a separate thread; can be iterated over
    once.

    The number of a frame is its position among all frames that arrived, so that dropped frames
    leave gaps; its time is its time of arrival. The size of frames may change after an
    interruption.
    """

    target: int | str  # index of a camera, or an address
    capture: InitVar[cv2.VideoCapture]  # open capture of the target
    dropped: int = 0
    reconnections: int = 0

    def __post_init__(self, capture: cv2.VideoCapture):
        self._frames: deque[SourceFrame] = deque()  # BGR
        self._news, self._stop = threading.Condition(), threading.Event()
        self._received, self.name = 0, name_of(self.target)
        image = read_next(capture)
        if image is None:
            capture.release()
            raise UserError(f"{self.name}: no frame can be read; is the camera or stream available?")
        self.size, fps = image.shape[:2], frame_rate(capture)
        self.fps = fps if fps and fps <= FASTEST else None  # rtsp:// often gives the rate of its clock, 90000
        self._begin = time.monotonic()
        self._put(image)
        self._thread = threading.Thread(target=self._read, args=(capture,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[SourceFrame]:
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._frames or self._stop.is_set())
                    if self._stop.is_set():
                        return
                    frame = self._frames.popleft()
                yield frame._replace(picture=cv2.cvtColor(frame.picture, cv2.COLOR_BGR2RGB))
        finally:
            self.close()

    def stop(self) -> None:
        """Ends the iteration. Can be called from any thread; does not wait."""
        self._stop.set()
        with self._news:
            self._news.notify()

    def close(self) -> None:
        self.stop()
        self._thread.join(TIMEOUT)
        if self.dropped or self.reconnections:
            logger.info(
                "%s: %d of %d frames were dropped, since they came faster than they were detected; %d "
                "reconnections", self.name, self.dropped, self._received, self.reconnections
            )  # fmt: skip

    def _put(self, image: UInt8[ndarray, "H W 3"]) -> None:
        with self._news:
            if len(self._frames) == QUEUE:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append(SourceFrame(self._received, time.monotonic() - self._begin, image))
            self._received += 1
            self._news.notify()

    def _read(self, capture: cv2.VideoCapture) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            image = read_next(capture)
            if image is not None:
                self._put(image)
                wait = FIRST_WAIT
                continue
            capture.release()
            logger.warning("%s: the stream is interrupted; trying again in %.1f seconds", self.name, wait)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            if not self._stop.is_set():
                capture = open_capture(self.target)
                self.reconnections += capture.isOpened()
        capture.release()
