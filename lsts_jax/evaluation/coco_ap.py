"""COCO's average precision, by the package hotcoco, which gives pycocotools's numbers (numpy only)."""

import numpy as np
from jaxtyping import Float, Float64
from numpy import ndarray

from lsts_jax.data.boxes import area, sides
from lsts_jax.errors import UserError
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, check


def coco_ap(annotations: Annotations, detections: DetectionArrays, num_classes: int) -> dict[str, float]:
    """Average precision, the mean over the classes that have objects, as fractions of 1.

    Ignored regions are crowds of every class. Only the 100 best detections per frame and class
    count.

    Returns:
      "AP", the mean over the IoUs .5, .55, .. .95; "AP50", "AP75" at one IoU; and "AP small", "AP
        medium", "AP large" for objects of up to 32^2, up to 96^2 and more pixels, if there are any.

    Raises `UserError` if hotcoco is not installed, and as `matching.match`.
    """
    try:
        from hotcoco import COCO, COCOeval
    except ImportError:
        raise UserError("COCO's AP needs the package hotcoco: pip install hotcoco") from None
    check(annotations, detections, num_classes)
    ignored = np.flatnonzero(annotations.ignored)
    rows = np.concatenate([np.flatnonzero(~annotations.ignored), np.repeat(ignored, num_classes)])
    classes = annotations.classes[rows]
    classes[len(classes) - len(ignored) * num_classes :] = np.tile(1 + np.arange(num_classes), len(ignored))
    truth = COCO.from_arrays(
        images=[{"id": int(frame)} for frame in np.union1d(annotations.frame, detections.frame)],
        categories=[{"id": number, "name": str(number)} for number in range(1, num_classes + 1)],
        image_ids=annotations.frame[rows],
        category_ids=classes,
        boxes=_corner_and_sides(annotations.boxes[rows]),
        area=area(annotations.boxes[rows]),
        iscrowd=annotations.ignored[rows],
    )
    columns = detections.frame, _corner_and_sides(detections.boxes), detections.scores, detections.classes
    evaluation = COCOeval(truth, truth.load_res(np.column_stack(columns)), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    assert evaluation.eval is not None
    precision = evaluation.eval["precision"][..., -1]  # [IoU, recall, class, size]; -1 without objects
    parts = {"AP": precision[..., 0], "AP50": precision[0, ..., 0], "AP75": precision[5, ..., 0]}
    parts |= {f"AP {size}": precision[..., 1 + i] for i, size in enumerate(("small", "medium", "large"))}
    return {name: float(part[part >= 0].mean()) for name, part in parts.items() if (part >= 0).any()}


def _corner_and_sides(boxes: Float[ndarray, "n 4"]) -> Float64[ndarray, "n 4"]:
    return np.column_stack([boxes[:, :2], *sides(boxes)]).astype(np.float64)
