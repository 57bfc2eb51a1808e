"""Anchor labels and RoI targets against the authors' arrays, and where they differ on purpose."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.anchors import anchor_grid
from lsts_jax.ops.boxes import ROI_DEVIATIONS, decode
from lsts_jax.ops.matching import anchor_targets, label_anchors, roi_targets, subsample_labels
from lsts_jax.structs import GroundTruth

ANCHORS = {"ratios": (0.5, 1.0, 2.0), "scales": (8.0, 16.0, 32.0)}
RPN = {"positive_iou": 0.7, "negative_iou": 0.3, "ignore_iou": 0.5}
ROI = {"positive_iou": 0.5, "ignore_iou": 0.5}
label = jax.jit(partial(label_anchors, **RPN))
targets = jax.jit(partial(roi_targets, **ROI))


def ground_truth(boxes, classes=None, ignored=(), slots=6):
    """Objects, then ignored regions, then empty slots."""
    boxes = [*np.reshape(boxes, (-1, 4))]
    n, taken = len(boxes), len(boxes) + len(ignored)
    index = np.arange(slots)
    filled = np.zeros((slots, 4), np.float32)
    if taken:
        filled[:taken] = [*boxes, *ignored]
    numbers = np.zeros(slots, np.int32)
    numbers[:n] = 1 if classes is None else classes
    return GroundTruth(
        jnp.asarray(filled),
        jnp.asarray(numbers),
        jnp.asarray(index < n),
        jnp.asarray((index >= n) & (index < taken)),
    )


def authors_case(fixture, kind, case):
    prefix = f"{kind}/{case}/"
    found = {k.removeprefix(prefix): v for k, v in fixture.items() if k.startswith(prefix)}
    found["objects"] = ground_truth(found["gt_boxes"][:, :4], found["gt_boxes"][:, 4])
    return found


def run_authors_anchors(case):
    """Our labels [M] and deltas [M 4], and the authors' brought into our order."""
    height, width = (int(n) for n in case["feat"])
    size = jnp.asarray(case["im_info"][0, :2], jnp.int32)
    found = label(anchor_grid(height, width, **ANCHORS), case["objects"], size)
    labels = case["label"].reshape(9, height, width).transpose(1, 2, 0).ravel()
    deltas = case["bbox_target"][0].reshape(9, 4, height, width).transpose(2, 3, 0, 1).reshape(-1, 4)
    return found, labels, deltas


@pytest.mark.parametrize("name", ["s1", "s2", "s3", "s4"])
def test_anchor_labels_equal_the_authors(authors_training, name):
    found, labels, deltas = run_authors_anchors(authors_case(authors_training, "anchor", name))
    np.testing.assert_array_equal(found.labels, labels)
    np.testing.assert_allclose(found.deltas, deltas, rtol=1e-5, atol=1e-5)


def test_object_that_no_inside_anchor_overlaps(authors_training):
    """s5: the authors make every inside anchor positive, we behave as if that object were not there."""
    case = authors_case(authors_training, "anchor", "s5")
    found, labels, deltas = run_authors_anchors(case)
    assert np.sum(labels == 1) == 32 and not np.any(labels == 0)
    np.testing.assert_allclose(found.deltas, deltas, rtol=1e-5, atol=1e-5)

    grid, size = anchor_grid(10, 16, **ANCHORS), jnp.array([160, 256])
    missed, other = (label(grid, ground_truth(box), size).labels for box in case["gt_boxes"][:, :4])
    assert np.sum(missed == 0) == 32 and not np.any(missed == 1)
    np.testing.assert_array_equal(found.labels, other)
    assert 0 < np.sum(other == 1) < 32


def test_canvas_padding_and_empty_slots_change_no_label(authors_training):
    case = authors_case(authors_training, "anchor", "s1")
    expected, _, _ = run_authors_anchors(case)
    more = ground_truth(case["gt_boxes"][:, :4], slots=9)
    on_canvas = label(anchor_grid(14, 19, **ANCHORS), more, jnp.array([160, 256]))
    labels = np.asarray(on_canvas.labels).reshape(14, 19, 9)
    np.testing.assert_array_equal(labels[:10, :16].ravel(), expected.labels)
    assert np.all(labels[10:] == -1) and np.all(labels[:, 16:] == -1)


def test_anchors_by_hand():
    objects = ground_truth([[0, 0, 9, 4], [30, 37, 39, 42], [0, 60, 9, 69]], ignored=[[50, 50, 64, 80]])
    expected = {
        (0, 0, 9, 3): 1,  # IoU 40 / 50 with the first object
        (0, 0, 9, 9): -1,  # 50 / 100
        (30, 30, 39, 39): 1,  # 30 / 130 with the second object, which no anchor overlaps more
        (30, 40, 39, 49): 1,  # the same
        (60, 60, 69, 69): -1,  # half in the ignored region
        (61, 60, 70, 69): 0,  # a little less
        (70, 0, 79, 9): 0,
        (71, 0, 80, 9): -1,  # one pixel out of the picture
        (-1, 20, 8, 29): -1,
        (0, 60, 9, 69): 1,  # the third object
        (0, 60, 9, 66): 1,  # 70 / 100 with it: the threshold itself
        (0, 60, 9, 62): -1,  # 30 / 100: no longer below the other threshold
        (0, 60, 9, 61): 0,
    }
    found = label(jnp.asarray(list(expected), jnp.float32), objects, jnp.array([90, 80]))
    assert found.labels.tolist() == list(expected.values())


def test_subsampling_counts():
    run = jax.jit(partial(subsample_labels, batch=256, positive_fraction=0.5))
    rng = np.random.default_rng(0)
    for positives, negatives, expected in [
        (300, 900, (128, 128)),
        (20, 900, (20, 236)),
        (200, 30, (128, 30)),
    ]:
        labels = np.full(2000, -1, np.int32)
        places = rng.permutation(2000)
        labels[places[:positives]] = 1
        labels[places[positives : positives + negatives]] = 0
        found = np.asarray(run(jax.random.key(3), jnp.asarray(labels)))
        assert (np.sum(found == 1), np.sum(found == 0)) == expected
        assert np.all((found == labels) | (found == -1))


def test_subsampling_is_uniform_and_depends_on_the_key():
    labels = jnp.asarray([1] * 10 + [0] * 20 + [-1] * 5, jnp.int32)
    keys = jax.random.split(jax.random.key(0), 4000)
    sample = partial(subsample_labels, batch=8, positive_fraction=0.5)
    found = jax.jit(jax.vmap(sample, in_axes=(0, None)))(keys, labels)
    rate = np.mean(np.asarray(found) >= 0, axis=0)
    np.testing.assert_allclose(rate[:10], 4 / 10, atol=5 * np.sqrt(0.24 / 4000))
    np.testing.assert_allclose(rate[10:30], 4 / 20, atol=5 * np.sqrt(0.16 / 4000))
    assert np.all(rate[30:] == 0)


def test_anchor_targets_sample_the_labels(authors_training):
    case = authors_case(authors_training, "anchor", "s2")
    grid, size = anchor_grid(38, 63, **ANCHORS), jnp.array([600, 1000])
    run = partial(anchor_targets, batch=256, positive_fraction=0.5, **RPN)
    objects = jax.tree.map(lambda x: jnp.stack([x, x]), case["objects"])
    keys = jax.random.split(jax.random.key(1), 2)
    found = jax.jit(jax.vmap(run, in_axes=(0, None, 0, None)))(keys, grid, objects, size)
    before = np.asarray(label(grid, case["objects"], size).labels)
    for labels in np.asarray(found.labels):
        positives = min(128, np.sum(before == 1))
        assert (np.sum(labels == 1), np.sum(labels == 0)) == (positives, 256 - positives)
        assert np.all((labels == before) | (labels == -1))
    assert np.any(found.labels[0] != found.labels[1])


@pytest.mark.parametrize("name", ["s1", "s2"])
def test_roi_targets_equal_the_authors(authors_training, name):
    """s1 holds IoUs of exactly 0.5. The authors put objects first; we leave the order alone."""
    case = authors_case(authors_training, "roi_target", name)
    found = targets(jnp.asarray(case["rois"][:, 1:]), case["objects"])
    keep = np.flatnonzero(found.valid)
    assert len(keep) == len(case["label"])
    positive = np.asarray(found.labels)[keep] > 0
    order = np.concatenate([keep[positive], keep[~positive]])
    np.testing.assert_array_equal(found.rois[order], case["rois_output"][:, 1:])
    np.testing.assert_array_equal(found.labels[order], case["label"])
    np.testing.assert_allclose(found.deltas[order], case["bbox_target"][:, 4:], rtol=1e-5, atol=1e-5)


def test_roi_targets_decode_to_the_objects():
    rois = jnp.asarray([[0, 0, 30, 40], [48, 50, 99, 92], [0, 60, 20, 80]], jnp.float32)
    objects = ground_truth([[2, 3, 28, 44], [50, 50, 90, 90]], classes=[7, 3], slots=3)
    found = targets(rois, objects)
    assert found.labels.tolist()[:5] == [7, 3, 0, 7, 3]
    assert found.valid.tolist() == [True] * 5 + [False]
    decoded = decode(found.rois, found.deltas * jnp.asarray(ROI_DEVIATIONS)[None])
    np.testing.assert_allclose(decoded[jnp.array([0, 3])], objects.boxes[jnp.array([0, 0])], atol=1e-3)
    np.testing.assert_allclose(decoded[jnp.array([1, 4])], objects.boxes[jnp.array([1, 1])], atol=1e-3)
    np.testing.assert_array_equal(found.deltas[2], 0)


def test_ignored_regions_remove_background_only():
    objects = ground_truth([[10, 10, 49, 49]], classes=[4], ignored=[[0, 0, 59, 59]], slots=3)
    rois = jnp.asarray([[10, 10, 49, 45], [0, 0, 19, 19], [40, 0, 79, 19], [41, 0, 80, 19]], jnp.float32)
    found = targets(rois, objects)
    # an object; inside the region; half inside; a little less than half; the object's own; region; empty
    assert found.valid.tolist() == [True, False, False, True, True, False, False]
    assert found.labels.tolist()[:5] == [4, 0, 0, 0, 4]


def test_without_objects_all_is_background():
    found = targets(jnp.asarray([[0, 0, 9, 9], [5, 5, 20, 20]], jnp.float32), ground_truth(np.zeros((0, 4))))
    assert found.labels.tolist() == [0] * 8
    assert found.valid.tolist() == [True, True] + [False] * 6


def test_no_gradient_to_proposals():
    objects = ground_truth([[0, 0, 9, 9]])

    def total(proposals):
        found = targets(proposals, objects)
        return jnp.sum(found.rois) + jnp.sum(found.deltas)

    assert not np.any(jax.grad(total)(jnp.asarray([[0, 0, 9, 8], [5, 5, 20, 20]], jnp.float32)))
