"""DFF, ResNet-101 R-FCN on ImageNet VID and DET, as its authors trained it.

    python train.py --config configs/dff_r101_vid.py --workdir runs/dff_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/dff_r101

The paper's code reports 73.0 mAP, 74.1 for the single frame. Its flow network starts from weights that were trained on
Flying Chairs; without them it starts at random. This configuration has not been trained to its end here.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    single = load_config(Path(__file__).with_name("rfcn_r101_vid.py"))
    return replace(single, model=replace(single.model, temporal="dff"))
