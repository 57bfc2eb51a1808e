"""A trained detector on anyone's video: `load(workdir)` and `stream(source)`."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from jaxtyping import Float, Int32, UInt8
from numpy import ndarray

from lsts_jax.config import Config
from lsts_jax.config_io import load_saved_config
from lsts_jax.data.transforms import resize_scale, to_frame
from lsts_jax.data.video_io import open_source
from lsts_jax.evaluation.runner import frame_detections
from lsts_jax.models.resnet import STRIDE
from lsts_jax.streaming import VideoDetector
from lsts_jax.training.checkpoints import load_detector
from lsts_jax.viz import draw_detections

# Frames a second of sources that do not tell, such as folders of pictures.
DEFAULT_FPS = 25.0


class Result(NamedTuple):
    """What was found in a frame, in falling score and in the pixels of the source."""

    frame_index: int  # position in the source, frames that could not be read counted
    time: float  # seconds since the first frame
    image: UInt8[ndarray, "H W 3"]  # RGB
    boxes: Float[ndarray, "d 4"]  # x1, y1, x2, y2, corners inclusive
    scores: Float[ndarray, "d"]
    classes: Int32[ndarray, "d"]  # 1..N
    class_names: tuple[str, ...]

    def plot(self, *, score_threshold: float = 0.5) -> UInt8[ndarray, "H W 3"]:
        """The picture with the detections drawn on it."""
        return draw_detections(
            self.image,
            self.boxes,
            self.classes,
            self.scores,
            self.class_names,
            score_threshold=score_threshold,
        )


class LoadedDetector:
    """A detector with its weights, ready for any number of videos of any size."""

    def __init__(self, config: Config, video_detector: VideoDetector, step: int):
        self.config, self.step = config, step
        self.class_names = config.data.class_names
        self._video_detector = video_detector

    def stream(self, source: str | Path) -> Iterator[Result]:
        """Detections in each frame of a video file or a folder of pictures.

        All of a video is treated as one: the memory runs from its first frame to its last. Results come a
        segment or two after the frame was read.

        Raises:
          UserError: the source cannot be opened or is empty.
        """
        video = open_source(source)
        waiting: deque[tuple[int, ndarray]] = deque()

        def frames():
            canvas = None
            for index, image in video:
                canvas = canvas or tight_canvas(image.shape[:2], self.config)
                waiting.append((index, image))
                yield to_frame(image, replace(self.config.data, canvases=(canvas,)), canvas)

        for found in self._video_detector.stream(frames()):
            index, image = waiting.popleft()
            kept = frame_detections(index, found, index / (video.fps or DEFAULT_FPS))
            yield Result(index, kept.time, image, kept.boxes, kept.scores, kept.classes, self.class_names)


def load(workdir: str | Path, checkpoint: str = "latest") -> LoadedDetector:
    """The detector that `train.py` left in a folder.

    Args:
      checkpoint: latest, best (by mAP during training), or a step.

    Raises:
      UserError: the folder holds no run, or no such checkpoint.
    """
    config = load_saved_config(Path(workdir) / "config.json")
    detector, variables, step = load_detector(config, Path(workdir), checkpoint)
    video_detector = VideoDetector(
        detector,
        variables,
        interval=config.model.keyframe_interval,
        schedule=config.model.schedule,
        frames_per_batch=config.evaluation.frames_per_batch,
    )
    return LoadedDetector(config, video_detector, step)


def tight_canvas(size: tuple[int, int], config: Config) -> tuple[int, int]:
    """(height, width) in whole strides that hold a picture of `size`, once it is resized for the model."""
    scale = resize_scale(size, config.data.short_side, config.data.long_side)
    height, width = (-(-round(side * scale) // STRIDE) * STRIDE for side in size)
    return height, width
