"""Detections from the authors' proposals, scores and deltas are theirs."""

import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.boxes import decode
from lsts_jax.ops.detections import select_detections


@pytest.mark.parametrize(
    ("frame", "threshold"), [("dff/f0", 1e-4), ("dff/f2", 1e-4), ("fgfa/f1", 1e-3), ("dcn_rfcn/f3", 1e-3)]
)
def test_detections_equal_the_authors(shared, frame, threshold):
    with np.load(shared / "fixtures" / "temporal_ops.npz") as archive:
        rois, scores, deltas, wanted = (
            archive[f"{frame}/{name}"] for name in ("rois", "cls_prob", "bbox_pred", "det")
        )
    found = select_detections(
        decode(jnp.asarray(rois), jnp.asarray(deltas)),
        jnp.asarray(scores),
        size=jnp.array([136, 200], jnp.int32),
        scale=jnp.float32(1),
        score_threshold=threshold,
        nms_threshold=0.3,
        max_detections=300,
    )
    valid = np.asarray(found.valid)
    ours = np.column_stack([found.classes, found.scores, found.boxes])[valid]
    assert len(ours) == len(wanted)
    order = lambda rows: rows[np.lexsort((rows[:, 2], rows[:, 0], -rows[:, 1]))]
    np.testing.assert_array_equal(order(ours)[:, :2], order(wanted)[:, :2].astype(np.float32))
    np.testing.assert_allclose(order(ours)[:, 2:], order(wanted)[:, 2:], atol=1e-3)
