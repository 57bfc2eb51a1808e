"""The method in three events on an explicit memory (paper, section 3.1 and figure 2), and their scan.

    start(frame)                first keyframe: memory = high-level feature
    on_keyframe(memory, frame)  SRFU renews the memory, the frame is detected on it
    on_frame(memory, frame)     DFA lends the memory to a frame; the memory does not change

All are pure functions of (detector, variables, ...) for one frame or one video; `vmap`, `jit`, `grad` and
`scan` are the caller's. Frames inside a segment do not depend on each other, so `detect_video` scans over
segments and treats the frames of one as a batch.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Int32

from lsts_jax.models.detector import Detector
from lsts_jax.structs import Detections, Frame, Memory

Variables = dict


class Events(NamedTuple):
    """The events of one detector, to be jitted: `jax.jit(events.on_frame)(variables, memory, frame)`."""

    start: Callable
    on_keyframe: Callable
    on_frame: Callable


def events(detector: Detector) -> Events:
    """Bind the three events to a detector."""
    return Events(partial(start, detector), partial(on_keyframe, detector), partial(on_frame, detector))


def start(detector: Detector, variables: Variables, frame: Frame) -> tuple[Memory, Detections]:
    """The first keyframe of a video."""
    call = partial(detector.apply, variables)
    low = call(frame, method="low")
    high = call(low, frame.size, method="high")
    return Memory(high), call(high, frame, method="detect")


def on_keyframe(
    detector: Detector,
    variables: Variables,
    memory: Memory,
    frame: Frame,
    first: Bool[Array, ""] | bool = False,
) -> tuple[Memory, Detections]:
    """A later keyframe: its high-level feature, enhanced by the memory, is the new memory.

    Where `first` is true it opens a video and the memory is forgotten, as in `start`. A mask, not a branch:
    videos in lockstep begin at different times, and SRFU costs little beside the backbone.
    """
    if detector.srfu is None:
        return start(detector, variables, frame)
    call = partial(detector.apply, variables)
    low = call(frame, method="low")
    high = call(low, frame.size, method="high")
    enhanced = call(memory.feature, high, frame.size, method="update").feature
    memory = Memory(jnp.where(first, high, enhanced))
    return memory, call(memory.feature, frame, method="detect")


def on_frame(detector: Detector, variables: Variables, memory: Memory, frame: Frame) -> Detections:
    """A frame between keyframes: its cheap low-level feature, enhanced by the memory."""
    call = partial(detector.apply, variables)
    if detector.copies_memory:
        return call(memory.feature, frame, method="detect")
    if detector.dfa is None:
        return start(detector, variables, frame)[1]
    low = call(frame, method="low")
    feature = call(memory.feature, low, frame.size, method="enhance").feature
    return call(feature, frame, method="detect")


def empty_memory(detector: Detector, variables: Variables, frame: Frame) -> Memory:
    """A memory of the right shape before the first keyframe; `detect_video` does not read it."""
    memory, _ = jax.eval_shape(partial(start, detector), variables, frame)
    return Memory(jnp.zeros(memory.feature.shape, memory.feature.dtype))


def keyframe_of(schedule: str, num_frames: int, interval: int) -> int:
    """Index of the keyframe in a segment of `num_frames` (at most `interval`) frames.

    online: the first, so that no frame waits for a later one. offline: interval // 2 - 1, the last frame if
    the segment is shorter (authors).
    """
    return 0 if schedule == "online" else max(0, min(interval // 2 - 1, num_frames - 1))


def detect_video(
    detector: Detector,
    variables: Variables,
    memory: Memory,
    frames: Frame,
    keyframe: Int32[Array, "S"],
    first: Bool[Array, "S"],
    *,
    frames_per_batch: int = 1,
) -> tuple[Memory, Detections]:
    """Detect on S segments of T frames, carrying the memory from one to the next.

    Args:
      memory: from the segments before (`empty_memory` at the start).
      frames: [S T ...]; a shorter last segment is filled with any frame, whose detections mean nothing.
      keyframe: index of each segment's keyframe.
      first: the segment opens a video, and whatever the memory holds is forgotten.
      frames_per_batch: frames of a segment computed at once.

    Returns:
      The memory after the last segment, and detections [S T D].
    """
    _, on_keyframe_, on_frame_ = events(detector)

    def segment(memory, inputs):
        frames, keyframe, first = inputs
        count = len(frames.size)
        key_frame = jax.tree.map(lambda x: x[keyframe], frames)
        memory, of_keyframe = on_keyframe_(variables, memory, key_frame, first)
        others = jnp.arange(count - 1, dtype=jnp.int32)
        others = others + (others >= keyframe).astype(jnp.int32)
        of_others = lax.map(
            lambda i: on_frame_(variables, memory, jax.tree.map(lambda x: x[i], frames)),
            others,
            batch_size=min(frames_per_batch, max(count - 1, 1)),
        )

        def in_order(one, rest):
            return jnp.zeros((count, *one.shape), one.dtype).at[others].set(rest).at[keyframe].set(one)

        return memory, jax.tree.map(in_order, of_keyframe, of_others)

    return lax.scan(segment, memory, (frames, keyframe, first))
