"""The pictures of a report: frames of a clip with annotations and detections."""

from base64 import b64encode

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.errors import UserError
from lsts_jax.evaluation.errors import CLASS, KINDS
from lsts_jax.evaluation.matching import Annotations
from lsts_jax.evaluation.report.clips import Clip
from lsts_jax.evaluation.report.numbers import Side
from lsts_jax.evaluation.scoring import Truth
from lsts_jax.viz import draw_note, draw_outline

FRAMES = 6  # pictures of a clip
SIDE, BYTES = 480, 44_000  # bytes of a picture, so that 84 pictures stay below 6 MB
WHITE, BLACK, GREEN, RED = (255, 255, 255), (0, 0, 0), (40, 200, 80), (220, 30, 30)


def strips_of(
    dataset: VideoDataset, truth: Truth, sides: list[Side], clip: Clip
) -> list[list[dict[str, str]]]:
    """Captioned pictures spread over the clip, for every run; or the reason why a picture cannot be read."""
    strips: list[list[dict[str, str]]] = [[] for _ in sides]
    places = np.unique(np.linspace(0, len(clip.frames) - 1, FRAMES).round().astype(int))
    for frame in clip.frames[places]:
        video, t = truth.samples[frame].tolist()
        try:
            image, scale = resized(dataset.frame(video, t))
        except UserError as error:
            for strip in strips:
                strip.append({"caption": f"frame {t}", "trouble": str(error)})
            continue
        for strip, side in zip(strips, sides, strict=True):
            picture, counts = _draw(image, scale, frame, truth.annotations, side, dataset.class_names)
            strip.append({"caption": f"frame {t}: {counts}", "source": to_jpeg(picture)})
    return strips


def _draw(
    image: UInt8[ndarray, "H W 3"],
    scale: float,
    frame: int | np.integer,
    annotations: Annotations,
    side: Side,
    class_names: tuple[str, ...],
) -> tuple[UInt8[ndarray, "H W 3"], str]:
    """The picture with annotations and detections drawn, and a caption that counts true, false and missed."""
    picture, found = image.copy(), side.run.detections
    objects = np.flatnonzero((annotations.frame == frame) & ~annotations.ignored)
    shown = np.flatnonzero((found.frame == frame) & (found.scores >= side.threshold) & ~side.matches.hidden)
    true = side.matches.taken[shown] >= 0
    for row in objects:
        draw_outline(picture, annotations.boxes[row] * scale, BLACK, 5)
        draw_outline(picture, annotations.boxes[row] * scale, WHITE, 3)
    for row in shown[np.argsort(true, kind="stable")]:
        kind, box = int(side.errors.kind[row]), found.boxes[row] * scale
        draw_outline(picture, box, GREEN if kind < 0 else RED, 5)
        if kind >= 0:
            name = class_names[found.classes[row] - 1]
            text = f"{KINDS[kind]}: {name}" if kind == CLASS else KINDS[kind]
            draw_note(picture, box, text, WHITE, RED)
    counts = f"{true.sum()} true, {(~true).sum()} false, {len(objects) - true.sum()} not found"
    return picture, counts


def resized(image: UInt8[ndarray, "H W 3"]) -> tuple[UInt8[ndarray, "H2 W2 3"], float]:
    """The picture with a long side of SIDE, and resized / original sides."""
    scale = SIDE / max(image.shape[:2])
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC), scale


def to_jpeg(image: UInt8[ndarray, "H W 3"]) -> str:
    """The RGB picture as a data: URI of limited size."""
    for quality in (85, 70, 50, 30):
        _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if len(data) <= BYTES:
            break
    return "data:image/jpeg;base64," + b64encode(data.tobytes()).decode()
