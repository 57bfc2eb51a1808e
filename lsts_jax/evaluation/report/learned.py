"""The report's section on LSTS: learned sampling locations, and examples as pictures."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.errors import UserError
from lsts_jax.evaluation.inside import Example, Learned
from lsts_jax.evaluation.report.pictures import resized, to_jpeg


def learned_shown(dataset: VideoDataset, learned: Learned) -> dict[str, Any]:
    """Sampling locations and examples, as the template shows them."""
    both = learned.initial, learned.offsets
    lengths = [np.linalg.norm(offsets, axis=1) for offsets in both]
    moved = np.linalg.norm(learned.offsets - learned.initial, axis=1)
    edges = np.linspace(0, np.ceil(np.max(lengths) + 1e-6), 13)
    examples, trouble = [], learned.trouble
    for example in learned.examples:
        try:
            examples.append(panels(dataset, example, learned.offsets))
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


def panels(dataset: VideoDataset, example: Example, offsets: Float[ndarray, "K 2"]) -> dict[str, Any]:
    """Four pictures of an example: the point and its sampling locations, enlarged, and the weights."""
    images = [dataset.frame(example.video, t) for t in (example.t, example.keyframe)]
    size = np.array(images[0].shape[1::-1])
    reach = (np.abs(offsets).max() + 2) * example.cell
    half = np.minimum(reach * size / size.min(), size / 2)  # cut-out with the aspect ratio of the picture
    low = np.floor(np.clip(example.point - half, 0, size - 2 * half)).astype(int)
    high = np.ceil(low + 2 * half).astype(int)
    cuts = [resized(image[low[1] : high[1], low[0] : high[0]]) for image in images]
    scale = cuts[0][1]
    weights = np.abs(example.affinity) / max(np.abs(example.affinity).max(), 1e-30)
    points = (example.point + offsets * example.cell - low) * scale
    circles = np.column_stack([points, 0.45 * example.cell * scale * np.sqrt(weights), example.affinity])
    maps = zip(images, (example.frame_memory, example.keyframe_memory), strict=True)
    return {
        "name": f"{dataset.videos[example.video].name}, frame {example.t}, keyframe {example.keyframe}",
        "effective": example.effective,
        "size": cuts[0][0].shape[1::-1],
        "cuts": [to_jpeg(cut) for cut, _ in cuts],
        "box": np.append(example.box[:2] - low, example.box[2:] - example.box[:2]) * scale,
        "point": (example.point - low) * scale,
        "circles": circles[np.argsort(-weights, kind="stable")],
        "maps": [(to_jpeg(_heat(i, m, example.cell)), m.mean(), m.min(), m.max()) for i, m in maps],
    }


def _heat(
    image: UInt8[ndarray, "H W 3"], memory: Float[ndarray, "h w"], cell: float
) -> UInt8[ndarray, "H2 W2 3"]:
    """Weights from 0 (violet) to 1 (yellow) over the grey picture."""
    image, scale = resized(image)
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    rows, columns = (
        np.minimum(np.arange(length) / (cell * scale), last).astype(int)
        for length, last in zip(grey.shape[:2], np.array(memory.shape) - 1, strict=True)
    )
    levels = np.rint(255 * memory.clip(0, 1)).astype(np.uint8)[rows][:, columns]
    colours = np.ascontiguousarray(cv2.applyColorMap(levels, cv2.COLORMAP_VIRIDIS)[..., ::-1])
    return cv2.addWeighted(grey, 0.45, colours, 0.55, 0)
