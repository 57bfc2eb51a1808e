"""Anchors against the authors' and hand-worked ones."""

import numpy as np
import pytest

from lsts_jax.ops.anchors import anchor_grid, base_anchors

AUTHORS = {"ratios": (0.5, 1.0, 2.0), "scales": (8.0, 16.0, 32.0)}


def test_base_anchors_equal_the_authors(authors_ops):
    np.testing.assert_array_equal(base_anchors(**AUTHORS), authors_ops["anchors"])


def test_first_base_anchor():
    np.testing.assert_array_equal(base_anchors(**AUTHORS)[0], [-84, -40, 99, 55])


def test_small_and_fractional_scales():
    found = base_anchors(ratios=(1, 2), scales=(1, 2, 1.5))
    expected = [
        [0, 0, 15, 15],  # 16 x 16
        [-8, -8, 23, 23],  # 32 x 32
        [-4, -4, 19, 19],  # 24 x 24
        [2.5, -3, 12.5, 18],  # sqrt(128) = 11.3 rounds to 11, times 2 is 22
        [-3, -14, 18, 29],  # 22 x 44
        [-0.25, -8.5, 15.25, 23.5],  # 16.5 x 33
    ]
    np.testing.assert_array_equal(found, np.float32(expected))


def test_stride_scales_the_cell():
    np.testing.assert_array_equal(base_anchors(ratios=(1,), scales=(2,), stride=8), [[-4, -4, 11, 11]])


@pytest.mark.parametrize("stride", [8, 16])
def test_grid_is_row_column_anchor(stride):
    grid = np.asarray(anchor_grid(3, 5, **AUTHORS, stride=stride)).reshape(3, 5, 9, 4)
    base = base_anchors(**AUTHORS, stride=stride)
    for row in range(3):
        for column in range(5):
            shift = np.array([column, row, column, row]) * stride
            np.testing.assert_array_equal(grid[row, column], base + shift)
