"""LSTS with a deformable stage 5, the second row of the paper's table: ResNet-101 on ImageNet VID and DET.

    python train.py --config configs/lsts_dcn_r101_vid.py --workdir runs/lsts_dcn_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/lsts_dcn_r101

The paper reports 80.1 % mAP, but the authors' code has no deformable layer. This configuration assumes that the 3x3
convolutions of stage 5 are those of Deformable ConvNets and that pooling is unchanged; all other fields are those of
`lsts_r101_vid.py`. It has not been trained here.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import BackboneConfig, Config


def get_config() -> Config:
    plain = load_config(Path(__file__).with_name("lsts_r101_vid.py"))
    return replace(plain, model=replace(plain.model, backbone=BackboneConfig(deformable=3)))
