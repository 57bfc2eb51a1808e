"""Overlap counted in pixels, and box regression against the authors' arrays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.test_util import check_grads

from lsts_jax.ops.boxes import area, clip, covered, decode, encode, iou


def array(*boxes):
    return jnp.asarray(boxes, jnp.float32)


def pixels(box):
    """The pixels of a box with whole corners."""
    x1, y1, x2, y2 = (int(v) for v in box)
    return {(x, y) for x in range(x1, x2 + 1) for y in range(y1, y2 + 1)}


@st.composite
def integer_boxes(draw, count=3, limit=12):
    corner = st.integers(0, limit)
    boxes = []
    for _ in range(count):
        x, y = sorted((draw(corner), draw(corner))), sorted((draw(corner), draw(corner)))
        boxes.append((x[0], y[0], x[1], y[1]))
    return np.array(boxes, np.float32)


@settings(max_examples=40, deadline=None)
@given(integer_boxes(), integer_boxes(count=2))
def test_overlap_counts_pixels(a, b):
    found, share = iou(jnp.asarray(a), jnp.asarray(b)), covered(jnp.asarray(a), jnp.asarray(b))
    for i, first in enumerate(map(pixels, a)):
        assert area(jnp.asarray(a))[i] == len(first)
        for j, second in enumerate(map(pixels, b)):
            assert found[i, j] == np.float32(len(first & second) / len(first | second))
            np.testing.assert_allclose(share[i, j], len(first & second) / len(first), rtol=1e-6)


def test_neighbouring_pixels_do_not_overlap():
    assert iou(array([0, 0, 4, 4]), array([5, 0, 9, 4]))[0, 0] == 0
    assert iou(array([0, 0, 4, 4]), array([4, 4, 9, 9]))[0, 0] == np.float32(1 / 60)


def test_covered_is_relative_to_the_box():
    small, large = array([2, 2, 3, 3]), array([0, 0, 9, 9])
    assert covered(small, large)[0, 0] == 1
    assert covered(large, small)[0, 0] == np.float32(0.04)


def test_decode_equals_the_authors(authors_ops):
    boxes, deltas = jnp.asarray(authors_ops["bbox/boxes"]), authors_ops["bbox/deltas"]
    for columns in (slice(0, 4), slice(4, 8)):
        found = jax.jit(decode)(boxes, jnp.asarray(deltas[:, columns]))
        np.testing.assert_allclose(found, authors_ops["bbox/pred"][:, columns], rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(
            clip(found, jnp.array([160, 256])),
            authors_ops["bbox/pred_clipped_160x256"][:, columns],
            rtol=1e-5,
            atol=1e-4,
        )


def test_encode_equals_the_authors(authors_ops):
    found = jax.jit(encode)(jnp.asarray(authors_ops["bbox/boxes"]), jnp.asarray(authors_ops["bbox/gt"]))
    np.testing.assert_allclose(found, authors_ops["bbox/targets"], rtol=1e-5, atol=1e-6)


def test_deltas_worked_by_hand():
    box, target = array([0, 0, 9, 19]), array([10, 20, 29, 39])  # 10x20 at (4.5, 9.5), 20x20 at (19.5, 29.5)
    np.testing.assert_allclose(encode(box, target), [[1.5, 1.0, np.log(2), 0.0]], rtol=1e-6)


coordinate = st.floats(0, 500, width=32)
side = st.floats(1, 500, width=32)


@settings(max_examples=40, deadline=None)
@given(*[coordinate] * 4, *[side] * 4)
def test_decode_inverts_encode(x, y, u, v, w, h, width, height):
    box, target = array([x, y, x + w, y + h]), array([u, v, u + width, v + height])
    np.testing.assert_allclose(decode(box, encode(box, target)), target, rtol=1e-4, atol=2e-2)


def test_overflowing_deltas_become_the_whole_picture():
    decoded = decode(array([10, 10, 20, 20]), array([0, 0, 1000, 1000]))
    np.testing.assert_array_equal(clip(decoded, jnp.array([60, 100])), [[0, 0, 99, 59]])


def test_clip_takes_height_first():
    boxes = array([-5, -5, 500, 500], [3, 4, 99.5, 59.5])
    np.testing.assert_array_equal(clip(boxes, jnp.array([60, 100])), [[0, 0, 99, 59], [3, 4, 99, 59]])


@pytest.mark.parametrize("function", [encode, decode])
def test_gradients_equal_finite_differences(function):
    a, b = array([3, 4, 30, 50], [10, 10, 19, 12]), array([0.1, 0.2, 0.3, 0.5], [0.5, -0.2, 1.5, 0.1])

    def on_arrays(a, b):
        return function(jnp.asarray(a), jnp.asarray(b))

    check_grads(on_arrays, (a, b), order=1, modes=["rev"], eps=1e-2, atol=1e-2, rtol=1e-2)
