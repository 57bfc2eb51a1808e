"""What is drawn: boxes where they are, labels that can be read, sheets that hold the pictures."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.config import IMAGENET_VID_CLASSES
from lsts_jax.viz import class_colour, contact_sheet, draw_detections, draw_outline

SIZES = [(128, 192), (480, 640), (1080, 1920)]


def ground(height, width, value=255):
    return np.full((height, width, 3), value, np.uint8)


def draw(image, *rows, names=IMAGENET_VID_CLASSES, **options):
    """Rows of (class, score, box)."""
    return draw_detections(
        image,
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.float32),
        names,
        **options,
    )


def is_colour(picture, number):
    return (picture == class_colour(number)).all(axis=-1)


def filled_rows(mask, least):
    """Rows with a run of at least so many pixels: those of a label, not of a box's sides."""
    return np.flatnonzero(mask.sum(axis=1) >= least)


def test_the_border_lies_on_the_box():
    picture = draw(ground(400, 400, 90), (1, 0.9, (100, 120, 219, 279)))
    colour = is_colour(picture, 1)
    middle_row, middle_column = np.flatnonzero(colour[200]), np.flatnonzero(colour[150:, 200]) + 150
    np.testing.assert_array_equal(middle_row, [100, 219])  # the inclusive corners themselves
    np.testing.assert_array_equal(middle_column, [279])
    assert colour[120, 100:220].all()
    # A darker pixel on either side, and nothing else is touched.
    assert (picture[200, [99, 101, 218, 220]] == 45).all()
    assert (picture[200, 102:218] == 90).all() and (picture[200, 221:] == 90).all()
    assert (picture[281:] == 90).all()


def test_only_what_reaches_the_threshold_is_drawn_on_a_copy():
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    kept = image.copy()
    rows = (1, 0.5, (10, 40, 60, 90)), (2, 0.49, (80, 40, 130, 90))
    np.testing.assert_array_equal(draw(image, *rows), draw(image, rows[0]))
    np.testing.assert_array_equal(draw(image, *rows, score_threshold=0.6), image)
    np.testing.assert_array_equal(draw(image), image)
    np.testing.assert_array_equal(draw(image, (1, 0.9, (300, 0, 320, 20)), (1, 0.9, (-9, -9, -2, -2))), image)
    assert is_colour(draw(image, *rows, score_threshold=0.4), 2).any()
    np.testing.assert_array_equal(image, kept)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_labels_grow_with_the_picture(height, width):
    box = (width * 0.4, height * 0.5, width * 0.9, height * 0.8)
    picture = draw(ground(height, width), (5, 0.9, box))
    label = is_colour(picture, 5)[: round(height * 0.5) - 2]
    rows = np.flatnonzero(label.any(axis=1))
    high = rows[-1] - rows[0] + 1
    assert {128: 10, 480: 15, 1080: 26}[height] <= high <= {128: 17, 480: 24, 1080: 44}[height]
    columns = np.flatnonzero(label.any(axis=0))
    assert columns[-1] - columns[0] + 1 > 3 * high  # "bird 0.90" is nine letters
    assert (picture[rows[0] : rows[-1], columns[0] : columns[-1]].max(axis=-1) < 60).any()  # black letters


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SIZES[:2]),
    st.tuples(*[st.integers(-5, 20)] * 2),
    st.tuples(*[st.integers(0, 20)] * 2),
    st.sampled_from([1, 4, 10]),
)
def test_labels_stay_inside(size, corner, sides, number):
    height, width = size
    x1, y1 = corner[0] * width / 16, corner[1] * height / 16
    box = (x1, y1, x1 + sides[0] * width / 16, y1 + sides[1] * height / 16)
    picture = draw(ground(height, width), (number, 0.9, box))
    if x1 >= width or y1 >= height or box[2] < 0 or box[3] < 0:
        assert (picture == 255).all()
        return
    # As many label pixels as in the middle of a wide picture; the box's own lines can only add some.
    whole = is_colour(draw(ground(height, width), (number, 0.9, (width // 4, height // 2) * 2)), number)
    assert is_colour(picture, number).sum() >= whole.sum() - 12


def test_a_label_wider_than_the_picture_shrinks():
    picture = draw(ground(96, 64), (1, 0.9, (5, 40, 60, 90)), names=("a_very_long_class_name_indeed",))
    label = is_colour(picture, 1)[:38]
    rows, columns = (np.flatnonzero(label.any(axis=axis)) for axis in (1, 0))
    assert columns[-1] - columns[0] > 40
    # The text ends before the label does: the last column is free of letters.
    assert label[rows, columns[-1]].all()


def test_labels_of_one_box_do_not_cover_each_other():
    box = (200, 200, 400, 400)
    alone = [is_colour(draw(ground(480, 640), (n, 0.9, box)), n)[:, 201:399].sum() for n in (1, 2, 3)]
    picture = draw(ground(480, 640), *[(n, 0.9 - n / 100, box) for n in (1, 2, 3)])
    for number, pixels in zip((1, 2, 3), alone, strict=True):
        border = 2 * 2 * 200  # the other classes' borders lie on this one's
        assert is_colour(picture, number).sum() > 0.7 * (pixels - border)


def test_the_most_certain_is_on_top():
    box = (50, 50, 90, 90)
    picture = draw(ground(128, 192), (1, 0.6, box), (2, 0.9, box), (3, 0.7, box))
    assert is_colour(picture, 2)[70, [50, 90]].all()


def test_the_most_certain_label_is_whole_where_labels_must_overlap():
    rows = [(n, 0.9 - n / 100, (-50, -50, 130, 80)) for n in range(1, 7)]
    alone, crowd = draw(ground(30, 80), rows[0]), draw(ground(30, 80), *rows)
    np.testing.assert_array_equal(is_colour(crowd, 1), is_colour(alone, 1))


def test_annotations_have_no_score():
    image, box = ground(480, 640), np.array([[100, 100, 300, 300]], np.float32)
    without = draw_detections(image, box, np.array([9], np.int32), None, IMAGENET_VID_CLASSES)
    with_score = draw(image, (9, 0.9, box[0]))
    least = 20
    wide = [filled_rows(is_colour(each, 9)[:98].T, 5) for each in (without, with_score)]
    assert least < len(wide[0]) < len(wide[1])


def test_colours_are_distinct_and_carry_text():
    colours = np.array([class_colour(n) for n in range(1, 31)], np.uint8)
    lab = cv2.cvtColor((colours[None] / 255).astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    difference = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1e3 * np.eye(30)
    assert difference[:8, :8].min() > 25 and difference.min() > 9  # CIE76; 2.3 is just noticeable
    assert (lab[:, 0] > 50).all() and (lab[:, 0] < 88).all()
    assert (np.linalg.norm(lab[:, 1:], axis=-1) > 20).all()  # none is grey
    # Black letters on each: the contrast that WCAG 2 asks of text is 4.5.
    linear = ((colours / 255 + 0.055) / 1.055) ** 2.4
    assert ((linear @ [0.2126, 0.7152, 0.0722] + 0.05) / 0.05 > 4.5).all()


def test_contact_sheet_places_pictures():
    values = (10, 60, 110, 160, 210)
    sheet = contact_sheet([ground(60, 80, value) for value in values], 2)
    gap = 2
    assert sheet.shape == (3 * 60 + 4 * gap, 2 * 80 + 3 * gap, 3)
    for i, value in enumerate(values):
        top, left = gap + i // 2 * (60 + gap), gap + i % 2 * (80 + gap)
        assert (sheet[top : top + 60, left : left + 80] == value).all()
    assert (sheet == 255).all(axis=-1).sum() == sheet.shape[0] * sheet.shape[1] - 5 * 60 * 80


def test_contact_sheet_fits_other_sizes_and_captions():
    first, tall = ground(60, 80, 10), ground(120, 40, 200)
    sheet = contact_sheet([first, tall], 4, captions=["frame 1", "a caption that is far too long for it"])
    head = sheet.shape[0] - 60 - 2 * 2
    assert head > 10
    assert (sheet[2 + head : -2, 2:82] == 10).all()
    # 120 x 40 becomes 60 x 20 in the middle of the second cell.
    assert (sheet[2 + head : -2, 84 + 30 : 84 + 50] == 200).all()
    assert (sheet[2 + head : -2, 84 : 84 + 30] == 255).all()
    caption = (sheet[: head + 2] < 128).all(axis=-1)
    assert caption[:, 2:82].any() and caption[:, 84:164].any() and not caption[:, 82:84].any()


def test_an_outline_lies_half_on_either_side_of_the_border():
    picture = np.zeros((40, 60, 3), np.uint8)
    draw_outline(picture, np.float32([9.6, 10, 30, 25]), (0, 200, 0), 3)
    rows, columns = np.nonzero(picture[..., 1])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (9, 26, 9, 31)
    assert np.flatnonzero(picture[20, :, 1]).tolist() == [9, 10, 11, 29, 30, 31]
    draw_outline(picture, np.float32([-1e9, -1e9, 1e9, 1e9]), (0, 200, 0), 3)  # is outside, and no error
