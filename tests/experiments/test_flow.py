"""Samples of the flow network's training, by hand."""

import numpy as np

from experiments.flow import Pairs, end_point_errors, mirrored, to_cells
from lsts_jax.data.synthvid.flow import TrueFlow


def test_a_cell_is_the_square_around_its_position():
    """Cell (1, 1) is around pixel (16, 16); of the cells at the border a half or a quarter is outside."""
    flow = np.broadcast_to([16.0, -8.0], (32, 48, 2)).copy()
    visible = np.ones((32, 48), bool)
    found, seen = to_cells(flow, visible)
    assert found.shape == (2, 3, 2)
    np.testing.assert_allclose(found, np.broadcast_to([1.0, -0.5], (2, 3, 2)))
    np.testing.assert_allclose(seen[..., 0], [[0.25, 0.5, 0.5], [0.5, 1, 1]])
    # what is hidden does not count
    flow[8:24, 8:16], visible[8:24, 8:16] = 1000.0, False
    found, seen = to_cells(flow, visible)
    np.testing.assert_allclose(found[1, 1], [1.0, -0.5])
    assert seen[1, 1] == 0.5


def test_mirror_images_move_the_other_way():
    picture = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    flow, visible = np.zeros((2, 4, 2)), np.ones((2, 4), bool)
    flow[1, 0], visible[1, 0] = (3, 5), False
    current, key, truth = mirrored(picture, picture + 1, TrueFlow(flow, visible))
    np.testing.assert_array_equal(current[:, 3], picture[:, 0])
    np.testing.assert_array_equal(key[:, 0], picture[:, 3] + 1)
    assert truth.flow[1, 3].tolist() == [-3, 5] and not truth.flow[1, :3].any()
    assert not truth.visible[1, 3] and truth.visible.sum() == 7


def test_end_point_errors_by_hand():
    truth = np.array([[[[0.0, 0.0], [3.0, 4.0]]]])
    seen = np.array([[[[1.0], [0.5]]]])
    nothing = np.zeros((1, 1, 1, 3), np.uint8)
    errors = end_point_errors(np.array([[[[1.0, 0.0], [3.0, 3.0]]]]), Pairs(nothing, nothing, truth, seen))
    assert errors == {
        "end-point error": 1.0,
        "end-point error of no flow": 2.5 / 1.5,
        "end-point error, moving": 1.0,
        "end-point error of no flow, moving": 5.0,
    }
