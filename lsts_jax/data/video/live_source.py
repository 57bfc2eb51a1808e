"""Cameras and network streams: sources that do not wait, and that may go away for a while."""

import logging
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.opencv import quiet
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

# Frames that wait to be detected; the oldest is dropped for a newer one.
QUEUE = 4
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between attempts to come back, doubled each time
TIMEOUT = 10.0  # seconds without a frame after which a connection counts as lost


@dataclass
class LiveFrames:
    """The newest frames of a camera or stream, read by a thread of its own; iterate over it once.

    A number is the frame's position among all that came, so that dropped ones leave gaps.
    """

    target: int | str  # index of a camera, or an address
    dropped: int = 0
    reconnections: int = 0

    def __post_init__(self):
        self._frames: deque[tuple[int, UInt8[ndarray, "H W 3"]]] = deque()
        self._news, self._stop = threading.Condition(), threading.Event()
        self._received = 0
        capture = _open(self.target)
        found, image = capture.read()
        if not found:
            capture.release()
            raise UserError(f"{self.target}: no frame can be read; is the camera or the stream there?")
        self.size, self.fps = image.shape[:2], capture.get(cv2.CAP_PROP_FPS)
        self._put(image)
        self._thread = threading.Thread(target=self._read, args=(capture,), daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[tuple[int, UInt8[ndarray, "H W 3"]]]:
        try:
            while True:
                with self._news:
                    self._news.wait_for(lambda: self._frames)
                    number, image = self._frames.popleft()
                yield number, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        finally:
            self.close()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)
        if self.dropped or self.reconnections:
            logger.info(
                "%s: %d of %d frames were dropped, since they came faster than they were detected; %d "
                "reconnections", self.target, self.dropped, self._received, self.reconnections
            )  # fmt: skip

    def _put(self, image: UInt8[ndarray, "H W 3"]) -> None:
        with self._news:
            if len(self._frames) == QUEUE:
                self._frames.popleft()
                self.dropped += 1
            self._frames.append((self._received, image))
            self._received += 1
            self._news.notify()

    def _read(self, capture: cv2.VideoCapture) -> None:
        wait = FIRST_WAIT
        while not self._stop.is_set():
            found, image = capture.read()
            if found and image.shape[:2] == self.size:
                self._put(image)
                wait = FIRST_WAIT
                continue
            capture.release()
            logger.warning("%s: the stream is interrupted; trying again in %.1f seconds", self.target, wait)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)
            if not self._stop.is_set():
                capture = _open(self.target)
                self.reconnections += capture.isOpened()
        capture.release()


def _open(target: int | str) -> cv2.VideoCapture:
    with quiet():
        if isinstance(target, int):
            return cv2.VideoCapture(target)
        milliseconds = int(1000 * TIMEOUT)
        limits = cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds
        return cv2.VideoCapture(target, cv2.CAP_FFMPEG, limits)
