"""Streaming of frames through the detector, with loading and detection overlapped.

Threads read and resize pictures (`read_ahead`); frames are cut into segments for `video.py`. One
segment of every video in the batch is dispatched to the device without waiting, and its detections
are fetched while later segments are computed. All computed detections are yielded while a source
pauses, and before an exception of a source is raised. `LiveDetector` instead detects every frame
before it takes the next.

If the temporal method has a delay of `delay` frames, the last frame of a video is repeated `delay`
times and the first `delay` detections are dropped: for every method the n-th detections belong to
the n-th frame.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from math import gcd
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from lsts_jax.ahead import Ahead, repeat_last, until_failure
from lsts_jax.compiling import (
    cache_by_detector,
    frames_at_once,
    jit_inference,
    on_gpu,
    release_memory,
    videos_at_once,
)
from lsts_jax.models.detector import Detector
from lsts_jax.models.inference import prepare
from lsts_jax.structs import Detections, Frame
from lsts_jax.video import detect_video, empty_memory, events, keyframe_of, on_any_frame

# Threads that decode and resize; OpenCV releases the interpreter's lock.
READERS = 4
# Dispatched calls before the oldest result is waited for.
IN_FLIGHT = 2
# Seconds between polls for finished results while a source has no frames.
POLL = 0.01


class _Segment(NamedTuple):
    """Frames of a video that are computed together."""

    frames: list[Frame]
    skipped: int  # first detections, which lie before the first frame of the video


class _Lane(NamedTuple):
    """A row of the batch of videos, and the video that occupies it."""

    video: int
    segments: Ahead[_Segment]


# Owners of the detections of a call, and the detections.
_UnderWay = tuple[list[tuple[int, range] | None], Detections]


class VideoDetector:
    """A detector bound to its parameters and schedule, compiled once per canvas and number of videos."""

    def __init__(
        self,
        detector: Detector,
        variables: dict,
        *,
        interval: int,
        schedule: str,
        frames_per_batch: int = 0,
    ):
        """Args:
        interval: frames in a segment.
        schedule: `online` or `offline`.
        frames_per_batch: see `detect_video`; 0: the platform's default."""
        self.detector, self.variables = detector, prepare(detector, variables, for_gpu=on_gpu())
        release_memory()
        self.interval, self.schedule = detector.temporal.interval(interval), schedule
        self._frames_per_batch = frames_at_once(frames_per_batch)
        self._places: NamedSharding | None = None

    def stream(self, frames: Iterable[Frame]) -> Generator[Detections, None, None]:
        """Yields detections (NumPy arrays) for every frame of one video; all frames have the same
        canvas."""
        return (found for _, found in self.stream_many([frames], videos_per_batch=1))

    def stream_many(
        self, videos: Iterable[Iterable[Frame]], *, videos_per_batch: int
    ) -> Iterator[tuple[int, Detections]]:
        """Yields pairs (index of the video, detections of its next frame) for many videos on one
        canvas.

        `videos_per_batch` videos (0: the platform's default) advance in lockstep, one segment at a
        time; when a video ends, the next takes its row of the batch. Frames of one video come in
        order and are interleaved with those of other videos. The videos are divided among as many
        of this process's devices as divide `videos_per_batch` evenly; the devices do not
        communicate.
        """
        under_way: deque[_UnderWay] = deque()
        lanes: list[_Lane | None] = [None] * videos_at_once(videos_per_batch)
        try:
            yield from self._compute(iter(enumerate(videos)), lanes, under_way)
        except Exception:
            while under_way:
                yield from _fetch(*under_way.popleft())
            raise
        finally:
            for lane in filter(None, lanes):
                lane.segments.close()
        while under_way:
            yield from _fetch(*under_way.popleft())

    def _compute(
        self,
        waiting: Iterator[tuple[int, Iterable[Frame]]],
        lanes: list[_Lane | None],
        under_way: deque[_UnderWay],
    ) -> Iterator[tuple[int, Detections]]:
        """Dispatches all segments, and yields detections as soon as their segments are done."""
        memory = None
        while True:
            segments, owners, first = [], [], []
            for place, lane in enumerate(lanes):
                if lane:
                    yield from _meanwhile(lane.segments, under_way)
                segment = next(lane.segments, None) if lane else None
                first.append(segment is None)
                while segment is None and (opened := next(waiting, None)):
                    lanes[place] = lane = _Lane(opened[0], Ahead(self._cut(opened[1]), 1))
                    yield from _meanwhile(lane.segments, under_way)
                    segment = next(lane.segments, None)
                lanes[place] = lane = lane if segment else None
                segments.append(segment and segment.frames)
                shown = segment and range(segment.skipped, len(segment.frames))
                owners.append((lane.video, shown) if lane else None)
            if not any(segments):
                return
            # an idle row repeats another row's segment, and its result is dropped
            some = next(filter(None, segments))
            memory, found = self._dispatch(memory, [frames or some for frames in segments], first)
            under_way.append((owners, found))
            if len(under_way) > IN_FLIGHT:
                yield from _fetch(*under_way.popleft())

    def _cut(self, frames: Iterable[Frame]) -> Iterator[_Segment]:
        """Cuts frames into segments. An exception of `frames` is raised after the segment with the
        frames before it."""
        delay, failure = self.detector.temporal.delay, []
        frames, waiting = repeat_last(until_failure(frames, failure), delay), delay
        while segment := list(islice(frames, self.interval)):
            skipped = min(waiting, len(segment))
            waiting -= skipped
            yield _Segment(segment, skipped)
        if failure:
            raise failure[0]

    def _dispatch(
        self, memory: PyTree | None, segments: list[list[Frame]], first: list[bool]
    ) -> tuple[PyTree, Detections]:
        """Starts the computation of one segment of every video."""
        keyframes = [keyframe_of(self.schedule, len(frames), self.interval) for frames in segments]
        # A short last segment is filled up, so that one program suffices for the whole video.
        filled = [
            frames + [frames[key]] * (self.interval - len(frames))
            for frames, key in zip(segments, keyframes, strict=True)
        ]
        shape = (len(segments), 1, self.interval)
        batch = jax.tree.map(  # [V 1 T ...] with one copy
            lambda *x: np.stack(x).reshape(*shape, *np.shape(x[0])), *chain.from_iterable(filled)
        )
        if memory is None:
            one = empty_memory(self.detector, self.variables, segments[0][0])
            memory = jax.tree.map(lambda x: jnp.zeros((len(segments), *x.shape), x.dtype), one)
        program = self._program(len(segments))
        schedule = np.array(keyframes, np.int32)[:, None], np.array(first)[:, None]
        memory, found = program(self.variables, memory, batch, *schedule)
        jax.tree.map(lambda x: x.copy_to_host_async(), found)
        return memory, found

    def _program(self, videos: int) -> Callable:
        """Program that detects one segment of every video, spread over devices."""
        program, places = _spread(self.detector, self._frames_per_batch, videos)
        if places != self._places:
            self.variables, self._places = jax.device_put(self.variables, places), places
        return program


@cache_by_detector
def _spread(detector: Detector, frames_per_batch: int, videos: int) -> tuple[Callable, NamedSharding]:
    """The program for a number of videos, and the sharding of its variables."""
    count = gcd(videos, jax.local_device_count())
    mesh = jax.make_mesh((count,), ("videos",), (AxisType.Auto,), devices=jax.local_devices()[:count])
    whole, by_video = NamedSharding(mesh, P()), NamedSharding(mesh, P("videos"))
    one = partial(detect_video, detector, frames_per_batch=frames_per_batch)
    # `vmap` would compute both branches of an adaptive method's decision for every frame
    adaptive = detector.temporal.adaptive
    many = lambda variables, *rows: lax.map(lambda row: one(variables, *row), rows)
    spread = jax.shard_map(
        many if adaptive else jax.vmap(one, in_axes=(None, 0, 0, 0, 0)),
        mesh=mesh,
        in_specs=(P(), *4 * (P("videos"),)),
        out_specs=P("videos"),
        check_vma=False,
    )
    places = {"in_shardings": (whole, *4 * (by_video,)), "out_shardings": by_video}
    return jit_inference(spread, donate_argnums=1, **places), whole


@cache_by_detector
def _jitted_events(detector: Detector) -> list[Callable]:
    """Jitted start, on_keyframe, on_frame and on_any_frame. on_keyframe and on_any_frame overwrite
    the memory."""
    start, on_keyframe, on_frame = events(detector)
    overwriting = partial(jit_inference, donate_argnums=1)
    return [
        jit_inference(start),
        overwriting(on_keyframe),
        jit_inference(on_frame),
        overwriting(partial(on_any_frame, detector)),
    ]


def _fetch(owners: list[tuple[int, range] | None], found: Detections) -> Iterator[tuple[int, Detections]]:
    found = jax.device_get(found)
    for place, owner in enumerate(owners):
        video, times = owner or (0, ())
        for t in times:
            yield video, jax.tree.map(lambda x, place=place, t=t: x[place, 0, t], found)


def _meanwhile(segments: Ahead[_Segment], under_way: deque[_UnderWay]) -> Iterator[tuple[int, Detections]]:
    """Yields detections that are computed before the next segment is ready."""
    while under_way and not segments.is_ready(POLL):
        if all(array.is_ready() for array in jax.tree.leaves(under_way[0][1])):
            yield from _fetch(*under_way.popleft())


class LiveDetector:
    """Detects every frame before the next frame arrives, on the online schedule."""

    def __init__(self, detector: Detector, variables: dict, *, interval: int, prepared: bool = False):
        """Args:
        interval: frames in a segment.
        prepared: True if `inference.prepare` made the variables."""
        self._events = _jitted_events(detector)
        self._variables = variables if prepared else prepare(detector, variables, for_gpu=on_gpu())
        release_memory()
        self._interval = detector.temporal.interval(interval)
        self.delay = detector.temporal.delay
        self._adaptive = detector.temporal.adaptive
        self.restart()

    def restart(self) -> None:
        """Ends the video: the next frame is the first of another video."""
        self._memory, self._last, self._seen = None, None, 0

    def detect(self, frame: Frame) -> Detections | None:
        """Returns the detections (NumPy arrays) of the frame `delay` calls before; None in the
        first `delay` calls.

        All frames of a video have the same canvas. The calls with the first keyframe, the second
        keyframe and the first other frame include compilation.
        """
        start, on_keyframe, on_frame, on_any_frame = self._events
        if self._seen and self._adaptive:
            self._memory, found = on_any_frame(self._variables, self._memory, frame)
        elif self._seen % self._interval:
            found = on_frame(self._variables, self._memory, frame)
        elif self._seen:
            self._memory, found = on_keyframe(self._variables, self._memory, frame)
        else:
            self._memory, found = start(self._variables, frame)
        self._seen += 1
        self._last = frame
        return jax.device_get(found) if self._seen > self.delay else None

    def flush(self) -> list[Detections]:
        """Ends the video and returns the detections of its last `delay` frames."""
        last = self._last
        found = [self.detect(last) for _ in range(self.delay)] if last is not None else []
        self.restart()
        return [each for each in found if each is not None]
