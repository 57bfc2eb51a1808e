"""Naming scheme of torchvision's ResNet, which timm shares.

Its stride is in the 3x3 convolution; pixels are RGB in 0..1, normalised by mean and standard
deviation.
"""

import re
from typing import Literal

from numpy import ndarray

from lsts_jax.training.pretrained.naming import (
    CONVOLUTION,
    Layout,
    Naming,
    Path,
    convolution_or_same,
    in_unit,
    in_variables,
)

WRAPPERS = re.compile(r"((module|model|state_dict|backbone|body)\.)*")
CONVOLUTIONS = {"weight": "kernel"}
NORMS = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}
SETTINGS = {
    "norm": "frozen_batch",
    "stride_on": "3x3",
    "pixel_mean": (123.675, 116.28, 103.53),
    "pixel_std": (58.395, 57.12, 57.375),
}
# Caffe's weights with torchvision's names, as in Detectron2
CAFFE_SETTINGS = SETTINGS | {"stride_on": "1x1", "pixel_std": (1.0, 1.0, 1.0)}


def torchvision_naming(channel_order: Literal["rgb", "bgr"] = "rgb") -> Naming:
    """Args:
    channel_order: bgr for weights from Caffe, whose conv1 reads the channels in reverse."""
    return Naming(
        title="torchvision's",
        path=_path,
        layout=convolution_or_same if channel_order == "rgb" else _bgr_layout,
        ignored=re.compile(r".*\bfc\.(weight|bias)|.*\.num_batches_tracked"),
        settings=SETTINGS if channel_order == "rgb" else CAFFE_SETTINGS,
    )


def _path(name: str, split: int) -> Path | None:
    name = WRAPPERS.sub("", name, count=1)
    if name == "conv1.weight":
        return in_variables("low_level", "conv1", "conv", "kernel")
    if stem := re.fullmatch(r"bn1\.(weight|bias|running_mean|running_var)", name):
        return in_variables("low_level", "norm1", "norm", NORMS[stem[1]])
    unit = re.fullmatch(r"layer([1-4])\.([0-9]{1,3})\.(conv|bn|downsample\.)([0-3])\.(\w+)", name)
    if not unit:
        return None
    stage, index, kind, number, leaf = unit.groups()
    shortcut = kind == "downsample."
    part = {"conv": "conv", "bn": "norm"}.get(kind) or ("conv" if number == "0" else "norm")
    leaf = (CONVOLUTIONS if part == "conv" else NORMS).get(leaf)
    if leaf is None or (shortcut and number > "1"):
        return None
    inner = f"shortcut_{part}" if shortcut else f"{part}{number}"
    return in_unit(int(stage) + 1, int(index) + 1, split, inner, part, leaf)


def _bgr_layout(path: Path) -> Layout:
    if path[1:3] != ("low_level", "conv1"):
        return convolution_or_same(path)

    def ours(array: ndarray) -> ndarray:
        return CONVOLUTION.ours(array)[:, :, ::-1]

    return Layout(CONVOLUTION.shape, ours)
