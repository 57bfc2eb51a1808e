"""Evaluation of a detector on a data set: detections, the official metric, and their files."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from lsts_jax.ahead import read_ahead
from lsts_jax.config import Config
from lsts_jax.config_checks import check_thresholds
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, canvas_of
from lsts_jax.evaluation.detections import FrameDetections, join, write_text
from lsts_jax.evaluation.linking import link
from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.evaluation.memory_weight import memory_weights
from lsts_jax.evaluation.results import DETECTIONS, METRICS, remove_results, write_json
from lsts_jax.evaluation.scoring import Truth, read_truth, score_all
from lsts_jax.evaluation.seq_nms import seq_nms
from lsts_jax.evaluation.store import VideoStore, store_key
from lsts_jax.files import write_whole
from lsts_jax.models.detector import Detector
from lsts_jax.parallel import is_first, own_share, wait_for_all
from lsts_jax.streaming import READERS, VideoDetector
from lsts_jax.structs import Detections, Frame


class Evaluated(NamedTuple):
    metrics: dict
    truth: Truth
    detections: DetectionArrays


def evaluate(
    detector: Detector,
    variables: dict,
    config: Config,
    dataset: VideoDataset,
    folder: Path,
    *,
    step: int | None = None,
    checkpoint: str | None = None,
    motion_file: Path | None = None,
) -> Evaluated:
    """Detects on all samples of a data set and scores the detections.

    Args:
      dataset: the listed frames of a video, in order, are treated as one video.
      folder: receives metrics.json and detections.txt; all other results of an earlier evaluation are
        removed. Several processes divide the videos and store their detections in this folder; the first
        process writes the results. A killed evaluation continues: videos finished with the same weights,
        config and lists are not detected again.
      step: step of the variables, for metrics.json.
      checkpoint: name of their checkpoint, for metrics.json.
      motion_file: see `read_truth`.

    Returns:
      `metrics`, the content of metrics.json: the scores of `score_all` as fractions of 1, frames, and fps
      with its frames and seconds. fps is end to end (decoding, inference and NMS, overlapped), without
      compilation and without videos that an earlier run finished.
    """
    check_thresholds(config, len(dataset.class_names))  # now, and not after hours of detection
    folder.mkdir(parents=True, exist_ok=True)
    truth = read_truth(dataset, motion_file)
    if config.evaluation.seq_nms:  # Seq-NMS includes NMS
        detector = detector.clone(rfcn=detector.rfcn.clone(nms_threshold=1.0))
    opens = is_first()
    key = store_key(variables, config, dataset) if opens else {}
    store = VideoStore(folder / "videos", key, opens=opens)
    wait_for_all("the store is open")
    frames, seconds = _detect_missing(detector, variables, config, dataset, store)
    wait_for_all("all videos are in the store")
    videos = [store.read(video) for video in sorted({video for video, _ in dataset.samples})]
    found = DetectionArrays(*map(np.concatenate, zip(*videos, strict=True)))
    found = refine(found, truth, config, len(dataset.class_names))
    metrics = score_all(truth, found, dataset.class_names) | {
        "step": step,
        "checkpoint": checkpoint,
        "class_names": list(dataset.class_names),
        "frames": len(set(dataset.samples)),
        "measured_frames": frames,
        "seconds": seconds,
        "fps": frames / seconds if frames else None,
    }
    wait_for_all("the store was read")
    if is_first():
        if weights := memory_weights(detector, variables, config, dataset, truth):
            metrics["memory weight"] = weights
        remove_results(folder)
        with write_whole(folder / DETECTIONS) as part:
            write_text(part, found)
        write_json(folder / METRICS, metrics)
        store.remove()
    return Evaluated(metrics, truth, found)


def _detect_missing(
    detector: Detector, variables: dict, config: Config, dataset: VideoDataset, store: VideoStore
) -> tuple[int, float]:
    """Detects on the videos that are not in the store; returns the number of their frames and the seconds."""
    video_detector = VideoDetector(
        detector,
        variables,
        interval=config.model.keyframe_interval,
        schedule=config.model.schedule,
        frames_per_batch=config.evaluation.frames_per_batch,
    )
    frames, seconds = 0, 0.0
    groups = [own_share(group) for group in _by_canvas(dataset, config).values()]
    total = sum(len(listed.times) for group in groups for listed in group)
    with tqdm(total=total, unit="frame", desc="evaluate", dynamic_ncols=True) as bar:
        for group in groups:
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


def refine(found: DetectionArrays, truth: Truth, config: Config, num_classes: int) -> DetectionArrays:
    """Detections after the config's steps before scoring: thresholds by class, Seq-NMS, linking."""
    check_thresholds(config, num_classes)
    if thresholds := config.evaluation.score_thresholds:
        kept = found.scores >= np.broadcast_to(thresholds, num_classes)[found.classes - 1]
        found = DetectionArrays(*(column[kept] for column in found))
    if config.evaluation.seq_nms:
        found = seq_nms(found, truth.frames_by_video(), nms_iou=config.model.detections.nms_threshold)
    if config.evaluation.linking:
        found = link(found, truth.frames_by_video())
    return found


def table(metrics: dict) -> str:
    """AP by class and the other scores as lines of text, in percent."""
    rows = list(metrics["AP"].items()) + [("mAP", metrics["mAP"])]
    for name, values in metrics.items():
        if name != "AP" and isinstance(values, dict):
            rows += [(name, None), *((f"  {key}", value) for key, value in values.items())]
    width = max(len(name) for name, _ in rows)
    lines = [name if value is None else f"{name:<{width}}  {100 * value:5.1f}" for name, value in rows]
    lines.insert(len(metrics["AP"]), "-" * (width + 7))
    if "average_delay" in metrics:
        lines.append(f"{'average delay':<{width}}  {metrics['average_delay']:5.1f} frames")
    if "flicker" in metrics:
        lines.append(f"{'flicker':<{width}}  {100 * metrics['flicker']:5.1f}")
    return "\n".join(lines)


class _Listed(NamedTuple):
    """A video of the lists, and its listed frames in order."""

    video: int
    times: list[int]


def _by_canvas(dataset: VideoDataset, config: Config) -> dict[Size, list[_Listed]]:
    """All listed videos, grouped by the canvas of their first frame."""
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
    """Index of the video in its group, and detections, of every frame."""
    prepare_threads()
    with ThreadPoolExecutor(READERS) as pool:

        def frames(listed: _Listed) -> Iterator[Frame]:
            return read_ahead(pool, lambda t: read_frame(dataset, listed.video, t, config.data), listed.times)

        ids = [iter([dataset.global_id(listed.video, t) for t in listed.times]) for listed in group]
        lanes = config.evaluation.videos_per_batch
        for position, found in detector.stream_many(map(frames, group), videos_per_batch=lanes):
            yield position, frame_detections(next(ids[position]) - 1, found)


def frame_detections(frame: int, found: Detections, time: float = 0.0) -> FrameDetections:
    """The valid detections of a frame."""
    valid = found.valid
    return FrameDetections(frame, found.classes[valid], found.scores[valid], found.boxes[valid], time)
