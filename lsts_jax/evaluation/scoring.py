"""All scores of detections on a data set, from any detector (NumPy only; COCO's AP needs hotcoco)."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.data.dataset import Objects, VideoDataset
from lsts_jax.data.motion import motion_iou, read_motion_iou
from lsts_jax.evaluation.groups import groups_of, scores_by_group
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, match
from lsts_jax.evaluation.steadiness import steadiness
from lsts_jax.evaluation.vid_map import score


class Truth(NamedTuple):
    """Annotations of all samples of a data set, object by object, and the video of each frame."""

    annotations: Annotations
    videos: Int32[ndarray, "n"]
    tracks: Int32[ndarray, "n"]  # -1 where unknown
    motion: Float[ndarray, "n"]  # motion IoU: the lower, the faster
    samples: Int32[ndarray, "f 2"]  # video and t of every frame, numbered as in `annotations`; -1: none
    degraded: Bool[ndarray, "n"] | None = None  # False if unknown; None if all are unknown
    attributes: Mapping[str, Bool[ndarray, "n"]] = {}  # by name, objects in videos that have the attribute

    @property
    def video_of_frame(self) -> Int32[ndarray, "f"]:
        return self.samples[:, 0]

    def frames_by_video(self) -> list[ndarray]:
        """The frames of every video, in the order of time."""
        order = np.lexsort(self.samples.T[::-1])
        order = order[self.video_of_frame[order] >= 0]
        return np.split(order, np.flatnonzero(np.diff(self.video_of_frame[order])) + 1)


def read_truth(dataset: VideoDataset, motion_file: Path | None = None) -> Truth:
    """Reads the annotations of all samples; no picture is opened.

    `motion_file` is FGFA's (see `read_motion_iou`); without it motion is computed from the tracks.
    """
    samples = list(dict.fromkeys(dataset.samples))
    frames = np.array([dataset.global_id(video, t) - 1 for video, t in samples], np.int32)
    bar = tqdm(samples, "annotations", unit="frame", delay=2.0, dynamic_ncols=True)
    objects = [dataset.objects(video, t) for video, t in bar]
    counts = [len(found.boxes) for found in objects]
    of_object = lambda values: np.repeat(np.asarray(values, np.int32), counts)
    columns = zip(*(found[:4] for found in objects), strict=True)
    boxes, classes, track_ids, ignored = (np.concatenate(column) for column in columns)
    joined = Objects(boxes, classes, track_ids, ignored, None)
    marks = [np.zeros(len(o.boxes), bool) if o.degraded is None else o.degraded for o in objects]
    marked = any(o.degraded is not None for o in objects)
    videos, times = of_object([video for video, _ in samples]), of_object([t for _, t in samples])
    places = np.full((frames.max() + 1, 2), -1, np.int32)
    places[frames] = samples
    if motion_file is not None:
        motion = read_motion_iou(motion_file, np.array(counts))
    else:
        motion = np.zeros(len(videos))
        for rows in _groups(videos):
            motion[rows] = motion_iou(times[rows], joined.track_ids[rows], joined.boxes[rows])
    annotations = Annotations(of_object(frames), joined.classes, joined.boxes, joined.ignored)
    degraded = np.concatenate(marks) if marked else None
    having: dict[str, list[int]] = {}
    for number, video in enumerate(dataset.videos):
        for attribute in video.attributes:
            having.setdefault(attribute, []).append(number)
    attributes = {name: np.isin(videos, numbers) for name, numbers in sorted(having.items())}
    return Truth(annotations, videos, joined.track_ids, motion, places, degraded, attributes)


def _groups(values: Int32[ndarray, "n"]) -> list[ndarray]:
    """The rows of every distinct value."""
    order = np.argsort(values, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(values[order])) + 1)


def score_all(truth: Truth, found: DetectionArrays, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The scores in metrics.json: the official metric, overall and by motion, size, track length and
    degradation, average delay and flicker (`steadiness`), and COCO's AP.

    COCO's AP is left out if hotcoco is not installed.
    """
    annotations = truth.annotations
    matches = match(annotations, found, len(class_names))
    official = score(annotations, found, matches, class_names)
    groups = groups_of(
        annotations, truth.videos, truth.tracks, truth.motion, truth.degraded, truth.attributes
    )
    by_group = scores_by_group(annotations, found, matches, class_names, groups)
    metrics = {"mAP": official.mAP}
    metrics |= steadiness(annotations, truth.tracks, truth.samples, found, matches)
    metrics |= {f"mAP by {kind}": scores for kind, scores in by_group.items()}
    if find_spec("hotcoco"):
        from lsts_jax.evaluation.coco_ap import coco_ap

        metrics["COCO"] = coco_ap(annotations, found, len(class_names))
    return metrics | {"AP": official.AP}
