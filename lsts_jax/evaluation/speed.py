"""Time of every part of the work on a frame, measured separately.

Compilation and first calls are left out. Parts overlap in a pipeline, so their times do not add up to the fps
of an evaluation, which is end to end.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import jax
import numpy as np

from lsts_jax.compiling import frames_at_once, jit_inference
from lsts_jax.config import Config
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.models.detector import Detector
from lsts_jax.streaming import LiveDetector
from lsts_jax.structs import Frame
from lsts_jax.video import detect_video, empty_memory, keyframe_of

REPEATS = 5

DEFINITIONS = {
    "decode": "read, decode, resize and pad a frame, in one thread",
    "host to device": "copy a frame to the device and wait for it",
    "compute, online": "a frame of a segment on the device, post-processing included",
    "compute, offline": "the same, with the keyframe in the middle of its segment",
    "post-processing": "thereof: proposals, both NMS and the selection of detections",
    "live, keyframe": "from a resized frame on the host to its detections on the host, frame by frame",
    "live, other frame": "the same, between keyframes",
}


def measure_speed(
    detector: Detector, variables: dict, config: Config, dataset: VideoDataset
) -> dict[str, float]:
    """Median seconds per frame of every part in DEFINITIONS, on the first listed video."""
    video, first = dataset.samples[0]
    interval = detector.temporal.interval(config.model.keyframe_interval)
    last = dataset.videos[video].num_frames - 1
    read = lambda t: read_frame(dataset, video, min(first + t, last), config.data)
    frames = [read(t) for t in range(interval)]
    frame = frames[0]
    found = {"decode": _median(lambda: read(interval // 2))}
    found["host to device"] = _median(lambda: jax.device_put(frame))

    segment = jax.device_put(jax.tree.map(lambda *x: np.stack(x)[None], *frames))
    at_once = frames_at_once(config.evaluation.frames_per_batch)
    run = jit_inference(partial(detect_video, detector, frames_per_batch=at_once))
    memory = empty_memory(detector, variables, frame)
    later = np.array([False])
    for schedule in ("online", "offline"):
        keyframe = np.array([keyframe_of(schedule, interval, interval)], np.int32)
        call = partial(run, variables, memory, segment, keyframe, later)
        found[f"compute, {schedule}"] = _median(call) / interval

    found["post-processing"] = _post_processing(detector, variables, jax.device_put(frame))

    live = LiveDetector(detector, variables, interval=interval)
    times = [_seconds(partial(live.detect, one)) for _ in range(2 + REPEATS) for one in frames]
    times = times[2 * interval :]  # the first two segments compile
    found["live, keyframe"] = median(times[::interval])
    if others := [t for i, t in enumerate(times) if i % interval]:
        found["live, other frame"] = median(others)
    return found


def speed_table(found: dict[str, float]) -> str:
    """Milliseconds and definition of every part, one line per part."""
    width = max(map(len, found))
    return "\n".join(
        f"{name:<{width}}  {1e3 * seconds:8.2f} ms  {DEFINITIONS[name]}" for name, seconds in found.items()
    )


def _post_processing(detector: Detector, variables: dict, frame: Frame) -> float:
    """Time of detection from a feature, without the two heads."""

    def keyframe_feature(frame):
        bound = detector.bind(variables)
        return bound.start(bound.key(frame))[1].feature

    feature = jax.eval_shape(keyframe_feature, frame)
    feature = jax.random.normal(jax.random.key(0), feature.shape, feature.dtype)

    @jit_inference
    def heads(feature):
        bound = detector.bind(variables)
        rpn, rfcn = bound.rpn, bound.rfcn
        rois = rpn.anchors(*feature.shape[:2])[: rpn.post_nms]
        return rpn(feature, frame.size), rfcn(feature, rois, frame.size)

    whole = jit_inference(lambda feature: detector.bind(variables).detect(feature, frame))
    return max(0.0, _median(lambda: whole(feature)) - _median(lambda: heads(feature)))


def _median(call: Callable[[], Any]) -> float:
    call()
    return median(_seconds(call) for _ in range(REPEATS))


def _seconds(call: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begin
