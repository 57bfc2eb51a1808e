"""Naming schemes of weights: the path of an array in this package, and its layout in the file."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from numpy import ndarray

Path = tuple[str, ...]  # in our variables: ("params", "low_level", "conv1", "conv", "kernel")
Shape = tuple[int, ...]


class Layout(NamedTuple):
    """Layout of an array in a file."""

    shape: Callable[[Shape], Shape]  # there, of an array of this shape here
    ours: Callable[[ndarray], ndarray]  # from there to here


class Naming(NamedTuple):
    """A way of naming weights."""

    title: str  # whose it is
    path: Callable[[str, int], Path | None]  # of a name, with the `split` of the backbone; None: no place
    layout: Callable[[Path], Layout]
    ignored: re.Pattern  # names that a detector has no use for
    settings: Mapping[str, object]  # fields of BackboneConfig that such weights were trained with


SAME = Layout(shape=lambda ours: ours, ours=lambda array: array)
# (out, in, height, width) there, (height, width, in, out) here
CONVOLUTION = Layout(
    shape=lambda ours: (ours[3], ours[2], ours[0], ours[1]), ours=lambda array: array.transpose(2, 3, 1, 0)
)


def convolution_or_same(path: Path) -> Layout:
    return CONVOLUTION if path[-1] == "kernel" else SAME


def in_variables(*path: str) -> Path:
    """With its collection before it."""
    return ("batch_stats" if path[-1] in ("mean", "var") else "params", *path)


def in_unit(stage: int, unit: int, split: int, *path: str) -> Path:
    """Path of an array in a residual unit, counted from 1."""
    level = "low_level" if stage < 4 or (stage == 4 and unit <= split) else "high_level"
    return in_variables(level, f"res{stage}_{unit}", *path)
