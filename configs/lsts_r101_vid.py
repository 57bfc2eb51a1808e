"""The paper's detector: LSTS with ResNet-101 on ImageNet VID and DET, by the recipe of the authors' code.

    python -m lsts_jax.data.check --config configs/lsts_r101_vid.py --config.data.root ILSVRC2015 --out runs/check
    python train.py --config configs/lsts_r101_vid.py --workdir runs/lsts_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --config configs/lsts_r101_vid.py --workdir runs/lsts_r101 --config.data.root ILSVRC2015

All values except the canvases are defaults of `lsts_jax/config.py`, which gives their sources. An epoch holds every
picture of both lists and its mirror image, 222,946 in all; 4 epochs in batches of 8 are 111,473 steps. Gradients are
summed over the batch, so the effective rate grows with the batch size: `--config.train.batch_size 32` is the authors'
recipe on 32 devices. The paper reports 77.2 % mAP from an ImageNet-pretrained backbone; without one expect much less.
This configuration has not been trained to its end here.

On a GPU add `--config.model.dtype bfloat16`; if memory is short, `--config.model.backbone.remat True`.
"""

from lsts_jax.config import Config, DataConfig


def get_config() -> Config:
    # (height, width) for pictures of 16:9, of 4:3, and of shapes between, in landscape and in portrait.
    # Most of VID is 16:9: its canvas has 3 % padding. The authors do not pad.
    lying = (576, 1008), (608, 800), (608, 1008)
    upright = tuple((width, height) for height, width in lying)
    return Config(data=DataConfig(canvases=lying + upright))
