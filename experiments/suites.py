"""Experiments and their comparisons, as overrides of one config.

As in the paper all start from one pretrained backbone, here from a single-frame detector, one for each seed,
and train the same number of steps at the same rates, the single-frame experiment included.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

Value = bool | int | float | str | tuple[float, ...]
Overrides = Mapping[str, Value]
"""Values by the field of the config, as `model.lsts.window`."""

PRETRAINED = "pretrain"
"""The single-frame detector that the others of a seed start from."""
PRETRAINED_DCN = "pretrain_dcn"
"""The same with deformable convolutions, from which detectors that have them start."""
FLOW = "flow"
"""The flow network that detectors with one start from (`experiments.flow`)."""


@dataclass(frozen=True)
class Experiment:
    """A detector that is trained and evaluated."""

    name: str
    title: str
    """Title in the tables."""
    overrides: Overrides
    every_seed: bool = False
    """Otherwise the first seed alone."""
    start: str = PRETRAINED
    """Detector that it starts from, of `Suite.pretraining`."""
    flow: bool = False
    """Its flow network starts from that of `Suite.flow`."""


@dataclass(frozen=True)
class Evaluation:
    """Another evaluation of a trained detector, for each of its seeds."""

    name: str
    title: str
    of: str
    """Name of the experiment."""
    overrides: Overrides


@dataclass(frozen=True)
class Suite:
    config: str
    """File of the config that all override, from the root of the repository."""
    data: str
    """Command that makes the data, or its description."""
    seeds: tuple[int, ...]
    pretraining: Mapping[str, Overrides]
    """Overrides for the detectors that the others of the seed start from, by name."""
    training: Overrides
    """Overrides for all experiments."""
    experiments: tuple[Experiment, ...]
    evaluations: tuple[Evaluation, ...] = ()
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Rows by the table's name: titles by the names of experiments and evaluations."""
    flow: Overrides = field(default_factory=dict)
    """Options of `experiments.flow`; its `data` is the suite's where it is not named."""
    against: tuple[str, ...] = ("single", "frozen")
    """Experiments that those of the table `core` are compared with."""
    baselines: Mapping[str, str] = field(default_factory=dict)
    """Experiment that a table's rows are compared with, by the table's name; by default LSTS."""

    def title(self, name: str) -> str:
        """Title of an experiment or evaluation in the tables."""
        if name == PRETRAINED:
            return "where all start"
        if name == PRETRAINED_DCN:
            return "where those with deformable convolutions start"
        return next(each.title for each in (*self.experiments, *self.evaluations) if each.name == name)


SINGLE, FROZEN, LSTS = "single", "frozen", "lsts"
"""Experiments that others are compared with."""
DECIDES = "decides"
"""Table of the memory's weights in degraded and clean objects."""
INITIAL, CENTRE = "lsts_initial", "lsts_centre"
"""LSTS with other offsets than it has learned (experiments.exchange)."""
FIXED_WEIGHTS = {
    f"{part}_weight{weight}": (part, weight / 100)
    for part in ("srfu", "dfa")
    for weight in (5, 25, 50, 75, 95)
}
"""LSTS with a fixed weight of the memory instead of its quality network's: the part (SRFU, DFA) and the
weight (experiments.exchange)."""


def _lsts(**fields: Value) -> Overrides:
    return {"model.temporal": "lsts"} | {f"model.lsts.{name}": value for name, value in fields.items()}


_CORE = (
    Experiment(SINGLE, "single frame", {"model.temporal": "none"}, every_seed=True),
    Experiment("copy", "copy of the keyframe", {"model.temporal": "copy"}, every_seed=True),
    # The authors' K = 81 reaches 4 cells, a third of a map of 8 x 12: here the grid is 5 x 5, as in the demo.
    Experiment(LSTS, "SRFU + DFA", _lsts(offsets="uniform", num_offsets=25), True),
    Experiment(
        FROZEN,
        "SRFU + DFA, frozen offsets",
        _lsts(offsets="uniform", num_offsets=25, learn_offsets=False),
        True,
    ),
    Experiment("gaussian", "SRFU + DFA, Gaussian offsets", _lsts(offsets="gaussian", num_offsets=40), True),
)
_PARTS = (
    Experiment("srfu", "SRFU alone", {"model.temporal": "srfu"}),
    Experiment("dfa", "DFA alone", {"model.temporal": "dfa"}),
)
_OFFSETS = (
    Experiment(
        "fast_offsets",
        "uniform offsets, learned 4 times as fast",
        _lsts(offsets="uniform", num_offsets=25) | {"model.lsts.offset_rate": 10.0},
    ),
    Experiment("random", "random offsets", _lsts(offsets="random", num_offsets=25)),
    Experiment(
        "frozen_random",
        "random offsets, frozen",
        _lsts(offsets="random", num_offsets=25, learn_offsets=False),
    ),
    Experiment(
        "frozen_gaussian",
        "Gaussian offsets, frozen",
        _lsts(offsets="gaussian", num_offsets=40, learn_offsets=False),
    ),
    Experiment("frozen_k9", "K = 9, frozen", _lsts(offsets="uniform", num_offsets=9, learn_offsets=False)),
)
# Online a frame is up to nine frames from its keyframe, and 3 x 3 cells do not cover what moves meanwhile.
_ONLINE = {"model.schedule": "online"}


def _learned_and_frozen(name: str, title: str, overrides: Overrides) -> tuple[Experiment, Experiment]:
    frozen = {"model.lsts.learn_offsets": False}
    return (
        Experiment(name, title, overrides, every_seed=True),
        Experiment(f"frozen_{name}", f"{title}, frozen", {**overrides, **frozen}, every_seed=True),
    )


_BEYOND = _learned_and_frozen("online_k9", "K = 9, online", _lsts(offsets="uniform", num_offsets=9) | _ONLINE)
# The grid of 5 x 5 within a fifth of a cell, where it covers nothing.
_NARROW = _learned_and_frozen(
    "narrow", "narrow grid", _lsts(offsets="uniform", num_offsets=25, initial_spread=0.1)
)
_FARTHER = tuple(
    Evaluation(
        f"{each.name}_20", f"{each.title}, keyframe interval 20", each.name, {"model.keyframe_interval": 20}
    )
    for each in _BEYOND + _NARROW
)
_COUNTS = tuple(Experiment(f"k{k}", f"K = {k}", _lsts(offsets="uniform", num_offsets=k)) for k in (9, 49, 81))
_NORMALIZATIONS = (
    Experiment("sum", "s / Σ s (paper)", _lsts(normalization="sum")),
    Experiment("abs_sum", "s / Σ |s| (attempt of 2021)", _lsts(normalization="abs_sum")),
)
_INTERVALS = tuple(
    Evaluation(f"interval{n}", f"keyframe interval {n}", LSTS, {"model.keyframe_interval": n})
    for n in (1, 2, 5, 20)
)
_TEST_TIME = (
    Evaluation("online", "online", LSTS, {"model.schedule": "online"}),
    Evaluation("lsts_seq_nms", "SRFU + DFA, Seq-NMS", LSTS, {"evaluation.seq_nms": True}),
    Evaluation("single_seq_nms", "single frame, Seq-NMS", SINGLE, {"evaluation.seq_nms": True}),
)


DFF = "dff"
_METHODS = (
    Experiment(SINGLE, "single frame", {"model.temporal": "none"}, every_seed=True),
    Experiment("copy", "copy of the keyframe", {"model.temporal": "copy"}, every_seed=True),
    Experiment(DFF, "DFF", {"model.temporal": "dff"}, every_seed=True, flow=True),
    Experiment("fgfa", "FGFA, window 5", {"model.temporal": "fgfa"}, every_seed=True, flow=True),
    Experiment("thp", "THP, partial updating", {"model.temporal": "thp"}, every_seed=True, flow=True),
    Experiment(LSTS, "LSTS", _lsts(offsets="uniform", num_offsets=25), every_seed=True),
    Experiment("gaussian", "LSTS, Gaussian", _lsts(offsets="gaussian", num_offsets=40), every_seed=True),
)
_DEFORMABLE = {"model.backbone.deformable": 3}
_METHODS_DCN = tuple(
    Experiment(
        f"{each.name}_dcn",
        f"{each.title}, DCN",
        {**each.overrides, **_DEFORMABLE},
        start=PRETRAINED_DCN,
        flow=each.flow,
    )
    for each in _METHODS
    if each.name not in ("copy", "gaussian")
)
# The quality networks' rate: do they learn where the memory is better?
_QUALITY = tuple(
    Experiment(
        f"quality_rate{n}", f"{n} times", _lsts(num_offsets=25) | {"model.lsts.quality_rate": float(n)}
    )
    for n in (6, 20)
)
_METHODS_AT_TEST = (
    Evaluation("fgfa3", "FGFA, window 3", "fgfa", {"model.fgfa.radius": 1}),
    Evaluation("thp_none", "THP, no updating", "thp", {"model.thp.updating": "none"}),
    Evaluation("thp_adaptive", "THP, adaptive keyframes", "thp", {"model.thp.adaptive": True}),
)
_METHODS_INTERVALS = tuple(
    Evaluation(f"{name}_interval{n}", f"{title}, interval {n}", name, {"model.keyframe_interval": n})
    for name, title in ((DFF, "DFF"), (LSTS, "LSTS"))
    for n in (2, 5, 20)
)
_METHODS_LINKED = tuple(
    Evaluation(f"{name}_linked", f"{title}, linking", name, {"evaluation.linking": True})
    for name, title in ((SINGLE, "single frame"), (DFF, "DFF"), (LSTS, "LSTS"))
)
_METHODS_TITLES = {each.name: each.title for each in (*_METHODS, *_METHODS_AT_TEST)}

# SynthVID's true flow: real video has none.
_FLOW_ELSEWHERE = {"width": 16, "steps": 5000, "data": "runs/synthvid_s"}
_REAL_TRAINING = {
    "train.epochs": 0.5,
    "optimizer.drop_epochs": (0.4,),
    "model.dff.flow_width": 16,
}
_REAL = (
    Experiment(SINGLE, "single frame", {"model.temporal": "none"}, every_seed=True),
    Experiment("copy", "copy of the keyframe", {"model.temporal": "copy"}, every_seed=True),
    Experiment(DFF, "DFF", {"model.temporal": "dff"}, every_seed=True, flow=True),
    Experiment(LSTS, "LSTS", {"model.temporal": "lsts"}, every_seed=True),
)


def _with_bursts(experiments: tuple[Experiment, ...]) -> tuple[Experiment, ...]:
    """The same on video of which nearly half of the frames are degraded, in training and evaluation."""
    bursts = {"data.degrade.share": 0.45}
    return tuple(
        replace(
            each,
            name=f"{each.name}_bursts",
            title=f"{each.title}, bursts",
            overrides={**each.overrides, **bursts},
        )
        for each in experiments
    )


_REAL_TABLES = {
    "core": {each.name: each.title for each in _REAL},
    "bursts": {each.name: each.title.removesuffix(", bursts") for each in _with_bursts(_REAL)},
}

_PRETRAINING = {"model.temporal": "none", "train.epochs": 1.5, "optimizer.drop_epochs": (1.2,)}

SUITES = {
    "paper": Suite(
        config="configs/synthvid_s.py",
        data="python -m lsts_jax.data.synthvid --out runs/synthvid_s --benchmark s",
        seeds=(0, 1, 2),
        # about 2,820 and 940 steps of 8 triplets
        pretraining={PRETRAINED: _PRETRAINING},
        training={
            "optimizer.learning_rate": 1e-3,
            "optimizer.drop_epochs": (0.4,),
            "train.epochs": 0.5,
            "train.checkpoint_every": 475,  # two are kept: the offsets half-way, and those of the end
        },
        experiments=_CORE + _NARROW + _BEYOND + _PARTS + _OFFSETS + _COUNTS + _NORMALIZATIONS,
        evaluations=_INTERVALS + _TEST_TIME + _FARTHER,
        tables={
            "core": {each.name: each.title for each in _CORE},
            "parts": {
                SINGLE: "single frame",
                "copy": "neither (copy)",
                "srfu": "SRFU",
                "dfa": "DFA",
                LSTS: "SRFU and DFA",
            },
            "offsets": {
                LSTS: "uniform, learned",
                "fast_offsets": "uniform, learned 4 times as fast",
                FROZEN: "uniform, frozen",
                "random": "random, learned",
                "frozen_random": "random, frozen",
                "gaussian": "Gaussian, learned",
                "frozen_gaussian": "Gaussian, frozen",
                "k9": "uniform 3 by 3, learned",
                "frozen_k9": "uniform 3 by 3, frozen",
            },
            "narrow": {"frozen_narrow": "narrow, frozen", "narrow": "narrow, learned", LSTS: "wide, learned"},
            "narrow_farther": {
                "frozen_narrow_20": "narrow, frozen",
                "narrow_20": "narrow, learned",
                "interval20": "wide, learned",
            },
            "beyond": {"frozen_online_k9": "frozen", "online_k9": "learned"},
            "farther": {"frozen_online_k9_20": "frozen", "online_k9_20": "learned"},
            "exchanged": {
                LSTS: "as learned",
                INITIAL: "as before the training",
                CENTRE: "all in the middle",
            },
            "locations": {"k9": "K = 9", LSTS: "K = 25", "k49": "K = 49", "k81": "K = 81"},
            "normalization": {
                LSTS: "softmax (authors)",
                "sum": "s / Σ s (paper)",
                "abs_sum": "s / Σ |s| (attempt of 2021)",
            },
            "interval": {
                "interval1": "1",
                "interval2": "2",
                "interval5": "5",
                LSTS: "10",
                "interval20": "20",
            },
            "schedule": {LSTS: "offline", "online": "online"},
            "seq_nms": {
                SINGLE: "single frame",
                "single_seq_nms": "single frame, Seq-NMS",
                LSTS: "SRFU + DFA",
                "lsts_seq_nms": "SRFU + DFA, Seq-NMS",
            },
        },
        baselines={
            "narrow": "frozen_narrow",
            "narrow_farther": "frozen_narrow_20",
            "beyond": "frozen_online_k9",
            "farther": "frozen_online_k9_20",
        },
    ),
    # every method of the line, trained alike from the same detectors
    "methods": Suite(
        config="configs/synthvid_s.py",
        data="python -m lsts_jax.data.synthvid --out runs/synthvid_s --benchmark s",
        seeds=(0, 1, 2),
        # about 2,820 and 750 steps of 8 samples
        pretraining={PRETRAINED: _PRETRAINING, PRETRAINED_DCN: {**_PRETRAINING, **_DEFORMABLE}},
        flow={"width": 16, "steps": 5000},
        training={
            "optimizer.learning_rate": 1e-3,
            "optimizer.drop_epochs": (0.32,),
            "train.epochs": 0.4,
            "model.dff.flow_width": 16,
            "model.fgfa.flow_width": 16,
            "model.fgfa.embedding_channels": 128,
            "model.fgfa.radius": 2,
            "model.thp.flow_width": 16,
            "model.thp.embedding_channels": 128,
        },
        experiments=(*_METHODS, *_QUALITY, *_METHODS_DCN),
        evaluations=(*_METHODS_AT_TEST, *_METHODS_INTERVALS, *_METHODS_LINKED),
        tables={
            "core": _METHODS_TITLES,
            "interval": {
                name: title
                for method, known in ((DFF, "DFF"), (LSTS, "LSTS"))
                for name, title in (
                    *((f"{method}_interval{n}", f"{known}, interval {n}") for n in (2, 5)),
                    (method, f"{known}, interval 10"),
                    (f"{method}_interval20", f"{known}, interval 20"),
                )
            },
            "deformable": {
                name: title
                for each in _METHODS_DCN
                for name, title in (
                    (each.name.removesuffix("_dcn"), each.title[:-5]),
                    (each.name, each.title),
                )
            },
            DECIDES: {LSTS: "as the embeddings", **{each.name: each.title for each in _QUALITY}},
            "weights": {LSTS: "as learned"}
            | {name: f"{part.upper()}: {weight:.2f}" for name, (part, weight) in FIXED_WEIGHTS.items()},
            "linking": {
                **{name: _METHODS_TITLES[name] for name in (SINGLE, DFF, LSTS)},
                **{each.name: each.title for each in _METHODS_LINKED},
            },
        },
        against=(SINGLE, DFF, "fgfa"),
        baselines={"linking": SINGLE, "deformable": SINGLE},
    ),
    # real video with moving cameras, natural and with bursts
    "davis": Suite(
        config="configs/lite_real.py",
        data="davis_train.json and davis_val.json beside their videos (configs/lite_real.py)",
        seeds=(0, 1, 2),
        # about 1,210 and 400 steps of 4 samples
        pretraining={
            PRETRAINED: {
                "model.temporal": "none",
                "train.pretrained": "efficientnet-lite0",
                "train.epochs": 1.5,
                "optimizer.drop_epochs": (1.2,),
            }
        },
        flow=_FLOW_ELSEWHERE,
        training=_REAL_TRAINING,
        experiments=(*_REAL, *_with_bursts(_REAL)),
        tables=_REAL_TABLES,
        against=(SINGLE, DFF),
        baselines={"bursts": "single_bursts"},
    ),
    # people with bursts: the memory has to know where they are, their class is one
    "pets-bursts": Suite(
        config="configs/mot_people.py",
        data="MOTChallenge's sequences, laid out as docs/data.md says",
        seeds=(0, 1, 2),
        # about 560 and 190 steps of 4 samples
        pretraining={PRETRAINED: _PRETRAINING},
        flow=_FLOW_ELSEWHERE,
        training=_REAL_TRAINING,
        experiments=_with_bursts(_REAL),
        tables={"bursts": _REAL_TABLES["bursts"]},
        baselines={"bursts": "single_bursts"},
    ),
    # real video; people look alike and nothing is degraded, what differs is what a frame costs
    "people": Suite(
        config="configs/mot_people.py",
        data="MOTChallenge's sequences, laid out as docs/data.md says",
        seeds=(0,),
        # about 560 and 190 steps of 4 triplets
        pretraining={PRETRAINED: _PRETRAINING},
        training={"optimizer.drop_epochs": (0.4,), "train.epochs": 0.5},
        experiments=_CORE[:4],
        evaluations=_TEST_TIME,
        tables={
            "core": {each.name: each.title for each in _CORE[:4]},
            "test_time": {LSTS: "SRFU + DFA, offline"} | {each.name: each.title for each in _TEST_TIME},
        },
    ),
}
