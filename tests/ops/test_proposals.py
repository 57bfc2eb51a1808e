"""Proposals against the authors' operator, on its own map and on a padded canvas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.anchors import anchor_grid
from lsts_jax.ops.boxes import ANCHOR_DEVIATIONS
from lsts_jax.ops.proposals import propose

ANCHORS = {"ratios": (0.5, 1.0, 2.0), "scales": (8.0, 16.0, 32.0)}
AUTHORS = {"pre_nms": 6000, "post_nms": 300, "nms_threshold": 0.7}


def run(objectness, deltas, size, **options):
    """Propose from maps [h w A] and [h w A 4]."""
    height, width, _ = objectness.shape
    return jax.jit(lambda o, d, s: propose(o, d, anchor_grid(height, width, **ANCHORS), size=s, **options))(
        jnp.asarray(objectness).reshape(-1), jnp.asarray(deltas).reshape(-1, 4), jnp.asarray(size, jnp.int32)
    )


def pad(maps, rows, columns, value):
    return np.pad(
        maps, [(0, rows), (0, columns)] + [(0, 0)] * (maps.ndim - 2), constant_values=np.float32(value)
    )


@pytest.mark.parametrize("padding", [(0, 0), (3, 4)], ids=["own map", "canvas"])
def test_equals_the_authors(authors_ops, padding):
    scores = authors_ops["proposal_a/cls_prob"][0, 9:].transpose(1, 2, 0)
    deltas = authors_ops["proposal_a/bbox_pred"][0].reshape(9, 4, 10, 16).transpose(2, 3, 0, 1)
    size = authors_ops["proposal_a/im_info"][0, :2]
    # What lies in the padding scores best: it must not be seen.
    found = run(pad(scores, *padding, 2.0), pad(deltas, *padding, 0.1), size, **AUTHORS)
    np.testing.assert_allclose(found.boxes, authors_ops["proposal_a/rois"][:, 1:], rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found.scores, authors_ops["proposal_a/score"][:, 0])


def test_equals_the_authors_in_training(authors_training):
    """Only 169 survive there and are repeated."""
    case = {k.split("/")[-1]: v for k, v in authors_training.items() if k.startswith("head/s1/")}
    logits = case["rpn_cls_score"][0].reshape(2, 9, 10, 16).transpose(2, 3, 1, 0)
    deltas = case["rpn_bbox_pred"][0].reshape(9, 4, 10, 16).transpose(2, 3, 0, 1)
    objectness = jax.nn.softmax(jnp.asarray(logits))[..., 1]
    found = run(objectness, deltas * np.float32(ANCHOR_DEVIATIONS), case["im_info"][0, :2], **AUTHORS)
    np.testing.assert_allclose(found.boxes, case["rois"][:, 1:], rtol=1e-5, atol=1e-3)
    np.testing.assert_array_equal(found.boxes[169:], found.boxes[: 300 - 169])


def test_cells_that_reach_beyond_the_picture_come_last():
    """50 x 70 pixels: the last of 4 rows and the last of 5 columns are cut."""
    rng = np.random.default_rng(0)
    objectness, deltas = rng.random((6, 7, 9), np.float32), np.zeros((6, 7, 9, 4), np.float32)
    found = run(objectness, deltas, (50, 70), pre_nms=1000, post_nms=4 * 5 * 9, nms_threshold=1.0)
    whole, cut = np.sort(objectness[:3, :4].ravel())[::-1], 4 * 5 * 9 - 3 * 4 * 9
    np.testing.assert_array_equal(found.scores, np.concatenate([whole, np.full(cut, -1, np.float32)]))
    assert np.all(np.asarray(found.boxes) >= 0) and np.all(np.asarray(found.boxes) <= [69, 49, 69, 49])
    # Equal scores, here -1, keep the order of the anchors: the first is that of row 0, column 4.
    first = np.clip(
        np.asarray(anchor_grid(6, 7, **ANCHORS)).reshape(6, 7, 9, 4)[0, 4, 0], 0, [69, 49, 69, 49]
    )
    np.testing.assert_array_equal(found.boxes[len(whole)], first)


def test_pre_nms_limits_what_is_suppressed():
    rng = np.random.default_rng(1)
    objectness, deltas = rng.random((5, 5, 9), np.float32), np.zeros((5, 5, 9, 4), np.float32)
    found = run(objectness, deltas, (80, 80), pre_nms=7, post_nms=10, nms_threshold=1.0)
    best = np.sort(objectness.ravel())[::-1][:7]
    np.testing.assert_array_equal(found.scores, np.concatenate([best, best[:3]]))


def test_no_gradient():
    anchors = anchor_grid(2, 3, **ANCHORS)

    def total(objectness, deltas):
        options = {"size": jnp.array([32, 48]), "pre_nms": 20, "post_nms": 5, "nms_threshold": 0.7}
        return sum(jnp.sum(x) for x in propose(objectness, deltas, anchors, **options))

    rng = np.random.default_rng(2)
    grads = jax.jit(jax.grad(total, argnums=(0, 1)))(
        jnp.asarray(rng.random(54, np.float32)), jnp.asarray(rng.normal(size=(54, 4)).astype(np.float32))
    )
    assert not np.any(grads[0]) and not np.any(grads[1])


def test_vmap_over_pictures_of_different_size():
    rng = np.random.default_rng(3)
    objectness = jnp.asarray(rng.random((2, 5 * 6 * 9), np.float32))
    deltas = jnp.asarray(rng.normal(size=(2, 5 * 6 * 9, 4)).astype(np.float32) * 0.1)
    sizes = jnp.array([[80, 96], [50, 33]])
    anchors = anchor_grid(5, 6, **ANCHORS)

    @jax.jit
    def one(objectness, deltas, size):
        return propose(objectness, deltas, anchors, size=size, pre_nms=99, post_nms=20, nms_threshold=0.7)

    found = jax.vmap(one)(objectness, deltas, sizes)
    for b in range(2):
        expected = one(objectness[b], deltas[b], sizes[b])
        np.testing.assert_array_equal(found.scores[b], expected.scores)
        np.testing.assert_allclose(found.boxes[b], expected.boxes, atol=1e-4)
