"""A trained detector for any video: `load(name)`, then `stream(source)`, `live()` for a camera, or
`detect(picture)`."""

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
from jaxtyping import Float, Int32, UInt8
from numpy import ndarray

from lsts_jax.ahead import read_ahead
from lsts_jax.config import Config, Schedule
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, resized, to_frame
from lsts_jax.data.video.source import DEFAULT_FPS, SourceFrame, VideoSource
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from lsts_jax.evaluation.runner import frame_detections
from lsts_jax.models.detector import Detector
from lsts_jax.streaming import READERS, LiveDetector, VideoDetector
from lsts_jax.structs import STRIDE, Detections, Frame
from lsts_jax.training.pretrained.published import load_trained
from lsts_jax.viz import draw_detections


class Result(NamedTuple):
    """Detections in a frame, in falling score, in pixels of the source."""

    frame_index: int
    """Position in the source; unreadable frames count."""
    time: float
    """Seconds since the first frame, from the source's timestamps."""
    image: UInt8[ndarray, "H W 3"]
    """The picture, RGB."""
    boxes: Float[ndarray, "d 4"]
    """Corners (x1, y1, x2, y2), inclusive."""
    scores: Float[ndarray, "d"]
    """Probability of the class."""
    classes: Int32[ndarray, "d"]
    """1..N; class c is `class_names[c - 1]`."""
    class_names: tuple[str, ...]
    """Names of all classes of the detector."""
    latency: float
    """Seconds from the decoded picture to its detections, including the wait for its segment."""
    track_ids: Int32[ndarray, "d"] | None = None
    """From 1; -1: no track. None unless `tracks.link` linked the results."""
    file_name: str | None = None
    """Name of the picture file; None for frames of a video."""

    def only(self, names: str | Collection[str]) -> "Result":
        """Returns the result with only the detections of the named class or classes."""
        names = (names,) if isinstance(names, str) else names
        kept = np.array([self.class_names[number - 1] in names for number in self.classes], bool)
        tracks = None if self.track_ids is None else self.track_ids[kept]
        return self._replace(
            boxes=self.boxes[kept], scores=self.scores[kept], classes=self.classes[kept], track_ids=tracks
        )

    def plot(self, *, score_threshold: float = 0.5) -> UInt8[ndarray, "H W 3"]:
        """Returns a copy of the picture with the detections drawn on it."""
        return draw_detections(
            self.image,
            self.boxes,
            self.classes,
            self.scores,
            self.class_names,
            score_threshold=score_threshold,
            track_ids=self.track_ids,
        )


class LoadedDetector:
    """A detector with its weights, ready for any number of videos of any size."""

    def __init__(self, config: Config, detector: Detector, variables: dict, step: int):
        self.config, self.detector, self.variables, self.step = config, detector, variables, step
        self.class_names = config.data.class_names
        self.interval = detector.temporal.interval(config.model.keyframe_interval)
        """Number of frames from one keyframe to the next."""
        self.delay = detector.temporal.delay
        """Number of frames by which the detections of live video lag."""
        self._video_detector = VideoDetector(
            detector,
            variables,
            interval=config.model.keyframe_interval,
            schedule=config.model.schedule,
            frames_per_batch=config.evaluation.frames_per_batch,
        )

    def stream(self, source: str | Path | VideoSource, *, live: bool = False) -> Iterator[Result]:
        """Yields the results of a video frame by frame.

        The memory runs from the first frame to the last and restarts where the frame size changes,
        as in a folder of pictures. Reading, resizing and detection overlap: about 32 frames and
        three segments are read before the first result. The results of all complete segments are
        yielded while the source pauses, and before an exception of the source is raised.

        Args:
          source: a file, folder, camera or stream, as in `open_source`.
          live: detect every frame before the next is read, on the online schedule. Always true for
            cameras and streams.

        Raises:
          UserError: the source cannot be opened or is empty.
        """
        video = source if isinstance(source, VideoSource) else open_source(source)
        if live or video.is_live:
            yield from self._one_by_one(video)
            return
        waiting: deque[tuple[SourceFrame, float]] = deque()
        clock = _Clock()

        def prepare(item: SourceFrame) -> tuple[SourceFrame, float, Frame]:
            canvas = tight_canvas(item.picture.shape[:2], self.config)
            return item, clock.seconds(), self._prepare(item.picture, canvas)

        def frames(prepared: Iterable[tuple[SourceFrame, float, Frame]]) -> Iterator[Frame]:
            for item, begin, frame in prepared:
                waiting.append((item, begin))
                yield frame

        prepare_threads()
        with ThreadPoolExecutor(READERS) as pool, closing(read_ahead(pool, prepare, video)) as prepared:
            for _, same in groupby(prepared, lambda about: about[0].picture.shape):
                with closing(self._video_detector.stream(frames(same))) as detections:
                    for found in detections:
                        item, begin = waiting.popleft()
                        result = self._result(item, found, clock.seconds() - begin)
                        with clock.stopped():
                            yield result

    def detect(self, image: UInt8[ndarray, "H W 3"]) -> Result:
        """Detects in a single RGB picture, without memory. Compiled once per canvas; thread-safe."""
        live = self.live()
        return live(image) or live.flush()[0]

    def live(self) -> "Live":
        """Returns a detector for pictures that arrive one by one, as from a camera; it uses the
        online schedule."""
        return Live(self)

    def _one_by_one(self, video: VideoSource) -> Iterator[Result]:
        live, waiting, last = self.live(), deque(), None

        def named(results: Iterable[Result]) -> Iterator[Result]:
            for result in results:
                item = waiting.popleft()
                yield result._replace(frame_index=item.number, time=item.time, file_name=item.name)

        for item in video:
            if last is not None and item.picture.shape != last.picture.shape:
                yield from named(live.flush())
            waiting.append(item)
            result = live(item.picture)
            yield from named([result] if result else [])
            last = item
        yield from named(live.flush())

    def _prepare(self, image: UInt8[ndarray, "H W 3"], canvas: Size) -> Frame:
        return to_frame(image, replace(self.config.data, canvases=(canvas,)), canvas)

    def _result(self, item: SourceFrame, found: Detections, latency: float) -> Result:
        kept = frame_detections(item.number, found, item.time)
        detections = kept.boxes, kept.scores, kept.classes, self.class_names
        return Result(item.number, item.time, item.picture, *detections, latency, None, item.name)


class _Clock:
    """Clock that stands still while the caller holds a result."""

    def __init__(self):
        self._state = 0.0, None  # seconds stopped so far; start of the current stop

    def seconds(self) -> float:
        stopped, since = self._state
        return (time.perf_counter() if since is None else since) - stopped

    @contextmanager
    def stopped(self) -> Iterator[None]:
        (stopped, _), begin = self._state, time.perf_counter()
        self._state = stopped, begin
        yield
        self._state = stopped + time.perf_counter() - begin, None


class Live:
    """Detector for pictures that arrive one by one: `result = live(image)` with `image` RGB [H W
    3].

    A picture of another size starts a new video. If the temporal method has a delay of n frames,
    the first n calls return None, later calls return the result of the picture n calls before, and
    `flush` returns the last n results.
    """

    def __init__(self, loaded: LoadedDetector):
        self._loaded, self._size, self._index = loaded, None, 0
        self._waiting: deque[tuple[SourceFrame, float]] = deque()
        self._detector = LiveDetector(
            loaded.detector,
            loaded._video_detector.variables,
            interval=loaded.config.model.keyframe_interval,
            prepared=True,
        )

    def restart(self) -> None:
        """Starts a new video with the next picture."""
        self._size, self._index = None, 0
        self._waiting.clear()

    def flush(self) -> list[Result]:
        """Ends the video and returns the results that are still delayed."""
        results = [self._result(found) for found in self._detector.flush()]
        self.restart()
        return results

    def __call__(self, image: UInt8[ndarray, "H W 3"]) -> Result | None:
        """Detections in the next picture (see the class for delays). `time` assumes 25 frames per second.

        Raises `UserError` if the picture is not RGB pixels of 8 bits.
        """
        require_rgb(image)
        begin, size = time.perf_counter(), image.shape[:2]
        if size != self._size:
            self.restart()
            self._detector.restart()
            self._size = size
        self._waiting.append((SourceFrame(self._index, self._index / DEFAULT_FPS, image), begin))
        self._index += 1
        canvas = tight_canvas(size, self._loaded.config)
        found = self._detector.detect(self._loaded._prepare(image, canvas))
        return None if found is None else self._result(found)

    def _result(self, found: Detections) -> Result:
        item, begin = self._waiting.popleft()
        return self._loaded._result(item, found, time.perf_counter() - begin)


def load(name: str | Path, checkpoint: str = "latest", *, schedule: Schedule | None = None) -> LoadedDetector:
    """Loads a trained detector.

    Args:
      name: "synthvid-s", which comes with the package; the folder of a run of `lsts train` or of a
        detector that `lsts publish` wrote; or such a folder on the Hugging Face hub,
        `hf://ORG/NAME` (`hf://ORG/NAME/FILE` for one `.safetensors` file of it).
      checkpoint: latest, best (by mAP during training), or a step. Only for a run.
      schedule: replaces the config's `model.schedule`.

    Raises:
      UserError: there is no detector of that name, no such checkpoint, or no such schedule.
    """
    if schedule not in (None, *get_args(Schedule)):
        raise UserError(f"schedule={schedule!r}: choose from {', '.join(get_args(Schedule))}")
    config, detector, variables, step = load_trained(name, checkpoint)
    if schedule:
        config = replace(config, model=replace(config.model, schedule=schedule))
    return LoadedDetector(config, detector, variables, step)


def require_rgb(image: ndarray) -> None:
    """Raises `UserError` if an array is not the pixels of an RGB picture. OpenCV would not resize it into the
    canvas, and nothing would be detected in the black picture that is left."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise UserError(f"a picture is {image.dtype} {image.shape}; give RGB pixels, uint8 [H, W, 3]")


def tight_canvas(size: Size, config: Config) -> Size:
    """Smallest canvas (height, width), in multiples of the stride, that holds a picture of `size`
    after resizing."""
    height, width = (-(-side // STRIDE) * STRIDE for side in resized(size, config.data)[1])
    return height, width
