"""LSTS with a deformable stage 5, the paper's second row: ResNet-101 on ImageNet VID and DET.

    python train.py --config configs/lsts_dcn_r101_vid.py --workdir runs/lsts_dcn_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/lsts_dcn_r101

The paper reports 80.1 % mAP, but the authors' code has no deformable layer. Assumed here: the 3x3 convolutions of
stage 5 are those of Deformable ConvNets, and pooling stays as it is; the rest is `lsts_r101_vid.py`. This configuration
has not been trained here.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import BackboneConfig, Config


def get_config() -> Config:
    plain = load_config(Path(__file__).with_name("lsts_r101_vid.py"))
    return replace(plain, model=replace(plain.model, backbone=BackboneConfig(deformable=3)))
