"""Suppression and pooling at the sizes of the paper, against what one would write first.

    python -m benchmarks.postprocess --json postprocess.json

Suppression by a loop over boxes is the reference, and OpenCV's the peer on a CPU. Boxes are those of a
crowded picture: each is a copy of one of 40 objects, moved a little. Pooling is compared with running sums.
"""

from functools import partial

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.common import (
    compiled,
    medians,
    megabytes,
    milliseconds,
    parser,
    print_table,
    temp_bytes,
    write_json,
)
from lsts_jax.ops.boxes import iou
from lsts_jax.ops.nms import class_nms, nms
from lsts_jax.ops.psroi_pool import psroi_pool

PROPOSALS, KEPT, PROPOSAL_THRESHOLD = 6000, 300, 0.7
CLASSES, DETECTION_THRESHOLD, SCORE_THRESHOLD = 30, 0.3, 1e-4
CELLS, STRIDE, POOL = (38, 63), 16, 7
OBJECTS = 40


def crowded_boxes(count: int) -> np.ndarray:
    """[count 4] boxes around OBJECTS places of a 600 x 1000 picture."""
    rng = np.random.default_rng(0)
    centre = rng.uniform((50, 50), (950, 550), (OBJECTS, 2))
    extent = rng.uniform(30, 250, (OBJECTS, 2))
    owner = rng.integers(0, OBJECTS, count)
    centre = centre[owner] + rng.normal(0, 0.15, (count, 2)) * extent[owner]
    extent = extent[owner] * np.exp(rng.normal(0, 0.2, (count, 2)))
    boxes = np.concatenate([centre - extent / 2, centre + extent / 2], 1)
    return np.clip(boxes, 0, [999, 599, 999, 599]).astype(np.float32)


def loop_nms(boxes: jax.Array, scores: jax.Array, *, threshold: float, max_kept: int) -> jax.Array:
    """Greedy suppression as it is defined: one step a box that is kept."""

    def keep_one(slot, state):
        alive, kept = state
        best = jnp.argmax(jnp.where(alive, scores, -jnp.inf)).astype(jnp.int32)
        overlaps = iou(boxes[best][None], boxes)[0] > threshold
        alive_after = (alive & ~overlaps).at[best].set(False)
        return alive_after, kept.at[slot].set(jnp.where(jnp.any(alive), best, -1))

    state = (jnp.ones(len(boxes), bool), jnp.full(max_kept, -1, jnp.int32))
    return lax.fori_loop(0, max_kept, keep_one, state)[1]


def loop_class_nms(boxes: jax.Array, scores: jax.Array) -> jax.Array:
    """`loop_nms` for every class."""
    one = partial(loop_nms, threshold=DETECTION_THRESHOLD, max_kept=len(boxes))
    return jax.vmap(one, (None, 1))(boxes, scores)


def opencv_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """OpenCV's suppression, of boxes (x, y, width, height)."""
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    return np.asarray(cv2.dnn.NMSBoxes(np.concatenate([boxes[:, :2], sides], 1), scores, 0.0, threshold))


def summed_psroi_pool(maps: jax.Array, rois: jax.Array) -> jax.Array:
    """Pooling by four corners of the maps' running sums; rounding of bins as in `psroi_pool`, roughly."""
    sums = jnp.pad(jnp.cumsum(jnp.cumsum(maps, 0), 1), [(1, 0), (1, 0), (0, 0), (0, 0), (0, 0)])
    start = jnp.round(rois[:, :2]) / STRIDE
    bins = (jnp.round(rois[:, 2:]) + 1) / STRIDE - start
    bins = jnp.maximum(bins, 0.1) / POOL
    index = jnp.arange(POOL, dtype=jnp.float32)

    def edges(axis, cells):
        first = start[:, axis, None] + index[None] * bins[:, axis, None]
        last = first + bins[:, axis, None]
        return (
            jnp.clip(jnp.floor(first), 0, cells).astype(jnp.int32),
            jnp.clip(jnp.ceil(last), 0, cells).astype(jnp.int32),
        )

    (left, right), (top, bottom) = edges(0, CELLS[1]), edges(1, CELLS[0])
    row, column = jnp.meshgrid(jnp.arange(POOL), jnp.arange(POOL), indexing="ij")

    def corner(y, x):
        return sums[y[:, :, None], x[:, None, :], row[None], column[None]]

    area = (bottom - top)[:, :, None] * (right - left)[:, None, :]
    total = corner(bottom, right) - corner(top, right) - corner(bottom, left) + corner(top, left)
    return total / jnp.maximum(area, 1)[..., None]


def main() -> None:
    options = parser("Suppression and pooling.").parse_args()
    rng = np.random.default_rng(1)
    boxes = jnp.asarray(crowded_boxes(PROPOSALS))
    scores = jnp.asarray(rng.permutation(PROPOSALS) / PROPOSALS, jnp.float32)
    rois = boxes[:KEPT]
    class_scores = jnp.asarray(rng.random((KEPT, CLASSES)), jnp.float32)
    maps = jnp.asarray(rng.standard_normal((*CELLS, POOL, POOL, CLASSES + 5)), jnp.float32)

    limits = {"threshold": PROPOSAL_THRESHOLD, "max_kept": KEPT}
    by_class = partial(class_nms, threshold=DETECTION_THRESHOLD, score_threshold=SCORE_THRESHOLD)
    forms = {
        "suppression of 6000 proposals to 300": {
            "ours": (partial(nms, **limits), boxes, scores),
            "loop": (partial(loop_nms, **limits), boxes, scores),
        },
        "suppression of 30 classes x 300 boxes": {
            "ours": (by_class, rois, class_scores),
            "loop": (loop_class_nms, rois, class_scores),
        },
        "PSRoI pooling of 300 regions, 35 maps a bin": {
            "ours": (partial(psroi_pool, stride=STRIDE), maps, rois),
            "running sums": (summed_psroi_pool, maps, rois),
        },
    }
    peers = {}
    if jax.default_backend() == "cpu":
        sides = np.asarray(boxes), np.asarray(scores)
        few = np.asarray(rois)
        columns = np.asarray(class_scores).T.copy()
        peers = {
            "suppression of 6000 proposals to 300": lambda: opencv_nms(*sides, PROPOSAL_THRESHOLD),
            "suppression of 30 classes x 300 boxes": lambda: [
                opencv_nms(few, column, DETECTION_THRESHOLD) for column in columns
            ],
        }
    results, rows = {}, []
    for work, of_work in forms.items():
        programs = {name: compiled(function, *inputs) for name, (function, *inputs) in of_work.items()}
        calls = {name: partial(program, *of_work[name][1:]) for name, program in programs.items()}
        results |= {(work, name): jax.device_get(call()) for name, call in calls.items()}
        if work in peers:
            calls["OpenCV"] = peers[work]
        times = medians(calls, seconds=options.seconds)
        rows += [
            {
                "work": work,
                "name": name,
                "seconds": seconds,
                "temp_bytes": temp_bytes(programs[name]) if name in programs else None,
                "speedup": seconds / times["ours"],
            }
            for name, seconds in times.items()
        ]
    check(results)
    print_table(
        "Detection post-processing",
        ("work", "form", "ms", "temporary MiB", "x ours"),
        [
            (
                row["work"],
                row["name"],
                milliseconds(row["seconds"]),
                megabytes(row["temp_bytes"]),
                f"{row['speedup']:.1f}",
            )
            for row in rows
        ],
    )
    write_json(options.json, {"rows": rows})


def check(results: dict) -> None:
    """Stops unless the suppressions agree box by box, and the poolings but for rounding at bins' borders."""
    proposals, classes, pooling = dict.fromkeys(work for work, _ in results)
    kept, count = results[proposals, "ours"]
    if not np.array_equal(kept[:count], results[proposals, "loop"][:count]):
        raise SystemExit("nms keeps other boxes than the loop: a defect")
    found = results[classes, "ours"]
    for label, indices in enumerate(results[classes, "loop"]):
        if set(np.flatnonzero(found[:, label])) != set(indices[indices >= 0]):
            raise SystemExit("class_nms keeps other boxes than the loop: a defect")
    same = np.isclose(results[pooling, "ours"], results[pooling, "running sums"], atol=1e-3).mean()
    if same < 0.95:
        raise SystemExit(f"psroi_pool agrees with running sums in {100 * same:.0f} % of bins only: a defect")


if __name__ == "__main__":
    main()
