"""Drawing with NumPy and OpenCV: detections on pictures, and contact sheets of pictures."""

from collections.abc import Sequence
from functools import cache
from math import cos, pi, sin, sqrt
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int32, UInt8
from numpy import ndarray

FONT = cv2.FONT_HERSHEY_DUPLEX
BLACK = (0, 0, 0)
FAR = 10_000  # pixels: coordinates are clipped to this range

Colour = tuple[int, int, int]
Rectangle = tuple[int, int, int, int]  # x1, y1, x2, y2, inclusive


class _Label(NamedTuple):
    text: str
    place: Rectangle
    colour: Colour
    scale: float
    thickness: int


def draw_detections(
    image: UInt8[ndarray, "H W 3"],
    boxes: Float[ndarray, "d 4"],
    classes: Int32[ndarray, "d"],
    scores: Float[ndarray, "d"] | None,
    class_names: Sequence[str],
    *,
    score_threshold: float = 0.5,
    track_ids: Int32[ndarray, "d"] | None = None,
) -> UInt8[ndarray, "H W 3"]:
    """Returns a copy of the RGB picture with a box and a label for every detection that reaches the
    threshold.

    Boxes are xyxy pixels of the picture, classes 1..N. A class has the same colour in every
    picture. Line width and letter size grow with the resolution, and labels stay inside the
    picture. Without scores (annotations) every box is drawn, and the label is the class name alone.
    Track ids from 1 on follow the class name.
    """
    height, width = image.shape[:2]
    resolution = sqrt(height * width)
    line = max(1, round(resolution / 350))
    certain = np.ones(len(boxes)) if scores is None else scores
    corners = np.rint(boxes).clip(-line - 1, [width + line, height + line] * 2).astype(int)
    visible = np.all((boxes[:, :2] < [width, height]) & (boxes[:, 2:] >= 0), axis=1)
    order = [i for i in np.argsort(certain, kind="stable") if visible[i] and certain[i] >= score_threshold]
    outside, inside = line // 2, line - line // 2
    # Pixels under the boxes and one pixel around are darkened, so that every colour has contrast.
    shade = np.zeros((height, width), np.uint8)
    for i in order:
        _frame(shade, corners[i].tolist(), outside + 1, inside + 1, (1,))
    picture = image.copy()
    picture[shade > 0] //= 2
    for i in order:
        _frame(picture, corners[i].tolist(), outside, inside, class_colour(int(classes[i])))
    # Labels are placed in falling score and drawn in rising score, so that high scores stay readable.
    labels = []
    for i in reversed(order):
        name = class_names[int(classes[i]) - 1]
        text = name if track_ids is None or track_ids[i] < 1 else f"{name} {track_ids[i]}"
        text = text if scores is None else f"{text} {scores[i]:.2f}"
        scale, thickness = _letters(text, 7 + resolution / 85, width)
        size = _label_size(text, scale, thickness)
        taken = [label.place for label in labels]
        place = _free_place(corners[i].tolist(), size, (width, height), line, taken)
        labels.append(_Label(text, place, class_colour(int(classes[i])), scale, thickness))
    for label in reversed(labels):
        _draw_label(picture, label)
    return picture


def draw_outline(
    picture: UInt8[ndarray, "H W 3"], box: Float[ndarray, "4"], colour: Colour, width: int
) -> None:
    """Draws the border of a box into the picture, `width` pixels wide, centred on the box's edge."""
    corners = np.rint(box).clip(-FAR, FAR).astype(int).tolist()
    _frame(picture, corners, width // 2, width - width // 2, colour)


def draw_note(
    picture: UInt8[ndarray, "H W 3"], box: Float[ndarray, "4"], text: str, ink: Colour, ground: Colour
) -> None:
    """Writes a small text above a box into the picture, moved inside the picture if necessary."""
    font = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, height), below = cv2.getTextSize(text, *font, 1)
    x = int(np.clip(box[0], 0, max(0, picture.shape[1] - width - 2)))
    y = int(np.clip(box[1] - below, height + 2, picture.shape[0] - below))
    cv2.rectangle(picture, (x, y - height - 2), (x + width + 2, y + below - 1), ground, cv2.FILLED)
    cv2.putText(picture, text, (x + 1, y), *font, ink, 1, cv2.LINE_AA)


def contact_sheet(
    images: Sequence[UInt8[ndarray, "_ _ 3"]], columns: int, *, captions: Sequence[str] | None = None
) -> UInt8[ndarray, "_ _ 3"]:
    """RGB pictures side by side on white, row by row, with a caption above every picture.

    Cells have the size of the first picture; others are scaled to fit and centred.
    """
    height, width = images[0].shape[:2]
    gap = max(2, round(sqrt(height * width) / 60))
    letters = 8 + sqrt(height * width) / 50
    head = round(1.8 * letters) if captions else 0
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    sheet = np.full((gap + rows * (head + height + gap), gap + columns * (width + gap), 3), 255, np.uint8)
    for i, image in enumerate(images):
        left, top = gap + i % columns * (width + gap), gap + i // columns * (head + height + gap)
        if captions:
            scale, thickness = _letters(captions[i], letters, width)
            _put(sheet, captions[i], (left, top + round(1.2 * letters)), scale, thickness)
        fit = min(height / image.shape[0], width / image.shape[1])
        if fit != 1:
            size = round(image.shape[1] * fit), round(image.shape[0] * fit)
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if fit < 1 else cv2.INTER_LINEAR)
        y, x = top + head + (height - image.shape[0]) // 2, left + (width - image.shape[1]) // 2
        sheet[y : y + image.shape[0], x : x + image.shape[1]] = image
    return sheet


@cache
def class_colour(class_id: int) -> Colour:
    """RGB colour of a class, light enough for black letters; consecutive ids differ most.

    Hues are a golden section apart, as colourful as sRGB allows, in OKLCH (Ottosson, "A perceptual
    color space for image processing", 2020). Five lightnesses alternate, so that ids with similar
    hues differ in lightness.
    """
    hue = pi * (sqrt(5) - 1) * (class_id + 1)  # class 1 is amber
    lightness = (0.60, 0.84, 0.66, 0.78, 0.72)[class_id % 5]
    for chroma in np.linspace(0.20, 0, 41):
        a, b = chroma * cos(hue), chroma * sin(hue)
        cone = np.array(
            [
                lightness + 0.3963377774 * a + 0.2158037573 * b,
                lightness - 0.1055613458 * a - 0.0638541728 * b,
                lightness - 0.0894841775 * a - 1.2914855480 * b,
            ]
        )
        linear = OKLAB_TO_LINEAR_SRGB @ cone**3
        if linear.min() >= 0 and linear.max() <= 1:
            break
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.rint(255 * encoded).astype(int).tolist()
    return red, green, blue


OKLAB_TO_LINEAR_SRGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _frame(picture: ndarray, box: Sequence[int], outside: int, inside: int, colour: tuple[int, ...]) -> None:
    """Draws a box's border of any width; OpenCV's rectangles only have odd widths."""
    x1, y1, x2, y2 = box
    left, top, right, bottom = x1 - outside, y1 - outside, x2 + outside, y2 + outside
    for corner, opposite in (
        ((left, top), (x1 + inside - 1, bottom)),
        ((x2 - inside + 1, top), (right, bottom)),
        ((left, top), (right, y1 + inside - 1)),
        ((left, y2 - inside + 1), (right, bottom)),
    ):
        cv2.rectangle(picture, corner, opposite, colour, cv2.FILLED)


def _letters(text: str, height: float, width: int) -> tuple[float, int]:
    """OpenCV's scale and stroke for letters of a height (with descenders), reduced to fit the width."""
    scale = height / 30
    thickness = max(1, round(scale))
    needed, _ = _label_size(text, scale, thickness)
    return scale * min(1.0, 0.9 * width / needed), thickness


def _metrics(text: str, scale: float, thickness: int) -> tuple[int, int, int]:
    """Width of a text, and the font's height above and below the baseline at that scale."""
    (wide, _), _ = cv2.getTextSize(text, FONT, scale, thickness)
    (_, above), below = cv2.getTextSize("Ag|", FONT, scale, thickness)
    return wide, above, below


def _label_size(text: str, scale: float, thickness: int) -> tuple[int, int]:
    wide, above, below = _metrics(text, scale, thickness)
    pad = max(1, round(0.2 * above))
    return wide + 2 * pad + 1, above + below + 2 * pad


def _free_place(
    box: Sequence[int],
    size: tuple[int, int],
    picture: tuple[int, int],
    line: int,
    taken: Sequence[Rectangle],
) -> Rectangle:
    """Position of a label: above its box, or below or inside if other labels or the edge cover that."""
    wide, high = size
    x1, y1, x2, y2 = box
    outside, inside = line // 2, line - line // 2
    places: list[tuple[int, Rectangle]] = []
    for x, y in (
        (x1 - outside, y1 - outside - high),
        (x2 + outside - wide + 1, y1 - outside - high),
        (x1 - outside, y2 + outside + 1),
        (x2 + outside - wide + 1, y2 + outside + 1),
        (x1 + inside, y1 + inside),
        (x1 + inside, y2 - inside - high),
    ):
        inner_x, inner_y = max(0, min(x, picture[0] - wide)), max(0, min(y, picture[1] - high))
        place = inner_x, inner_y, inner_x + wide - 1, inner_y + high - 1
        hidden = sum(_common_area(place, other) for other in taken) + high * abs(inner_y - y)
        places.append((hidden, place))
    return min(places, key=lambda hidden_and_place: hidden_and_place[0])[1]


def _common_area(one: Rectangle, other: Rectangle) -> int:
    across = min(one[2], other[2]) - max(one[0], other[0]) + 1
    down = min(one[3], other[3]) - max(one[1], other[1]) + 1
    return max(0, across) * max(0, down)


def _draw_label(picture: ndarray, label: _Label) -> None:
    x1, y1, x2, y2 = label.place
    cv2.rectangle(picture, (x1, y1), (x2, y2), label.colour, cv2.FILLED)
    _, above, below = _metrics(label.text, label.scale, label.thickness)
    pad = (y2 - y1 + 1 - above - below) // 2
    _put(picture, label.text, (x1 + pad, y1 + pad + above), label.scale, label.thickness)


def _put(picture: ndarray, text: str, left_bottom: tuple[int, int], scale: float, thickness: int) -> None:
    cv2.putText(picture, text, left_bottom, FONT, scale, BLACK, thickness, cv2.LINE_AA)
