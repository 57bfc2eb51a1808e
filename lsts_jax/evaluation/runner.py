"""Evaluation of a data set: every listed frame, the official metric, the files that record both."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.config import Config
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.data.motion import in_ranges, motion_iou
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, canvas_of
from lsts_jax.evaluation.detections import FrameDetections, join, text_writer
from lsts_jax.evaluation.store import VideoStore
from lsts_jax.evaluation.vid_map import Annotations, DetectionArrays, vid_map
from lsts_jax.models.detector import Detector
from lsts_jax.streaming import READERS, VideoDetector, read_ahead
from lsts_jax.structs import Detections, Frame


def evaluate(
    detector: Detector,
    variables: dict,
    config: Config,
    dataset: VideoDataset,
    folder: Path,
    *,
    step: int | None = None,
) -> dict:
    """Detect on all samples of a data set and score them.

    Args:
      dataset: the frames of a video that its lists name are taken in order as one video.
      folder: metrics.json and detections.txt are written there.
      step: of the checkpoint. With it, an evaluation that was killed is continued: finished videos of the
        same step and config are not detected again.

    Returns:
      The content of metrics.json: mAP, the same of slow, medium and fast objects, and AP by class as
      fractions of 1, frames, and fps with the frames and
      seconds that it was measured on (the whole of it: decoding, detection, post-processing; compilation,
      once a canvas, and videos that an earlier run finished are left out).
    """
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time() if step is None else None  # unlike any other
    key = {"step": step, "started": started, "config": asdict(config)}
    store = VideoStore(folder / "videos", json.loads(json.dumps(key)))
    frames, seconds = _detect_missing(detector, variables, config, dataset, store)
    videos = [store.read(video) for video in sorted({video for video, _ in dataset.samples})]
    with text_writer(folder / "detections.txt") as write:
        for one in chain(*map(_by_frame, videos)):
            write(one)
    found = DetectionArrays(*map(np.concatenate, zip(*videos, strict=True)))
    annotations, motion = annotations_of(dataset)
    scored = vid_map(annotations, found, dataset.class_names)
    by_motion = {
        name: vid_map(annotations, found, dataset.class_names, in_range=chosen).mAP
        for name, chosen in in_ranges(motion).items()
        if (chosen & ~annotations.ignored).any()
    }
    metrics = {
        "mAP": scored.mAP,
        "mAP by motion": by_motion,
        "AP": scored.AP,
        "frames": len(set(dataset.samples)),
        "measured_frames": frames,
        "seconds": seconds,
        "fps": frames / seconds if frames else None,
    }
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    store.remove()
    return metrics


def _detect_missing(
    detector: Detector, variables: dict, config: Config, dataset: VideoDataset, store: VideoStore
) -> tuple[int, float]:
    """Detect on the videos that are not in the store; gives their frames and the seconds that they took."""
    video_detector = VideoDetector(
        detector,
        variables,
        interval=config.model.keyframe_interval,
        schedule=config.model.schedule,
        frames_per_batch=config.evaluation.frames_per_batch,
    )
    frames, seconds = 0, 0.0
    with tqdm(total=len(set(dataset.samples)), unit="frame", desc="evaluate", dynamic_ncols=True) as bar:
        for group in _by_canvas(dataset, config).values():
            missing = [listed for listed in group if listed.video not in store]
            bar.update(sum(len(listed.times) for listed in group if listed.video in store))
            if not missing:
                continue
            _compile(video_detector, config, dataset, missing[0])
            begin = time.perf_counter()
            found: list[list[FrameDetections]] = [[] for _ in missing]
            for position, detections in _detect(video_detector, config, dataset, missing):
                found[position].append(detections)
                if len(found[position]) == len(missing[position].times):
                    store.write(missing[position].video, join(found[position]))
                    found[position] = []
                frames += 1
                bar.update()
            seconds += time.perf_counter() - begin
    return frames, seconds


def table(metrics: dict) -> str:
    """AP by class as lines of text, in percent."""
    width = max(len(name) for name in [*metrics["AP"], "  medium"])
    rows = [f"{name:<{width}}  {100 * value:5.1f}" for name, value in metrics["AP"].items()]
    means = {"mAP": metrics["mAP"]} | {f"  {k}": v for k, v in metrics["mAP by motion"].items()}
    rows += ["-" * (width + 7)] + [f"{name:<{width}}  {100 * value:5.1f}" for name, value in means.items()]
    return "\n".join(rows)


def annotations_of(dataset: VideoDataset) -> tuple[Annotations, Float[ndarray, "n"]]:
    """What is annotated in all samples, as the metric takes it, and the motion IoU of each object."""
    frames, classes, boxes, ignored, videos, times, tracks = ([] for _ in range(7))
    for video, t in dict.fromkeys(dataset.samples):
        objects = dataset.objects(video, t)
        count = len(objects.boxes)
        frames.append(np.full(count, dataset.global_id(video, t) - 1, np.int32))
        classes.append(objects.classes)
        boxes.append(objects.boxes)
        ignored.append(objects.ignored)
        videos.append(np.full(count, video, np.int32))
        times.append(np.full(count, t, np.int32))
        tracks.append(objects.track_ids)
    annotations = Annotations(*(np.concatenate(x) for x in (frames, classes, boxes, ignored)))
    videos, times, tracks = (np.concatenate(x) for x in (videos, times, tracks))
    motion = np.zeros(len(videos))
    for video in np.unique(videos):
        of_video = videos == video
        motion[of_video] = motion_iou(times[of_video], tracks[of_video], annotations.boxes[of_video])
    return annotations, motion


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
) -> Iterator[tuple[int, FrameDetections]]:
    """Place in the group and detections of every frame."""
    prepare_threads()
    with ThreadPoolExecutor(READERS) as pool:

        def frames(listed: _Listed) -> Iterator[Frame]:
            return read_ahead(pool, lambda t: read_frame(dataset, listed.video, t, config.data), listed.times)

        ids = [iter([dataset.global_id(listed.video, t) for t in listed.times]) for listed in group]
        lanes = config.evaluation.videos_per_batch
        for position, found in detector.stream_many(map(frames, group), videos_per_batch=lanes):
            yield position, frame_detections(next(ids[position]) - 1, found)


def _by_frame(found: DetectionArrays) -> Iterator[FrameDetections]:
    """The frames that have detections."""
    borders = np.flatnonzero(np.diff(found.frame)) + 1
    for frame, *rest in zip(*(np.split(field, borders) for field in found), strict=True):
        if len(frame):
            yield FrameDetections(int(frame[0]), *rest)


def frame_detections(frame: int, found: Detections, time: float = 0.0) -> FrameDetections:
    """The valid detections of a frame."""
    valid = found.valid
    return FrameDetections(frame, found.classes[valid], found.scores[valid], found.boxes[valid], time)
