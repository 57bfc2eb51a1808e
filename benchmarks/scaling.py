"""Whether the cost of a video grows linearly in its frames and pixels, in flat memory.

    python -m benchmarks.scaling --json scaling.json

Two series: longer videos of one small size, streamed whole, and larger frames, by the segment.
"""

import argparse
import time
from itertools import cycle, islice

import jax

from benchmarks.common import (
    add_model_options,
    megabytes,
    milliseconds,
    model_config,
    parser,
    peak_resident_bytes,
    print_table,
    write_json,
)
from benchmarks.detector import measure_segments, random_frames
from lsts_jax.models.detector import build_detector
from lsts_jax.streaming import VideoDetector
from lsts_jax.training.state import init_variables


def measure_lengths(options: argparse.Namespace) -> list[dict]:
    """Seconds of whole videos of the size in `options`, and how much memory grew since before the first."""
    config = model_config(options)
    interval = config.model.keyframe_interval
    detector = build_detector(config.model, len(config.data.class_names))
    video = VideoDetector(detector, init_variables(detector, config), interval=interval, schedule="online")
    pool = random_frames(config, interval)
    segment = [jax.tree.map(lambda x, t=t: x[t], pool) for t in range(interval)]

    def stream(frames):
        return video.stream(islice(cycle(segment), frames))

    list(stream(10 * interval))  # compiles, and lets the allocator take what it takes
    before, rows = peak_resident_bytes(), []
    for frames in options.lengths:
        begin = time.perf_counter()
        found = sum(1 for _ in stream(frames))
        seconds = time.perf_counter() - begin
        growth = peak_resident_bytes() - before
        rows.append({"frames": found, "seconds": seconds, "resident_growth_bytes": growth})
    return rows


def measure_sizes(options: argparse.Namespace) -> list[dict]:
    """Seconds a frame in segments of growing frames."""
    rows = []
    for height, width in ((150, 250), (300, 500), (600, 1000)):
        config = model_config(argparse.Namespace(**vars(options) | {"height": height, "width": width}))
        detector = build_detector(config.model, len(config.data.class_names))
        variables = init_variables(detector, config)
        online, _ = measure_segments(
            detector, variables, config, videos=1, frames_per_batch=1, seconds=options.seconds
        )
        rows.append({"size": f"{height}x{width}", "seconds": 1 / online["frames_per_second"]})
        rows[-1]["nanoseconds_a_pixel"] = rows[-1]["seconds"] * 1e9 / (height * width)
    return rows


def main() -> None:
    made = parser("Cost of a video against its length and the size of its frames.")
    add_model_options(made)
    made.set_defaults(height=64, width=96)
    made.add_argument("--lengths", type=int, nargs="+", default=[100, 300, 1000, 3000], help="frames")
    options = made.parse_args()
    lengths = measure_lengths(options)
    sizes = measure_sizes(options)
    name = f"ResNet-{options.depth}"
    print_table(
        f"Videos of {options.height}x{options.width}, {name}",
        ("frames", "seconds", "ms a frame", "growth of resident memory, MiB"),
        [
            (r["frames"], f"{r['seconds']:.1f}", milliseconds(r["seconds"] / r["frames"]),
             megabytes(r["resident_growth_bytes"]))
            for r in lengths
        ],
    )  # fmt: skip
    print_table(
        f"Frames of growing size, {name}, segments of 10",
        ("size", "ms a frame", "ns a pixel"),
        [(r["size"], milliseconds(r["seconds"]), f"{r['nanoseconds_a_pixel']:.0f}") for r in sizes],
    )
    write_json(options.json, {"lengths": lengths, "sizes": sizes})


if __name__ == "__main__":
    main()
