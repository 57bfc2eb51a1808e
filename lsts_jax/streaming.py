"""The host's side of `video.py`: cut a stream of frames into segments and keep the device fed.

Segments are dispatched ahead: while the device computes one, the next is read and the one before is
fetched. Detections come back in the order of the frames.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from lsts_jax.models.detector import Detector
from lsts_jax.structs import Detections, Frame, Memory
from lsts_jax.video import detect_video, empty_memory, keyframe_of

T, U = TypeVar("T"), TypeVar("U")

# Threads that decode and resize; OpenCV lets go of the interpreter's lock.
READERS = 4
# Frames that may be read before they are asked for.
READ_AHEAD = 32
# Calls that may be under way on the device before the oldest result is waited for.
IN_FLIGHT = 2


class VideoDetector:
    """A detector bound to its parameters and schedule, compiled once a canvas."""

    def __init__(
        self,
        detector: Detector,
        variables: dict,
        *,
        interval: int,
        schedule: str,
        frames_per_batch: int = 1,
    ):
        """Args: interval frames a segment, schedule `online` or `offline`, frames_per_batch see
        `detect_video`."""
        self.detector, self.variables = detector, variables
        self.interval, self.schedule = interval, schedule
        self._detect = jax.jit(partial(detect_video, detector, frames_per_batch=frames_per_batch))

    def stream(self, frames: Iterable[Frame]) -> Iterator[Detections]:
        """Detections (NumPy arrays) of each frame of one video; all frames share one canvas."""
        frames = iter(frames)
        under_way: deque[tuple[int, Detections]] = deque()
        memory, first = None, True
        while segment := list(islice(frames, self.interval)):
            if memory is None:
                memory = empty_memory(self.detector, self.variables, segment[0])
            memory, found = self._segment(memory, segment, first)
            first = False
            under_way.append((len(segment), found))
            if len(under_way) > IN_FLIGHT:
                yield from _fetch(*under_way.popleft())
        while under_way:
            yield from _fetch(*under_way.popleft())

    def _segment(self, memory: Memory, frames: list[Frame], first: bool) -> tuple[Memory, Detections]:
        keyframe = keyframe_of(self.schedule, len(frames), self.interval)
        # A short last segment is filled up, so that one program serves the whole video.
        filled = frames + [frames[keyframe]] * (self.interval - len(frames))
        stacked = jax.tree.map(lambda *x: np.stack(x)[None], *filled)
        memory, found = self._detect(
            self.variables, memory, stacked, jnp.array([keyframe], jnp.int32), jnp.array([first])
        )
        return memory, found


def _fetch(count: int, found: Detections) -> Iterator[Detections]:
    found = jax.device_get(found)
    for t in range(count):
        yield jax.tree.map(lambda x, t=t: x[0, t], found)


def read_ahead(read: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """`map(read, items)` in threads that keep at most READ_AHEAD results ready."""
    items = iter(items)
    with ThreadPoolExecutor(READERS) as pool:
        waiting = deque(pool.submit(read, item) for item in islice(items, READ_AHEAD))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(read, item) for item in islice(items, 1))
        finally:
            for future in waiting:
                future.cancel()
