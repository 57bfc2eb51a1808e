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
        for result in detector.stream(options.source):
            video.write(result.plot(score_threshold=options.score))
            write(
                FrameDetections(result.frame_index, result.classes, result.scores, result.boxes, result.time)
            )
            bar.update()
    print(f"{annotated}\n{found}", file=sys.stderr)


if __name__ == "__main__":
    cli.main(run)
