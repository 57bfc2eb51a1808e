"""Checks of an experiment's fields: their ranges, and fields that depend on each other."""

import math
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from lsts_jax.config import LITE_BLOCKS, RESNET_UNITS, BackboneConfig, Config
from lsts_jax.errors import UserError


class Range(NamedTuple):
    """Numbers from `low` to `high`; `above`: `low` itself is excluded."""

    low: float | int = -math.inf
    high: float | int = math.inf
    above: bool = False

    def holds(self, value: float | int) -> bool:
        # comparison, since an integer may be too large for a float
        finite = -sys.float_info.max <= value <= sys.float_info.max
        return finite and self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        if self.low == -math.inf:
            return "a finite number"
        if self.high == math.inf:
            return f"a number above {self.low:g}" if self.above else f"a number of at least {self.low:g}"
        return f"a number from {self.low:g} to {self.high:g}"


FROM_0, FROM_1, POSITIVE, SHARE = Range(0), Range(1), Range(0, above=True), Range(0, 1)
RANGES = {
    "seed": Range(0, 2**63 - 1),
    "short_side": FROM_1,
    "long_side": FROM_1,
    "canvases": FROM_1,
    "max_objects": FROM_1,
    "workers": FROM_0,
    "max_bad_share": SHARE,
    "share": SHARE,
    "width": FROM_1,
    "split": FROM_1,
    "pixel_mean": Range(),
    "pixel_std": POSITIVE,
    "num_offsets": FROM_1,
    "initial_spread": FROM_0,
    "embedding_channels": FROM_1,
    "window": FROM_1,
    "norm_epsilon": FROM_0,
    "flow_width": FROM_1,
    "radius": FROM_1,
    "threshold": Range(),
    "adaptive_share": SHARE,
    "penalty": FROM_0,
    "ratios": POSITIVE,
    "scales": POSITIVE,
    "pre_nms": FROM_1,
    "post_nms": FROM_1,
    "nms_threshold": SHARE,
    "score_threshold": SHARE,
    "max_detections": FROM_1,
    "feature_channels": Range(4),
    "keyframe_interval": FROM_1,
    "anchor_batch": FROM_1,
    "anchor_positive_fraction": SHARE,
    "anchor_positive_iou": SHARE,
    "anchor_negative_iou": SHARE,
    "roi_positive_iou": SHARE,
    "ohem_rois": FROM_1,
    "ignore_iou": SHARE,
    "learning_rate": FROM_0,
    "momentum": SHARE,
    "weight_decay": FROM_0,
    "drop_epochs": FROM_0,
    "warmup_steps": FROM_0,
    "offset_rate": FROM_0,
    "alignment_rate": FROM_0,
    "quality_rate": FROM_0,
    "batch_size": FROM_1,
    "epochs": POSITIVE,
    "log_every": FROM_0,
    "checkpoint_every": FROM_0,
    "evaluate_every": FROM_0,
    "max_skipped": FROM_1,
    "frames_per_batch": FROM_0,
    "videos_per_batch": FROM_0,
    "score_thresholds": SHARE,
}
"""Allowed values of every field with numbers, by the field's name. Fields that are not listed must
be finite."""
NOT_EMPTY = ("canvases", "kinds", "ratios", "scales")


def validate(config: Config) -> Config:
    """Returns the config unchanged. Raises `UserError` naming the first invalid field and its
    allowed values."""
    for name, value in leaves(config):
        field = name.rpartition(".")[2]
        if field in NOT_EMPTY and not value:
            raise UserError(f"config.{name} is empty; name at least one")
        allowed = RANGES.get(field, Range())
        for number in numbers_in(value):
            if not allowed.holds(number):
                raise UserError(f"config.{name} is {value}; give {allowed}")
    data, loss = config.data, config.train.loss
    if data.short_side > data.long_side:
        raise UserError(
            f"config.data.short_side is {data.short_side}, above long_side {data.long_side}; exchange them"
        )
    if repeated := [name for name in data.class_names if data.class_names.count(name) > 1]:
        raise UserError(f"config.data.class_names has {repeated[0]!r} twice; name each class once")
    if loss.anchor_negative_iou > loss.anchor_positive_iou:
        raise UserError(
            f"config.train.loss.anchor_negative_iou is {loss.anchor_negative_iou}, above "
            f"anchor_positive_iou {loss.anchor_positive_iou}; lower it"
        )
    if config.model.feature_channels % 4:
        raise UserError(
            f"config.model.feature_channels is {config.model.feature_channels}; give a multiple of 4"
        )
    if config.evaluation.seq_nms and config.evaluation.linking:
        raise UserError("config.evaluation has both seq_nms and linking; leave one of them")
    if data.class_names:
        check_thresholds(config, len(data.class_names))
    check_backbone(config.model.backbone)
    check_frozen(config)
    return config


def check_thresholds(config: Config, num_classes: int) -> None:
    """Raises `UserError` if `evaluation.score_thresholds` has neither one value nor one per class."""
    given = len(config.evaluation.score_thresholds)
    if given not in (0, 1, num_classes):
        raise UserError(
            f"config.evaluation.score_thresholds: {given} values for {num_classes} classes; give one, or one "
            "per class"
        )


def check_backbone(backbone: BackboneConfig) -> None:
    """Raises `UserError` if the network has no unit at which `split` cuts it."""
    if backbone.network != "resnet":
        units = sum(LITE_BLOCKS[backbone.network][3:5])
        if backbone.split > units:
            raise UserError(
                f"config.model.backbone.split is {backbone.split}, but stages 4 and 5 of {backbone.network} "
                f"have {units} blocks; give 1 to {units}"
            )
        if backbone.deformable:
            raise UserError(
                f"config.model.backbone.deformable is {backbone.deformable}, but {backbone.network} has no "
                "deformable units; give 0"
            )
        return
    units = RESNET_UNITS[backbone.depth][2]
    if backbone.split > units:
        raise UserError(
            f"config.model.backbone.split is {backbone.split}, but stage 4 of depth {backbone.depth} has "
            f"{units} units; give 1 to {units}"
        )


def check_frozen(config: Config) -> None:
    """Raises `UserError` if `optimizer.freeze` names a part that the backbone does not have."""
    backbone = config.model.backbone
    if backbone.network == "resnet":
        units = {f"res{stage}": count for stage, count in enumerate(RESNET_UNITS[backbone.depth], start=2)}
    else:
        units = {f"stage{stage}": count for stage, count in enumerate(LITE_BLOCKS[backbone.network], start=1)}
    parts = {"conv1", "norm1", "norms", "feature_conv", *units}
    parts |= {f"{stage}_{unit + 1}" for stage, count in units.items() for unit in range(count)}
    if unknown := [part for part in config.optimizer.freeze if part not in parts]:
        raise UserError(
            f"config.optimizer.freeze names {unknown[0]!r}, no part of the backbone; name conv1, norm1, "
            f"{next(iter(units))} to {list(units)[-1]}, units of them such as {list(units)[2]}_2, "
            "feature_conv, or norms"
        )


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and value of every field, also of nested dataclasses."""
    for field in fields(config):
        value = getattr(config, field.name)
        if is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def numbers_in(value: Any) -> Iterator[float | int]:
    """The numbers in a value, a number or nested tuples of numbers; a bool is not a number."""
    if isinstance(value, tuple):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
