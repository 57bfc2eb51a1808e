"""Watch a trained detector at work on videos, pictures, cameras and streams."""

import logging
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Literal

from lsts_jax import cli
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Detect on videos. Writes what --save names into the output folder, of several sources each into one
    of its own. Ctrl-C ends a run early; what was written until then is complete."""

    workdir: str
    """Folder of a training run or of a published detector; hf://ORG/NAME; or synthvid-demo, the detector that
    comes with the package."""
    source: tuple[str, ...]
    """Video files, folders or patterns ("frames/*.jpg") of pictures in natural order or of videos, cameras
    (0), streams (http://, https://, rtsp://), or - for raw frames on standard input. Picture files that are
    named one by one are one sequence."""
    output: Path
    """Folder to write into. What an earlier run wrote there is replaced, any other file stays."""
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
    check_selection(options)
    cli.prepare_jax()
    import lsts_jax
    from lsts_jax.data.video.source import DEFAULT_FPS, select
    from lsts_jax.outputs.folder import begin, claim
    from lsts_jax.outputs.formats import Job
    from lsts_jax.outputs.names import places
    from lsts_jax.outputs.sources import sources_of
    from lsts_jax.tracks import link

    if options.tracks:
        link(())  # so that a missing package shows now
    # Mistakes show before the model is built, and what would be destroyed before anything is written.
    sources = sources_of(options.source, options.raw_size)
    targets = places(options.output, [source.origin for source in sources])
    claimed = claim(options.output, targets, options.save, [file for one in sources for file in one.files])
    skipped, first = first_readable(sources)
    detector = lsts_jax.load(options.workdir, options.checkpoint, schedule=options.schedule)
    for name in options.classes:
        if name not in detector.class_names:
            raise UserError(f"--classes {name}: the detector knows {', '.join(detector.class_names)}")
    empty, failed = [], sources[:skipped]
    with begin(claimed):
        for number, (source, place) in enumerate(zip(sources, targets, strict=True)):
            if number < skipped:
                continue
            video = first if number == skipped else open_or_warn(source)
            if video is None:
                failed.append(source)
                continue
            video = select(video, start=options.start, end=options.end, stride=options.stride)
            video = first_of(video, options)
            fps = (video.fps or DEFAULT_FPS) / options.stride
            job = Job(place, fps, detector.class_names, options.score, options.tracks, video.is_live)
            if not watch(detector, video, job, options):
                empty.append(source.text)
            print(place.folder, file=sys.stderr)
    if failed:
        names = ", ".join(source.text for source in failed)
        raise UserError(
            f"{len(failed)} of {len(sources)} sources cannot be read: {names}; the others are done"
        )
    if empty:
        raise UserError(f"{', '.join(empty)}: no frame is left; see to --start and --end")


def first_readable(sources):
    """The place of the first source that can be opened, and that source, open.

    Raises `UserError` if there is none.
    """
    for number, source in enumerate(sources[:-1]):
        if video := open_or_warn(source):
            return number, video
    return len(sources) - 1, sources[-1].open()


def open_or_warn(source):
    """The source, open; None, with a warning, if nothing in it can be read."""
    try:
        return source.open()
    except UserError as error:
        logger.warning("left out: %s", error)
        return None


def first_of(video, options: Options):
    """The source, from which no more than --max_frames are read."""
    most, known = options.max_frames, video.num_frames
    if most is None:
        return video
    return replace(
        video, num_frames=most if known is None else min(most, known), read=lambda: islice(video, most)
    )


def check_selection(options: Options) -> None:
    """Raises `UserError` if the options can select no frame of any source."""
    if options.stride < 1 or options.start < 0:
        raise UserError("--stride counts from 1, --start from 0")
    if options.end is not None and options.end <= options.start:
        raise UserError(f"--end {options.end}: is not after --start {options.start}")
    if options.max_frames is not None and options.max_frames < 1:
        raise UserError(f"--max_frames {options.max_frames}: must be 1 or more")


def watch(detector, video, job, options: Options) -> int:
    """Detects on one source from its first frame to its last, and gives the number of its frames."""
    from tqdm import tqdm

    from lsts_jax.outputs.formats import WRITERS
    from lsts_jax.outputs.latency import Latencies
    from lsts_jax.tracks import link

    latencies = Latencies(detector.interval)
    with ExitStack() as stack:
        writers = [stack.enter_context(WRITERS[kind](job)) for kind in dict.fromkeys(options.save)]
        bar = stack.enter_context(
            tqdm(total=video.num_frames, unit="frame", desc=job.place.name, dynamic_ncols=True)
        )
        results = stack.enter_context(closing(detector.stream(video, live=options.live)))
        if options.classes:
            results = (result.only(options.classes) for result in results)
        if options.tracks:
            results = link(results, score=options.score)
        for result in results:
            latencies.add(result.latency)
            for write in writers:
                write(result)
            bar.update()
    if options.live or video.is_live:
        print(latencies.summary(), file=sys.stderr)
    return latencies.count
