"""Trains a detector, or continues the run that the same command began."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from lsts_jax import cli
from lsts_jax.config import Config
from lsts_jax.config_checks import check_thresholds


@dataclass(frozen=True)
class Options:
    """Train a detector. Writes checkpoints, metrics.jsonl and TensorBoard files into WORKDIR. The same
    command, run again, continues from the last checkpoint."""

    config: cli.Experiment
    workdir: Path
    """Folder of the run."""
    debug_nans: bool = False
    """Stop with a traceback at the first operation that makes a NaN. Slow."""
    hosts: cli.Hosts = field(default_factory=cli.Hosts)


def run(arguments: list[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax(options.hosts)
    import jax

    from lsts_jax.parallel import is_first
    from lsts_jax.training.interruption import only_process

    jax.config.update("jax_debug_nans", options.debug_nans)
    with only_process(options.workdir) if is_first() else nullcontext():  # before the data is read
        train_in(options.workdir, options.config)
    if is_first():
        folder = options.workdir
        print(f"trained: {folder}; next: python evaluate.py --workdir {folder}", file=sys.stderr)


def train_in(workdir: Path, config: Config) -> None:
    """Trains in a folder that this process, or the first of several processes, has locked."""
    from lsts_jax.data.loader import TripletLoader
    from lsts_jax.data.open import open_dataset, require_objects
    from lsts_jax.data.triplets import key_ranges
    from lsts_jax.evaluation.runner import evaluate
    from lsts_jax.models.temporal import build_temporal
    from lsts_jax.parallel import is_first, own_rows
    from lsts_jax.training.interruption import only_process
    from lsts_jax.training.loop import train

    temporal = build_temporal(config.model)
    training = open_dataset(config.data, config.data.train_lists)
    config = replace(config, data=replace(config.data, class_names=training.class_names))
    check_thresholds(config, len(config.data.class_names))
    validation = open_dataset(config.data, config.data.val_lists)
    require_objects(validation, config.data.val_lists)
    loader = TripletLoader(
        training,
        config.data,
        batch_size=config.train.batch_size,
        seed=config.seed,
        ranges=key_ranges(
            config.model.schedule,
            config.model.keyframe_interval,
            temporal.trained_keyframes,
            temporal.trained_reach,
        ),
        rows=own_rows(config.train.batch_size),
    )

    def score(detector, variables, step):
        folder = workdir / "eval"
        # evaluate.py may be writing there
        with only_process(folder, wait=True) if is_first() else nullcontext():
            return evaluate(detector, variables, config, validation, folder, step=step).metrics

    train(config, workdir, loader, score)
