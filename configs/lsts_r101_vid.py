"""The paper: LSTS with ResNet-101 on ImageNet VID and DET, as the authors' code trains it.

    python train.py --config configs/lsts_r101_vid.py --workdir runs/lsts_r101 --config.data.root ILSVRC2015
    python evaluate.py --config configs/lsts_r101_vid.py --workdir runs/lsts_r101 --config.data.root ILSVRC2015

Every value is a default of `lsts_jax/config.py`, where its source stands. An epoch holds every picture of both
lists and its mirror image, 222,946 in all; batches of 8 make 111,473 steps of the 4 epochs. The paper reports
77.2 % mAP from an ImageNet-pretrained backbone; without one (`train.pretrained`) expect much less.
"""

from lsts_jax.config import Config


def get_config() -> Config:
    return Config()
