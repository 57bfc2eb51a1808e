"""Weights of the authors' MXNet files under our names and layouts.

The names: `res4b3_branch2a_weight` is unit 4 of stage 4, `key2key` is SRFU, `key2cur` is DFA, `oldkey` the
source and `newkey` the target. Convolutions are stored (out, in, height, width) there, (height, width, in,
out) here. Position-sensitive channels are (class, row, column) there, (row, column, class) here.

The authors train the box head on deltas divided by their deviations and save, beside it, a copy with these
multiplied in under `rfcn_bbox_*_test`. A file without the copies holds the multiplied head itself.
"""

import logging
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from numpy import ndarray

from lsts_jax.errors import UserError
from lsts_jax.models.rfcn import POOL
from lsts_jax.ops.boxes import ROI_DEVIATIONS

logger = logging.getLogger(__name__)

# MXNet's list of arrays: file magic, headers of an array since version 1, codes of element types.
LIST_MAGIC, HEADERS = 0x112, (0xF993FAC8, 0xF993FAC9, 0xF993FACA)
TYPES = {0: "<f4", 1: "<f8", 2: "<f2", 3: "u1", 4: "<i4", 5: "i1", 6: "<i8"}
MAX_DIMENSIONS = 8

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


def load_pretrained(variables: dict, path: Path | str, *, split: int) -> dict:
    """Initial variables with whatever an authors' file holds in their place: a backbone or a whole detector.

    Args:
      variables: from `init_variables`.
      path: a `.params` file of MXNet under the authors' names.
      split: as for `convert_authors`.

    Raises:
      UserError: the file cannot be read, holds nothing of this model, or an array of another shape.
    """
    converted, left_over = convert_authors(read_mxnet_params(path), split=split)
    found, own = flatten_dict(converted), flatten_dict(variables)
    known = found.keys() & own.keys()
    if not known:
        raise UserError(
            f"{path}: no array of it has a place in this model; is it a ResNet under the authors' names?"
        )
    for name in sorted(known):
        if found[name].shape != own[name].shape:
            raise UserError(
                f"{path}: {'/'.join(name)} is {found[name].shape} there and {own[name].shape} in the model; "
                "match --config.model.backbone and --config.data.class_names to the file"
            )
    fresh = sorted({name[1] for name in own.keys() - known})
    unused = left_over + sorted("/".join(name) for name in found.keys() - known)
    logger.info(
        "%s: %d of %d arrays of the model come from it; new: %s; not used: %s",
        path, len(known), len(own), ", ".join(fresh) or "none", ", ".join(unused) or "none",
    )  # fmt: skip
    return unflatten_dict(own | {name: jnp.asarray(found[name]) for name in known})


def read_mxnet_params(path: Path | str) -> dict[str, ndarray]:
    """Arrays by name of a file that MXNet's `nd.save` wrote; all versions since 2017, dense arrays only.

    Raises:
      UserError: the file cannot be read, is cut short, or is none of MXNet's.
    """
    try:
        data = np.memmap(path, np.uint8, "r")
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    reader = _Reader(path, data)
    magic, _, count = reader.numbers("<QQQ")
    if magic != LIST_MAGIC:
        raise UserError(f"{path}: not a .params file of MXNet")
    arrays = [_read_array(reader) for _ in reader.repeat(count)]
    (num_names,) = reader.numbers("<Q")
    names = [
        bytes(reader.take(reader.numbers("<Q")[0])).decode("utf-8", "replace")
        for _ in reader.repeat(num_names)
    ]
    if len(names) != len(arrays):
        raise UserError(f"{path}: {len(arrays)} arrays have {len(names)} names; save it with names")
    return dict(zip(names, arrays, strict=True))


def _read_array(reader: "_Reader") -> ndarray:
    (first,) = reader.numbers("<I")
    if first in HEADERS[1:] and reader.numbers("<i") != (0,):
        raise UserError(f"{reader.path}: a sparse array; only dense ones can be read")
    dimensions = reader.numbers("<I")[0] if first in HEADERS else first
    if dimensions > MAX_DIMENSIONS:
        raise reader.damaged()
    shape = reader.numbers(f"<{dimensions}{'q' if first in HEADERS else 'I'}")
    _, _, kind = reader.numbers("<iii")
    if kind not in TYPES or min(shape, default=1) < 0:
        raise reader.damaged()
    dtype = np.dtype(TYPES[kind])
    size = dtype.itemsize
    for side in shape:
        size *= side
    return reader.take(size).view(dtype).reshape(shape)


class _Reader:
    """Bytes of a file from front to back, never past its end."""

    def __init__(self, path: Path | str, data: ndarray):
        self.path, self.data, self.position = path, data, 0

    def damaged(self) -> UserError:
        return UserError(f"{self.path}: damaged or cut short at byte {self.position} of {len(self.data)}")

    def take(self, count: int) -> ndarray:
        if count > len(self.data) - self.position:
            raise self.damaged()
        self.position += count
        return self.data[self.position - count : self.position]

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, bytes(self.take(struct.calcsize(form))))

    def repeat(self, count: int) -> range:
        """`range(count)`, if the rest of the file can hold that many of anything."""
        if count > len(self.data) - self.position:
            raise self.damaged()
        return range(count)
