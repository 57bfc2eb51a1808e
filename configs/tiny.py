"""The smallest detector that still has every part, for tests and first looks: seconds a run.

    python -m lsts_jax.data.synthvid --out runs/synthvid-tiny --videos 4 --val-videos 2 --frames 12
    python train.py --config configs/tiny.py --workdir runs/tiny
    python evaluate.py --config configs/tiny.py --workdir runs/tiny

Expect a falling loss and nothing else: it is not trained for long enough to detect.
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
            root="runs/synthvid-tiny",
            class_names=class_names("easy"),
            short_side=64,
            long_side=96,
            canvases=((64, 96), (96, 64)),
            max_objects=8,
            workers=0,
        ),
        model=ModelConfig(
            backbone=BackboneConfig(depth=18, width=8, split=1, norm="group"),
            lsts=LSTSConfig(num_offsets=9, embedding_channels=16, window=3),
            anchors=AnchorConfig(scales=(1.0, 2.0, 3.0)),
            proposals=ProposalConfig(pre_nms=100, post_nms=24),
            feature_channels=32,
            deep_layer_init="he",
            keyframe_interval=4,
        ),
        optimizer=OptimizerConfig(
            name="adamw", learning_rate=1e-3, alignment_rate=0.05, drop_epochs=(), freeze=()
        ),
        train=TrainConfig(
            batch_size=2,
            epochs=1.0,
            log_every=5,
            checkpoint_every=10,
            loss=LossConfig(ohem_rois=16),
        ),
        evaluation=EvaluationConfig(),
    )
