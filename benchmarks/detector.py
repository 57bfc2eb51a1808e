"""The detector, live and on segments: what each event and each part of it costs.

    python -m benchmarks.detector --json detector.json

Weights and pixels are random: nearly all anchors and regions score alike, which is the most that the
suppressions can be given to do. Latency is from pixels in the host's memory to detections in it.
"""

import time
from functools import partial
from itertools import cycle, islice

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import (
    add_model_options,
    compiled,
    medians,
    megabytes,
    milliseconds,
    model_config,
    parser,
    peak_device_bytes,
    peak_resident_bytes,
    print_table,
    write_json,
)
from lsts_jax.compiling import jit_inference
from lsts_jax.config import Config
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.streaming import VideoDetector
from lsts_jax.structs import STRIDE, Frame, Memory
from lsts_jax.training.state import init_variables
from lsts_jax.video import detect_video, empty_memory, events, keyframe_of

LIVE_CALLS = 200  # at most, a live event


def random_frames(config: Config, *count: int) -> Frame:
    """Frames in the host's memory."""
    ((height, width),) = config.data.canvases
    pixels = np.random.default_rng(0).integers(0, 256, (*count, height, width, 3), np.uint8)
    size = np.broadcast_to(np.array([height, width], np.int32), (*count, 2))
    return Frame(pixels, size, np.ones(count, np.float32))


def measure_segments(
    detector: Detector, variables: dict, config: Config, *, videos: int, frames_per_batch: int, seconds: float
) -> list[dict]:
    """Frames a second over a segment of `videos` videos in lockstep, by schedule."""
    interval = config.model.keyframe_interval
    frames = random_frames(config, videos, 1, interval)
    one = jax.tree.map(lambda x: x[0, 0, 0], frames)
    memory = empty_memory(detector, variables, one)
    memory = Memory(jnp.zeros((videos, *memory.feature.shape), memory.feature.dtype))
    run = jit_inference(
        jax.vmap(partial(detect_video, detector, frames_per_batch=frames_per_batch), (None, 0, 0, None, None))
    )
    later = np.array([False])

    def call(schedule):
        keyframe = np.array([keyframe_of(schedule, interval, interval)], np.int32)
        return run(variables, memory, frames, keyframe, later)

    times = medians({name: partial(call, name) for name in ("online", "offline")}, seconds=seconds)
    return [
        {
            "schedule": schedule,
            "videos": videos,
            "frames_per_batch": frames_per_batch,
            "seconds": t,
            "frames_per_second": videos * interval / t,
        }
        for schedule, t in times.items()
    ]


def measure_stream(
    detector: Detector, variables: dict, config: Config, *, frames: int, videos: int, frames_per_batch: int
) -> dict:
    """Frames a second of `VideoDetector` over long videos: with the copies to and from the device."""
    interval = config.model.keyframe_interval
    detect = VideoDetector(
        detector, variables, interval=interval, schedule="online", frames_per_batch=frames_per_batch
    )
    pool = random_frames(config, interval)

    segment = [jax.tree.map(lambda x, t=t: x[t], pool) for t in range(interval)]

    def stream(count):
        each = [islice(cycle(segment), count) for _ in range(videos)]
        return sum(1 for _ in detect.stream_many(each, videos_per_batch=videos))

    stream(2 * interval)  # compiles
    begin = time.perf_counter()
    count = stream(frames)
    seconds = time.perf_counter() - begin
    return {
        "frames": count,
        "videos": videos,
        "frames_per_batch": frames_per_batch,
        "frames_per_second": count / seconds,
    }


def measure_events(detector: Detector, variables: dict, config: Config, seconds: float) -> dict[str, dict]:
    """Latency in seconds of the three events, one frame in, its detections out."""
    frame = random_frames(config)
    bound = events(detector)
    start, on_keyframe, on_frame = (jit_inference(event) for event in bound)
    memory, _ = start(variables, frame)
    calls = {
        "first frame": lambda: jax.device_get(start(variables, frame)[1]),
        "keyframe": lambda: jax.device_get(on_keyframe(variables, memory, frame)[1]),
        "other frame": lambda: jax.device_get(on_frame(variables, memory, frame)),
    }
    latencies = {}
    for name, call in calls.items():
        call()
        begin, times = time.perf_counter(), []
        while len(times) < LIVE_CALLS and (len(times) < 3 or time.perf_counter() - begin < seconds):
            started = time.perf_counter()
            call()
            times.append(time.perf_counter() - started)
        p50, p95 = np.percentile(times, [50, 95])
        latencies[name] = {"p50": float(p50), "p95": float(p95)}
    return latencies


def measure_parts(detector: Detector, variables: dict, config: Config, seconds: float) -> dict[str, float]:
    """Seconds of each part on one frame."""
    frame = jax.tree.map(jnp.asarray, random_frames(config))
    cells = size_at_stride(frame.size, STRIDE)

    def part(function):
        """A call of a part of the detector, of which `function` takes the method and the inputs."""
        return lambda *inputs: function(detector.bind(variables), *inputs)

    def propose(bound, feature):
        return bound.rpn.propose(*bound.rpn(feature, frame.size), feature.shape[:2], frame.size)

    def sample(bound, source, target):
        temporal = bound.temporal
        return temporal.dfa.lsts(source, target, temporal.sampling_offsets(), cells).feature

    functions = {
        "low level": part(lambda bound, frame: bound.backbone.low(frame)),
        "high level": part(lambda bound, low: bound.backbone.high(low, frame.size)),
        "low2high": part(lambda bound, low: bound.temporal.dfa.low2high(low, cells)),
        "LSTS": part(sample),
        "quality": part(lambda bound, *pair: bound.temporal.dfa.quality(*pair, cells)),
        "RPN + proposals": part(propose),
        "R-FCN": part(lambda bound, feature, rois: bound.rfcn(feature, rois, frame.size)),
        "all of detection": part(lambda bound, feature: bound.detect(feature, frame)),
    }
    programs, arguments = {}, {}

    def add(name, *inputs):
        programs[name], arguments[name] = compiled(functions[name], *inputs), inputs
        return programs[name](*inputs)

    low = add("low level", frame)
    high = add("high level", low)
    target = add("low2high", low)
    aggregated = add("LSTS", high, target)
    add("quality", target, aggregated)
    proposals = add("RPN + proposals", high)
    add("R-FCN", high, proposals.boxes)
    add("all of detection", high)
    return medians({name: partial(programs[name], *arguments[name]) for name in programs}, seconds=seconds)


def main() -> None:
    made = parser("The detector: events, parts, segments, memory.")
    add_model_options(made)
    made.add_argument("--frames-per-batch", type=int, default=1, help="frames of a segment at once")
    made.add_argument("--videos", type=int, default=1, help="videos in lockstep")
    made.add_argument("--stream", type=int, default=0, metavar="FRAMES", help="length of videos to stream")
    made.add_argument("--segments-only", action="store_true", help="neither events nor parts")
    options = made.parse_args()
    config = model_config(options)
    detector = build_detector(config.model, len(config.data.class_names))
    variables = init_variables(detector, config)

    # first, so that the peak is that of a video and not of all programs that are measured below
    segments = measure_segments(
        detector,
        variables,
        config,
        videos=options.videos,
        frames_per_batch=options.frames_per_batch,
        seconds=options.seconds,
    )
    content = {
        "options": {name: value for name, value in vars(options).items() if name != "json"},
        "segments": segments,
        "peak_resident_bytes": peak_resident_bytes(),
        "peak_device_bytes": peak_device_bytes(),
    }
    title = (
        f"ResNet-{options.depth}, {options.height}x{options.width}, K = {options.offsets}, {options.dtype}"
    )
    print_table(
        f"Segments of {config.model.keyframe_interval} frames: {title}",
        ("schedule", "videos", "frames a batch", "frames a second", "ms a frame"),
        [
            (
                row["schedule"],
                row["videos"],
                row["frames_per_batch"],
                f"{row['frames_per_second']:.2f}",
                milliseconds(1 / row["frames_per_second"]),
            )
            for row in segments
        ],
    )
    print(f"peak resident {megabytes(content['peak_resident_bytes'])} MiB, compilation included")
    print(f"peak on the device {megabytes(content['peak_device_bytes'])} MiB")
    write_json(options.json, content)  # after each part: a run that is cut short keeps what it measured
    if options.stream:
        content["stream"] = stream = measure_stream(
            detector,
            variables,
            config,
            frames=options.stream,
            videos=options.videos,
            frames_per_batch=options.frames_per_batch,
        )
        print(f"streamed {stream['frames']} frames: {stream['frames_per_second']:.2f} frames a second")
        write_json(options.json, content)
    if not options.segments_only:
        content["events"] = measure_events(detector, variables, config, options.seconds)
        print_table(
            f"Latency, one frame in, detections out: {title}",
            ("event", "p50 ms", "p95 ms"),
            [(name, milliseconds(t["p50"]), milliseconds(t["p95"])) for name, t in content["events"].items()],
        )
        write_json(options.json, content)
        content["parts"] = measure_parts(detector, variables, config, options.seconds)
        print_table(
            f"Parts: {title}",
            ("part", "ms"),
            [(name, milliseconds(t)) for name, t in content["parts"].items()],
        )
    write_json(options.json, content)


if __name__ == "__main__":
    main()
