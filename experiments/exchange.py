"""Dependence of a trained LSTS on its parts: sampling offsets, or weights of the memory, are exchanged.

    python -m experiments.exchange --suite paper --workdir runs/paper

For each seed of the suite's LSTS with SRFU and DFA whose training is finished. Nothing is trained again.
Leaves JSON files as experiments.run does.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path

from experiments.plan import FINISHED, find_suite, require_known
from experiments.record import machine, write_json
from experiments.run import OWN, RESULTS, summary
from experiments.suites import CENTRE, FIXED_WEIGHTS, INITIAL, LSTS
from lsts_jax import cli
from lsts_jax.config import Config
from lsts_jax.errors import UserError
from lsts_jax.models.detector import Detector


@dataclass(frozen=True)
class Options:
    """Evaluate trained detectors with other sampling offsets, or fixed weights of the memory."""

    suite: str
    workdir: Path
    """Folder of the training runs."""
    data: Path | None = None
    """Folder of the data set, by default that of the suite's config."""
    results: Path | None = None
    """Folder of the JSON files, by default experiments/results/SUITE/own."""
    only: tuple[str, ...] = ("*",)
    """Names of exchanges, or patterns such as 'dfa_*'."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    from lsts_jax.config_io import load_saved_config
    from lsts_jax.data.open import open_dataset
    from lsts_jax.evaluation.runner import evaluate
    from lsts_jax.training.checkpoints import load_detector

    suite, device = find_suite(options.suite), machine()
    require_known(options.only, (INITIAL, CENTRE, *FIXED_WEIGHTS))
    folders = {seed: options.workdir / f"{LSTS}-seed{seed}" for seed in suite.seeds}
    finished = {seed: folder for seed, folder in folders.items() if (folder / FINISHED).exists()}
    if not finished:
        raise UserError(
            f"{options.workdir}: no finished training of {LSTS}; "
            f"train it: python -m experiments.run --suite {options.suite} --workdir {options.workdir}"
        )
    results = cli.make_folder(options.results or RESULTS / options.suite / OWN)
    for seed, folder in finished.items():
        config = load_saved_config(folder / "config.json")
        if options.data:
            config = replace(config, data=replace(config.data, root=str(options.data)))
        dataset = open_dataset(config.data, config.data.val_lists)
        trained = load_detector(config, folder)
        for name, detector, variables in exchanges(*trained[:2], config):
            file = results / f"{name}-seed{seed}.json"
            if file.exists() or not any(fnmatch(name, pattern) for pattern in options.only):
                continue
            with tempfile.TemporaryDirectory() as out:
                metrics = evaluate(detector, variables, config, dataset, Path(out)).metrics
            result = {"suite": options.suite, "experiment": name, "seed": seed, "of": LSTS}
            result |= {"overrides": {}, "mAP": metrics["mAP"]}
            result |= {key: values for key, values in metrics.items() if key.startswith("mAP by ")}
            write_json(file, result | {"machine": device})
            print(f"{file.stem}: {summary(result)}", flush=True)


def exchanges(detector: Detector, variables: dict, config: Config) -> Iterator[tuple[str, Detector, dict]]:
    """Name, detector and variables of every exchange."""
    import jax.numpy as jnp

    from experiments.fixed_weights import with_fixed_weight
    from lsts_jax.training.state import initial_offsets

    learned = detector.temporal.learned_offsets(variables["params"])
    for name, offsets in {
        INITIAL: initial_offsets(detector, config),
        CENTRE: jnp.zeros_like(learned),
    }.items():
        yield name, detector, {**variables, "params": {**variables["params"], "offsets": offsets}}
    for name, (part, weight) in FIXED_WEIGHTS.items():
        yield name, with_fixed_weight(detector, part, weight), variables


if __name__ == "__main__":
    cli.main(run)
