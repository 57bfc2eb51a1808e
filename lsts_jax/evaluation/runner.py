"""Evaluation of a data set: every listed frame, the official metric, the files that record both."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from lsts_jax.config import Config
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.evaluation.detections import FrameDetections, join, text_writer
from lsts_jax.evaluation.vid_map import Annotations, vid_map
from lsts_jax.models.detector import Detector
from lsts_jax.streaming import VideoDetector, read_ahead
from lsts_jax.structs import Detections


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
    found, seconds = [], 0.0
    compiled = set()
    with (
        text_writer(folder / "detections.txt") as write,
        tqdm(total=len(dataset.samples), unit="frame", desc="evaluate", dynamic_ncols=True) as bar,
    ):
        for video, times in _by_video(dataset):
            frame = read_frame(dataset, video, times[0], config.data)
            if frame.pixels.shape not in compiled:
                compiled.add(frame.pixels.shape)
                list(video_detector.stream([frame]))
            begin = time.perf_counter()
            for detections in _detect(video_detector, config, dataset, video, times):
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
    for video, t in dataset.samples:
        objects = dataset.objects(video, t)
        frames.append(np.full(len(objects.boxes), dataset.global_id(video, t) - 1, np.int32))
        classes.append(objects.classes)
        boxes.append(objects.boxes)
        ignored.append(objects.ignored)
    return Annotations(*(np.concatenate(x) for x in (frames, classes, boxes, ignored)))


def _by_video(dataset: VideoDataset) -> Iterator[tuple[int, list[int]]]:
    """Each video of the lists once, with its listed frames in order."""
    videos: dict[int, list[int]] = {}
    for video, t in dataset.samples:
        videos.setdefault(video, []).append(t)
    return ((video, sorted(times)) for video, times in videos.items())


def _detect(
    detector: VideoDetector, config: Config, dataset: VideoDataset, video: int, times: list[int]
) -> Iterator[FrameDetections]:
    frames = read_ahead(lambda t: read_frame(dataset, video, t, config.data), times)
    for t, found in zip(times, detector.stream(frames), strict=True):
        yield frame_detections(dataset.global_id(video, t) - 1, found)


def frame_detections(frame: int, found: Detections, time: float = 0.0) -> FrameDetections:
    """The valid detections of a frame."""
    valid = found.valid
    return FrameDetections(frame, found.classes[valid], found.scores[valid], found.boxes[valid], time)
