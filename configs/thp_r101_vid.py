"""THP with a ResNet-101 R-FCN on ImageNet VID and DET.

    python train.py --config configs/thp_r101_vid.py --workdir runs/thp_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/thp_r101
    python evaluate.py --workdir runs/thp_r101 --config.model.thp.updating none --config.model.thp.adaptive True

The paper reports 77.8 mAP. Its authors published neither code nor learning rates; the recipe here is that of DFF's
authors. The third command evaluates the fast form: the backbone runs on keyframes only, and a frame becomes a keyframe
if more than a fifth of its positions are inconsistent. This configuration has not been trained here.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    single = load_config(Path(__file__).with_name("rfcn_r101_vid.py"))
    return replace(single, model=replace(single.model, temporal="thp"))
