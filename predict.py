"""Watch a trained detector at work on a video or a folder of frames."""

import sys
from dataclasses import dataclass
from pathlib import Path

from lsts_jax import cli


@dataclass(frozen=True)
class Options:
    """Detect on a video. Writes an annotated mp4 and detections.jsonl into the output folder."""

    workdir: Path
    """Folder of the training run."""
    source: Path
    """A video file, or a folder of pictures, taken in natural order."""
    output: Path
    """Folder to write into."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""
    score: float = 0.5
    """Detections below this are written to detections.jsonl, but not drawn."""
    live: bool = False
    """Detect each frame before the next is read, as from a camera, and report how long that takes."""


def run(arguments: list[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    from tqdm import tqdm

    import lsts_jax
    from lsts_jax.api import DEFAULT_FPS
    from lsts_jax.data.video_io import VideoWriter, open_source
    from lsts_jax.evaluation.detections import FrameDetections, jsonl_writer

    source = open_source(options.source)  # first, so that a slip shows before the model is built
    detector = lsts_jax.load(options.workdir, options.checkpoint)
    cli.make_folder(options.output)
    name = options.source.resolve().stem
    annotated, found = options.output / f"{name}.mp4", options.output / "detections.jsonl"
    with (
        VideoWriter(annotated, source.fps or DEFAULT_FPS, source.size) as video,
        jsonl_writer(found, detector.class_names) as write,
        tqdm(total=source.num_frames, unit="frame", desc=name, dynamic_ncols=True) as bar,
    ):
        latencies = []
        for result in detector.stream(options.source, live=options.live):
            latencies.append(result.latency)
            video.write(result.plot(score_threshold=options.score))
            write(
                FrameDetections(result.frame_index, result.classes, result.scores, result.boxes, result.time)
            )
            bar.update()
    if options.live:
        print(_latency(latencies, detector.config.model.keyframe_interval), file=sys.stderr)
    print(f"{annotated}\n{found}", file=sys.stderr)


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
