"""Suppression against the obvious loop, OpenCV and the authors' answers."""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.ops.nms import BLOCK, class_nms, nms

jitted_nms = jax.jit(nms, static_argnames=("threshold", "max_kept"))
jitted_class_nms = jax.jit(class_nms, static_argnames=("threshold", "score_threshold"))


def overlap(a, b):
    """IoU of two boxes in float32, as plain as it gets."""
    one = np.float32(1)
    width = np.minimum(a[2], b[2]) - np.maximum(a[0], b[0]) + one
    height = np.minimum(a[3], b[3]) - np.maximum(a[1], b[1]) + one
    if width <= 0 or height <= 0:
        return np.float32(0)
    area_a, area_b = ((box[2] - box[0] + one) * (box[3] - box[1] + one) for box in (a, b))
    return width * height / (area_a + area_b - width * height)


def greedy(boxes, scores, threshold, valid=None):
    """Indices that greedy suppression keeps, in falling score."""
    kept = []
    for i in np.argsort(-np.asarray(scores), kind="stable"):
        if valid is not None and not valid[i]:
            continue
        if all(overlap(boxes[i], boxes[j]) <= np.float32(threshold) for j in kept):
            kept.append(int(i))
    return kept


def random_boxes(rng, n, extent=60, largest=25, integer=False):
    corner, side = rng.uniform(0, extent, (n, 2)), rng.uniform(0, largest, (n, 2))
    boxes = np.concatenate([corner, corner + side], axis=1)
    return (np.round(boxes) if integer else boxes).astype(np.float32)


def kept_list(boxes, scores, threshold, max_kept, valid=None):
    valid = None if valid is None else jnp.asarray(valid)
    indices, count = jitted_nms(
        jnp.asarray(boxes), jnp.asarray(scores), threshold=threshold, max_kept=max_kept, valid=valid
    )
    indices, count = np.asarray(indices), int(count)
    assert len(indices) == max_kept
    if count:
        np.testing.assert_array_equal(indices, np.resize(indices[:count], max_kept))
    else:
        assert not indices.any()
    return indices[:count].tolist()


@pytest.mark.parametrize("threshold", [0.3, 0.7])
def test_nms_equals_the_authors(authors_ops, threshold):
    detections = authors_ops["nms/dets"]
    found = kept_list(detections[:, :4], detections[:, 4], threshold, 200)
    assert found == authors_ops[f"nms/keep_{threshold}"].tolist()


@pytest.mark.parametrize("threshold", [0.0, 0.5])
@pytest.mark.parametrize("integer", [False, True], ids=["real", "ties"])
def test_nms_equals_the_loop_over_several_blocks(threshold, integer):
    rng = np.random.default_rng(1)
    n = 2 * BLOCK + 37
    boxes = random_boxes(rng, n, integer=integer)
    scores = (rng.integers(0, 20, n) if integer else rng.normal(size=n)).astype(np.float32)
    valid = rng.random(n) < 0.8
    expected = greedy(boxes, scores, threshold, valid)
    assert kept_list(boxes, scores, threshold, n, valid) == expected
    assert len(expected) > 8
    assert kept_list(boxes, scores, threshold, 8, valid) == expected[:8]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), threshold=st.sampled_from([0.0, 0.5]))
def test_nms_and_class_nms_equal_the_loop(seed, threshold):
    """Whole coordinates and few scores: duplicates, ties, and overlaps of exactly the threshold."""
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 24, extent=6, largest=6, integer=True)
    scores = rng.integers(0, 5, (24, 3)).astype(np.float32)
    valid = rng.random(24) < 0.7
    expected = greedy(boxes, scores[:, 0], threshold, valid)
    assert kept_list(boxes, scores[:, 0], threshold, 24, valid) == expected
    keep = jitted_class_nms(jnp.asarray(boxes), jnp.asarray(scores), threshold=threshold, score_threshold=1.0)
    for c in range(3):
        expected = greedy(boxes, scores[:, c], threshold, scores[:, c] > 1)
        assert sorted(expected) == np.flatnonzero(keep[:, c]).tolist()


def test_both_equal_opencv():
    threshold, rng = 0.3, np.random.default_rng(2)
    boxes = random_boxes(rng, 300, extent=100, largest=60, integer=True)
    scores = rng.permutation(300 * 4).reshape(300, 4).astype(np.float32) / 1200
    sides = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1)
    keep = jitted_class_nms(
        jnp.asarray(boxes), jnp.asarray(scores), threshold=threshold, score_threshold=0.25
    )
    for c in range(4):
        expected = cv2.dnn.NMSBoxes(sides.tolist(), scores[:, c].tolist(), 0.25, threshold)
        assert kept_list(boxes, scores[:, c], threshold, 300, scores[:, c] > 0.25) == list(expected)
        assert np.flatnonzero(keep[:, c]).tolist() == sorted(expected)


def test_a_suppressed_box_suppresses_nothing():
    boxes = np.float32([[0, 0, 9, 9], [4, 0, 13, 9], [8, 0, 17, 9]])  # neighbours overlap by 6 / 14
    scores = np.float32([3, 2, 1])
    assert kept_list(boxes, scores, 0.4, 3) == [0, 2]
    found = jitted_class_nms(
        jnp.asarray(boxes), jnp.asarray(scores)[:, None], threshold=0.4, score_threshold=0.0
    )
    assert found[:, 0].tolist() == [True, False, True]


def test_long_chains_of_suppression():
    n = BLOCK + 100
    x = np.arange(n, dtype=np.float32) * 4
    boxes = np.stack([x, np.zeros(n), x + 9, np.full(n, 9)], axis=1).astype(np.float32)
    scores = -np.arange(n, dtype=np.float32)
    assert kept_list(boxes, scores, 0.4, n) == list(range(0, n, 2))


def test_no_valid_box():
    boxes = random_boxes(np.random.default_rng(0), 10)
    assert kept_list(boxes, np.ones(10, np.float32), 0.5, 4, np.zeros(10, bool)) == []


def test_more_slots_than_boxes():
    assert kept_list(np.float32([[0, 0, 9, 9], [50, 50, 59, 59]]), np.float32([1, 2]), 0.5, 7) == [1, 0]


def test_vmap_equals_one_by_one():
    rng = np.random.default_rng(3)
    boxes = np.stack([random_boxes(rng, BLOCK + 9, extent=extent) for extent in (5, 200, 2000)])
    scores = rng.normal(size=boxes.shape[:2]).astype(np.float32)
    run = partial(nms, threshold=0.5, max_kept=40)
    indices, counts = jax.jit(jax.vmap(run))(jnp.asarray(boxes), jnp.asarray(scores))
    for b in range(3):
        expected = greedy(boxes[b], scores[b], 0.5)[:40]
        assert indices[b, : counts[b]].tolist() == expected
