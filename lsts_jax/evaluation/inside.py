"""Learned sampling locations of LSTS, and their weights at a point of a frame."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree
from numpy import ndarray

from lsts_jax.compiling import cache_by_detector
from lsts_jax.config import Config
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import read_frame
from lsts_jax.errors import UserError
from lsts_jax.evaluation.scoring import Truth
from lsts_jax.models.detector import Detector
from lsts_jax.structs import STRIDE, Alignment, AnyArray, Frame
from lsts_jax.video import keyframe_of

EXAMPLES = 3


class Example(NamedTuple):
    """LSTS at a point of a frame, and at all positions, in pixels of the original picture."""

    video: int
    t: int
    keyframe: int  # its t
    box: Float[ndarray, "4"]  # of the object that the point is in
    point: Float[ndarray, "2"]  # x, y of the middle of the cell
    cell: float  # side
    affinity: Float[ndarray, "K"]  # weights of the sampling locations at the point (DFA)
    effective: float  # effective number of locations: exp(entropy of the affinity), mean over the frame
    frame_memory: Float[ndarray, "h w"]  # weight of the memory in the frame's feature (DFA)
    keyframe_memory: Float[ndarray, "h w"]  # weight of the memory in the keyframe's feature (SRFU)


class Learned(NamedTuple):
    """The sampling offsets (x, y) before and after training, in cells, and examples of their use."""

    initial: Float[ndarray, "K 2"]
    offsets: Float[ndarray, "K 2"]
    examples: list[Example]
    trouble: str  # why there is no example


def look_inside(
    detector: Detector,
    variables: dict,
    config: Config,
    dataset: VideoDataset,
    truth: Truth,
    initial_offsets: Float[AnyArray, "K 2"] | None,
) -> Learned | None:
    """Learned sampling locations, with examples from the first, the middle and the last long enough video.

    An example is the last frame of a segment with an object, and the centre of its largest object. The
    segment is the second, or a later one if there are few videos; the memory is computed as in an evaluation.
    None if the temporal method does not learn offsets, or does not align the memory at keyframes and other
    frames.
    """
    offsets = detector.temporal.learned_offsets(variables["params"])
    if offsets is None:
        return None
    interval, schedule = config.model.keyframe_interval, config.model.schedule
    start, renew, lend = events_inside(detector)
    long = [frames for frames in truth.frames_by_video() if len(frames) > interval]
    places = np.unique(np.linspace(0, max(0, len(long) - 1), EXAMPLES).round().astype(int))
    examples, trouble = [], f"no video has more than {interval} frames"
    for i in range(EXAMPLES if long else 0):
        video_frames, count = long[places[i % len(places)]], 2 + i // len(places)
        video, times = int(truth.video_of_frame[video_frames[0]]), truth.samples[video_frames, 1].tolist()
        segments = [times[s : s + interval] for s in range(0, len(times), interval)][:count]
        keyframes = [segment[keyframe_of(schedule, len(segment), interval)] for segment in segments]
        boxes = {t: _object_boxes(dataset, video, t) for t in segments[-1] if t != keyframes[-1]}
        last = max((t for t in boxes if len(boxes[t])), default=None)
        if len(segments) < count or last is None:
            trouble = f"{dataset.videos[video].name} has no object in that frame"
            continue
        read = lambda t, video=video: read_frame(dataset, video, t, config.data)
        try:
            memory, frame, renewed = start(variables, read(keyframes[0])), read(last), None
            for t in keyframes[1:]:
                memory, renewed = renew(variables, memory, read(t))
        except UserError as error:
            trouble = str(error)
            continue
        lent = lend(variables, memory, frame)
        if not (isinstance(renewed, Alignment) and isinstance(lent, Alignment)):
            return None
        box = boxes[last][np.prod(boxes[last][:, 2:] - boxes[last][:, :2], axis=1).argmax()]
        examples.append(_example(video, last, keyframes[-1], box, frame, renewed, lent))
    return Learned(np.asarray(initial_offsets), np.asarray(offsets), examples, trouble)


@cache_by_detector
def events_inside(detector: Detector) -> tuple[Callable, Callable, Callable]:
    """The events without detection, compiled: start(variables, frame) gives the memory; on_keyframe and
    on_frame(variables, memory, frame) give what they compute, all intermediate steps included."""
    start, renew, lend = (jax.jit(partial(event, detector)) for event in (_start, _renew, _lend))
    return start, renew, lend


def _start(detector: Detector, variables: dict, frame: Frame) -> PyTree:
    bound = detector.bind(variables)
    return bound.start(bound.key(frame))[0]


def _renew(detector: Detector, variables: dict, memory: PyTree, frame: Frame) -> tuple[PyTree, Any]:
    bound = detector.bind(variables)
    return bound.on_keyframe(memory, bound.key(frame))


def _lend(detector: Detector, variables: dict, memory: PyTree, frame: Frame) -> Any:
    bound = detector.bind(variables)
    return bound.on_frame(memory, bound.other(frame))


def _object_boxes(dataset: VideoDataset, video: int, t: int) -> Float[ndarray, "n 4"]:
    objects = dataset.objects(video, t)
    return objects.boxes[~objects.ignored]


def _example(
    video: int,
    t: int,
    keyframe: int,
    box: Float[ndarray, "4"],
    frame: Frame,
    renewed: Alignment,
    lent: Alignment,
) -> Example:
    scale = float(frame.scale)
    height, width = (-(-np.asarray(frame.size) // STRIDE)).tolist()
    x, y = np.clip((box[:2] + box[2:]) / 2 * scale // STRIDE, 0, [width - 1, height - 1]).astype(int)
    affinity = np.asarray(lent.affinity)[:, :height, :width]
    share = np.abs(affinity) / np.maximum(np.abs(affinity).sum(axis=0), 1e-30)
    entropy = -(share * np.log(np.maximum(share, 1e-30))).sum(axis=0)
    return Example(
        video,
        t,
        keyframe,
        box,
        (np.array([x, y]) + 0.5) * STRIDE / scale,
        STRIDE / scale,
        affinity[:, y, x],
        float(np.exp(entropy).mean()),
        np.asarray(lent.quality)[1, :height, :width],
        np.asarray(renewed.quality)[1, :height, :width],
    )
