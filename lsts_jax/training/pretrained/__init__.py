"""Initial weights from elsewhere: the authors' MXNet files, torchvision's and timm's ResNets,
EfficientNet-lite, and runs of this package.

    python -m lsts_jax.training.pretrained resnet50.pth runs/start --config configs/NAME.py

Every array of the file and of the model is accounted for (`matching.py`). Settings that the weights
were trained with, such as the place of strides and the normalisation of pixels, are imported as
configuration. The suffix of a file determines its reader (`files.py`), its names the naming scheme
(`authors.py`, `torchvision.py`, `efficientnet.py`).
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from lsts_jax.config import BackboneConfig, Config
from lsts_jax.errors import UserError
from lsts_jax.models.detector import build_detector
from lsts_jax.training.pretrained.arrays import Weights
from lsts_jax.training.pretrained.authors import convert_authors
from lsts_jax.training.pretrained.files import open_weights
from lsts_jax.training.pretrained.matching import Match, match, recognise
from lsts_jax.training.pretrained.mxnet import read_mxnet_params
from lsts_jax.training.state import init_variables

__all__ = ["convert_authors", "import_weights", "load_pretrained", "open_weights", "read_mxnet_params"]

# Parts of every detector. The others belong to a temporal method; a detector with one method can
# start another.
SHARED = {"low_level", "high_level", "rpn", "rfcn"}
FLOW_MAP = "flownet/scale"
"""The map that a flow network has beside the flow, of a size that depends on the method."""

logger = logging.getLogger(__name__)


def load_pretrained(
    variables: dict, path: Path | str, backbone: BackboneConfig, class_names: tuple[str, ...] = ()
) -> dict:
    """Replaces initial variables by the weights of a file or a run: of a backbone or a whole
    detector.

    The parts of a detector that use the memory may be absent from either, but only as a whole. A
    flow network may lack the map that the method has beside the flow.

    Args:
      variables: from `init_variables`.
      path: a file, or a run's folder, whose latest checkpoint is used.
      class_names: those of the variables; empty if they do not matter.

    Raises:
      UserError: the weights cannot be read, do not fit, or were trained with other settings of the
        backbone or with the same classes in another order.
    """
    weights = open_weights(path)
    check_classes(str(path), weights.config, class_names)
    naming = recognise(str(path), weights, backbone)
    if wrong := _contradictions(naming.settings, backbone):
        options = " ".join(f"--config.model.backbone.{name} {_typed(value)}" for name, value in wrong.items())
        raise UserError(f"{path}: trained with other settings than the config's; set {options}")
    own = flatten_dict(variables)
    own_parts = {place[1] for place in own}
    placed = {place[1] for name in weights.arrays if (place := naming.path(name, backbone.split))}
    matched = match(
        str(path),
        weights,
        naming,
        variables,
        backbone,
        allow_missing=[FLOW_MAP, *sorted(own_parts - placed - SHARED)],
        allow_unused=[f"params/{part}" for part in (FLOW_MAP, *sorted(placed - own_parts - SHARED))],
    )
    fresh = sorted({place[1] for place in matched.new})
    logger.info(
        "%s: %d of %d arrays of the model come from it; new: %s",
        path, len(matched.found), len(own), ", ".join(fresh) or "none",
    )  # fmt: skip
    return unflatten_dict(own | {place: jnp.asarray(array) for place, array in matched.found.items()})


def import_weights(
    source: Path | str,
    weights: Weights,
    config: Config,
    *,
    allow_missing: Collection[str] = (),
    allow_unused: Collection[str] = (),
    channel_order: Literal["rgb", "bgr"] = "rgb",
) -> tuple[Config, dict, Match]:
    """The detector of a config with weights from elsewhere; arrays without weights are initialised.

    Args:
      source: name of the file, for messages.
      allow_missing, allow_unused: as for `match`.
      channel_order: bgr for Caffe's weights with torchvision's names.

    Returns:
      The config, with the settings of the weights, the variables, and the result of the matching.

    Raises:
      UserError: the weights do not fit.
    """
    source = str(source)
    check_classes(source, weights.config, config.data.class_names)
    naming = recognise(source, weights, config.model.backbone, channel_order)
    config = _with_settings(config, naming.settings)
    detector = build_detector(config.model, len(config.data.class_names))
    matched = match(
        source,
        weights,
        naming,
        jax.eval_shape(lambda: init_variables(detector, config)),
        config.model.backbone,
        allow_missing=allow_missing,
        allow_unused=allow_unused,
    )

    def new():  # jitted again, so that unused values are not computed
        initial = flatten_dict(init_variables(detector, config))
        return {path: initial[path] for path in matched.new}

    variables = unflatten_dict(matched.found | (jax.jit(new)() if matched.new else {}))
    return config, {"params": {}, "batch_stats": {}} | variables, matched


def check_classes(source: str, trained: Config | None, class_names: tuple[str, ...]) -> None:
    """Compares the class names of a detector with those that its weights were trained with, if
    known. The same number of other names is a warning.

    Raises `UserError` if they are the same names in another order.
    """
    names = trained.data.class_names if trained else class_names
    if names == class_names or len(names) != len(class_names):  # does not fit; reported elsewhere
        return
    if sorted(names) == sorted(class_names):
        raise UserError(
            f"{source}: has the classes of the config in another order; set --config.data.class_names "
            f"{' '.join(names)}"
        )
    logger.warning(
        "%s: its classes are %s; the detector begins with them as %s",
        source, " ".join(names), " ".join(class_names),
    )  # fmt: skip


def _with_settings(config: Config, settings: Mapping[str, object]) -> Config:
    backbone = config.model.backbone
    changes = _contradictions(settings, backbone)
    for name, value in changes.items():
        logger.info("model.backbone.%s is %s, as the weights need", name, _typed(value))
    return replace(config, model=replace(config.model, backbone=replace(backbone, **changes)))


def _contradictions(settings: Mapping[str, object], backbone: BackboneConfig) -> dict[str, object]:
    """Settings of the weights that a backbone does not have."""
    # Basic units have no 1x1 convolution to stride on.
    moot = () if backbone.depth >= 50 else ("stride_on",)
    return {k: v for k, v in settings.items() if k not in moot and v != getattr(backbone, k)}


def _typed(value: object) -> str:
    """A setting in the form of the command line."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
