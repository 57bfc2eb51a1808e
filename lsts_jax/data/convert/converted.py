"""Common result of all formats: pictures in videos, boxes in pictures, and counts of what was left
out."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from lsts_jax.data.counts import Counts
from lsts_jax.errors import UserError

LARGEST = 1 << 31  # largest number that the reader of COCO-VID accepts
DECIMALS = 3  # of a pixel


class Picture(NamedTuple):
    file: str  # relative to the converted folder, with slashes
    video: str | None  # None: a still
    frame: int  # number in the format; gives the order of the frames and can have gaps
    size: tuple[int, int] | None  # height, width, if the format has them


class Box(NamedTuple):
    """The pixels x, y to x + width - 1, y + height - 1, counted from 0, corners included."""

    picture: int  # position in `Converted.pictures`
    category: str | None  # None: a region that is ignored for every category
    sides: tuple[float, float, float, float]  # x, y, width, height
    track: int  # -1 if unknown
    ignored: str  # reason why it is an ignored region; empty for an object


class Converted:
    """A data set, filled by a reader picture by picture and box by box. `counts` has the boxes and
    pictures that were left out."""

    def __init__(self, categories: Iterable[str] = ()):
        self.categories = dict.fromkeys(categories)  # in order
        self.pictures: list[Picture] = []
        self.boxes: list[Box] = []
        self.counts = Counts()
        self.notes: list[str] = []  # interpretation of the format where it is ambiguous

    def add_picture(
        self, file: str, video: str | None, frame: int, size: tuple[int, int] | None = None
    ) -> int:
        """Adds a picture and returns its position. A size of 0 counts as unknown."""
        known = size if size and min(size) > 0 and max(size) < LARGEST else None
        self.pictures.append(Picture(file, video, frame, known))
        return len(self.pictures) - 1

    def add_box(
        self,
        picture: int | None,
        category: str | None,
        sides: Sequence[Any],
        where: str,
        *,
        track: Any = None,
        ignored: str = "",
    ) -> None:
        """Counts a box and keeps it, if it has an area and a picture.

        Args:
          picture: position of its picture; None if the format has no such picture.
          category: None only for an ignored region.
          sides: x, y, width, height, numbers or text.
          where: beginning of the message of a `UserError`, raised if those are not numbers.
          track: a whole number, or text of one; negative or None if unknown.
          ignored: reason why the box is an ignored region; empty for an object.
        """
        try:
            x, y, width, height = (round(float(side), DECIMALS) for side in sides)
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(
                f"{where}: {str(sides)[:80]} is not a box of 4 finite numbers; repair it"
            ) from error
        if not all(abs(side) < LARGEST for side in (x, y, width, height)):
            raise UserError(f"{where}: {str(sides)[:80]} is not a box in a picture; repair it")
        number = -1 if track is None else whole(track, where, "track id")
        if picture is None:
            self.counts.lose("box of no picture", where)
        elif width <= 0 or height <= 0:
            self.counts.lose("box of no area", where)
        else:
            if category is not None:
                self.categories.setdefault(category)
            sides = (x, y, width, height)
            self.boxes.append(Box(picture, category, sides, max(number, -1), ignored))

    def choose(self, chosen: Iterable[int]) -> "Converted":
        """The same data set with only the pictures at these positions."""
        result = Converted(self.categories)
        positions = {old: new for new, old in enumerate(chosen)}
        result.pictures = [self.pictures[old] for old in positions]
        result.boxes = [
            box._replace(picture=positions[box.picture]) for box in self.boxes if box.picture in positions
        ]
        result.notes = self.notes
        result.counts.add(self.counts)
        return result

    def all_counts(self) -> Counts:
        """Counts of all boxes and pictures: also objects by category and ignored regions by reason."""
        found = Counts()
        found.add(self.counts)
        for box in self.boxes:
            if box.ignored:
                found.ignored[box.ignored] += 1
            elif box.category is not None:
                found.read[box.category] += 1
        return found


def whole(value: Any, where: str, what: str) -> int:
    """Converts a number or text to a whole number of at most 31 bits. Raises `UserError`."""
    try:
        number = float(value)
        if number == math.floor(number) and abs(number) < LARGEST:
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(f"{where}: the {what} {str(value)[:80]!r} is not a whole number below 2^31; repair it")
