"""People in real video, from MOTChallenge annotations, trained from nothing on a CPU.

    python train.py --config configs/mot_people.py --workdir runs/people --config.data.root data/mot
    python evaluate.py --config configs/mot_people.py --workdir runs/people --config.data.root data/mot
    python predict.py --workdir runs/people --source data/mot/PETS09-S2L1/PETS09-S2L1.avi --output runs/people/watch

Trains on TUD-Campus, TUD-Stadtmitte and the first 500 frames of PETS09-S2L1, and is scored on its last 295.
People are small here (25 x 60 pixels after resizing), hence one tall anchor shape in five sizes. For the
single-frame detector of the same budget add --config.model.temporal none.
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


def get_config() -> Config:
    return Config(
        data=DataConfig(
            root="data/mot",
            format="mot",
            class_names=("person",),
            train_lists=("TUD-Campus", "TUD-Stadtmitte", "PETS09-S2L1:0-500"),
            val_lists=("PETS09-S2L1:500-795",),
            short_side=400,
            long_side=544,
            canvases=((400, 544),),
            max_objects=32,
            workers=0,
        ),
        model=ModelConfig(
            backbone=BackboneConfig(depth=18, width=16, split=1, norm="group"),
            lsts=LSTSConfig(num_offsets=25, embedding_channels=32, window=4),
            anchors=AnchorConfig(ratios=(2.5,), scales=(1.5, 2.2, 3.2, 4.5, 6.5)),
            proposals=ProposalConfig(pre_nms=1000, post_nms=150),
            feature_channels=128,
            deep_layer_init="he",
        ),
        optimizer=OptimizerConfig(
            name="adamw",
            learning_rate=1e-3,
            weight_decay=1e-3,
            alignment_rate=0.05,
            warmup_steps=100,
            drop_epochs=(2.2, 2.8),
            freeze=(),
        ),
        train=TrainConfig(
            batch_size=4,
            epochs=3.0,
            checkpoint_every=250,
            loss=LossConfig(anchor_batch=256, ohem_rois=64),
        ),
        evaluation=EvaluationConfig(frames_per_batch=3),
    )
