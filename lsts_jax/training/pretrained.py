"""Weights of the authors' MXNet files under our names and layouts.

The names: `res4b3_branch2a_weight` is unit 4 of stage 4, `key2key` is SRFU, `key2cur` is DFA, `oldkey` the
source and `newkey` the target. Convolutions are stored (out, in, height, width) there, (height, width, in,
out) here. Position-sensitive channels are (class, row, column) there, (row, column, class) here.

The authors train the box head on deltas divided by their deviations and save, beside it, a copy with these
multiplied in under `rfcn_bbox_*_test`. A file without the copies holds the multiplied head itself.
"""

import re
from collections.abc import Mapping

import numpy as np
from numpy import ndarray

from lsts_jax.models.rfcn import POOL
from lsts_jax.ops.boxes import ROI_DEVIATIONS

PATHS = {"key2key": "srfu", "key2cur": "dfa"}
SIDES = {"oldkey": "embed_source", "newkey": "embed_target"}
LEAVES = {"weight": "kernel", "gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_var": "var"}


def convert_authors(arrays: Mapping[str, ndarray], *, split: int) -> tuple[dict, list[str]]:
    """Parameters and statistics of a detector from the arrays of an authors' file.

    Args:
      arrays: by the authors' names, with or without `arg:` and `aux:`.
      split: units of stage 4 that belong to the low level (`BackboneConfig.split`).

    Returns:
      Variables {"params", "batch_stats"} as nested dictionaries, and the names that have no place in them.
    """
    variables: dict = {"params": {}, "batch_stats": {}}
    left_over = []
    multiplied = not any(name.endswith("_test") for name in arrays)
    for name, array in arrays.items():
        name = name.removeprefix("arg:").removeprefix("aux:")
        path = _path(name, split)
        if path is None:
            left_over.append(name)
            continue
        collection = "batch_stats" if path[-1] in ("mean", "var") else "params"
        node = variables[collection]
        for key in path[:-1]:
            node = node.setdefault(key, {})
        array = _layout(name, np.asarray(array, np.float32))
        if multiplied and name.startswith("rfcn_bbox"):
            array = (array.reshape(*array.shape[:-1], -1, 4) / np.float32(ROI_DEVIATIONS)).reshape(
                array.shape
            )
        node[path[-1]] = array
    return variables, left_over


def _path(name: str, split: int) -> tuple[str, ...] | None:
    """Where a parameter of the authors lives here."""
    match = re.fullmatch(r"(.+?)_(weight|bias|gamma|beta|moving_mean|moving_var)", name)
    if name == "init_offset":
        return ("offsets",)
    if not match:
        return None
    layer, leaf = match[1], LEAVES.get(match[2], match[2])
    if layer == "conv1":
        return ("low_level", "conv1", "conv", leaf)
    if layer == "bn_conv1":
        return ("low_level", "norm1", "norm", leaf)
    if unit := re.fullmatch(r"(res|bn)(\d)([a-z])(\d*)_branch(1|2[abc])", layer):
        kind, stage, letter, number, branch = unit.groups()
        index = int(number) + 1 if number else ord(letter) - ord("a") + 1
        level = "low_level" if int(stage) < 4 or (stage == "4" and index <= split) else "high_level"
        part = "conv" if kind == "res" else "norm"
        inner = f"shortcut_{part}" if branch == "1" else f"{part}{' abc'.index(branch[1])}"
        return (level, f"res{stage}_{index}", inner, part, leaf)
    if layer == "feat_conv_3x3":
        return ("high_level", "feature_conv", "conv", leaf)
    if heads := re.fullmatch(r"(rpn_cls_score|rpn_bbox_pred|rfcn_cls|rfcn_bbox)", layer):
        model = heads[1][: heads[1].index("_")]
        return (model, "classes" if "cls" in layer else "boxes", "conv", leaf)
    if layers := re.fullmatch(r"low2high_conv(\d)", layer):
        return ("dfa", "low2high", f"conv{layers[1]}", "conv", leaf)
    if quality := re.fullmatch(r"quality_conv(\d)_(key2key|key2cur)", layer):
        return (PATHS[quality[2]], "quality", f"conv{quality[1]}", "conv", leaf)
    if side := re.fullmatch(r"embedding_conv_feat_(oldkey|newkey)_(key2key|key2cur)", layer):
        return (PATHS[side[2]], "lsts", SIDES[side[1]], "conv", leaf)
    return None


def _layout(name: str, array: ndarray) -> ndarray:
    if name.startswith("rfcn_"):
        # [class * 7 * 7 ...] -> [7 * 7 * class ...]; of the two agnostic boxes only the object's is used
        array = array.reshape(-1, POOL * POOL, *array.shape[1:])
        array = array[4:8] if name.startswith("rfcn_bbox") else array
        array = array.swapaxes(0, 1).reshape(-1, *array.shape[2:])
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array
