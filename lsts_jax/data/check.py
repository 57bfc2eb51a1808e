"""Reads a data set once and tells what is in it and what is wrong with it.

    python -m lsts_jax.data.check --config configs/NAME.py --out FOLDER
    python -m lsts_jax.data.check --root ILSVRC2015 --out FOLDER

Every frame that training or evaluation can read is decoded. Fatal is what would stop one of them; the exit
status is then 1. FOLDER receives check.json and contact_sheet.png, some annotated frames to look at.
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from lsts_jax import cli, viz
from lsts_jax.config import Config, DataConfig
from lsts_jax.data.dataset import Objects, Sample, VideoDataset
from lsts_jax.data.formats.imagenet_lists import default_lists
from lsts_jax.data.motion import RANGES, in_ranges, motion_iou
from lsts_jax.data.open import open_dataset
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, canvas_of, clip_objects
from lsts_jax.data.triplets import NEW_KEY, OLD_KEY
from lsts_jax.errors import UserError

THREADS = 8
AHEAD = 1024  # frames
SHOWN = 5  # findings of a kind on the terminal; all are in check.json
PICTURES = 12  # on the contact sheet

# Kinds of findings that make a sample unusable; all others are warnings.
DAMAGE = ("picture missing", "picture damaged", "annotation missing", "annotation damaged", "another size",
          "no canvas")  # fmt: skip


class Finding(NamedTuple):
    kind: str
    where: str  # the file, or the video and the track
    what: str


class Look(NamedTuple):
    """What was seen of a frame."""

    size: Size | None
    objects: Objects | None
    findings: list[Finding]


@dataclass
class Report:
    """Of the train lists or the val lists."""

    split: str
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    fatal: str = ""


@dataclass(frozen=True)
class Options:
    """Read a data set once and tell what is in it and what is wrong with it. Exit status 1: training or
    evaluation would stop."""

    out: Path
    """Folder for check.json and contact_sheet.png."""
    config: Config
    """The experiment, whose data is checked."""


@dataclass(frozen=True)
class TreeOptions:
    """Read an ILSVRC tree once and tell what is in it and what is wrong with it. With --config instead of
    --root, the data of an experiment. Exit status 1: training or evaluation would stop."""

    root: str
    """Folder with Annotations, Data and, if they are there, ImageSets."""
    out: Path
    """Folder for check.json and contact_sheet.png."""


def run(arguments: Sequence[str]) -> None:
    if any(argument.split("=")[0] == "--root" for argument in arguments):
        options = cli.parse(TreeOptions, arguments)
        config = DataConfig(root=options.root, class_names=())
        train, val = (
            default_lists(Path(config.root), lists) for lists in (config.train_lists, config.val_lists)
        )
        config = replace(config, train_lists=train, val_lists=val)
    else:
        options = cli.parse(Options, arguments)
        config = options.config.data
    cli.make_folder(options.out)
    reports = check(config, options.out / "contact_sheet.png")
    content = {
        report.split: {
            "fatal": report.fatal,
            **report.facts,
            "findings": [finding._asdict() for finding in report.findings],
        }
        for report in reports
    }
    (options.out / "check.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    for report in reports:
        print(to_text(report), end="\n\n")
    print(options.out)
    if any(report.fatal for report in reports):
        sys.exit(1)


def check(config: DataConfig, sheet: Path | None = None) -> list[Report]:
    """The reports of training and evaluation; annotated frames of both as a picture in `sheet`."""
    reports, pictures = [], []
    for split, lists in (("train", config.train_lists), ("val", config.val_lists)):
        if not lists:
            continue
        report = Report(split)
        reports.append(report)
        try:
            dataset = open_dataset(config, lists)
        except UserError as error:
            report.findings.append(Finding("data set", config.root, str(error)))
            report.fatal = str(error)
            continue
        config = replace(config, class_names=dataset.class_names)
        looks = look_at_all(dataset, config, split)
        summarise(report, dataset, config, looks)
        pictures += annotated(dataset, looks)
    if sheet and pictures:
        step = max(1, len(pictures) // PICTURES)
        image = viz.contact_sheet([picture() for picture in pictures[::step][:PICTURES]], columns=4)
        cv2.imwrite(str(sheet), image[..., ::-1])
    return reports


def look_at_all(dataset: VideoDataset, config: DataConfig, split: str) -> dict[Sample, Look]:
    """Every frame once: samples with their annotations, and the keyframes that triplets can draw."""
    samples = dict.fromkeys(dataset.samples)
    frames = dict(samples)
    if split == "train":
        reach = range(OLD_KEY[config.schedule][0], NEW_KEY[config.schedule][1])
        for video, t in samples:
            last = dataset.videos[video].num_frames - 1
            frames |= dict.fromkeys(Sample(video, min(max(t + lag, 0), last)) for lag in reach)
    prepare_threads()

    def look(sample: Sample) -> Look:
        return look_at(dataset, config, sample, annotated=sample in samples)

    ordered = sorted(frames)
    with (
        ThreadPoolExecutor(THREADS) as pool,
        tqdm(desc=split, total=len(ordered), unit="frame", dynamic_ncols=True) as bar,
    ):
        looks = {}
        for start in range(0, len(ordered), AHEAD):
            block = ordered[start : start + AHEAD]
            for sample, found in zip(block, pool.map(look, block), strict=True):
                looks[sample] = found
                bar.update()
    return looks


def look_at(dataset: VideoDataset, config: DataConfig, sample: Sample, *, annotated: bool) -> Look:
    """Decode a frame, parse its annotation, and compare them."""
    findings, size, objects = [], None, None
    name = dataset.frame_name(*sample)
    try:
        size = dataset.frame(*sample).shape[:2]
    except UserError as error:
        kind = "picture missing" if "no such picture" in str(error) else "picture damaged"
        findings.append(Finding(kind, name, str(error)))
    if annotated:
        try:
            objects = dataset.objects(*sample)
        except UserError as error:
            kind = "annotation missing" if "no such annotation" in str(error) else "annotation damaged"
            findings.append(Finding(kind, name, str(error)))
    if objects is not None:
        findings += look_at_objects(objects, size, name)
        if unknown := getattr(dataset, "unknown_names", lambda *_: ())(*sample):
            findings += [Finding("unknown class", name, f"{one} is not in class_names") for one in unknown]
    if size:
        try:
            canvas_of(size, config)
        except UserError as error:
            findings.append(Finding("no canvas", name, str(error)))
    return Look(size, objects, findings)


def look_at_objects(objects: Objects, size: Size | None, name: str) -> list[Finding]:
    """What is odd in an annotation, and where it contradicts the picture."""
    findings = []
    if size and objects.size and objects.size != size:
        annotated, found = ("x".join(map(str, s)) for s in (objects.size, size))
        findings.append(
            Finding("another size", name, f"annotated as {annotated} (height x width), is {found}")
        )
    limit = size or objects.size
    for box, track in zip(objects.boxes.tolist(), objects.track_ids.tolist(), strict=True):
        x1, y1, x2, y2 = box
        told = f"track {track}: " + " ".join(f"{v:g}" for v in box)
        if x2 < x1 or y2 < y1:
            findings.append(Finding("box of no area", name, told))
        elif limit and (x1 < 0 or y1 < 0 or x2 > limit[1] or y2 > limit[0]):  # many count corners from 1
            findings.append(Finding("box outside the frame", name, told))
    repeated = [track for track, n in Counter(objects.track_ids.tolist()).items() if n > 1 and track >= 0]
    findings += [Finding("track twice in a frame", name, f"track {track}") for track in repeated]
    return findings


def summarise(report: Report, dataset: VideoDataset, config: DataConfig, looks: dict[Sample, Look]) -> None:
    """Counts, sizes and tracks of a split, and whether anything is fatal."""
    samples = list(dict.fromkeys(dataset.samples))
    report.findings += [finding for look in looks.values() for finding in look.findings]
    seen = {sample: looks[sample] for sample in samples if looks[sample].objects is not None}
    by_class = Counter(
        dataset.class_names[c - 1] for look in seen.values() for c in look.objects.classes.tolist() if c
    )
    tracks = collect_tracks(seen)
    report.findings += gaps(dataset, samples, tracks)
    kinds = Counter(finding.kind for finding in report.findings)
    sides = [_sides(look.objects.boxes[~look.objects.ignored]) for look in seen.values()]
    lengths = [len(track) for track in tracks.values()]
    bad = {
        sample for sample, look in looks.items() if any(finding.kind in DAMAGE for finding in look.findings)
    }
    to_be_found = {
        sample
        for sample, look in seen.items()
        if look.size and len(clip_objects(look.objects, look.size).boxes) and (~look.objects.ignored).any()
    }
    report.facts = {
        "videos": sum(not video.is_still for video in dataset.videos),
        "stills": sum(video.is_still for video in dataset.videos),
        "samples": len(samples),
        "samples without objects": len(seen) - len(to_be_found & seen.keys()),
        "frames read": len(looks),
        "damaged frames": len(bad),
        "objects by class": dict(by_class.most_common()),
        "picture sizes": _counted(look.size for look in looks.values() if look.size),
        "box sides, square root of area": _percentiles(np.concatenate(sides) if sides else np.zeros(0)),
        "track lengths, frames": _percentiles(np.array(lengths)),
        "motion IoU": motion_histogram(tracks),
        "findings by kind": dict(kinds.most_common()),
    }
    share = len(bad & set(samples)) / max(1, len(samples))
    if not to_be_found:
        report.fatal = f"no usable frame has an object of the classes {', '.join(dataset.class_names)}"
    elif report.split == "train" and share > config.max_bad_share:
        report.fatal = f"{100 * share:.1f} % of the samples are damaged, more than data.max_bad_share allows"
    elif report.split == "val" and bad:
        report.fatal = "evaluation stops at the first damaged frame"


Tracks = dict[tuple[int, int], dict[int, Float[ndarray, "4"]]]


def collect_tracks(looks: dict[Sample, Look]) -> Tracks:
    """Boxes by frame of every (video, track)."""
    tracks: Tracks = defaultdict(dict)
    for (video, t), look in looks.items():
        for track, box in zip(look.objects.track_ids.tolist(), look.objects.boxes, strict=True):
            if track >= 0:
                tracks[video, track][t] = box
    return tracks


def gaps(dataset: VideoDataset, samples: Sequence[Sample], tracks: Tracks) -> list[Finding]:
    """Tracks that are missing in listed frames between their first and last."""
    times: dict[int, list[int]] = defaultdict(list)
    for video, t in samples:
        times[video].append(t)
    findings = []
    for (video, track), boxes in tracks.items():
        absent = [t for t in times[video] if min(boxes) < t < max(boxes) and t not in boxes]
        if absent:
            what = f"track {track} is missing in {len(absent)} frames, first in {min(absent)}"
            findings.append(Finding("track with gaps", dataset.videos[video].name, what))
    return findings


def motion_histogram(tracks: Tracks) -> dict[str, int]:
    """Tracked objects by the motion ranges of the metric."""
    histogram = dict.fromkeys(RANGES, 0)
    for video in {video for video, _ in tracks}:
        rows = [
            (t, track, box) for (v, track), boxes in tracks.items() if v == video for t, box in boxes.items()
        ]
        frame, track, boxes = (np.array(column) for column in zip(*rows, strict=True))
        values = motion_iou(frame.astype(np.int32), track.astype(np.int32), boxes)
        for name, chosen in in_ranges(values).items():
            histogram[name] += int(chosen.sum())
    return histogram


def annotated(dataset: VideoDataset, looks: dict[Sample, Look]) -> list:
    """Functions that draw frames with their annotations, of those that have any."""

    def drawing(sample: Sample, objects: Objects):
        kept = ~objects.ignored
        return lambda: viz.draw_detections(
            dataset.frame(*sample), objects.boxes[kept], objects.classes[kept], None, dataset.class_names
        )

    return [
        drawing(sample, look.objects)
        for sample, look in looks.items()
        if look.size and look.objects is not None and (~look.objects.ignored).any()
    ]


def to_text(report: Report) -> str:
    """A table, a few findings of each kind, and the verdict."""
    lines = [f"{report.split}", "-" * len(report.split)]
    for name, value in report.facts.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number}" for key, number in value.items()) or "-"
        lines.append(f"{name:<32}{value}")
    for kind in dict.fromkeys(finding.kind for finding in report.findings):
        found = [finding for finding in report.findings if finding.kind == kind]
        lines.append(f"{kind}: {len(found)}")
        for finding in found[:SHOWN]:
            text = finding.what if finding.where in finding.what else f"{finding.where}: {finding.what}"
            lines.append(f"    {text}")
        if len(found) > SHOWN:
            lines.append(f"    and {len(found) - SHOWN} more")
    lines.append(f"FATAL: {report.fatal}" if report.fatal else "nothing fatal")
    return "\n".join(lines)


def _sides(boxes: Float[ndarray, "n 4"]) -> Float[ndarray, "n"]:
    width, height = (np.maximum(boxes[:, i + 2] - boxes[:, i] + 1, 0) for i in (0, 1))
    return np.sqrt(width * height)


def _percentiles(values: ndarray) -> dict[str, float]:
    if not len(values):
        return {}
    found = np.percentile(values, [0, 5, 50, 95, 100])
    return dict(
        zip(("min", "5 %", "median", "95 %", "max"), (round(float(v), 1) for v in found), strict=True)
    )


def _counted(sizes: Iterable[Size]) -> dict[str, int]:
    return {f"{h}x{w}": n for (h, w), n in Counter(sizes).most_common(10)}


if __name__ == "__main__":
    cli.main(run)
