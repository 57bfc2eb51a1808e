"""Evaluation of a data set: every listed frame, the official metric, the files that record both."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lsts_jax.config import Config
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, canvas_of
from lsts_jax.evaluation.detections import FrameDetections, join, text_writer
from lsts_jax.evaluation.vid_map import Annotations, vid_map
from lsts_jax.models.detector import Detector
from lsts_jax.streaming import READERS, VideoDetector, read_ahead
from lsts_jax.structs import Detections, Frame


def evaluate(
    detector: Detector, variables: dict, config: Config, dataset: VideoDataset, folder: Path
) -> dict:
    """Detect on all samples of a data set and score them.

    Args:
      dataset: the frames of a video that its lists name are taken in order as one video.
      folder: metrics.json and detections.txt are written there.

    Returns:
      The content of metrics.json: mAP and AP by class as fractions of 1, frames, seconds and fps (the whole
      of it: decoding, detection, post-processing; compilation, once a canvas, is left out).
    """
    folder.mkdir(parents=True, exist_ok=True)
    video_detector = VideoDetector(
        detector,
        variables,
        interval=config.model.keyframe_interval,
        schedule=config.model.schedule,
        frames_per_batch=config.evaluation.frames_per_batch,
    )
    videos = _by_canvas(dataset, config)
    found, seconds = [], 0.0
    with (
        text_writer(folder / "detections.txt") as write,
        tqdm(total=len(set(dataset.samples)), unit="frame", desc="evaluate", dynamic_ncols=True) as bar,
    ):
        for group in videos.values():
            _compile(video_detector, config, dataset, group[0])
            begin = time.perf_counter()
            for detections in _detect(video_detector, config, dataset, group):
                write(detections)
                found.append(detections)
                bar.update()
            seconds += time.perf_counter() - begin
    scored = vid_map(annotations_of(dataset), join(found), dataset.class_names)
    metrics = {
        "mAP": scored.mAP,
        "AP": scored.AP,
        "frames": len(found),
        "seconds": seconds,
        "fps": len(found) / seconds,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    return metrics


def table(metrics: dict) -> str:
    """AP by class as lines of text, in percent."""
    width = max(len(name) for name in [*metrics["AP"], "mAP"])
    rows = [f"{name:<{width}}  {100 * value:5.1f}" for name, value in metrics["AP"].items()]
    return "\n".join([*rows, "-" * (width + 7), f"{'mAP':<{width}}  {100 * metrics['mAP']:5.1f}"])


def annotations_of(dataset: VideoDataset) -> Annotations:
    """What is annotated in all samples, in the form that the metric takes."""
    frames, classes, boxes, ignored = [], [], [], []
    for video, t in dict.fromkeys(dataset.samples):
        objects = dataset.objects(video, t)
        frames.append(np.full(len(objects.boxes), dataset.global_id(video, t) - 1, np.int32))
        classes.append(objects.classes)
        boxes.append(objects.boxes)
        ignored.append(objects.ignored)
    return Annotations(*(np.concatenate(x) for x in (frames, classes, boxes, ignored)))


class _Listed(NamedTuple):
    """A video of the lists, and its listed frames in order."""

    video: int
    times: list[int]


def _by_canvas(dataset: VideoDataset, config: Config) -> dict[Size, list[_Listed]]:
    """Each video of the lists once, by the canvas of its first frame."""
    times: dict[int, set[int]] = {}
    for video, t in dataset.samples:
        times.setdefault(video, set()).add(t)
    groups: dict[Size, list[_Listed]] = {}
    for video, listed in times.items():
        listed = sorted(listed)
        size = dataset.objects(video, listed[0]).size or dataset.frame(video, listed[0]).shape[:2]
        groups.setdefault(canvas_of(size, config.data), []).append(_Listed(video, listed))
    return groups


def _compile(detector: VideoDetector, config: Config, dataset: VideoDataset, listed: _Listed) -> None:
    frame = read_frame(dataset, listed.video, listed.times[0], config.data)
    list(detector.stream_many([[frame]], videos_per_batch=config.evaluation.videos_per_batch))


def _detect(
    detector: VideoDetector, config: Config, dataset: VideoDataset, group: list[_Listed]
) -> Iterator[FrameDetections]:
    prepare_threads()
    with ThreadPoolExecutor(READERS) as pool:

        def frames(listed: _Listed) -> Iterator[Frame]:
            return read_ahead(pool, lambda t: read_frame(dataset, listed.video, t, config.data), listed.times)

        ids = [iter(dataset.global_id(listed.video, t) for t in listed.times) for listed in group]
        lanes = config.evaluation.videos_per_batch
        for position, found in detector.stream_many(map(frames, group), videos_per_batch=lanes):
            yield frame_detections(next(ids[position]) - 1, found)


def frame_detections(frame: int, found: Detections, time: float = 0.0) -> FrameDetections:
    """The valid detections of a frame."""
    valid = found.valid
    return FrameDetections(frame, found.classes[valid], found.scores[valid], found.boxes[valid], time)
