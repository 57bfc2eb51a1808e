"""A training step on random triplets: triplets a second, memory, model FLOP utilisation.

    python -m benchmarks.train_step --batch 1 --height 320 --width 512
    python -m benchmarks.train_step --config configs/lite_real.py --batch 4 --height 256 --width 448

On a CPU the same step compiled with XLA's default options takes turns with it. FLOPs are XLA's count of the
step without rematerialisation, over the peak of the device in the compute dtype where that is known.
"""

import argparse
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from benchmarks.common import (
    MIB,
    add_model_options,
    medians,
    megabytes,
    milliseconds,
    model_config,
    parser,
    peak_device_bytes,
    peak_resident_bytes,
    print_table,
    temp_bytes,
    write_json,
)
from lsts_jax.cli.experiment import load_config
from lsts_jax.compiling import jit_training
from lsts_jax.config import Config
from lsts_jax.models.detector import build_detector
from lsts_jax.structs import Frame, GroundTruth, Triplet
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_state, init_variables
from lsts_jax.training.step import train_step

# Dense FLOP/s by the makers' data sheets: (part of the device's name, bfloat16, float32). By default XLA
# computes products of float32 on tensor cores in TF32: their peak is that of TF32 where a card has it.
PEAKS = (
    ("H100 PCIe", 756e12, 378e12),
    ("H100", 989e12, 494e12),
    ("H200", 989e12, 494e12),
    ("A100", 312e12, 156e12),
    ("V100", 125e12, 15.7e12),
)


def random_triplets(config: Config, batch: int, objects: int = 4) -> Triplet:
    """Noise with a few boxes on each picture, in the host's memory."""
    rng = np.random.default_rng(0)
    ((height, width),) = config.data.canvases
    slots = config.data.max_objects

    def frame():
        return Frame(
            rng.integers(0, 256, (batch, height, width, 3), np.uint8),
            np.tile(np.array([height, width], np.int32), (batch, 1)),
            np.ones(batch, np.float32),
        )

    corner = rng.uniform(0, 0.5, (batch, slots, 2))
    extent = rng.uniform(0.2, 0.5, (batch, slots, 2))
    boxes = np.concatenate([corner, corner + extent], -1) * np.array([width, height] * 2)
    valid = np.broadcast_to(np.arange(slots) < objects, (batch, slots))
    classes = np.where(valid, rng.integers(1, len(config.data.class_names) + 1, valid.shape), 0)
    truth = GroundTruth(
        np.where(valid[..., None], boxes, 0).astype(np.float32),
        classes.astype(np.int32),
        valid.copy(),
        np.zeros_like(valid),
    )
    no = np.zeros(batch, bool)
    return Triplet(frame(), frame(), frame(), truth, no, no)


def step_of(config: Config):
    """The step, and the state that it starts from."""
    detector = build_detector(config.model, len(config.data.class_names))
    optimizer = build_optimizer(config.optimizer, 1000, detector.temporal)
    state = init_state(detector, optimizer, init_variables(detector, config), config.seed)
    return partial(train_step, detector, optimizer, config), state


def peak_flops(dtype: str) -> float | None:
    kind = jax.devices()[0].device_kind
    for name, bfloat16, float32 in PEAKS:
        if name in kind:
            return bfloat16 if dtype == "bfloat16" else float32
    return None


def main() -> None:
    made = parser("A training step.")
    add_model_options(made)
    made.add_argument("--batch", type=int, default=8, help="triplets a step")
    made.add_argument("--config", metavar="FILE", help="an experiment instead of the paper's detector")
    made.add_argument("--temporal", help="config.model.temporal of --config")
    made.add_argument(
        "--remat", action="store_true", help="recompute activations, config.model.backbone.remat"
    )
    options = made.parse_args()
    config = _config(options, options.remat)
    step, state = step_of(config)
    triplets = jax.device_put(random_triplets(config, options.batch))
    plain = step_of(_config(options, False))[0] if options.remat else step
    costs = jax.jit(plain).lower(state, triplets).cost_analysis() or {}
    program = jit_training(step).lower(state, triplets).compile()
    programs = {"step": program}
    if jax.default_backend() == "cpu":
        programs["XLA's defaults"] = jax.jit(step).lower(state, triplets).compile()

    calls = {name: partial(each, state, triplets) for name, each in programs.items()}
    measured = medians(calls, seconds=options.seconds)
    seconds = measured["step"]
    flops, peak = costs.get("flops"), peak_flops(options.dtype)
    content = {
        "options": {name: value for name, value in vars(options).items() if name != "json"},
        "seconds": seconds,
        "seconds_with_defaults": measured.get("XLA's defaults"),
        "triplets_per_second": options.batch / seconds,
        "temp_bytes": temp_bytes(program),
        "peak_device_bytes": peak_device_bytes(),
        "peak_resident_bytes": peak_resident_bytes(),
        "flops_per_triplet": flops and flops / options.batch,
        "model_flop_utilisation": flops / seconds / peak if flops and peak else None,
    }
    utilisation, defaults = content["model_flop_utilisation"], content["seconds_with_defaults"]
    what = options.config or f"ResNet-{options.depth}"
    print_table(
        f"Training, {what}, {options.height}x{options.width}, {config.model.dtype}",
        (
            "samples",
            "ms",
            "with XLA's defaults",
            "samples a second",
            "temporary MiB",
            "peak MiB",
            "GFLOP a sample",
            "MFU %",
        ),
        [
            (
                str(options.batch),
                milliseconds(seconds),
                milliseconds(defaults) if defaults else "-",
                f"{content['triplets_per_second']:.2f}",
                megabytes(content["temp_bytes"]),
                f"{(content['peak_device_bytes'] or content['peak_resident_bytes']) / MIB:.0f}",
                f"{flops / options.batch / 1e9:.0f}" if flops else "-",
                f"{100 * utilisation:.1f}" if utilisation else "-",
            )
        ],
    )
    write_json(options.json, content)


def _config(options: argparse.Namespace, remat: bool) -> Config:
    """The experiment or the paper's detector, on one canvas."""
    if not options.config:
        return model_config(options, remat=remat)
    config = load_config(options.config)
    size = (options.height, options.width)
    return replace(
        config,
        data=replace(config.data, short_side=min(size), long_side=max(size), canvases=(size,)),
        model=replace(
            config.model,
            temporal=options.temporal or config.model.temporal,
            backbone=replace(config.model.backbone, remat=remat),
        ),
    )


if __name__ == "__main__":
    main()
