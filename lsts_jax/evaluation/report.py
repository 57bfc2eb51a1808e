"""The report of an evaluation: one HTML file that says how good a detector is and what goes wrong.

It works on detections, whoever made them. Plots are inline SVG and pictures JPEG inside the file, so that it
needs no network and can be sent as it is.
"""

from base64 import b64encode
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int32, UInt8
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.errors import UserError
from lsts_jax.evaluation.compare import BLOCK, FEW, LEVEL, Comparison, compare
from lsts_jax.evaluation.errors import CLASS, KINDS, Errors, confusion, costs, find_errors
from lsts_jax.evaluation.groups import groups_of
from lsts_jax.evaluation.inside import Example, Learned
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches, match
from lsts_jax.evaluation.scoring import Truth
from lsts_jax.evaluation.vid_map import PrecisionRecall, VidMap, score

CLIPS, FRAMES = 3, 6  # videos shown at either end of the list, pictures of each
SIDE, BYTES = 480, 44_000  # of a picture, so that 84 of them stay below 6 MB
FULL_CONFUSION, PAIRS = 20, 15  # classes up to which the whole matrix is shown; pairs of classes listed
POINTS = 160  # of a curve
WHITE, BLACK, GREEN, RED = (255, 255, 255), (0, 0, 0), (40, 200, 80), (220, 30, 30)

EXPLAINED = {
    "mAP by motion": "Motion IoU of an object with itself within 10 frames: slow above 0.9, fast below 0.7.",
    "mAP by size": "Pixels of the original picture: small below 32², large above 96².",
    "mAP by track length": "Annotated frames of an object: short below 90, long above 300.",
    "mAP by degraded": "Blurred, out of focus or half covered in this frame, or none of it.",
    "COCO": "Mean over IoU 0.50 to 0.95; AP50 and AP75 at one IoU. Sizes as above.",
}
MEANING = {
    "class": "on an object, but of another class",
    "location": "the right class beside its object (IoU 0.1 or more, but too little)",
    "both": "near an object: neither class nor place is right",
    "duplicate": "on an object that another detection has found",
    "background": "on nothing (IoU below 0.1)",
    "missed": "objects that nothing finds, not even with a wrong class or place",
}


class Run(NamedTuple):
    """Detections of a data set, and what was measured of them."""

    name: str
    detections: DetectionArrays
    metrics: dict[str, Any]  # of metrics.json; of "step", "checkpoint" and "fps" what is there is shown


class _Side(NamedTuple):
    """A run with all that is worked out of it."""

    run: Run
    matches: Matches
    errors: Errors
    scored: VidMap
    costs: dict[str, float]
    threshold: float  # the score from which on F1 is highest
    precision: float  # there
    recall: float


class _Clip(NamedTuple):
    """A video, or a stretch of it where there are few."""

    name: str
    frames: Int32[ndarray, "t"]  # in the order of time, numbered as in `Annotations`


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
      truth: what `read_truth` found in `dataset`.
      baseline: other detections of the same data set, beside which everything is shown.
      compared: of baseline and run, if that is known already.
      pictures: False opens no picture of the data set and leaves out what needs one.

    Raises `UserError` if jinja2 is not installed, if the file cannot be written, and where `match` does.
    """
    template = _template()
    runs = [run, baseline] if baseline else [run]
    names, annotations = dataset.class_names, truth.annotations
    bar = tqdm(total=len(runs) + 2, desc="report", unit="part", leave=False, dynamic_ncols=True)
    with bar:
        sides = []
        for one in runs:
            sides.append(_examine(annotations, one, names))
            bar.update()
        if baseline and compared is None:
            videos = tuple(video.name for video in dataset.videos)
            found = baseline.detections, run.detections
            compared = compare(annotations, *found, names, truth.video_of_frame, videos)
        bar.update()
        clips = _clips(dataset, truth)
        page = template.render(
            title=title,
            sides=sides,
            paired=baseline is not None,
            frames=sum(map(len, truth.frames_by_video())),
            objects=int((~annotations.ignored).sum()),
            compared=compared,
            level=LEVEL,
            groups=_groups(runs, truth),
            curves={name: [_path(side.scored.curves[name]) for side in sides] for name in sides[0].scored.AP},
            kinds=_kinds(sides),
            confusion=_confusion(annotations, sides[0], names),
            by_video=len(clips) == len(truth.frames_by_video()),
            strips={
                head: [
                    (clips[i].name, f1, _strips(dataset, truth, sides, clips[i], pictures)) for i, *f1 in rows
                ]
                for head, rows in _telling(clips, [_f1(annotations, side, clips) for side in sides]).items()
            },
            pictures=pictures,
            learned=_learned(dataset, learned) if learned and pictures else None,
            explained=EXPLAINED,
        )
        bar.update()
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error


def operating_point(
    annotations: Annotations, detections: DetectionArrays, matches: Matches
) -> tuple[float, float, float]:
    """The score from which on F1 over all classes is highest, and precision and recall there."""
    rows = np.flatnonzero(~matches.hidden)
    if not len(rows):
        return 1.0, 0.0, 0.0
    rows = rows[np.argsort(-detections.scores[rows], kind="stable")]
    scores, objects = detections.scores[rows], int((~annotations.ignored).sum())
    true, shown = np.cumsum(matches.taken[rows] >= 0), 1 + np.arange(len(rows))
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))  # equal scores come together
    best = last[np.argmax(true[last] / (shown[last] + objects))]
    return float(scores[best]), float(true[best] / shown[best]), float(true[best] / objects)


def _examine(annotations: Annotations, run: Run, class_names: tuple[str, ...]) -> _Side:
    matches = match(annotations, run.detections, len(class_names))
    errors = find_errors(annotations, run.detections, matches)
    scored = score(annotations, run.detections, matches, class_names)
    gained = costs(annotations, run.detections, matches, errors, class_names)
    point = operating_point(annotations, run.detections, matches)
    return _Side(run, matches, errors, scored, gained, *point)


def _groups(runs: list[Run], truth: Truth) -> dict[str, dict[str, tuple[int | None, list[float | None]]]]:
    """Every dictionary of numbers among the metrics but AP by class: objects, where known, and values."""
    numbers = lambda value: (
        isinstance(value, dict) and all(isinstance(x, int | float) for x in value.values())
    )
    known = groups_of(truth.annotations, truth.videos, truth.tracks, truth.motion, truth.degraded)
    found: dict[str, dict] = {}
    for head, values in runs[0].metrics.items():
        if head != "AP" and numbers(values) and values:
            members = known.get(head.removeprefix("mAP by "), {})
            count = lambda name, members=members: (
                int((members[name] & ~truth.annotations.ignored).sum()) if name in members else None
            )
            of_runs = lambda name, head=head: [one.metrics.get(head, {}).get(name) for one in runs]
            found[head] = {name: (count(name), of_runs(name)) for name in values}
    return found


def _path(curve: PrecisionRecall) -> str:
    """A curve as an SVG path, recall to the right and precision upwards, in a square of 100."""
    if not len(curve.recall):
        return ""
    rows = np.unique(np.linspace(0, len(curve.recall) - 1, POINTS).round().astype(int))
    points = np.stack([100 * curve.recall[rows], 100 - 100 * curve.precision[rows]], axis=1)
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _kinds(sides: list[_Side]) -> list[tuple[str, str, list[tuple[float, int]]]]:
    """Name and meaning of each kind; of each run what it costs, and how many there are from its score on."""
    rows = []
    for number, name in enumerate([*KINDS, "missed"]):
        values = []
        for side in sides:
            shown = (side.errors.kind == number) & (side.run.detections.scores >= side.threshold)
            count = side.errors.missed if name == "missed" else shown
            values.append((side.costs[name], int(count.sum())))
        rows.append((name, MEANING[name], values))
    return sorted(rows, key=lambda row: -row[2][0][0])


def _confusion(annotations: Annotations, side: _Side, names: tuple[str, ...]) -> dict[str, Any]:
    """Counts and shares: the whole matrix, background last, and the pairs that are confused most often."""
    found = side.run.detections, side.matches, side.errors
    counts = confusion(annotations, *found, len(names), score_threshold=side.threshold)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shares[0] = counts[0] / np.maximum(counts.sum(axis=0), 1)  # of the detections
    pairs = counts[1:, 1:] * ~np.eye(len(names), dtype=bool)
    order = np.argsort(-pairs, axis=None, kind="stable")[:PAIRS]
    places = [(r, c) for r, c in np.transpose(np.unravel_index(order, pairs.shape)) if pairs[r, c]]
    matrix = None
    if len(names) <= FULL_CONFUSION:
        last = [np.roll(values, -1, axis=(0, 1)).tolist() for values in (counts, shares)]
        matrix = [list(zip(*rows, strict=True)) for rows in zip(*last, strict=True)]
    return {
        "names": [*names, "nothing"],
        "matrix": matrix,
        "pairs": [(names[r], names[c], int(pairs[r, c]), float(shares[r + 1, c + 1])) for r, c in places],
    }


def _clips(dataset: VideoDataset, truth: Truth) -> list[_Clip]:
    """The videos, or stretches of them if they are few."""
    by_video = truth.frames_by_video()
    name = lambda frames: dataset.videos[truth.video_of_frame[frames[0]]].name
    if len(by_video) >= FEW:
        return [_Clip(name(frames), frames.astype(np.int32)) for frames in by_video]
    clips = []
    for frames in by_video:
        for stretch in np.split(frames.astype(np.int32), range(BLOCK, len(frames), BLOCK)):
            first, last = truth.samples[stretch[[0, -1]], 1]
            clips.append(_Clip(f"{name(frames)}, frames {first} to {last}", stretch))
    return clips


def _f1(annotations: Annotations, side: _Side, clips: list[_Clip]) -> Float[ndarray, "v"]:
    """Of each clip, at the run's threshold; NaN where there is nothing to be found and nothing is."""
    of_frame = np.zeros(1 + max(clip.frames.max() for clip in clips), np.int64)
    for number, clip in enumerate(clips):
        of_frame[clip.frames] = number
    found = side.run.detections
    shown = (found.scores >= side.threshold) & ~side.matches.hidden
    total = lambda frames: np.bincount(of_frame[frames], minlength=len(clips))
    both = total(found.frame[shown]) + total(annotations.frame[~annotations.ignored])
    true = total(found.frame[shown & (side.matches.taken >= 0)])
    return np.where(both > 0, 2 * true / np.maximum(both, 1), np.nan)


def _telling(clips: list[_Clip], f1: list[ndarray]) -> dict[str, list[tuple]]:
    """By heading: place of each clip to be shown and the F1 of each run, the extreme first."""
    value = f1[0] if len(f1) == 1 else f1[0] - f1[1]
    order = [int(i) for i in np.argsort(-value, kind="stable") if np.isfinite(value[i])]
    if len(f1) == 1:
        half = (len(order) + 1) // 2
        heads = {"Best": order[:half], "Worst": order[half:][::-1]}
    else:
        heads = {"Won": [i for i in order if value[i] > 0], "Lost": [i for i in order[::-1] if value[i] < 0]}
    return {
        head: [(i, *(float(of_run[i]) for of_run in f1)) for i in rows[:CLIPS]]
        for head, rows in heads.items()
    }


def _strips(
    dataset: VideoDataset, truth: Truth, sides: list[_Side], clip: _Clip, pictures: bool
) -> list[list[dict[str, str]]]:
    """Of each run: pictures spread over the clip, each with its caption, or what keeps it from being read."""
    strips: list[list[dict[str, str]]] = [[] for _ in sides]
    places = np.unique(np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int))
    for frame in clip.frames[places] if pictures else []:
        video, t = truth.samples[frame].tolist()
        try:
            image, scale = _resized(dataset.frame(video, t))
        except UserError as error:
            for strip in strips:
                strip.append({"caption": f"frame {t}", "trouble": str(error)})
            continue
        for strip, side in zip(strips, sides, strict=True):
            picture, counts = _draw(image, scale, frame, truth.annotations, side, dataset.class_names)
            strip.append({"caption": f"frame {t}: {counts}", "source": _jpeg(picture)})
    return strips


def _draw(
    image: UInt8[ndarray, "H W 3"],
    scale: float,
    frame: int | np.integer,
    annotations: Annotations,
    side: _Side,
    class_names: tuple[str, ...],
) -> tuple[UInt8[ndarray, "H W 3"], str]:
    """The picture with what is annotated and what was found, and how much of it is right."""
    picture, found = image.copy(), side.run.detections
    objects = np.flatnonzero((annotations.frame == frame) & ~annotations.ignored)
    shown = np.flatnonzero((found.frame == frame) & (found.scores >= side.threshold) & ~side.matches.hidden)
    true = side.matches.taken[shown] >= 0
    for row in objects:
        _box(picture, annotations.boxes[row] * scale, BLACK, 4)
        _box(picture, annotations.boxes[row] * scale, WHITE, 2)
    for row in shown[np.argsort(true, kind="stable")]:
        kind, box = int(side.errors.kind[row]), found.boxes[row] * scale
        _box(picture, box, GREEN if kind < 0 else RED, 3)
        if kind >= 0:
            name = class_names[found.classes[row] - 1]
            _label(picture, box, f"{KINDS[kind]}: {name}" if kind == CLASS else KINDS[kind])
    counts = f"{true.sum()} true, {(~true).sum()} false, {len(objects) - true.sum()} not found"
    return picture, counts


def _box(picture: ndarray, box: Float[ndarray, "4"], colour: tuple[int, int, int], thickness: int) -> None:
    x1, y1, x2, y2 = np.rint(box).clip(-10_000, 10_000).astype(int).tolist()
    cv2.rectangle(picture, (x1, y1), (x2, y2), colour, thickness)


def _label(picture: ndarray, box: Float[ndarray, "4"], text: str) -> None:
    font = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width, height), below = cv2.getTextSize(text, *font, 1)
    x = int(np.clip(box[0], 0, max(0, picture.shape[1] - width - 2)))
    y = int(np.clip(box[1] - below, height + 2, picture.shape[0] - below))
    cv2.rectangle(picture, (x, y - height - 2), (x + width + 2, y + below - 1), RED, cv2.FILLED)
    cv2.putText(picture, text, (x + 1, y), *font, WHITE, 1, cv2.LINE_AA)


def _resized(image: UInt8[ndarray, "H W 3"]) -> tuple[UInt8[ndarray, "H2 W2 3"], float]:
    """The picture with a long side of SIDE, and resized / original sides."""
    scale = SIDE / max(image.shape[:2])
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def _jpeg(image: UInt8[ndarray, "H W 3"]) -> str:
    """The RGB picture as a data: URI of limited size."""
    for quality in (85, 70, 50, 30):
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= BYTES:
            break
    return "data:image/jpeg;base64," + b64encode(data).decode()


def _learned(dataset: VideoDataset, learned: Learned) -> dict[str, Any]:
    """What the template needs of the sampling locations and the examples."""
    both = learned.initial, learned.offsets
    lengths = [np.linalg.norm(offsets, axis=1) for offsets in both]
    moved = np.linalg.norm(learned.offsets - learned.initial, axis=1)
    edges = np.linspace(0, np.ceil(np.max(lengths) + 1e-6), 13)
    examples, trouble = [], learned.trouble
    for example in learned.examples:
        try:
            examples.append(_panels(dataset, example, learned.offsets))
        except UserError as error:
            trouble = str(error)
    return {
        "pairs": np.concatenate(both, axis=1).tolist(),
        "reach": float(np.ceil(np.abs(both).max() + 0.5)),
        "histograms": [np.histogram(values, edges)[0].tolist() for values in lengths],
        "farthest": float(edges[-1]),
        "moved": (float(moved.mean()), float(moved.max())),
        "examples": examples,
        "trouble": trouble,
    }


def _panels(dataset: VideoDataset, example: Example, offsets: Float[ndarray, "K 2"]) -> dict[str, Any]:
    """An example as four pictures: the point and its sampling locations, enlarged, and the weights."""
    images = [dataset.frame(example.video, t) for t in (example.t, example.keyframe)]
    size = np.array(images[0].shape[1::-1])
    reach = (np.abs(offsets).max() + 2) * example.cell
    half = np.minimum(reach * size / size.min(), size / 2)  # of a cut-out with the sides of the picture
    low = np.floor(np.clip(example.point - half, 0, size - 2 * half)).astype(int)
    high = np.ceil(low + 2 * half).astype(int)
    cuts = [_resized(image[low[1] : high[1], low[0] : high[0]]) for image in images]
    scale = cuts[0][1]
    weights = np.abs(example.affinity) / max(np.abs(example.affinity).max(), 1e-30)
    points = (example.point + offsets * example.cell - low) * scale
    circles = np.column_stack([points, 0.45 * example.cell * scale * np.sqrt(weights), example.affinity])
    maps = zip(images, (example.frame_memory, example.keyframe_memory), strict=True)
    return {
        "name": f"{dataset.videos[example.video].name}, frame {example.t}, keyframe {example.keyframe}",
        "effective": example.effective,
        "size": cuts[0][0].shape[1::-1],
        "cuts": [_jpeg(cut) for cut, _ in cuts],
        "box": np.append(example.box[:2] - low, example.box[2:] - example.box[:2]) * scale,
        "point": (example.point - low) * scale,
        "circles": circles[np.argsort(-weights, kind="stable")],
        "maps": [(_jpeg(_heat(i, m, example.cell)), m.mean(), m.min(), m.max()) for i, m in maps],
    }


def _heat(
    image: UInt8[ndarray, "H W 3"], memory: Float[ndarray, "h w"], cell: float
) -> UInt8[ndarray, "H2 W2 3"]:
    """Weights from 0 (violet) to 1 (yellow) over the grey picture."""
    image, scale = _resized(image)
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    rows, columns = (
        np.minimum(np.arange(length) / (cell * scale), last).astype(int)
        for length, last in zip(grey.shape[:2], np.array(memory.shape) - 1, strict=True)
    )
    levels = np.rint(255 * memory.clip(0, 1)).astype(np.uint8)[rows][:, columns]
    colours = np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])
    return cv2.addWeighted(grey, 0.45, colours, 0.55, 0)


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
    source = files("lsts_jax.evaluation") / "report.html.jinja"
    return environment.from_string(source.read_text(encoding="utf-8"))
