"""Naming scheme of the authors' files, including MXNet's Caffe-style ResNet.

`res4b3_branch2a_weight` is unit 4 of stage 4, `key2key` is SRFU, `key2cur` is DFA, `oldkey` the
source and `newkey` the target. Position-sensitive channels are (class, row, column) in the file,
(row, column, class) here.

The authors train the box head on deltas divided by their deviations, and also save a copy with the
deviations multiplied in under `rfcn_bbox_*_test`. A file without the copies holds only the
multiplied head.
"""

import re
from collections.abc import Collection, Mapping

import numpy as np
from flax.traverse_util import unflatten_dict
from numpy import ndarray

from lsts_jax.models.rfcn import POOL
from lsts_jax.ops.boxes import ROI_DEVIATIONS
from lsts_jax.training.pretrained.naming import (
    Layout,
    Naming,
    Path,
    Shape,
    convolution_or_same,
    in_unit,
    in_variables,
)

PATHS = {"key2key": "srfu", "key2cur": "dfa"}
SIDES = {"oldkey": "embed_source", "newkey": "embed_target"}
LEAVES = {"weight": "kernel", "gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_var": "var"}
# FlowNetS, of DFF and FGFA. conv1 is the backbone's.
FLOWNET = {
    "flow_conv1": "conv1",
    **{
        name: name
        for name in ("conv2", "conv3", "conv3_1", "conv4", "conv4_1", "conv5", "conv5_1", "conv6", "conv6_1")
    },
    **{f"Convolution{7 - level}": f"flow{level}" for level in (6, 5, 4, 3, 2)},
    "Convolution5_scale": "scale",
    **{f"deconv{level}": f"deconv{level}" for level in (5, 4, 3, 2)},
    **{f"upsample_flow{level + 1}to{level}": f"upsample{level}" for level in (5, 4, 3, 2)},
}
TRANSPOSED = ("deconv", "upsample_flow")
# (in, out, height, width) in the file, which spreads a cell over the kernel; (height, width, in, out) here,
# which gathers cells under it: turned by half a circle
TRANSPOSED_CONVOLUTION = Layout(
    shape=lambda ours: (ours[2], ours[3], ours[0], ours[1]),
    ours=lambda array: array[:, :, ::-1, ::-1].transpose(2, 3, 0, 1),
)
SETTINGS = {
    "norm": "frozen_batch",
    "stride_on": "1x1",
    "pixel_mean": (123.15, 115.90, 103.06),
    "pixel_std": (1.0, 1.0, 1.0),
}
FGFA = {"norm_epsilon": 2e-5}
DEFORMABLE = {"deformable": 3, "deformable_border": "held"}


def authors_naming(names: Collection[str]) -> Naming:
    """Naming scheme of an authors' file, given all names in it."""
    multiplied = not any(name.endswith("_test") for name in names)
    deformable = any(name.endswith("_branch2b_offset_weight") for name in names)
    of_fgfa = any(name.startswith(("arg:em_conv", "em_conv")) for name in names)
    return Naming(
        title="the authors' (MXNet)",
        path=_path,
        layout=lambda path: _layout(path, multiplied),
        ignored=re.compile(r"(arg:)?(fc1_(weight|bias)|rfcn_bbox_(weight|bias)_test)"),
        settings=SETTINGS | (FGFA if of_fgfa else {}) | (DEFORMABLE if deformable else {}),
    )


def convert_authors(arrays: Mapping[str, ndarray], *, split: int) -> tuple[dict, list[str]]:
    """Parameters and statistics of a detector from the arrays of an authors' file.

    Args:
      arrays: by the authors' names, with or without `arg:` and `aux:`.
      split: units of stage 4 that belong to the low level (`BackboneConfig.split`).

    Returns:
      Variables {"params", "batch_stats"} as nested dictionaries, and the names without a place in
        them.
    """
    naming = authors_naming(arrays)
    paths = {name: naming.path(name, split) for name in arrays}
    flat = {
        path: naming.layout(path).ours(np.asarray(arrays[name], np.float32))
        for name, path in paths.items()
        if path
    }
    return {"params": {}, "batch_stats": {}} | unflatten_dict(flat), [
        name for name, path in paths.items() if not path
    ]


def _path(name: str, split: int) -> Path | None:
    """Path in this package of a parameter in the authors' file."""
    name = name.removeprefix("arg:").removeprefix("aux:")
    if name == "init_offset":
        return in_variables("offsets")
    match = re.fullmatch(r"(.+?)_(weight|bias|gamma|beta|moving_mean|moving_var)", name)
    if not match:
        return None
    layer, leaf = match[1], LEAVES.get(match[2], match[2])
    if layer == "conv1":
        return in_variables("low_level", "conv1", "conv", leaf)
    if layer == "bn_conv1":
        return in_variables("low_level", "norm1", "norm", leaf)
    if unit := re.fullmatch(r"(res|bn)([2-5])([a-z])([0-9]{0,3})_branch(1|2[abc])", layer):
        kind, stage, letter, number, branch = unit.groups()
        index = int(number) + 1 if number else ord(letter) - ord("a") + 1
        part = "conv" if kind == "res" else "norm"
        inner = f"shortcut_{part}" if branch == "1" else f"{part}{' abc'.index(branch[1])}"
        return in_unit(int(stage), index, split, inner, part, leaf)
    if unit := re.fullmatch(r"res5([a-c])_branch2b_offset", layer):
        index = ord(unit[1]) - ord("a") + 1
        return in_unit(5, index, split, "conv2", "offset", "conv", leaf)
    if layer == "feat_conv_3x3":
        return in_variables("high_level", "feature_conv", "conv", leaf)
    if heads := re.fullmatch(r"(rpn_cls_score|rpn_bbox_pred|rfcn_cls|rfcn_bbox)", layer):
        model = heads[1][: heads[1].index("_")]
        return in_variables(model, "classes" if "cls" in layer else "boxes", "conv", leaf)
    if layer in FLOWNET:
        transposed = layer.startswith(TRANSPOSED)
        return in_variables("flownet", FLOWNET[layer], *(() if transposed else ("conv",)), leaf)
    if embedding := re.fullmatch(r"em_(conv[1-3])", layer):
        return in_variables("embedding", embedding[1], "conv", leaf)
    if layers := re.fullmatch(r"low2high_conv([1-3])", layer):
        return in_variables("dfa", "low2high", f"conv{layers[1]}", "conv", leaf)
    if quality := re.fullmatch(r"quality_conv([1-3])_(key2key|key2cur)", layer):
        return in_variables(PATHS[quality[2]], "quality", f"conv{quality[1]}", "conv", leaf)
    if side := re.fullmatch(r"embedding_conv_feat_(oldkey|newkey)_(key2key|key2cur)", layer):
        return in_variables(PATHS[side[2]], "lsts", SIDES[side[1]], "conv", leaf)
    return None


def _layout(path: Path, multiplied: bool) -> Layout:
    plain = convolution_or_same(path)
    if path[1] == "flownet" and path[-1] == "kernel" and path[2].startswith(("deconv", "upsample")):
        return TRANSPOSED_CONVOLUTION
    if path[1] != "rfcn":
        return plain
    boxes = path[2] == "boxes"

    def shape(ours: Shape) -> Shape:
        channels, *rest = plain.shape(ours)
        return (channels * 2 if boxes else channels, *rest)

    def ours(array: ndarray) -> ndarray:
        # [class * 7 * 7, ...] -> [7 * 7 * class, ...]; of the two agnostic boxes only the object's is used
        array = array.reshape(-1, POOL * POOL, *array.shape[1:])
        array = array[4:8] if boxes else array
        array = plain.ours(array.swapaxes(0, 1).reshape(-1, *array.shape[2:]))
        if boxes and multiplied:
            deltas = array.reshape(*array.shape[:-1], -1, 4) / ROI_DEVIATIONS
            array = deltas.reshape(array.shape)
        return array

    return Layout(shape, ours)
