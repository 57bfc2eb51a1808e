"""R-FCN, the single-frame detector, with a deformable stage 5: ResNet-101 on ImageNet VID and DET.

    python train.py --config configs/rfcn_dcn_r101_vid.py --workdir runs/rfcn_dcn_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/rfcn_dcn_r101

The 3x3 convolutions of stage 5 are those of Deformable ConvNets, and the score threshold is 1e-3; all other fields are
those of `rfcn_r101_vid.py`, position-sensitive pooling included. No result on VID is published for this combination,
and it has not been trained here.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import BackboneConfig, Config, DetectionConfig


def get_config() -> Config:
    plain = load_config(Path(__file__).with_name("rfcn_r101_vid.py"))
    model = replace(
        plain.model,
        backbone=BackboneConfig(deformable=3),
        detections=DetectionConfig(score_threshold=1e-3),
    )
    return replace(plain, model=model)
