"""FGFA, ResNet-101 R-FCN on ImageNet VID and DET, as its authors trained it.

    python train.py --config configs/fgfa_r101_vid.py --workdir runs/fgfa_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/fgfa_r101 --config.evaluation.seq_nms True

The paper's code reports 77.1 mAP, 78.9 with Seq-NMS, 74.1 for the single frame. Its flow network starts from weights
that were trained on Flying Chairs; without them it starts at random. This configuration has not been trained to its end
here. All normalisations of the backbone are frozen and have an epsilon of their own, unlike DFF's and LSTS's.
"""

from dataclasses import replace

from lsts_jax.config import BackboneConfig, Config, DetectionConfig, ModelConfig, OptimizerConfig, TrainConfig


def get_config() -> Config:
    config = Config()
    return replace(
        config,
        model=ModelConfig(
            temporal="fgfa",
            backbone=BackboneConfig(norm_epsilon=2e-5),
            detections=DetectionConfig(score_threshold=1e-3),
            schedule="online",
        ),
        optimizer=OptimizerConfig(drop_epochs=(1.333,), freeze=("conv1", "norm1", "res2", "norms")),
        train=TrainConfig(batch_size=4, epochs=2.0),
    )
