"""Statistics of a split, and whether any fault is fatal."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.boxes import sides
from lsts_jax.data.counts import Counts
from lsts_jax.data.dataset import Counted, Objects, Sample, VideoDataset
from lsts_jax.data.doctor.findings import Finding, Kind
from lsts_jax.data.doctor.looking import Look
from lsts_jax.data.doctor.tracks import Tracks, collect_tracks, gaps, motion_histogram
from lsts_jax.data.transforms import Size, clip_objects

SHOWN = 5  # findings of a kind on the terminal; all are in check.json


@dataclass
class Report:
    """Report on the train lists or the val lists."""

    split: str
    findings: list[Finding] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    fatal: str = ""


def summarise(report: Report, dataset: VideoDataset, config: DataConfig, looks: dict[Sample, Look]) -> None:
    """Counts, sizes and tracks of a split, and its fatal faults."""
    samples = list(dict.fromkeys(dataset.samples))
    report.findings += [finding for look in looks.values() for finding in look.findings]
    seen = {sample: objects for sample in samples if (objects := looks[sample].objects) is not None}
    by_class = Counter(
        dataset.class_names[c - 1] for objects in seen.values() for c in objects.classes.tolist() if c
    )
    tracks = collect_tracks(seen)
    report.findings += gaps(dataset, samples, tracks)
    counts = dataset.counts if isinstance(dataset, Counted) else count(seen, looks, by_class)
    report.findings += look_at_whole(dataset, counts, tracks)
    kinds = Counter(finding.kind for finding in report.findings)
    sides = [_sides(objects.boxes[~objects.ignored]) for objects in seen.values()]
    lengths = [len(track) for track in tracks.values()]
    bad = {
        sample for sample, look in looks.items() if any(finding.kind.is_damage for finding in look.findings)
    }
    to_be_found = {
        sample
        for sample, objects in seen.items()
        if (size := looks[sample].size)
        and len(clip_objects(objects, size).boxes)
        and (~objects.ignored).any()
    }
    report.facts = {
        "videos": sum(not video.is_still for video in dataset.videos),
        "stills": sum(video.is_still for video in dataset.videos),
        "samples": len(samples),
        "samples without objects": len(seen) - len(to_be_found & seen.keys()),
        "frames read": len(looks),
        "damaged frames": len(bad),
        "objects by class": dict(by_class.most_common()),
        "ignored regions": dict(counts.ignored.most_common()),
        "annotations dropped": dict(counts.dropped.most_common()),
        "annotations lost": dict(counts.lost.most_common()),
        "picture sizes": _counted(look.size for look in looks.values() if look.size),
        "box sides, square root of area": _percentiles(np.concatenate(sides) if sides else np.zeros(0)),
        "track lengths, frames": _percentiles(np.array(lengths)),
        "motion IoU": motion_histogram(tracks),
        "findings by kind": dict(kinds.most_common()),
    }
    share = len(bad & set(samples)) / max(1, len(samples))
    if not to_be_found:
        names, losses = ", ".join(dataset.class_names), counts.losses()
        report.fatal = f"no usable frame has an object of the classes {names}" + (losses and f"; {losses}")
    elif report.split == "train" and share > config.max_bad_share:
        report.fatal = f"{100 * share:.1f} % of the samples are damaged, more than data.max_bad_share allows"
    elif counts.lost.total() > config.max_bad_share * counts.total:
        report.fatal = f"{counts.losses()}; more than data.max_bad_share allows"
    elif report.split == "val" and bad:
        report.fatal = "evaluation stops at the first damaged frame"


def count(seen: dict[Sample, Objects], looks: dict[Sample, Look], by_class: Counter[str]) -> Counts:
    """Outcome of the annotations of a data set that reads them frame by frame."""
    counts = Counts(read=by_class)
    for sample, objects in seen.items():
        if number := int(objects.ignored.sum()):
            counts.ignored["ignored"] += number
        counts.dropped.update({f"class {name}": n for name, n in looks[sample].unknown.items()})
    return counts


def look_at_whole(dataset: VideoDataset, counts: Counts, tracks: Tracks) -> list[Finding]:
    """Faults of a data set as a whole rather than of one frame."""
    lists = f"{len(dataset.samples)} frames of the lists"
    findings = [
        Finding(Kind.LOST, counts.first[reason], f"{number} {reason}, first {counts.first[reason]}")
        for reason, number in counts.lost.most_common()
    ]
    if counts.read and not tracks:
        findings.append(Finding(Kind.NO_TRACKS, lists, "no object has a track id: no scores by motion"))
    if all(video.is_still for video in dataset.videos):
        what = "all are stills: the memory is never trained, and no video is scored"
        findings.append(Finding(Kind.NO_VIDEOS, lists, what))
    return findings


def to_text(report: Report) -> str:
    """The report as text: a table, a few findings of every kind, and the verdict."""
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
    width, height = (np.maximum(side, 0) for side in sides(boxes))
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
