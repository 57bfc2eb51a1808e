"""Naming schemes of weights: the path of an array in this package, and its layout in the file."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from numpy import ndarray

Path = tuple[str, ...]  # in our variables: ("params", "low_level", "conv1", "conv", "kernel")
Shape = tuple[int, ...]


class Layout(NamedTuple):
    """Layout of an array in a file."""

    shape: Callable[[Shape], Shape]  # shape in the file of an array of this shape in the model
    ours: Callable[[ndarray], ndarray]  # array in the file -> array in the model


class Naming(NamedTuple):
    """A naming scheme of weights."""

    title: str  # its origin, for messages
    path: Callable[[str, int], Path | None]  # path of a name, given the backbone's `split`; None: no place
    layout: Callable[[Path], Layout]
    ignored: re.Pattern  # names that a detector does not use
    settings: Mapping[str, object]  # fields of BackboneConfig that such weights were trained with


SAME = Layout(shape=lambda ours: ours, ours=lambda array: array)
# (out, in, height, width) in the file, (height, width, in, out) in the model
CONVOLUTION = Layout(
    shape=lambda ours: (ours[3], ours[2], ours[0], ours[1]), ours=lambda array: array.transpose(2, 3, 1, 0)
)


def convolution_or_same(path: Path) -> Layout:
    return CONVOLUTION if path[-1] == "kernel" else SAME


def in_variables(*path: str) -> Path:
    """Path in the variables, which begins with the collection."""
    return ("batch_stats" if path[-1] in ("mean", "var") else "params", *path)


def in_unit(stage: int, unit: int, split: int, *path: str) -> Path:
    """Path of an array in a residual unit, counted from 1."""
    level = "low_level" if stage < 4 or (stage == 4 and unit <= split) else "high_level"
    return in_variables(level, f"res{stage}_{unit}", *path)
