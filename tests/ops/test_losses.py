"""Losses, their gradients and the hard regions against the authors' training graph."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.losses import ohem_select, rfcn_losses, rpn_losses, smooth_l1
from lsts_jax.ops.psroi_pool import psroi_pool

CASES = ["s1", "s2", "s3"]
select = jax.jit(ohem_select, static_argnames="rois")


def authors_case(fixture, kind, case):
    prefix = f"{kind}/{case}/"
    return {k.removeprefix(prefix): v for k, v in fixture.items() if k.startswith(prefix)}


def per_anchor(maps, parts):
    """[1, parts * A or A * parts (deltas), h, w] to [h * w * A, parts]."""
    _, channels, height, width = maps.shape
    if parts == 2:
        ordered = maps.reshape(2, channels // 2, height, width).transpose(2, 3, 1, 0)
    else:
        ordered = maps.reshape(channels // 4, 4, height, width).transpose(2, 3, 0, 1)
    return jnp.asarray(ordered.reshape(-1, parts))


def rpn_arguments(case):
    height, width = case["rpn_cls_score"].shape[2:]
    labels = case["label"].reshape(9, height, width).transpose(1, 2, 0).ravel()
    weight = np.asarray(per_anchor(case["bbox_weight"], 4))
    np.testing.assert_array_equal(weight, np.repeat((labels == 1)[:, None], 4, axis=1))
    return (
        per_anchor(case["rpn_cls_score"], 2),
        per_anchor(case["rpn_bbox_pred"], 4),
        jnp.asarray(labels, jnp.int32),
        per_anchor(case["bbox_target"], 4),
    )


def close(found, expected):
    scale = max(np.max(np.abs(expected)), 1e-30)
    np.testing.assert_allclose(np.asarray(found) / scale, np.asarray(expected) / scale, atol=1e-5)


def test_smooth_l1_by_hand():
    x = jnp.asarray([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0])
    np.testing.assert_array_equal(smooth_l1(x), [2.5, 0.5, 0.125, 0.0, 0.125, 0.5, 1.5])
    slope = jax.vmap(jax.grad(smooth_l1))(x)
    np.testing.assert_array_equal(slope, [-1.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.0])


@pytest.mark.parametrize("name", CASES)
def test_rpn_losses_equal_the_authors(authors_training, name):
    """s3 has no label at all."""
    case = authors_case(authors_training, "loss", name)
    logits, deltas, labels, target = rpn_arguments(case)

    def total(logits, deltas):
        losses = rpn_losses(logits, deltas, labels, target, batch=256)
        return sum(losses), losses

    grad = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    (grad_logits, grad_deltas), losses = grad(logits, deltas)
    close(losses.classes, case["loss_rpn_cls"])
    close(losses.boxes, case["loss_rpn_bbox"])
    close(grad_logits, per_anchor(case["grad_rpn_cls_score"], 2))
    close(grad_deltas, per_anchor(case["grad_rpn_bbox_pred"], 4))


@pytest.mark.parametrize("name", CASES)
def test_rfcn_losses_equal_the_authors(authors_training, name):
    """s2 and s3 have fewer regions than are kept; the boxes are divided by 128 all the same."""
    case = authors_case(authors_training, "loss", name)
    logits, deltas = jnp.asarray(case["cls_score"]), jnp.asarray(case["bbox_pred"][:, 4:])
    labels = jnp.asarray(case["rcnn_label"], jnp.int32)
    target = jnp.asarray(case["rcnn_bbox_target"][:, 4:])
    valid = jnp.ones(len(labels), bool)

    def total(logits, deltas):
        kept = ohem_select(logits, deltas, labels, target, valid, rois=128)
        losses = rfcn_losses(logits, deltas, labels, target, kept, rois=128)
        return sum(losses), losses

    grad = jax.jit(jax.grad(total, argnums=(0, 1), has_aux=True))
    (grad_logits, grad_deltas), losses = grad(logits, deltas)
    close(losses.classes, case["loss_rcnn_cls"])
    close(losses.boxes, case["loss_rcnn_bbox"])
    close(grad_logits, case["grad_cls_score"])
    close(grad_deltas, case["grad_bbox_pred"][:, 4:])


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_ohem_equals_the_authors(authors_training, name):
    """Also among regions that are not valid, which have the largest losses here."""
    case = authors_case(authors_training, "ohem", name)
    logits, deltas = case["cls_score"], case["bbox_pred"][:, 4:]
    labels, target = case["labels"].astype(np.int32), case["bbox_targets"][:, 4:]
    n, wrong = len(labels), 50
    logits = np.concatenate([logits, np.tile(np.eye(31, dtype=np.float32)[:1] * 99, (wrong, 1))])
    deltas, target = (np.concatenate([x, np.zeros((wrong, 4), np.float32)]) for x in (deltas, target))
    labels = np.concatenate([labels, np.full(wrong, 5, np.int32)])
    kept = select(*map(jnp.asarray, (logits, deltas, labels, target)), jnp.arange(n + wrong) < n, rois=128)
    np.testing.assert_array_equal(kept[:n], case["labels_ohem"] >= 0)
    assert not np.any(kept[n:])


def test_ohem_counts_boxes_of_objects_only():
    logits = jnp.zeros((4, 3))
    labels = jnp.asarray([0, 1, 2, 0])
    deltas = jnp.asarray([[9.0] * 4, [0.5] * 4, [2.0] * 4, [0.0] * 4])
    valid = jnp.asarray([True, True, True, True])

    def kept(valid, rois):
        return select(logits, deltas, labels, jnp.zeros((4, 4)), valid, rois=rois).tolist()

    assert kept(valid, 1) == [False, False, True, False]
    assert kept(valid, 2) == [False, True, True, False]
    assert kept(valid.at[2].set(False), 2) == [True, True, False, False]
    assert kept(valid.at[2].set(False), 9) == [True, True, False, True]


def test_a_probability_of_zero_counts_as_1e_14():
    """Its loss is 32.2: more than that of an object at 29.9 whose box adds 2, less than if it adds 2.5."""
    logits = jnp.asarray([[-200.0, 0.0], [30.0, 0.0]])
    labels, target = jnp.asarray([0, 1]), jnp.zeros((2, 4))

    def hardest(box_loss):
        deltas = jnp.zeros((2, 4)).at[1, 0].set(box_loss + 0.5)
        return select(logits, deltas, labels, target, jnp.ones(2, bool), rois=1).tolist()

    assert hardest(2.0) == [True, False]
    assert hardest(2.5) == [False, True]


def test_losses_without_any_region():
    logits, deltas, labels = jnp.ones((3, 4)), jnp.ones((3, 4)), jnp.zeros(3, jnp.int32)
    targets, none = jnp.zeros((3, 4)), jnp.zeros(3, bool)

    def total(logits, deltas):
        return sum(rfcn_losses(logits, deltas, labels, targets, none, rois=128))

    value, grads = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))(logits, deltas)
    assert value == 0 and not np.any(grads[0]) and not np.any(grads[1])


def test_whole_head_equals_the_authors(authors_training):
    """From score maps through pooling, OHEM and both losses, and back to the score maps."""
    case = authors_case(authors_training, "head", "s1")
    classes, boxes = (
        jnp.asarray(np.float32(maps).reshape(-1, 7, 7, 10, 16).transpose(3, 4, 1, 2, 0))
        for maps in (case["rfcn_cls_x8"] / 8, case["rfcn_bbox_x16"] / 16)
    )
    rois = jnp.asarray(case["rois_output"][:, 1:])
    labels = jnp.asarray(case["roi_label"], jnp.int32)
    target = jnp.asarray(case["roi_bbox_target"][:, 4:])
    valid = jnp.ones(len(labels), bool)

    def head(classes, boxes):
        logits = jnp.mean(psroi_pool(classes, rois), axis=(1, 2))
        deltas = jnp.mean(psroi_pool(boxes, rois), axis=(1, 2))[:, 4:]
        kept = ohem_select(logits, deltas, labels, target, valid, rois=128)
        losses = rfcn_losses(logits, deltas, labels, target, kept, rois=128)
        return sum(losses), (logits, deltas, kept, losses)

    grads, (logits, deltas, kept, losses) = jax.jit(jax.grad(head, argnums=(0, 1), has_aux=True))(
        classes, boxes
    )
    close(logits, case["cls_score"])
    close(deltas, case["bbox_pred"][:, 4:])
    np.testing.assert_array_equal(kept, case["rcnn_label_ohem"][0] >= 0)
    close(losses.classes, case["loss_rcnn_cls"])
    close(losses.boxes, case["loss_rcnn_bbox"])
    back = [np.asarray(g).transpose(4, 2, 3, 0, 1).reshape(1, -1, 10, 16) for g in grads]
    close(back[0][:, ::7], case["grad_rfcn_cls_every7"])
    close(np.sum(back[0], axis=(0, 2, 3), dtype=np.float64), case["grad_rfcn_cls_chansum"])
    close(np.sum(np.abs(back[0]), axis=(0, 2, 3), dtype=np.float64), case["grad_rfcn_cls_chanabs"])
    close(back[1], case["grad_rfcn_bbox"])
