"""Checks every frame that training or evaluation can read, once."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tqdm import tqdm

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects, ReadByFrame, Sample, VideoDataset
from lsts_jax.data.doctor.findings import Finding, Kind
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, canvas_of
from lsts_jax.data.triplets import Reach
from lsts_jax.errors import Missing, UserError

THREADS = 8
AHEAD = 1024  # frames


class Look(NamedTuple):
    """Results of the check of a frame."""

    size: Size | None
    objects: Objects | None
    findings: list[Finding]
    unknown: Counter[str]  # names in its annotation that are not classes


def look_at_all(
    dataset: VideoDataset, config: DataConfig, ranges: tuple[Reach, ...], *, name: str
) -> dict[Sample, Look]:
    """Checks every frame once: samples with their annotations, and the keyframes that triplets draw
    from `ranges`. `name`: of the split, for the progress bar."""
    samples = dict.fromkeys(dataset.samples)
    frames = dict(samples)
    if ranges:
        reach = range(ranges[0][0], ranges[-1][1])
        for video, t in samples:
            last = dataset.videos[video].num_frames - 1
            frames |= dict.fromkeys(Sample(video, min(max(t + lag, 0), last)) for lag in reach)
    prepare_threads()

    def look(sample: Sample) -> Look:
        return look_at(dataset, config, sample, annotated=sample in samples)

    ordered = sorted(frames)
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(desc=name, total=len(ordered), unit="frame", dynamic_ncols=True) as bar,
    ):
        looks = {}
        for start in range(0, len(ordered), AHEAD):
            block = ordered[start : start + AHEAD]
            for sample, found in zip(block, pool.map(look, block), strict=True):
                looks[sample] = found
                bar.update()
    return looks


def look_at(dataset: VideoDataset, config: DataConfig, sample: Sample, *, annotated: bool) -> Look:
    """Decodes a frame, parses its annotation, and compares the two."""
    findings, size, objects, unknown = [], None, None, Counter()
    name = dataset.frame_name(*sample)
    try:
        size = dataset.frame(*sample).shape[:2]
    except UserError as error:
        kind = Kind.PICTURE_MISSING if isinstance(error, Missing) else Kind.PICTURE_DAMAGED
        findings.append(Finding(kind, name, str(error)))
    if annotated:
        try:
            objects = dataset.objects(*sample)
        except UserError as error:
            kind = Kind.ANNOTATION_MISSING if isinstance(error, Missing) else Kind.ANNOTATION_DAMAGED
            findings.append(Finding(kind, name, str(error)))
    if objects is not None:
        findings += look_at_objects(objects, size, name)
        if isinstance(dataset, ReadByFrame):
            unknown = dataset.unknown_names(*sample)
            findings += [Finding(Kind.UNKNOWN_CLASS, name, f"{one} is not in class_names") for one in unknown]
    if size:
        try:
            canvas_of(size, config)
        except UserError as error:
            findings.append(Finding(Kind.NO_CANVAS, name, str(error)))
    return Look(size, objects, findings, unknown)


def look_at_objects(objects: Objects, size: Size | None, name: str) -> list[Finding]:
    """Faults of an annotation, and contradictions between it and the picture."""
    findings = []
    if size and objects.size and objects.size != size:
        annotated, found = ("x".join(map(str, s)) for s in (objects.size, size))
        findings.append(
            Finding(Kind.ANOTHER_SIZE, name, f"annotated as {annotated} (height x width), is {found}")
        )
    limit = size or objects.size
    for box, track in zip(objects.boxes.tolist(), objects.track_ids.tolist(), strict=True):
        x1, y1, x2, y2 = box
        told = f"track {track}: " + " ".join(f"{v:g}" for v in box)
        if x2 < x1 or y2 < y1:
            findings.append(Finding(Kind.NO_AREA, name, told))
        elif limit and (x1 < 0 or y1 < 0 or x2 > limit[1] or y2 > limit[0]):  # many count corners from 1
            findings.append(Finding(Kind.OUTSIDE, name, told))
    repeated = [track for track, n in Counter(objects.track_ids.tolist()).items() if n > 1 and track >= 0]
    findings += [Finding(Kind.TRACK_TWICE, name, f"track {track}") for track in repeated]
    return findings
