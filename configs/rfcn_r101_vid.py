"""The single-frame detector, R-FCN with ResNet-101 on ImageNet VID and DET, as DFF's authors trained it.

    python train.py --config configs/rfcn_r101_vid.py --workdir runs/rfcn_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/rfcn_r101

Their code reports 74.1 mAP. This configuration has not been trained to its end here.
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
