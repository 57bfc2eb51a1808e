"""The detector in three events on an explicit memory, and their scan along a video.

    start(frame)                first keyframe of a video
    on_keyframe(memory, frame)  a later keyframe updates the memory and is detected on the new memory
    on_frame(memory, frame)     a frame between keyframes borrows from the memory, which does not change

(paper, section 3.1 and figure 2; `models/temporal` defines the events of each method.) All are pure functions
of (detector, variables, ...) for one frame or one video; the caller applies `vmap`, `jit`, `grad` and `scan`.
Backbone features do not depend on the memory, and frames between keyframes do not depend on each other:
`detect_video` computes both in batches and scans over the keyframes only.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int32, PyTree

from lsts_jax.models.detector import Detector
from lsts_jax.models.temporal.protocol import choose
from lsts_jax.structs import Detections, Frame

Variables = dict


class Events(NamedTuple):
    """The events of one detector; `jax.jit(events.on_frame)(variables, memory, frame)` compiles
    one."""

    start: Callable
    on_keyframe: Callable
    on_frame: Callable


def events(detector: Detector) -> Events:
    """The three events of a detector."""
    return Events(partial(start, detector), partial(on_keyframe, detector), partial(on_frame, detector))


def start(detector: Detector, variables: Variables, frame: Frame) -> tuple[PyTree, Detections]:
    """Detects on the first keyframe of a video and returns the memory after it."""
    bound = detector.bind(variables)
    memory, bundle = bound.start(bound.key(frame))
    return memory, bound.detect(bundle.feature, frame)


def on_keyframe(
    detector: Detector, variables: Variables, memory: PyTree, frame: Frame
) -> tuple[PyTree, Detections]:
    """Updates the memory with a later keyframe and detects on it."""
    bound = detector.bind(variables)
    memory, bundle = bound.on_keyframe(memory, bound.key(frame))
    return memory, bound.detect(bundle.feature, frame)


def on_frame(detector: Detector, variables: Variables, memory: PyTree, frame: Frame) -> Detections:
    """Detects on a frame between keyframes."""
    bound = detector.bind(variables)
    return bound.detect(bound.on_frame(memory, bound.other(frame)).feature, frame)


def on_any_frame(
    detector: Detector, variables: Variables, memory: PyTree, frame: Frame
) -> tuple[PyTree, Detections]:
    """Detects on a frame after the first with an adaptive method, which decides whether the frame
    becomes a keyframe."""
    bound = detector.bind(variables)
    memory, feature = _adapt(detector, variables, memory, frame)
    return memory, bound.detect(feature, frame)


def _adapt(
    detector: Detector, variables: Variables, memory: PyTree, frame: Frame
) -> tuple[PyTree, Float[Array, "h w C"]]:
    """The memory after a frame, and its feature. The keyframe's part is computed only for
    keyframes."""
    bound = detector.bind(variables)
    bundle = bound.on_frame(memory, bound.other(frame))

    def renew(memory):
        bound = detector.bind(variables)
        memory, bundle = bound.on_keyframe(memory, bound.key(frame))
        return memory, bundle.feature

    return lax.cond(bound.wants_keyframe(bundle), renew, lambda memory: (memory, bundle.feature), memory)


def empty_memory(detector: Detector, variables: Variables, frame: Frame) -> PyTree:
    """A memory of the right shape before the first keyframe; `detect_video` does not read it."""
    memory, _ = jax.eval_shape(partial(start, detector), variables, frame)
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), memory)


def keyframe_of(schedule: str, num_frames: int, interval: int) -> int:
    """Index of the keyframe in a segment of `num_frames` (at most `interval`) frames.

    online: the first frame, so that no frame waits for a later one. offline: interval // 2 - 1, or
    the last frame if the segment is shorter (authors).
    """
    return 0 if schedule == "online" else max(0, min(interval // 2 - 1, num_frames - 1))


def detect_video(
    detector: Detector,
    variables: Variables,
    memory: PyTree,
    frames: Frame,
    keyframe: Int32[Array, "S"],
    first: Bool[Array, "S"],
    *,
    frames_per_batch: int = 1,
) -> tuple[PyTree, Detections]:
    """Detects on S segments of T frames and carries the memory from segment to segment.

    An adaptive method decides frame by frame; for it a segment is only the frames that one call
    computes.

    Args:
      memory: memory after the segments before (`empty_memory` at the start).
      frames: [S T ...]; fill a shorter last segment with any frames, and ignore their detections.
      keyframe: index of the keyframe in every segment.
      first: True if the segment starts a video; the memory before it is then ignored.
      frames_per_batch: frames computed at once.

    Returns:
      The memory after the last segment, and detections [S T D].
    """
    segments, length = frames.size.shape[:2]
    rows = jnp.arange(segments, dtype=jnp.int32)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), frames)
    batched = partial(_in_batches, frames_per_batch=frames_per_batch)
    if detector.temporal.adaptive:
        starts = (jnp.arange(length, dtype=jnp.int32) == 0)[None] & first[:, None]
        memory, found = lax.scan(partial(_next, detector, variables), memory, (flat, starts.reshape(-1)))
        detections = batched(lambda x: detector.bind(variables).detect(*x), (found, flat))
        return memory, jax.tree.map(lambda x: x.reshape(segments, length, *x.shape[1:]), detections)

    keys = batched(lambda frame: detector.bind(variables).key(frame), _take(frames, (rows, keyframe)))
    renew = partial(_renew, detector, variables, keep=length > 1)
    memory, (memories, features) = lax.scan(renew, memory, (keys, first))
    # the frames between keyframes of all segments
    others = jnp.arange(length - 1, dtype=jnp.int32)[None]
    others = others + (others >= keyframe[:, None]).astype(jnp.int32)  # [S T-1]
    owners = jnp.broadcast_to(rows[:, None], others.shape).reshape(-1)
    places = owners * length + others.reshape(-1)

    def borrow(place):
        bound = detector.bind(variables)
        other = bound.other(_take(flat, place[0]))
        return bound.on_frame(_take(memories, place[1]), other).feature

    found = jnp.zeros((segments * length, *features.shape[1:]), features.dtype)
    found = found.at[rows * length + keyframe].set(features)
    if length > 1:
        found = found.at[places].set(batched(borrow, (places, owners)))
    detections = batched(lambda x: detector.bind(variables).detect(*x), (found, flat))
    return memory, jax.tree.map(lambda x: x.reshape(segments, length, *x.shape[1:]), detections)


def _next(
    detector: Detector, variables: Variables, memory: PyTree, inputs: tuple[Frame, Bool[Array, ""]]
) -> tuple[PyTree, Float[Array, "h w C"]]:
    """One step of the scan over the frames of an adaptive method."""
    frame, first = inputs

    def begin(memory):
        bound = detector.bind(variables)
        memory, bundle = bound.start(bound.key(frame))
        return memory, bundle.feature

    return lax.cond(first, begin, lambda memory: _adapt(detector, variables, memory, frame), memory)


def _renew(
    detector: Detector,
    variables: Variables,
    memory: PyTree,
    inputs: tuple[PyTree, Bool[Array, ""]],
    *,
    keep: bool,
) -> tuple[PyTree, tuple[PyTree, Array]]:
    """One step of the scan over keyframes: the memory after the keyframe, and what the scan collects of every
    segment, that memory (only if `keep`) and the keyframe's feature.

    Videos in lockstep start at different times, so a mask selects between the first keyframe of a video
    and a later one. Both are computed; they cost little compared with the backbone.
    """
    key, first = inputs
    bound = detector.bind(variables)
    started, at_start = bound.start(key)
    renewed, at_key = bound.on_keyframe(memory, key)
    memory = choose(first, started, renewed)
    return memory, (memory if keep else (), jnp.where(first, at_start.feature, at_key.feature))


def _in_batches(function: Callable, inputs: PyTree, *, frames_per_batch: int) -> PyTree:
    """Applies `function` to n inputs in batches of `frames_per_batch`; all at once if that is at
    least n - 1."""
    count = len(jax.tree.leaves(inputs)[0])
    if frames_per_batch >= count - 1:
        return jax.vmap(function)(inputs)
    return lax.map(function, inputs, batch_size=frames_per_batch)


def _take(tree: PyTree, index: object) -> PyTree:
    return jax.tree.map(lambda x: x[index], tree)
