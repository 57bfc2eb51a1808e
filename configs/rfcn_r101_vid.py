"""R-FCN, the single-frame detector, with ResNet-101 on ImageNet VID and DET, by the recipe of DFF's authors.

    python train.py --config configs/rfcn_r101_vid.py --workdir runs/rfcn_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/rfcn_r101

The page of their code reports 74.1 mAP. This configuration has not been trained here.
"""

from dataclasses import replace

from lsts_jax.config import Config, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> Config:
    config = Config()
    return replace(
        config,
        model=ModelConfig(temporal="none", schedule="online"),
        optimizer=OptimizerConfig(drop_epochs=(1.333,)),
        train=TrainConfig(batch_size=4, epochs=2.0),
    )
