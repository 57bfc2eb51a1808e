"""Matching of the arrays of a file and of a model, which accounts for every array of both."""

from collections import Counter
from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict
from numpy import ndarray

from lsts_jax.config import LITE_BLOCKS, RESNET_UNITS, BackboneConfig
from lsts_jax.errors import UserError
from lsts_jax.training.pretrained.arrays import Stored, Weights
from lsts_jax.training.pretrained.authors import authors_naming
from lsts_jax.training.pretrained.efficientnet import efficientnet_naming
from lsts_jax.training.pretrained.naming import Naming, Path
from lsts_jax.training.pretrained.run_folder import our_naming
from lsts_jax.training.pretrained.torchvision import torchvision_naming

COMMAND = "python -m lsts_jax.training.pretrained"
FLOATS = ("float16", "bfloat16", "float32", "float64")
# Settings that the shapes of a part depend on.
FIELDS = {
    "low_level": "model.backbone",
    "high_level": "model.backbone and model.feature_channels",
    "rpn": "model.anchors",
    "rfcn": "data.class_names",
}
METHOD = "model.temporal and the settings of that method"  # all else


class Match(NamedTuple):
    """The arrays of a file that fit a model."""

    found: dict[Path, ndarray]  # float32, in our layouts
    new: list[Path]  # arrays of the model that the file lacks or has in another shape
    unused: list[str]  # unused names of the file


def recognise(
    source: str,
    weights: Weights,
    backbone: BackboneConfig,
    channel_order: Literal["rgb", "bgr"] = "rgb",
) -> Naming:
    """The naming scheme that has a place for most names of a file.

    Raises:
      UserError: there is none, or it does not have this channel order.
    """
    names = weights.arrays.keys()
    torchvision = torchvision_naming(channel_order)
    lite = backbone.network if backbone.network in LITE_BLOCKS else next(iter(LITE_BLOCKS))
    namings = (torchvision, authors_naming(names), efficientnet_naming(lite), our_naming(weights.config))
    placed = [sum(naming.path(name, backbone.split) is not None for name in names) for naming in namings]
    best = namings[placed.index(max(placed))]
    if not max(placed):
        raise UserError(
            f"{source}: no array of it has a place in this model ({some(names) or 'it holds none'}); "
            "are the names those of torchvision's or the authors' ResNet, or of EfficientNet-lite?"
        )
    if channel_order == "bgr" and best is not torchvision:
        raise UserError(f"{source}: --channel_order bgr is for torchvision's names, these are {best.title}")
    return best


def match(
    source: str,
    weights: Weights,
    naming: Naming,
    variables: dict,
    backbone: BackboneConfig,
    *,
    allow_missing: Collection[str] = (),
    allow_unused: Collection[str] = (),
) -> Match:
    """Finds the place of every array of a file, and reads the arrays that have one.

    A file without arrays above the backbone leaves the rest of the detector new.

    Args:
      source: name of the file, for messages.
      variables: nested dictionaries of objects with a shape.
      allow_missing: beginnings of names of the model, such as `rfcn/classes`, that may be absent or
        of another shape.
      allow_unused: beginnings of names of the file that may have no place.

    Raises:
      UserError: an array is missing, unused, of another shape, or has values that no weight can
        have.
    """
    names, placeless = _places(source, weights, naming, backbone.split)
    _require_network(source, names, backbone)
    flat: dict[Path, Any] = flatten_dict(variables)
    own = {path: tuple(array.shape) for path, array in flat.items()}
    layouts = {path: naming.layout(path) for path in sorted(names.keys() & own.keys())}
    stored = {path: weights.arrays[names[path]] for path in layouts}
    wanted = {path: layout.shape(own[path]) for path, layout in layouts.items()}

    other_shape = [path for path in layouts if stored[path].shape != wanted[path]]
    missing = sorted(own.keys() - names.keys())
    unused = placeless + [names[path] for path in sorted(names.keys() - own.keys())]
    whole = not all(map(_in_backbone, names))
    problems = {
        "missing": [
            name
            for name in map(shown, [path for path in missing if whole or _in_plain_backbone(path)])
            if not name.startswith(tuple(allow_missing))
        ],
        "of another shape": [
            f"{shown(path)}: {stored[path].shape} there, {wanted[path]} by --config."
            + FIELDS.get(path[1], METHOD)
            for path in other_shape
            if not shown(path).startswith(tuple(allow_missing))
        ],
        "without a place in the model": [
            name
            for name in unused
            if not name.startswith(tuple(allow_unused)) and not naming.ignored.fullmatch(name)
        ],
    }
    if any(problems.values()):
        told = "; ".join(f"{len(which)} {what} ({some(which)})" for what, which in problems.items() if which)
        raise UserError(f"{source}: {told}; {COMMAND} accepts it with --allow_missing or --allow_unused")
    found = {
        path: layout.ours(_read(source, names[path], stored[path], is_variance=path[-1] == "var"))
        for path, layout in layouts.items()
        if path not in other_shape
    }
    return Match(found, sorted(missing + other_shape), unused)


def shown(path: Path) -> str:
    """Name of an array of the model, without its collection."""
    return "/".join(path[1:])


def _in_backbone(path: Path) -> bool:
    return path[1] in ("low_level", "high_level") and path[2:3] != ("feature_conv",)


def _in_plain_backbone(path: Path) -> bool:
    """True for the arrays of every ResNet: offsets of deformable convolutions may be absent."""
    return _in_backbone(path) and "offset" not in path


def _places(source: str, weights: Weights, naming: Naming, split: int) -> tuple[dict[Path, str], list[str]]:
    """Names of a file by their path in the model, and the names without a path."""
    paths = {name: naming.path(name, split) for name in weights.arrays}
    placed = Counter(path for path in paths.values() if path)
    for path, count in placed.items():
        if count > 1:
            raise UserError(f"{source}: {count} arrays of it are {shown(path)} of the model; leave one in it")
    names = {path: name for name, path in paths.items() if path}
    return names, [name for name, path in paths.items() if not path]


def _require_network(source: str, paths: Collection[Path], backbone: BackboneConfig) -> None:
    """Raises `UserError` if the file has the units of another network."""
    blocks = {path[2] for path in paths if len(path) > 3 and path[2].startswith("stage")}
    fitting = [network for network, counts in LITE_BLOCKS.items() if sum(counts) == len(blocks)]
    if fitting and backbone.network not in fitting:
        raise UserError(
            f"{source}: {' or '.join(fitting)}, not the {backbone.network} of the config; set "
            f"--config.model.backbone.network {fitting[0]}"
        )
    units = [path for path in paths if len(path) > 3 and path[2].startswith("res")]
    counts = tuple(len({path[2] for path in units if path[2].startswith(f"res{s}_")}) for s in (2, 3, 4, 5))
    bottleneck = any(path[3] == "conv3" for path in units)
    for depth, expected in RESNET_UNITS.items():
        if counts != expected or bottleneck != (depth >= 50):
            continue
        if backbone.network != "resnet":
            raise UserError(
                f"{source}: a ResNet-{depth}, not the {backbone.network} of the config; set "
                f"--config.model.backbone.network resnet and .depth {depth}"
            )
        if depth != backbone.depth:
            raise UserError(
                f"{source}: a ResNet-{depth}, not the ResNet-{backbone.depth} of the config; set "
                f"--config.model.backbone.depth {depth}, and .split to at most {counts[2]}"
            )


def some(names: Collection[str], limit: int = 3) -> str:
    """The first of many names, shortened if a damaged file has absurd ones."""
    first = ", ".join(" ".join(name[:120].split()) for name in list(names)[:limit])
    return first + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _read(source: str, name: str, stored: Stored, *, is_variance: bool) -> ndarray:
    """An array of a file as float32. Raises `UserError` if it has values that no weight can have."""
    if stored.dtype not in FLOATS:
        raise UserError(f"{source}: {name} is of type {stored.dtype}; weights are floating-point numbers")
    with np.errstate(over="ignore"):  # numbers too large for float32 become infinite
        array = stored.read().astype(np.float32, copy=False)
    if not np.isfinite(array).all() or (is_variance and (array < 0).any()):
        raise UserError(f"{source}: {name} holds values that are not finite, or variances below 0")
    return array
