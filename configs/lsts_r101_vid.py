"""The paper: LSTS with ResNet-101 on ImageNet VID and DET, as the authors' code trains it.

    python -m lsts_jax.data.check --config configs/lsts_r101_vid.py --config.data.root ILSVRC2015 --out runs/check
    python train.py --config configs/lsts_r101_vid.py --workdir runs/lsts_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --config configs/lsts_r101_vid.py --workdir runs/lsts_r101 --config.data.root ILSVRC2015

Every value but those below is a default of `lsts_jax/config.py`, where its source stands. An epoch holds every
picture of both lists and its mirror image, 222,946 in all; batches of 8 make 111,473 steps of the 4 epochs.
Gradients are summed over the batch, so that the rate grows with it by itself: `--config.train.batch_size 32` is
the authors' recipe on 32 devices. The paper reports 77.2 % mAP from an ImageNet-pretrained backbone; without one
expect much less.

On a GPU add `--config.model.dtype bfloat16`; where memory is short, `--config.model.backbone.remat True`.
"""

from lsts_jax.config import Config, DataConfig


def get_config() -> Config:
    # (height, width): wide pictures (16:9), television's (4:3), and whatever lies between, lying and upright.
    # Nearly all of VID is 16:9, of which these leave 3 % empty; the authors do not pad.
    lying = (576, 1008), (608, 800), (608, 1008)
    upright = tuple((width, height) for height, width in lying)
    return Config(data=DataConfig(canvases=lying + upright))
