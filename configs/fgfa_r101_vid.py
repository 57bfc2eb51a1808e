"""FGFA with a ResNet-101 R-FCN on ImageNet VID and DET, by its authors' recipe.

    python train.py --config configs/fgfa_r101_vid.py --workdir runs/fgfa_r101 --config.data.root ILSVRC2015 --config.train.pretrained resnet_v1_101-0000.params
    python evaluate.py --workdir runs/fgfa_r101 --config.evaluation.seq_nms True

The page of the authors' code reports 77.1 mAP for FGFA, 78.9 with Seq-NMS, and 74.1 for the single-frame detector.
Their flow network starts from weights trained on Flying Chairs; here it starts from random weights if the file of
weights has none for it. Unlike in DFF and LSTS, all normalisations of the backbone are frozen, and their epsilon is
2e-5. This configuration has not been trained here.
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
