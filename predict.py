"""Watch a trained detector at work on videos, pictures, cameras and streams."""

import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lsts_jax import cli
from lsts_jax.errors import UserError


@dataclass(frozen=True)
class Options:
    """Detect on videos. Writes what --save names into the output folder, of several sources each into one
    of its own. Ctrl-C ends a run early; what was written until then is complete."""

    workdir: Path
    """Folder of the training run."""
    source: tuple[str, ...]
    """Video files, folders or patterns ("frames/*.jpg") of pictures in natural order, cameras (0), streams
    (http://, https://, rtsp://), or - for raw frames on standard input."""
    output: Path
    """Folder to write into."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""
    save: tuple[Literal["video", "jsonl", "csv", "mot", "coco", "crops"], ...] = ("video", "jsonl")
    """video: annotated mp4; jsonl: a line a frame; csv: a line a detection; mot: det.txt of MOTChallenge;
    coco: COCO's results; crops: objects cut out."""
    score: float = 0.5
    """Detections below this are written, but not drawn, cropped or linked."""
    tracks: bool = False
    """Link detections over time: objects keep an id in the annotated mp4, jsonl, csv and det.txt. It needs
    the package norfair-enough."""
    classes: tuple[str, ...] = ()
    """Keep only these; empty: all."""
    schedule: Literal["online", "offline"] | None = None
    """Where a segment's keyframe lies: at its start or in its middle. By default as the config says."""
    start: int = 0
    """First frame, counted from 0."""
    end: int | None = None
    """Frame to stop before."""
    stride: int = 1
    """Take every so many-th frame."""
    max_frames: int | None = None
    """Stop after so many frames."""
    raw_size: tuple[int, int] | None = None
    """Height and width of raw frames on standard input (RGB, 8 bits)."""
    live: bool = False
    """Detect each frame before the next is read, as cameras and streams always are, and report how long that
    takes."""


def run(arguments: list[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    import lsts_jax
    from lsts_jax.api import DEFAULT_FPS
    from lsts_jax.outputs import Job
    from lsts_jax.tracks import link

    if options.stride < 1 or options.start < 0:
        raise UserError("--stride counts from 1, --start from 0")
    if options.tracks:
        link(())  # so that a missing package shows now
    first = open_selected(options.source[0], options)  # so that a slip shows before the model is built
    detector = lsts_jax.load(options.workdir, options.checkpoint, schedule=options.schedule)
    for name in options.classes:
        if name not in detector.class_names:
            raise UserError(f"--classes {name}: the detector knows {', '.join(detector.class_names)}")
    for number, text in enumerate(options.source):
        source = open_selected(text, options) if number else first
        name = name_of(text, source)
        folder = options.output / name if len(options.source) > 1 else options.output
        cli.make_folder(folder)
        fps = (source.fps or DEFAULT_FPS) / options.stride
        job = Job(folder, name, source, fps, detector.class_names, options.score, options.tracks)
        watch(detector, job, options)
        print(folder, file=sys.stderr)


def watch(detector, job, options: Options) -> None:
    """One source from its first frame to its last."""
    from itertools import islice

    from tqdm import tqdm

    from lsts_jax.outputs import WRITERS
    from lsts_jax.tracks import link

    source, latencies = job.source, []
    total = source.num_frames
    if options.max_frames is not None:
        total = options.max_frames if total is None else min(total, options.max_frames)
    with ExitStack() as stack:
        writers = [stack.enter_context(WRITERS[kind](job)) for kind in dict.fromkeys(options.save)]
        bar = stack.enter_context(tqdm(total=total, unit="frame", desc=job.name, dynamic_ncols=True))
        found = stack.enter_context(closing(detector.stream(source, live=options.live)))
        results = islice(found, options.max_frames)
        if options.classes:
            results = (result.only(options.classes) for result in results)
        if options.tracks:
            results = link(results, score=options.score)
        for result in results:
            latencies.append(result.latency)
            for write in writers:
                write(result)
            bar.update()
    if options.live or source.is_live:
        print(_latency(latencies, detector.config.model.keyframe_interval), file=sys.stderr)


def open_selected(text: str, options: Options):
    """The frames of a source that the options ask for."""
    from lsts_jax.data.video.source import select
    from lsts_jax.data.video.video_io import open_raw, open_source

    if text == "-":
        if options.raw_size is None:
            raise UserError("--source -: give the size of the raw frames, --raw_size HEIGHT WIDTH")
        source = open_raw(sys.stdin.buffer, options.raw_size)
    else:
        source = open_source(text)
    return select(source, start=options.start, end=options.end, stride=options.stride)


def name_of(text: str, source) -> str:
    """The name of outputs: that of the file or folder; of a pattern, of its folder."""
    if text == "-" or source.is_live:
        return source.name
    path = Path(text).resolve()
    return path.parent.name if "*" in path.name or "?" in path.name else path.stem


def _latency(seconds: list[float], interval: int) -> str:
    """Median and 95th percentile by kind of frame; the first two segments, which compile, are left out."""
    import numpy as np

    warm = np.array(seconds[2 * interval :]) * 1e3
    if len(warm) <= interval:
        return f"latency is measured from frame {2 * interval} on: the video is too short"
    is_key = np.arange(len(warm)) % interval == 0
    kinds = {"keyframes": warm[is_key], "other frames": warm[~is_key]}
    percentiles = {kind: np.percentile(times, [50, 95]) for kind, times in kinds.items() if len(times)}
    found = "; ".join(
        f"{kind} {p50:.1f} ms, 95 % below {p95:.1f}" for kind, (p50, p95) in percentiles.items()
    )
    return f"median latency from the decoded picture to its detections: {found}"


if __name__ == "__main__":
    cli.main(run)
