"""A trained detector on any video: `load(name)`, then `stream(source)`, `live()` for a camera, or
`detect(picture)`."""

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int32, UInt8
from numpy import ndarray

from lsts_jax.ahead import read_ahead
from lsts_jax.config import Config
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, resized, to_frame
from lsts_jax.data.video.source import DEFAULT_FPS, SourceFrame, VideoSource
from lsts_jax.data.video.video_io import open_source
from lsts_jax.evaluation.runner import frame_detections
from lsts_jax.models.detector import Detector
from lsts_jax.streaming import READERS, LiveDetector, VideoDetector
from lsts_jax.structs import STRIDE, Detections, Frame
from lsts_jax.training.pretrained.published import load_trained
from lsts_jax.viz import draw_detections


class Result(NamedTuple):
    """Detections in a frame, in falling score and in pixels of the source."""

    frame_index: int  # position in the source, frames that could not be read counted
    time: float  # seconds since the first frame, by the source
    image: UInt8[ndarray, "H W 3"]  # RGB
    boxes: Float[ndarray, "d 4"]  # x1, y1, x2, y2, corners inclusive
    scores: Float[ndarray, "d"]
    classes: Int32[ndarray, "d"]  # 1..N
    class_names: tuple[str, ...]
    latency: float  # seconds from the decoded picture to its detections; a stream waits for its segment
    track_ids: Int32[ndarray, "d"] | None = None  # 1.., -1: no track; None: not asked for (`tracks.link`)
    file_name: str | None = None  # of the picture file; None for frames of a video

    def only(self, names: str | Collection[str]) -> "Result":
        """The result with the detections of the named class or classes only."""
        names = (names,) if isinstance(names, str) else names
        kept = np.array([self.class_names[number - 1] in names for number in self.classes], bool)
        tracks = None if self.track_ids is None else self.track_ids[kept]
        return self._replace(
            boxes=self.boxes[kept], scores=self.scores[kept], classes=self.classes[kept], track_ids=tracks
        )

    def plot(self, *, score_threshold: float = 0.5) -> UInt8[ndarray, "H W 3"]:
        """The picture with the detections drawn on it."""
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
        """Frames from one keyframe to the next."""
        self._video_detector = VideoDetector(
            detector,
            variables,
            interval=config.model.keyframe_interval,
            schedule=config.model.schedule,
            frames_per_batch=config.evaluation.frames_per_batch,
        )

    def stream(self, source: str | Path | VideoSource, *, live: bool = False) -> Iterator[Result]:
        """Detections in each frame of what `open_source` opens: a video file, a folder of pictures, a camera.

        All of a video is treated as one: the memory runs from its first frame to its last, and starts anew
        where the frames change their size, as pictures of a folder may. Reading, resizing and detecting run
        side by side: some 32 frames and three segments are read before the first result, unless the source
        pauses. Then the results of all whole segments are given, and before an exception of the source those
        of all its frames. `live`: each frame is detected before the next is read, on the online schedule;
        cameras and streams always are.

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
        """Detections in a single RGB picture, without memory; compiled once per canvas; thread-safe."""
        live = self.live()
        return live(image) or live.flush()[0]

    def live(self) -> "Live":
        """Live detection, picture by picture, as from a camera; causal (online schedule)."""
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
    """Clock without the seconds in which the caller holds a result."""

    def __init__(self):
        self._state = 0.0, None  # seconds without count, and since when there is none

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
    """A video that comes picture by picture: `result = live(image)`, `image` RGB [H W 3].

    A picture of another size opens a new video. Where the temporal method lags behind by some frames, the
    result is that of the frame so many before, None for the first pictures, and `flush` gives the rest.
    """

    def __init__(self, loaded: LoadedDetector):
        self._loaded, self._size, self._index = loaded, None, 0
        self._waiting: deque[tuple[SourceFrame, float]] = deque()
        self._detector = LiveDetector(
            loaded.detector, loaded.variables, interval=loaded.config.model.keyframe_interval
        )

    def restart(self) -> None:
        """Start a new video with the next picture."""
        self._size, self._index = None, 0
        self._waiting.clear()

    def flush(self) -> list[Result]:
        """Remaining results of delayed pictures; ends the video."""
        results = [self._result(found) for found in self._detector.flush()]
        self.restart()
        return results

    def __call__(self, image: UInt8[ndarray, "H W 3"]) -> Result | None:
        """Detections in the next picture; its time is that of a video at 25 frames per second."""
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


def load(
    name: str | Path, checkpoint: str = "latest", *, schedule: Literal["online", "offline"] | None = None
) -> LoadedDetector:
    """A trained detector.

    Args:
      name: "synthvid-demo", which comes with the package; the folder of a run of `lsts train`, or of a
        detector that `lsts publish` wrote; or `hf://ORG/NAME`, such a folder on the Hugging Face hub
        (`hf://ORG/NAME/FILE`: a `.safetensors` of it).
      checkpoint: of a run: latest, best (by mAP during training), or a step.
      schedule: instead of the config's `model.schedule`.

    Raises:
      UserError: there is no detector of that name, or no such checkpoint.
    """
    config, detector, variables, step = load_trained(name, checkpoint)
    if schedule:
        config = replace(config, model=replace(config.model, schedule=schedule))
    return LoadedDetector(config, detector, variables, step)


def tight_canvas(size: Size, config: Config) -> Size:
    """(height, width) in whole strides that hold a picture of `size`, once it is resized for the model."""
    height, width = (-(-side // STRIDE) * STRIDE for side in resized(size, config.data)[1])
    return height, width
