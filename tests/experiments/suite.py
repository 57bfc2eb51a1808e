"""A suite of every kind of run, for the tests."""

from experiments.suites import Evaluation, Experiment, Suite

SUITE = Suite(
    config="configs/tiny.py",
    data="render it",
    seeds=(0, 1),
    pretraining={"pretrain": {"model.temporal": "none"}},
    training={"train.epochs": 0.5},
    experiments=(
        Experiment("single", "single frame", {"model.temporal": "none"}, every_seed=True),
        Experiment("lsts", "LSTS", {"model.temporal": "lsts"}, every_seed=True),
        Experiment("frozen", "frozen", {"model.lsts.learn_offsets": False}),
    ),
    evaluations=(Evaluation("interval20", "interval 20", "lsts", {"model.keyframe_interval": 20}),),
    tables={
        "core": {"single": "single frame", "lsts": "LSTS"},
        "offsets": {"lsts": "learned"},
        "interval": {"lsts": "3", "interval20": "20"},
        "normalization": {"lsts": "s / Σ |s|"},
        "beyond": {"single": "none", "lsts": "learned", "frozen": "frozen"},
    },
    baselines={"beyond": "single"},
)

ALL = [
    *("pretrain-seed0", "single-seed0", "lsts-seed0", "interval20-seed0"),
    *("pretrain-seed1", "single-seed1", "lsts-seed1", "interval20-seed1"),
    "frozen-seed0",
]

MACHINE = {"platform": "cpu", "device": "cpu", "devices": 1, "jax": "0.10.2", "cores": 2}
