"""Frames a second from a video file to detections on a CPU: LSTS and the single frame on EfficientNet-lite0.

    python -m benchmarks.realtime clip.mp4 --json realtime.json

`configs/lite_real.py` with random weights, at several sizes, on one core and on two, in a process of its own
each. Beside them torchvision's SSDLite on MobileNetV3, at its own 320 x 320, if torchvision is installed.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common import parser, print_table, write_json

SIZES = ((192, 336), (256, 448), (320, 576))
CORES = (1, 2)
LSTS, SINGLE, SSDLITE = "LSTS", "single frame", "SSDLite"
BOXES = 10  # drawn in every frame


def loaded(method: str, size: tuple[int, int]) -> Any:
    """The detector of configs/lite_real.py at a size, with random weights."""
    from lsts_jax.api import LoadedDetector
    from lsts_jax.cli.experiment import load_config
    from lsts_jax.models.detector import build_detector
    from lsts_jax.training.state import init_variables

    config = load_config("configs/lite_real.py")
    data = replace(config.data, short_side=min(size), long_side=max(size), canvases=(size,))
    model = replace(config.model, temporal="none" if method == SINGLE else "lsts")
    config = replace(config, data=data, model=model)
    detector = build_detector(model, len(data.class_names))
    return LoadedDetector(config, detector, init_variables(detector, config), 0)


def measure(method: str, size: tuple[int, int], source: str, seconds: float) -> dict:
    """Frames a second and milliseconds of the parts; call in a fresh process."""
    if method == SSDLITE:
        return {"live": _ssdlite(source, seconds)}
    from lsts_jax.data.transforms import to_frame
    from lsts_jax.data.video.video_io import open_source

    detector = loaded(method, size)
    results = list(detector.stream(source, live=True))
    _exhaust(detector.stream(source))  # compiles
    calls = {
        "live": lambda: _exhaust(detector.stream(source, live=True)),
        "live, drawn": lambda: _exhaust(map(_draw, detector.stream(source, live=True))),
        "streamed": lambda: _exhaust(detector.stream(source)),
    }
    rates = {name: len(results) / _median_of(call, seconds) for name, call in calls.items()}

    picture, interval = results[0].image, detector.interval
    latencies = [result.latency for result in detector.stream(source, live=True)][interval:]
    keys, others = latencies[::interval], [x for i, x in enumerate(latencies) if i % interval]
    parts = {
        "decode": _median_of(lambda: _exhaust(iter(open_source(source))), 1) / len(results),
        "resize": _median_of(lambda: to_frame(picture, detector.config.data, size), 1),
        "keyframe": median(keys),
        "other frame": median(others or keys),
        "draw": _median_of(lambda: _draw(results[-1]), 1),
    }
    return rates | {"milliseconds": {name: 1e3 * value for name, value in parts.items()}}


def _draw(result: Any) -> Any:
    return result.plot(score_threshold=float(sorted(result.scores)[-BOXES:][0]))


def _exhaust(items: Iterator) -> None:
    for _ in items:
        pass


def _median_of(call: Callable[[], Any], seconds: float) -> float:
    """Median seconds of as many calls as fit, at least three."""
    measured, begin = [], time.perf_counter()
    while len(measured) < 3 or time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        call()
        measured.append(time.perf_counter() - start)
    return median(measured)


def _ssdlite(source: str, seconds: float) -> float:
    """Frames a second of torchvision's ssdlite320_mobilenet_v3_large, picture by picture."""
    import cv2
    import torch
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = ssdlite320_mobilenet_v3_large(weights=None, weights_backbone=None).eval()

    @torch.inference_mode()
    def run() -> int:
        capture, count = cv2.VideoCapture(source), 0
        while (picture := capture.read()[1]) is not None:
            pixels = torch.from_numpy(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)).permute(2, 0, 1)
            model([pixels.float() / 255])
            count += 1
        return count

    count = run()
    return count / _median_of(run, seconds)


def main() -> None:
    made = parser("Frames a second from a video file to detections on a CPU.")
    made.add_argument("source")
    made.add_argument("--cores", nargs="+", type=int, default=list(CORES))
    made.add_argument("--heights", nargs="+", type=int, default=[height for height, _ in SIZES])
    made.add_argument("--row", nargs=4, help="METHOD HEIGHT WIDTH CORES: measure one row in this process")
    options = made.parse_args()
    if options.row:
        method, height, width, cores = options.row
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(cores)])
        size = (int(height), int(width))
        row = {"method": method, "size": size, "cores": int(cores)}
        write_json(options.json, row | measure(method, size, options.source, options.seconds))
        return
    sizes = [size for size in SIZES if size[0] in options.heights]
    wanted = [(method, size) for size in sizes for method in (SINGLE, LSTS)]
    wanted += [(SSDLITE, (320, 320))] * bool(importlib.util.find_spec("torchvision"))
    rows = [_in_a_process(options, method, size, cores) for cores in options.cores for method, size in wanted]
    columns = ("live", "live, drawn", "streamed")
    parts = ("decode", "resize", "keyframe", "other frame", "draw")
    print_table(
        f"Frames a second, {Path(options.source).name}",
        ("method", "size", "cores", *columns, *(f"{part}, ms" for part in parts)),
        [
            (
                row["method"],
                "x".join(map(str, row["size"])),
                row["cores"],
                *(f"{row[column]:.1f}" if column in row else "" for column in columns),
                *(f"{row['milliseconds'][part]:.1f}" if "milliseconds" in row else "" for part in parts),
            )
            for row in rows
        ],
    )
    write_json(options.json, {"rows": rows})


def _in_a_process(options: Any, method: str, size: tuple[int, int], cores: int) -> dict:
    print(f"measuring {method}, {size[0]}x{size[1]}, {cores} cores", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        words = [
            "--json",
            str(file),
            "--seconds",
            str(options.seconds),
            "--row",
            method,
            *map(str, (*size, cores)),
        ]
        command = [sys.executable, "-m", "benchmarks.realtime", options.source, *words]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(file.read_text())


if __name__ == "__main__":
    main()
