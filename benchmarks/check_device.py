"""The accelerator's numbers against the CPU's: LSTS with its gradients, suppression, pooling, a detector.

The dilated convolutions of the backbone are compared in bfloat16 as well, where kernels of libraries have
had defects.

    python -m benchmarks.check_device

Exits with 1 if any differs by more than rounding. In float32 without TF32.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.common import parser, print_table, write_json
from benchmarks.detector import random_frames
from benchmarks.lsts import gradients, jax_form, make_inputs
from benchmarks.postprocess import crowded_boxes
from benchmarks.train_step import random_triplets, step_of
from lsts_jax.compiling import jit_inference
from lsts_jax.config import BackboneConfig, Config, DataConfig, LSTSConfig, ModelConfig, OptimizerConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.ops.nms import class_nms, nms
from lsts_jax.ops.psroi_pool import psroi_pool
from lsts_jax.training.state import init_variables
from lsts_jax.video import on_keyframe, start

SMALL = Config(
    data=DataConfig(short_side=128, long_side=192, canvases=((128, 192),), max_objects=8),
    model=ModelConfig(
        backbone=BackboneConfig(depth=18, split=1, norm="group"),
        lsts=LSTSConfig(window=5),
        deep_layer_init="he",
    ),
    optimizer=OptimizerConfig(freeze=()),
)


def features(detector: Any, variables: dict, frame: Any) -> tuple:
    """Memories after two keyframes, and what a frame after them is detected on."""
    first, _ = start(detector, variables, frame)
    second, _ = on_keyframe(detector, variables, first, frame)
    bound = detector.bind(variables)
    return first, second, bound.on_frame(second, bound.other(frame)).feature


def dilated(channels: int, filters: int, dilation: int) -> tuple[Callable, tuple]:
    """A dilated 3x3 convolution in bfloat16 with its gradients, and inputs of res5's size at 600x1000."""
    rng = np.random.default_rng(0)

    def draw(*shape):
        return jnp.asarray(rng.standard_normal(shape), jnp.bfloat16)

    def convolve(x, kernel):
        return lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            [(dilation, dilation)] * 2,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    inputs = (draw(2, 38, 63, channels), draw(3, 3, channels, filters))
    return partial(gradients, convolve), (inputs, draw(2, 38, 63, filters))


def cases() -> dict[str, tuple[Callable, tuple, float]]:
    """Function, inputs, and largest difference allowed, as a part of the largest value."""
    inputs, grad = make_inputs((38, 63), 81, 1, "float32")
    rng = np.random.default_rng(0)
    boxes = jnp.asarray(crowded_boxes(6000))
    scores = jnp.asarray(rng.permutation(6000) / 6000, jnp.float32)
    class_scores = jnp.asarray(rng.random((300, 30)), jnp.float32)
    maps = jnp.asarray(rng.standard_normal((38, 63, 7, 7, 35)), jnp.float32)
    detector = build_detector(SMALL.model, len(SMALL.data.class_names))
    variables = init_variables(detector, SMALL)
    step, state = step_of(SMALL)
    frame = jax.tree.map(jnp.asarray, random_frames(SMALL))
    triplets = jax.tree.map(jnp.asarray, random_triplets(SMALL, 2))
    by_class = partial(class_nms, threshold=0.3, score_threshold=1e-4)
    convolutions = {
        f"bfloat16, dilation {dilation}": (*dilated(channels, filters, dilation), 1e-2)
        for channels, filters, dilation in ((512, 512, 2), (2048, 1024, 6))
    }
    return convolutions | {
        "LSTS and its gradients": (partial(gradients, jax_form("factorised", 5)), (inputs, grad), 1e-4),
        "nms": (partial(nms, threshold=0.7, max_kept=300), (boxes, scores), 0.0),
        "class_nms": (by_class, (boxes[:300], class_scores), 0.0),
        "PSRoI pooling": (psroi_pool, (maps, boxes[:300]), 1e-5),
        "features of a video": (partial(features, detector), (variables, frame), 1e-3),
        # RoIs of nearly equal score may change places, and others with them: the losses move a little
        "losses of a step": (lambda s, t: step(s, t)[1]["loss"], (state, triplets), 2e-2),
    }


def difference(found: Any, wanted: Any) -> float:
    """The largest, over all arrays, as a part of each one's largest value."""
    worst = 0.0
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        worst = max(worst, float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)))
    return worst


def main() -> None:
    options = parser("The accelerator's numbers against the CPU's.").parse_args()
    host = jax.devices("cpu")[0]
    rows = []
    with jax.default_matmul_precision("highest"):
        for name, (function, inputs, allowed) in cases().items():
            run = jit_inference(function)
            found = jax.device_get(run(*inputs))
            wanted = jax.device_get(run(*jax.device_put(inputs, host)))
            worst = difference(found, wanted)
            rows.append({"name": name, "difference": worst, "allowed": allowed, "good": worst <= allowed})
    device = jax.devices()[0].device_kind
    print_table(
        f"{device} against the CPU, largest difference over largest value",
        ("what", "difference", "allowed", "good"),
        [(r["name"], f"{r['difference']:.1e}", f"{r['allowed']:.0e}", r["good"]) for r in rows],
    )
    write_json(options.json, {"rows": rows})
    if not all(row["good"] for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
