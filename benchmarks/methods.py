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
from functools import partial
from pathlib import Path

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
from lsts_jax.compiling import on_gpu
from lsts_jax.models.detector import build_detector
from lsts_jax.models.inference import prepare
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
    frame, bound = random_frames(config), events(detector)
    memory, _ = compiled(bound.start, variables, frame)(variables, frame)
    arguments: dict[str, tuple[Callable, tuple]] = {
        "features of a keyframe": (lambda v, f: detector.bind(v).key(f), (variables, frame)),
        "keyframe": (bound.on_keyframe, (variables, memory, frame)),
        "other frame": (bound.on_frame, (variables, memory, frame)),
    }
    calls = {name: partial(compiled(event, *given), *given) for name, (event, given) in arguments.items()}
    interval = detector.temporal.interval(config.model.keyframe_interval)
    return {
        "method": method,
        "interval": interval,
        "seconds": medians(calls, seconds=seconds),
        "gmac": {name: flops_of(event, *given) / 2e9 for name, (event, given) in arguments.items()},
        "memory_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(memory)),
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
        subprocess.run([sys.executable, "-m", "benchmarks.methods", *words], check=True, capture_output=True)
        return json.loads(file.read_text())["rows"][0]


def _cells(row: dict) -> tuple:
    seconds, gmac, n = row["seconds"], row["gmac"], row["interval"]
    mean = (seconds["keyframe"] + (n - 1) * seconds["other frame"]) / n
    times = (seconds["keyframe"], seconds["other frame"], mean)
    counts = (gmac["keyframe"], gmac["other frame"], row["memory_bytes"] / MIB, row["peak_bytes"] / MIB)
    return (row["method"], *(f"{time:.2f}" for time in times), *(f"{count:.0f}" for count in counts))


if __name__ == "__main__":
    main()
