"""The programs that an H100 would run, compiled without one: launches, waits, loops, memory.

    make gpu-program JSON=benchmarks/results/gpu_program.json
    python -m benchmarks.gpu_program --only lsts/on_frame

Needs the extra [gpu-program] (XLA's compiler for GPUs, 573 MB, no driver); see `benchmarks/gpu_compiler.py`
for what is counted and what cannot be. Exit status 1 if a program is over its budget.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.common import MIB, print_table
from benchmarks.detector import random_frames
from benchmarks.flops import flops_of
from benchmarks.gpu_compiler import PACKAGES, compile_for_gpu, is_installed
from benchmarks.train_step import random_triplets
from lsts_jax.cli.experiment import load_config
from lsts_jax.config import Config
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.models.inference import prepare
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_state, init_variables
from lsts_jax.training.step import train_step
from lsts_jax.video import detect_video, empty_memory, events

SIZE = (600, 1000)
CONFIGS = {
    "lsts": "lsts_r101_vid",
    "lsts_dcn": "lsts_dcn_r101_vid",
    "dff": "dff_r101_vid",
    "fgfa": "fgfa_r101_vid",
    "thp": "thp_r101_vid",
}
"""The published config of each method; lsts_dcn: LSTS with deformable convolutions in stage 5."""
BATCH = 8
"""Triplets of a training step, and segments of the program of many videos."""


class Budget(NamedTuple):
    """The most that a program may have."""

    launches: int
    peak_mib: float | None = None
    argument_mib: float | None = None


BUDGETS = {
    ("lsts/start", "bfloat16"): Budget(230, argument_mib=125),
    ("lsts/on_keyframe", "bfloat16"): Budget(260),
    ("lsts/on_frame", "bfloat16"): Budget(150),
    ("lsts/segment", "bfloat16"): Budget(350, peak_mib=1331),
    ("lsts/segments", "bfloat16"): Budget(600),
    ("lsts/train", "bfloat16"): Budget(1600, peak_mib=12288),
}


class Program(NamedTuple):
    """A function and arguments (arrays or their shapes)."""

    name: str  # METHOD/EVENT
    batch: int  # frames or triplets at once
    function: Callable
    arguments: tuple
    donate: tuple[int, ...] = ()


def programs(method: str, dtype: str) -> Iterator[Program]:
    """Events, a segment, and the training step of a method."""
    config = _config(method, dtype)
    detector = build_detector(config.model, len(config.data.class_names))
    trained = jax.eval_shape(lambda: init_variables(detector, config))
    variables = jax.eval_shape(partial(prepare, detector, for_gpu=True), trained)
    frame, bound = random_frames(config), events(detector)
    memory = jax.eval_shape(partial(empty_memory, detector), variables, frame)
    yield Program(f"{method}/start", 1, bound.start, (variables, frame))
    yield Program(f"{method}/on_keyframe", 1, bound.on_keyframe, (variables, memory, frame))
    yield Program(f"{method}/on_frame", 1, bound.on_frame, (variables, memory, frame))
    yield _segments(f"{method}/segment", config, detector, variables, memory, segments=1)
    yield _segments(f"{method}/segments", config, detector, variables, memory, segments=BATCH)
    optimizer = build_optimizer(config.optimizer, 1000, detector.temporal)
    state = jax.eval_shape(partial(init_state, detector, optimizer, seed=config.seed), trained)
    step = partial(train_step, detector, optimizer, config)
    yield Program(f"{method}/train", BATCH, step, (state, random_triplets(config, BATCH)), donate=(0,))


def _segments(
    name: str, config: Config, detector: Detector, variables: Any, memory: Any, *, segments: int
) -> Program:
    """Segments of one video in one call, all their frames at once."""
    interval = config.model.keyframe_interval
    frames = jax.tree.map(lambda x: x[0], random_frames(config, 1, segments, interval))
    run = partial(detect_video, detector, frames_per_batch=segments * interval)
    starts = np.zeros(segments, np.int32), np.zeros(segments, bool)
    return Program(name, segments * interval, run, (variables, memory, frames, *starts))


def _config(method: str, dtype: str) -> Config:
    config = load_config(f"configs/{CONFIGS[method]}.py")
    return replace(
        config, data=replace(config.data, canvases=(SIZE,)), model=replace(config.model, dtype=dtype)
    )


def row_of(program: Program, dtype: str) -> dict:
    """Compiles a program; what the table and the JSON file say of it."""
    done = compile_for_gpu(program.function, *program.arguments, donate=program.donate)
    return {
        "program": program.name,
        "dtype": dtype,
        "batch": program.batch,
        "launches": done.counts.launches,
        "host_syncs": done.counts.host_syncs,
        "loops": done.counts.loops,
        "argument_bytes": done.argument_bytes,
        "temporary_bytes": done.temporary_bytes,
        "peak_bytes": done.peak_bytes,
        "gflop": flops_of(program.function, *program.arguments) / 1e9,
        "f64": done.f64,
    }


def over_budget(row: dict) -> list[str]:
    """Where a program is over its budget, a line each. No program of inference may wait for the host, and
    none may compute in float64."""
    budget = BUDGETS.get((row["program"], row["dtype"]))
    limits: list[tuple[str, float, float | None]] = [("float64 operations", row["f64"], 0)]
    if not row["program"].endswith("/train"):
        limits.append(("host waits", row["host_syncs"], 0))
    if budget:
        limits.append(("launches", row["launches"], budget.launches))
        limits.append(("MiB at most", row["peak_bytes"] / MIB, budget.peak_mib))
        limits.append(("MiB of arguments", row["argument_bytes"] / MIB, budget.argument_mib))
    return [
        f"{row['program']}, {row['dtype']}: {value:.0f} {what}, the budget is {most:g}"
        for what, value, most in limits
        if most is not None and value > most
    ]


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--only", nargs="*", metavar="NAME", help="programs whose METHOD/EVENT contains one of these"
    )
    made.add_argument("--dtype", nargs="*", choices=("bfloat16", "float32"), default=("bfloat16", "float32"))
    made.add_argument("--json", type=Path, metavar="FILE", help="write the rows there as well")
    options = made.parse_args()
    if not is_installed():
        print(f"skipped: no compiler for GPUs here; pip install '.[gpu-program]' installs {PACKAGES}")
        return
    rows, complaints = [], []
    for dtype in options.dtype:
        for program in (program for method in CONFIGS for program in programs(method, dtype)):
            if options.only and not any(part in program.name for part in options.only):
                continue
            print(f"compiling {program.name}, {dtype}", file=sys.stderr, flush=True)
            rows.append(row_of(program, dtype))
            complaints += over_budget(rows[-1])
            if options.json:
                content = {"device": "H100, compiled without one", "jax": jax.__version__, "rows": rows}
                options.json.write_text(json.dumps(content, indent=2) + "\n")
    print_table("Programs for an H100", COLUMNS, [_cells(row) for row in rows])
    print("\n".join(complaints))
    sys.exit(bool(complaints))


COLUMNS = (
    *("program", "dtype", "batch", "launches", "a frame", "waits", "loops"),
    *("arguments MiB", "temporary MiB", "peak MiB", "GFLOP", "f64"),
)


def _cells(row: dict) -> tuple:
    sizes = (f"{row[name] / MIB:.0f}" for name in ("argument_bytes", "temporary_bytes", "peak_bytes"))
    per_frame = f"{row['launches'] / row['batch']:.0f}"
    counts = (row["launches"], per_frame, row["host_syncs"], row["loops"])
    return (row["program"], row["dtype"], row["batch"], *counts, *sizes, f"{row['gflop']:.0f}", row["f64"])


if __name__ == "__main__":
    main()
