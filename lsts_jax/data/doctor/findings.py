"""Kinds of faults in a data set."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Kind of a fault, as it is named in reports."""

    DATA_SET = "data set"  # it cannot be opened
    PICTURE_MISSING = "picture missing"
    PICTURE_DAMAGED = "picture damaged"
    ANNOTATION_MISSING = "annotation missing"
    ANNOTATION_DAMAGED = "annotation damaged"
    ANOTHER_SIZE = "another size"
    NO_CANVAS = "no canvas"
    NO_AREA = "box of no area"
    OUTSIDE = "box outside the frame"
    TRACK_TWICE = "track twice in a frame"
    TRACK_GAPS = "track with gaps"
    UNKNOWN_CLASS = "unknown class"
    LOST = "annotation that cannot be used"
    NO_TRACKS = "no tracks"
    NO_VIDEOS = "no videos"

    @property
    def is_damage(self) -> bool:
        """True if a sample with this fault cannot be used."""
        return self in (
            Kind.PICTURE_MISSING,
            Kind.PICTURE_DAMAGED,
            Kind.ANNOTATION_MISSING,
            Kind.ANNOTATION_DAMAGED,
            Kind.ANOTHER_SIZE,
            Kind.NO_CANVAS,
        )


class Finding(NamedTuple):
    kind: Kind
    where: str  # the file, or the video and the track
    what: str
