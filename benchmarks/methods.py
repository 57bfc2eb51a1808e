"""The temporal methods at full size: what each event of each published config costs, live.

    python -m benchmarks.methods --json methods.json

Every method runs in a process of its own, for its peak memory. Weights and pixels are random. Seconds are
medians from pixels in the host's memory to detections; GMAC are products and convolutions, from the jaxpr.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax

from benchmarks.common import (
    MIB,
    compiled,
    medians,
    parser,
    peak_device_bytes,
    peak_resident_bytes,
    print_table,
    write_json,
)
from benchmarks.detector import random_frames
from benchmarks.flops import flops_of
from lsts_jax.cli.experiment import load_config
from lsts_jax.compiling import jit_inference, on_gpu, release_memory
from lsts_jax.models.detector import build_detector
from lsts_jax.models.inference import prepare
from lsts_jax.structs import Frame
from lsts_jax.training.state import init_variables
from lsts_jax.video import events

CONFIGS = {
    "single frame": "rfcn_r101_vid",
    "DFF": "dff_r101_vid",
    "FGFA": "fgfa_r101_vid",
    "THP": "thp_r101_vid",
    "LSTS": "lsts_r101_vid",
    "single frame, DCN": "rfcn_dcn_r101_vid",
    "LSTS, DCN": "lsts_dcn_r101_vid",
}


def measure(method: str, size: tuple[int, int], dtype: str, seconds: float) -> dict:
    """Seconds and GMAC of a method's events, bytes of its memory, peak bytes of this process."""
    config = load_config(f"configs/{CONFIGS[method]}.py")
    data = replace(config.data, canvases=(size,), short_side=min(size), long_side=max(size))
    config = replace(config, data=data, model=replace(config.model, dtype=dtype))
    detector = build_detector(config.model, len(config.data.class_names))
    variables = prepare(detector, init_variables(detector, config), for_gpu=on_gpu())
    release_memory()  # as detectors do
    frame, bound = random_frames(config), events(detector)
    interval = detector.temporal.interval(config.model.keyframe_interval)
    memory, _ = compiled(bound.start, variables, frame)(variables, frame)
    memory_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(memory))

    def features(variables: dict, frame: Frame) -> Any:
        return detector.bind(variables).key(frame)

    gmac = {"keyframe": flops_of(bound.on_keyframe, variables, memory, frame) / 2e9}
    key, on_keyframe = (
        compiled(features, variables, frame),
        jit_inference(bound.on_keyframe, donate_argnums=1),
    )

    def keyframe() -> Any:  # overwrites the memory, as `LiveDetector` does
        nonlocal memory
        memory, found = on_keyframe(variables, memory, frame)
        return found

    calls: dict[str, Callable[[], Any]] = {
        "features of a keyframe": lambda: key(variables, frame),
        "keyframe": keyframe,
    }
    if interval > 1:
        on_frame = compiled(bound.on_frame, variables, memory, frame)
        gmac["other frame"] = flops_of(bound.on_frame, variables, memory, frame) / 2e9
        calls["other frame"] = lambda: on_frame(variables, memory, frame)
    return {
        "method": method,
        "interval": interval,
        "seconds": medians(calls, seconds=seconds),
        "gmac": gmac,
        "memory_bytes": memory_bytes,
        "peak_bytes": peak_device_bytes() or peak_resident_bytes(),
    }


def main() -> None:
    made = parser("The temporal methods at full size.")
    made.add_argument("--methods", nargs="+", choices=CONFIGS, default=list(CONFIGS))
    made.add_argument("--height", type=int, default=600)
    made.add_argument("--width", type=int, default=1000)
    made.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options = made.parse_args()
    size = (options.height, options.width)
    if len(options.methods) == 1:
        rows = [measure(options.methods[0], size, options.dtype, options.seconds)]
    else:
        rows = [_in_a_process(method, options) for method in options.methods]
    print_table(
        f"Temporal methods, {options.height}x{options.width}, {options.dtype}",
        (
            "method",
            "keyframe, s",
            "other, s",
            "mean frame, s",
            "key, GMAC",
            "other, GMAC",
            "memory MiB",
            "peak MiB",
        ),
        [_cells(row) for row in rows],
    )
    write_json(options.json, {"rows": rows})


def _in_a_process(method: str, options) -> dict:
    """`measure` in a process of its own."""
    print(f"measuring {method}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        words = ["--methods", method, "--json", str(file), "--seconds", str(options.seconds)]
        words += ["--dtype", options.dtype, "--height", str(options.height), "--width", str(options.width)]
        subprocess.run(
            [sys.executable, "-m", "benchmarks.methods", *words], check=True, stdout=subprocess.DEVNULL
        )
        return json.loads(file.read_text())["rows"][0]


def _cells(row: dict) -> tuple:
    seconds, gmac, n = row["seconds"], row["gmac"], row["interval"]
    parts = [("keyframe", 1), *[("other frame", n - 1)] * (n > 1)]
    mean = sum(count * seconds[part] for part, count in parts) / n
    times = [f"{seconds[part]:.2f}" if part in seconds else "" for part in ("keyframe", "other frame")]
    counts = [f"{gmac[part]:.0f}" if part in gmac else "" for part in ("keyframe", "other frame")]
    sizes = [f"{row[part] / MIB:.0f}" for part in ("memory_bytes", "peak_bytes")]
    return (row["method"], *times, f"{mean:.2f}", *counts, *sizes)


if __name__ == "__main__":
    main()
