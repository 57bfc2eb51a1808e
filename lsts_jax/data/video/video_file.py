"""Video files, on disk or at an address; frames that cannot be decoded are skipped."""

import logging
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from lsts_jax.data.video.address import name_of
from lsts_jax.data.video.clock import Tick, next_tick
from lsts_jax.data.video.opencv import (
    FASTEST,
    TIMEOUT,
    codec_of,
    frame_count,
    frame_rate,
    open_capture,
    packet_times,
    read_next,
)
from lsts_jax.data.video.source import DEFAULT_FPS, SourceFrame, VideoSource
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

# Number of failed reads in a row that ends a video: this number, or more if the header has more
# frames, up to a maximum. A read at the end of a file takes 20 microseconds.
FEWEST_FAILURES, MOST_FAILURES = 256, 10_000
# Seconds without a frame after which an address has ended.
PATIENCE = 3 * TIMEOUT
# Largest number of frame numbers that a warning lists.
LISTED = 10
# Number of encoded frames that the rate is computed from.
PACKETS = 500
# Common names of codecs whose four characters are cryptic.
CODECS = {"av01": "AV1", "hev1": "HEVC", "hvc1": "HEVC", "vvc1": "VVC", "vvi1": "VVC"}


def open_video(target: Path | str, capture: cv2.VideoCapture | None = None) -> VideoSource:
    """Opens a video file (path), or the file at an address (text), whose `capture` may be open
    already.

    Raises `UserError` if no frame can be decoded.
    """
    with _closing(capture or open_capture(target)) as video:
        fps, promised = frame_rate(video), frame_count(video)
        first = next(_frames(target, video), None)
        if first is None:
            raise UserError(f"{name_of(target)}: not one frame can be decoded; {_advice(target)}")
    if fps and (isinstance(target, Path) or fps > FASTEST):
        fps = typical_rate(sorted(islice(packet_times(target), PACKETS)), fps)
    size = first.picture.shape[:2]
    return VideoSource(name_of(target), size, fps, promised or None, partial(_read, target, promised))


def typical_rate(times: Sequence[float], mean: float) -> float:
    """Frames per second at which nearly every frame can be shown.

    The rate is the mean rate, or, if more than a quarter of the steps between `times` (sorted,
    seconds) differ from the mean step by a quarter, the rate of the shortest tenth of the steps.
    """
    steps = np.diff(times)
    steps = steps[steps > 0]
    if len(steps) == 0 or (np.abs(steps * mean - 1) < 0.25).mean() >= 0.75:
        return mean
    return float(min(1 / np.quantile(steps, 0.1, method="lower"), FASTEST))


def _read(target: Path | str, promised: int) -> Iterator[SourceFrame]:
    """Yields frames, with a warning at the end that counts those left out."""
    name, reached, lost, listed, is_whole = name_of(target), 0, 0, [], False
    try:
        with _closing(open_capture(target)) as video:
            for frame in _frames(target, video):
                lost += frame.number - reached
                listed += range(reached, frame.number)[: LISTED - len(listed)]
                reached = frame.number + 1
                yield frame
        is_whole = True
    finally:
        if is_whole and reached < promised and isinstance(target, Path):
            end = max(reached, min(sum(1 for _ in packet_times(target)), promised))
            lost += end - reached
            listed += range(reached, end)[: LISTED - len(listed)]
            reached = end
        if lost:
            numbers = ", ".join(map(str, listed)) + (", …" if lost > LISTED else "")
            message = "%s: frames that cannot be decoded are left out: %s (%d of %d)"
            logger.warning(message, name, numbers, lost, reached)
        if is_whole and reached < 0.98 * promised - 1:  # some headers only estimate
            logger.warning("%s: ends after %d frames; its header says %d", name, reached, promised)


def _frames(target: Path | str, video: cv2.VideoCapture) -> Iterator[SourceFrame]:
    """Yields frames that can be decoded, until reads keep failing."""
    period, promised = 1 / (frame_rate(video) or DEFAULT_FPS), frame_count(video)
    last: Tick | None = None
    while True:
        failed, begin = 0, time.monotonic()
        number = last.number + 1 if last else 0
        patience = FEWEST_FAILURES + min(max(0, promised - number), MOST_FAILURES)
        while (picture := read_next(video)) is None:
            failed += 1
            is_late = isinstance(target, str) and time.monotonic() - begin > PATIENCE
            if failed > patience or is_late:
                return
        last = next_tick(last, video.get(cv2.CAP_PROP_POS_MSEC) / 1000, failed, period)
        yield SourceFrame(last.number, last.time, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))


def _advice(target: Path | str) -> str:
    """Advice about a video without a frame that can be decoded."""
    code = codec_of(target)
    if not code:
        return "is it a video, and is it complete?"
    command = f"ffmpeg -i {shlex.quote(name_of(target))} -c:v libx264 converted.mp4"
    codec = CODECS.get(code.lower(), code)
    return f"this build of OpenCV lacks its codec, {codec}, or the file is damaged; try {command}"


@contextmanager
def _closing(video: cv2.VideoCapture) -> Iterator[cv2.VideoCapture]:
    try:
        yield video
    finally:
        video.release()
