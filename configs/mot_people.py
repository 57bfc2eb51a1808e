"""People in real video with MOTChallenge annotations, trained from scratch on a CPU.

    python train.py --config configs/mot_people.py --workdir runs/people --config.data.root data/mot
    python evaluate.py --config configs/mot_people.py --workdir runs/people --config.data.root data/mot
    python predict.py --workdir runs/people --source data/mot/PETS09-S2L1/PETS09-S2L1.avi --output runs/people/watch

The training data are TUD-Campus, TUD-Stadtmitte and the first 500 frames of PETS09-S2L1; the validation data are the
last 295 frames of PETS09-S2L1. People are small (25 x 60 pixels after resizing), hence one tall anchor shape in five
sizes. The rest of the detector is that of configs/demo.py. For the single-frame detector with the same number of
training steps add --config.model.temporal none.
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
            root="data/mot",
            format="mot",
            class_names=("person",),
            train_lists=("TUD-Campus", "TUD-Stadtmitte", "PETS09-S2L1:0-500"),
            val_lists=("PETS09-S2L1:500-795",),
            short_side=400,
            long_side=544,
            canvases=((400, 544),),
            max_objects=32,
        ),
        model=replace(
            demo.model,
            anchors=AnchorConfig(ratios=(2.5,), scales=(1.5, 2.2, 3.2, 4.5, 6.5)),
            proposals=ProposalConfig(pre_nms=1000, post_nms=150),
        ),
        optimizer=replace(demo.optimizer, drop_epochs=(2.2, 2.8)),
        train=replace(
            demo.train,
            batch_size=4,
            epochs=3.0,
            checkpoint_every=250,
            loss=LossConfig(anchor_batch=256, ohem_rois=64),
        ),
        evaluation=replace(demo.evaluation, frames_per_batch=3),
    )
