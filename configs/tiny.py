"""The smallest detector with every part, for tests; a training takes seconds.

    python -m lsts_jax.data.synthvid --out runs/synthvid-tiny --videos 4 --val-videos 2 --frames 12
    python train.py --config configs/tiny.py --workdir runs/tiny
    python evaluate.py --config configs/tiny.py --workdir runs/tiny

The loss falls, but the training is too short for a detector that finds objects. Fields that are not set below are those
of configs/demo.py.
"""

from dataclasses import replace
from pathlib import Path

from lsts_jax.cli import load_config
from lsts_jax.config import AnchorConfig, Config, LossConfig, ProposalConfig


def get_config() -> Config:
    demo = load_config(Path(__file__).with_name("demo.py"))
    return replace(
        demo,
        data=replace(
            demo.data,
            root="runs/synthvid-tiny",
            short_side=64,
            long_side=96,
            canvases=((64, 96), (96, 64)),
        ),
        model=replace(
            demo.model,
            backbone=replace(demo.model.backbone, width=8),
            lsts=replace(demo.model.lsts, num_offsets=9, embedding_channels=16, window=3),
            anchors=AnchorConfig(scales=(1.0, 2.0, 3.0)),
            proposals=ProposalConfig(pre_nms=100, post_nms=24),
            feature_channels=32,
            keyframe_interval=4,
        ),
        optimizer=replace(demo.optimizer, weight_decay=5e-4, warmup_steps=0, drop_epochs=()),
        train=replace(
            demo.train,
            batch_size=2,
            epochs=1.0,
            log_every=5,
            checkpoint_every=10,
            loss=LossConfig(ohem_rois=16),
        ),
        evaluation=replace(demo.evaluation, frames_per_batch=1),
    )
