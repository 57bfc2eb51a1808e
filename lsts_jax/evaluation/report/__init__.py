"""The report of an evaluation: one HTML file with a detector's scores and its errors.

It needs only detections, from any detector. Plots are inline SVG and pictures JPEG inside the file,
so that the file needs no network and can be shared by itself.
"""

from importlib.resources import files
from pathlib import Path

from tqdm import tqdm

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.errors import UserError
from lsts_jax.evaluation.compare import LEVEL, Comparison
from lsts_jax.evaluation.inside import Learned
from lsts_jax.evaluation.report.clips import clips_of, f1_of_clips, telling_clips
from lsts_jax.evaluation.report.learned import learned_shown
from lsts_jax.evaluation.report.numbers import (
    Run,
    confusions_shown,
    curves_shown,
    examine,
    groups_shown,
    kinds_shown,
)
from lsts_jax.evaluation.report.pictures import strips_of
from lsts_jax.evaluation.scoring import Truth
from lsts_jax.files import write_whole

__all__ = ["Run", "write_report"]

EXPLAINED = {
    "mAP by motion": "Motion IoU of an object with itself within 10 frames: slow above 0.9, fast below 0.7.",
    "mAP by size": "Pixels of the original picture: small below 32², large above 96².",
    "mAP by track length": "Annotated frames of an object: short below 90, long above 300.",
    "mAP by degraded": "Blurred, out of focus or half covered in this frame; clean: none of these.",
    "memory weight": "LSTS: mean weight of the memory in objects of sampled frames; the rest is the frame's.",
    "COCO": "Mean over IoU 0.50 to 0.95; AP50 and AP75 at one IoU. Sizes as above.",
}


def write_report(
    path: Path | str,
    *,
    title: str,
    dataset: VideoDataset,
    truth: Truth,
    run: Run,
    baseline: Run | None = None,
    compared: Comparison | None = None,
    learned: Learned | None = None,
    pictures: bool = True,
) -> None:
    """Writes the report.

    Args:
      truth: annotations of `dataset`, from `read_truth`.
      baseline: other detections on the same data set, shown beside the run's.
      compared: comparison of baseline and run; given with a baseline.
      pictures: False: read no pictures of the data set, and leave out the sections that show them.

    Raises `UserError` if jinja2 is not installed, if the file cannot be written, and for errors of `match`.
    """
    template = _template()
    runs = [run, baseline] if baseline else [run]
    names, annotations = dataset.class_names, truth.annotations
    with tqdm(total=len(runs) + 2, desc="report", unit="part", leave=False, dynamic_ncols=True) as bar:
        sides = []
        for one in runs:
            sides.append(examine(annotations, one, names))
            bar.update()
        clips = clips_of(dataset, truth)
        telling = telling_clips(clips, [f1_of_clips(annotations, side, clips) for side in sides])
        strips = {
            head: [
                (clips[i].name, f1, strips_of(dataset, truth, sides, clips[i]) if pictures else [])
                for i, *f1 in rows
            ]
            for head, rows in telling.items()
        }
        bar.update()
        page = template.render(
            title=title,
            sides=sides,
            paired=baseline is not None,
            frames=sum(map(len, truth.frames_by_video())),
            objects=int((~annotations.ignored).sum()),
            compared=compared,
            level=LEVEL,
            groups=groups_shown(runs, truth),
            curves=curves_shown(sides),
            kinds=kinds_shown(sides),
            confusion=confusions_shown(annotations, sides[0], names),
            by_video=len(clips) == len(truth.frames_by_video()),
            strips=strips,
            pictures=pictures,
            learned=learned_shown(dataset, learned) if learned and pictures else None,
            explained=EXPLAINED,
        )
        bar.update()
    with write_whole(path) as part:
        part.write_text(page, encoding="utf-8")


def _template():
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise UserError("a report needs the package jinja2: pip install jinja2") from None
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": lambda value: f"{100 * value:.1f}",
        "signed": lambda value: f"{100 * value:+.1f}".replace("-0.0", "0.0").replace("-", "\N{MINUS SIGN}"),
        "count": lambda value: f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}"),
    }
    source = files(__name__) / "report.html.jinja"
    return environment.from_string(source.read_text(encoding="utf-8"))
