"""DFF with a ResNet-101 R-FCN on ImageNet VID and DET, by its authors' recipe.

    python train.py --config configs/dff_r101_vid.py --workdir runs/dff_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/dff_r101

The page of the authors' code reports 73.0 mAP for DFF and 74.1 for the single-frame detector. Their flow network starts
from weights trained on Flying Chairs; here it starts from random weights if the file of weights has none for it. This
configuration has not been trained here.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import Config


def get_config() -> Config:
    single = load_config(Path(__file__).with_name("rfcn_r101_vid.py"))
    return replace(single, model=replace(single.model, temporal="dff"))
