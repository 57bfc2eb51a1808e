"""Detects objects in videos, pictures, cameras and streams."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor, wait
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
    """Detect objects in videos. Writes the formats of --save into OUTPUT; for several sources, into
    one folder per source below OUTPUT. Files are processed one after the other, then cameras and
    streams in parallel. Ctrl-C ends a run early and leaves complete files."""

    workdir: str
    """Folder of a training run or of a published detector; hf://ORG/NAME; or synthvid-s, the detector that
    comes with the package."""
    source: tuple[str, ...]
    """Video files; folders or patterns ("frames/*.jpg") of pictures in natural order or of videos;
    cameras (0); streams (http://, https://, rtsp://); or - for raw frames on standard input.
    Several picture files are one sequence."""
    output: Path
    """Folder to write into. The results of an earlier run are replaced; other files stay."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""
    save: tuple[Literal["video", "jsonl", "csv", "mot", "coco", "crops"], ...] = ("video", "jsonl")
    """video: annotated mp4; jsonl: one line per frame; csv: one line per detection; mot: det.txt of
    MOTChallenge; coco: COCO results; crops: one picture per detection."""
    score: float = 0.5
    """Minimum score for drawing, crops and tracks. The other formats contain lower scores too."""
    tracks: bool = False
    """Link detections over time: an object keeps its number in the annotated mp4, jsonl, csv and det.txt.
    Needs the package norfair-enough."""
    classes: tuple[str, ...] = ()
    """Classes to keep; empty: all."""
    schedule: Literal["online", "offline"] | None = None
    """Position of a segment's keyframe: its start (online) or its middle (offline). Default: the config's."""
    start: int = 0
    """First frame, counted from 0."""
    end: int | None = None
    """Frame to stop before, counted from 0."""
    stride: int = 1
    """Process every N-th frame."""
    max_frames: int | None = None
    """Largest number of frames to process."""
    raw_size: tuple[int, int] | None = None
    """Height and width of the raw frames on standard input (RGB, 8 bits)."""
    live: bool = False
    """Detect each frame before the next is read, as for cameras and streams, and report the latency."""


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
        link(())  # reports a missing package now
    # Input errors are reported before the model is built, conflicts with files before anything is written.
    sources = sources_of(options.source, options.raw_size)
    targets = places(options.output, [source.origin for source in sources])
    claimed = claim(options.output, targets, options.save, [file for one in sources for file in one.files])
    skipped, first = first_readable(sources)
    detector = lsts_jax.load(options.workdir, options.checkpoint, schedule=options.schedule)
    for name in options.classes:
        if name not in detector.class_names:
            raise UserError(f"--classes {name}: the detector knows {', '.join(detector.class_names)}")
    empty, failed, live = [], sources[:skipped], []

    def finish(source, video, job) -> None:
        if not watch(detector, video, job, options):
            empty.append(source.text)
        print(job.place.folder, file=sys.stderr)

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
            if video.is_live:
                live.append((source, video, job))
            else:
                finish(source, video, job)
        failed += side_by_side(finish, live)
    if failed:
        names = ", ".join(source.text for source in failed)
        raise UserError(
            f"{len(failed)} of {len(sources)} sources cannot be read: {names}; the others are done"
        )
    if empty:
        raise UserError(f"{', '.join(empty)}: no frame between --start and --end")


def first_readable(sources):
    """Index of the first source that can be opened, and that source, opened.

    Raises `UserError` if there is none.
    """
    for number, source in enumerate(sources[:-1]):
        if video := open_or_warn(source):
            return number, video
    return len(sources) - 1, sources[-1].open()


def open_or_warn(source):
    """The opened source; None, with a warning, if it cannot be read."""
    try:
        return source.open()
    except UserError as error:
        logger.warning("skipped: %s", error)
        return None


def first_of(video, options: Options):
    """The source, limited to --max_frames frames."""
    most, known = options.max_frames, video.num_frames
    if most is None:
        return video
    return replace(
        video, num_frames=most if known is None else min(most, known), read=lambda: islice(video, most)
    )


def check_selection(options: Options) -> None:
    """Raises `UserError` if the options can select no frame of any source."""
    if options.stride < 1 or options.start < 0:
        raise UserError("--stride must be 1 or more, --start 0 or more")
    if options.end is not None and options.end <= options.start:
        raise UserError(f"--end {options.end}: must be above --start {options.start}")
    if options.max_frames is not None and options.max_frames < 1:
        raise UserError(f"--max_frames {options.max_frames}: must be 1 or more")


def side_by_side(finish, live) -> list:
    """Calls `finish(source, video, job)` for all live sources in parallel threads, so that a
    stalled source does not delay the others. Returns the sources that failed, after a warning.

    An interrupt ends all of them, with complete files.
    """
    if not live:
        return []
    with ThreadPoolExecutor(len(live)) as pool:
        waiting = [pool.submit(finish, *one) for one in live]
        try:
            wait(waiting)
        except BaseException:
            for _, video, _ in live:
                video.close()
            raise
    failed = []
    for (source, *_), done in zip(live, waiting, strict=True):
        if isinstance(error := done.exception(), UserError):
            logger.warning("%s: ended: %s", source.text, error)
            failed.append(source)
        elif error:
            raise error
    return failed


def watch(detector, video, job, options: Options) -> int:
    """Detects on all frames of one source and returns their number."""
    from tqdm import tqdm

    from lsts_jax.outputs.formats import WRITERS
    from lsts_jax.outputs.latency import Latencies
    from lsts_jax.tracks import link

    latencies = Latencies(detector.interval, detector.delay)
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
