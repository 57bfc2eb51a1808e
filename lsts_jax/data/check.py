"""Reads a data set once and reports its contents and its faults.

    python -m lsts_jax.data.check --config configs/NAME.py --out FOLDER
    python -m lsts_jax.data.check --root ILSVRC2015 --out FOLDER

Every frame that training or evaluation can read is decoded. A fault is fatal if it would stop
training or evaluation, or if more annotations are unusable than data.max_bad_share allows; the exit
status is then 1. The command writes check.json and contact_sheet.png, a sheet of annotated frames,
into FOLDER.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from lsts_jax import cli, viz
from lsts_jax.config import DataConfig, ModelConfig
from lsts_jax.data.dataset import Objects, Sample, VideoDataset
from lsts_jax.data.doctor.findings import Finding, Kind
from lsts_jax.data.doctor.looking import Look, look_at_all
from lsts_jax.data.doctor.report import Report, summarise, to_text
from lsts_jax.data.formats.imagenet_lists import default_lists
from lsts_jax.data.open import read_dataset
from lsts_jax.data.triplets import Reach, key_ranges
from lsts_jax.errors import UserError, writing
from lsts_jax.files import write_whole

PICTURES = 12  # on the contact sheet
REPORT, SHEET = "check.json", "contact_sheet.png"


MODEL = ModelConfig()


@dataclass(frozen=True)
class Options:
    """Read a data set once and report its contents and its faults. Exit status 1: training or
    evaluation would stop."""

    out: Path
    """Folder for check.json and contact_sheet.png."""
    config: cli.Experiment
    """The experiment whose data is checked."""


@dataclass(frozen=True)
class TreeOptions:
    """Read an ILSVRC tree once and report its contents and its faults. With --config instead of
    --root, check the data of an experiment. Exit status 1: training or evaluation would stop."""

    root: str
    """Folder with Annotations, Data and, optionally, ImageSets."""
    out: Path
    """Folder for check.json and contact_sheet.png."""


def run(arguments: Sequence[str]) -> None:
    if any(argument.split("=")[0] == "--root" for argument in arguments):
        options = cli.parse(TreeOptions, arguments)
        config = DataConfig(root=options.root, class_names=())
        train, val = (
            default_lists(Path(config.root), lists) for lists in (config.train_lists, config.val_lists)
        )
        config, model = replace(config, train_lists=train, val_lists=val), MODEL
    else:
        options = cli.parse(Options, arguments)
        config, model = options.config.data, options.config.model
    cli.make_folder(options.out)
    remove_earlier(options.out)
    reports = check(config, options.out / SHEET, model=model)
    content = {
        report.split: {
            "fatal": report.fatal,
            **report.facts,
            "findings": [finding._asdict() for finding in report.findings],
        }
        for report in reports
    }
    with write_whole(options.out / REPORT) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for report in reports:
        print(to_text(report), end="\n\n")
    print(options.out)
    if any(report.fatal for report in reports):
        sys.exit(1)


def remove_earlier(folder: Path) -> None:
    """Removes the files of an earlier check.

    Raises `UserError` if another program wrote a file of the same name.
    """
    report, sheet = folder / REPORT, folder / SHEET
    for file in (report, sheet):
        if file.is_symlink() or (file.exists() and not _is_report(report)):
            raise UserError(f"{file}: no check wrote it; remove it, or name another --out")
    for file in (sheet, report):
        with writing(file):
            file.unlink(missing_ok=True)


def _is_report(file: Path) -> bool:
    try:
        content = json.loads(file.read_text("utf-8"))
        return {"train", "val"} >= set(content) and all("findings" in about for about in content.values())
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def check(config: DataConfig, sheet: Path | None = None, *, model: ModelConfig = MODEL) -> list[Report]:
    """Checks the training and the validation lists and returns their reports. Writes annotated
    frames of both to the picture `sheet`."""
    reports, pictures = [], []
    for split, lists in (("train", config.train_lists), ("val", config.val_lists)):
        if not lists:
            continue
        report = Report(split)
        reports.append(report)
        try:
            dataset = read_dataset(config, lists)
        except UserError as error:
            report.findings.append(Finding(Kind.DATA_SET, config.root, str(error)))
            report.fatal = str(error)
            continue
        config = replace(config, class_names=dataset.class_names)
        looks = look_at_all(dataset, config, keyframes_of(model) if split == "train" else (), name=split)
        summarise(report, dataset, config, looks)
        pictures += annotated(dataset, looks)
    if sheet and pictures:
        step = max(1, len(pictures) // PICTURES)
        image = viz.contact_sheet([picture() for picture in pictures[::step][:PICTURES]], columns=4)
        with write_whole(sheet) as part:
            part.write_bytes(cv2.imencode(".png", image[..., ::-1])[1].tobytes())
    return reports


def keyframes_of(model: ModelConfig) -> tuple[Reach, ...]:
    """Frames that a model's training draws keyframes from, relative to a sample."""
    from lsts_jax.models.temporal import build_temporal  # here, since it imports JAX

    temporal = build_temporal(model)
    settings = temporal.trained_keyframes, temporal.trained_reach
    return key_ranges(model.schedule, model.keyframe_interval, *settings)


def annotated(dataset: VideoDataset, looks: dict[Sample, Look]) -> list:
    """Functions that draw frames with their annotations, one per frame that has any."""

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


if __name__ == "__main__":
    cli.main(run)
