"""The box around a mask agrees with the mask, drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.data.convert.masks import box_of, decode_counts


def runs(mask: np.ndarray) -> list[int]:
    """Lengths of runs outside and inside by turns, down the columns."""
    pixels = mask.T.ravel()
    ends = np.flatnonzero(np.diff(np.concatenate([[0], pixels, [2]])))
    return np.diff(np.concatenate([[0], ends])).tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**31))
def test_run_lengths(height, width, share, seed):
    coco = pytest.importorskip("hotcoco").mask
    mask = (np.random.default_rng(seed).random((height, width)) < share).astype(np.uint8)
    text = coco.encode(np.asfortranarray(mask))["counts"].decode()
    assert list(decode_counts(text)) == runs(mask)
    y, x = np.nonzero(mask)
    wanted = (x.min(), y.min(), np.ptp(x) + 1, np.ptp(y) + 1) if len(x) else None
    for counts in (text, runs(mask)):
        assert box_of({"size": [height, width], "counts": counts}) == wanted


def test_polygons():
    assert box_of([[1, 2, 5, 2, 5, 7.5], [], [0.5, 3, 4, 3, 4, 4]]) == (0.5, 2, 4.5, 5.5)
    assert box_of([]) is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (7, "neither a list of polygons"),
        ([[1, 2, 3]], "x, y, x, y"),
        ([[1, 2, {}, 3]], "not numbers"),
        ({"size": [2, 2], "counts": [1, 2]}, "3 pixels, not of 2 x 2"),
        ({"size": [2, 2], "counts": "a"}, "middle"),
        ({"size": [2, 2], "counts": "~"}, "not in COCO's text form"),
        ({"size": [2], "counts": [4]}, "height, width"),
        ({"size": [2, 2], "counts": [5, -1]}, "whole numbers"),
    ],
)
def test_what_is_wrong_is_told(wrong, told):
    with pytest.raises(ValueError, match=told):
        box_of(wrong)
