"""A small LSTS on SynthVID, trained from scratch in minutes on two CPU cores, as in `make demo`.

    python -m lsts_jax.data.synthvid --out runs/demo/synthvid --videos 120 --val-videos 12 --frames 40
    python train.py --config configs/demo.py --workdir runs/demo
    python evaluate.py --config configs/demo.py --workdir runs/demo

Frames of 128 x 192 pixels show drawn objects of eight classes. The backbone is a ResNet-18 with a quarter of the usual
width and GroupNorm, without pretrained weights, and the optimizer is AdamW. The method is the paper's.
"""

from lsts_jax.config import (
    AnchorConfig,
    BackboneConfig,
    Config,
    DataConfig,
    EvaluationConfig,
    LossConfig,
    LSTSConfig,
    ModelConfig,
    OptimizerConfig,
    ProposalConfig,
    TrainConfig,
)
from lsts_jax.data.synthvid import class_names


def get_config() -> Config:
    return Config(
        data=DataConfig(
            root="runs/demo/synthvid",
            class_names=class_names("easy"),
            short_side=128,
            long_side=192,
            canvases=((128, 192), (192, 128)),
            max_objects=8,
            workers=0,
        ),
        model=ModelConfig(
            backbone=BackboneConfig(depth=18, width=16, split=1, norm="group"),
            lsts=LSTSConfig(num_offsets=25, embedding_channels=32, window=4, alignment_rate=0.05),
            anchors=AnchorConfig(scales=(1.5, 3.0, 5.0)),
            proposals=ProposalConfig(pre_nms=400, post_nms=64),
            feature_channels=128,
            deep_layer_init="he",
        ),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=1e-3,
            weight_decay=1e-3,
            warmup_steps=100,
            drop_epochs=(1.6,),
            freeze=(),
        ),
        train=TrainConfig(
            batch_size=8,
            epochs=2.0,
            checkpoint_every=500,
            loss=LossConfig(anchor_batch=64, ohem_rois=32),
        ),
        evaluation=EvaluationConfig(frames_per_batch=9),
    )
