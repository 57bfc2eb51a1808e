"""NamedTuples of arrays that are passed between modules, and the legend of shapes.

Legend, used in every signature: B batch, T frames, H W picture on its canvas, h w feature map at
stride 16, C channels, E embedding channels, K sampling locations, A anchors, R regions of interest,
G ground-truth slots, N classes (background not counted), D detection slots.

Boxes are (x1, y1, x2, y2) pixels with *inclusive* corners: width = x2 - x1 + 1. Points and offsets
are (x, y). Class 0 is the background, 1..N index `class_names[c - 1]`. Sizes are (height, width).

The shapes below are those of one example; batches have leading axes.
"""

from typing import Any, NamedTuple

from jaxtyping import Bool, Float, Float32, Int32, UInt8

# An array of JAX or NumPy; not named, so that modules without JAX do not import it.
AnyArray = Any

STRIDE = 16
"""Side of a cell of the feature map, in pixels of the network input."""


class Frame(NamedTuple):
    """A picture, resized and padded (right, bottom) to its canvas."""

    pixels: UInt8[AnyArray, "*T H W 3"]
    """RGB; zero outside `size`."""
    size: Int32[AnyArray, "*T 2"]
    """Height and width of the resized picture on the canvas."""
    scale: Float32[AnyArray, "*T"]
    """Resized / original side lengths."""


class GroundTruth(NamedTuple):
    """Annotated objects of a frame in `G` slots, in pixels of the resized picture."""

    boxes: Float32[AnyArray, "*B G 4"]
    """Corners (x1, y1, x2, y2)."""
    classes: Int32[AnyArray, "*B G"]
    """1..N; 0 in empty and in ignored slots."""
    valid: Bool[AnyArray, "*B G"]
    """True in slots with an object."""
    ignored: Bool[AnyArray, "*B G"]
    """True in slots with a region that is neither trained on nor scored."""


class Triplet(NamedTuple):
    """A training example: three frames of a video and the annotation of the last (paper, section 3.4)."""

    old_key: Frame | None
    """The earlier keyframe; None if the method is trained with fewer than two."""
    new_key: Frame | None
    """The later keyframe; None if the method is trained without keyframes."""
    current: Frame
    """The frame whose objects are detected."""
    ground_truth: GroundTruth
    """Objects of `current`."""
    new_is_old: Bool[AnyArray, "*B"]
    """True if both keyframes are the same frame: SRFU is bypassed."""
    current_is_new: Bool[AnyArray, "*B"]
    """True if the current frame is the later keyframe: DFA is bypassed."""


class Payment(NamedTuple):
    """Backbone features of a frame, computed without the memory."""

    feature: Float[AnyArray, "*B h w C"]
    size: Int32[AnyArray, "*B 2"]
    """Height and width of the picture in cells."""


class Memory(NamedTuple):
    """Memory of LSTS along a video: the feature of the last keyframe."""

    feature: Float[AnyArray, "*B h w C"]


class FrameFeature(NamedTuple):
    """Feature from which a frame's objects are detected."""

    feature: Float[AnyArray, "*B h w C"]


class TripletFeature(NamedTuple):
    """Feature from which the current frame of a training sample is detected."""

    feature: Float[AnyArray, "*B h w C"]
    loss: Float32[AnyArray, "*B"] | None = None
    """Added to the losses of the detections."""


class Alignment(NamedTuple):
    """Result of LSTS and the quality network for a source and a target, with all intermediate steps."""

    feature: Float[AnyArray, "*B h w C"]
    """Sum of target and aggregated feature, weighted by quality."""
    aggregated: Float[AnyArray, "*B h w C"]
    """Source, sampled at K locations and summed by affinity at every position."""
    affinity: Float32[AnyArray, "*B K h w"]
    """Weights of the sampling locations."""
    quality: Float32[AnyArray, "*B 2 h w"]
    """Weights of (target, aggregated); they sum to 1."""


class Proposals(NamedTuple):
    """Class-agnostic candidate boxes in falling objectness, repeated to fill all R slots."""

    boxes: Float32[AnyArray, "*B R 4"]
    """Corners (x1, y1, x2, y2)."""
    scores: Float32[AnyArray, "*B R"]
    """Objectness."""


class Detections(NamedTuple):
    """Detected objects in falling score, in pixels of the original picture."""

    boxes: Float32[AnyArray, "*T D 4"]
    """Corners (x1, y1, x2, y2)."""
    scores: Float32[AnyArray, "*T D"]
    """Probability of the class."""
    classes: Int32[AnyArray, "*T D"]
    """1..N."""
    valid: Bool[AnyArray, "*T D"]
    """True in slots with a detection."""
