"""Dependence of a trained detector on its sampling locations: only the offsets are changed.

    python -m experiments.other_offsets --suite paper --workdir runs/paper

For each seed of the suite's LSTS with SRFU and DFA whose training is finished. Leaves JSON files as
experiments.run does.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.plan import FINISHED, find_suite
from experiments.record import machine, write_json
from experiments.run import OWN, RESULTS, summary
from experiments.suites import CENTRE, INITIAL, LSTS
from lsts_jax import cli


@dataclass(frozen=True)
class Options:
    """Evaluate trained detectors with other sampling offsets than they have learned."""

    suite: str
    workdir: Path
    """Folder of the training runs."""
    data: Path | None = None
    """Folder of the data set, by default that of the suite's config."""
    results: Path | None = None
    """Folder of the JSON files, by default experiments/results/SUITE/own."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    import jax.numpy as jnp

    from lsts_jax.config_io import load_saved_config
    from lsts_jax.data.open import open_dataset
    from lsts_jax.evaluation.runner import evaluate
    from lsts_jax.training.checkpoints import load_detector
    from lsts_jax.training.state import initial_offsets

    suite, device = find_suite(options.suite), machine()
    results = cli.make_folder(options.results or RESULTS / options.suite / OWN)
    for seed in suite.seeds:
        folder = options.workdir / f"{LSTS}-seed{seed}"
        if not (folder / FINISHED).exists():
            continue
        config = load_saved_config(folder / "config.json")
        if options.data:
            config = replace(config, data=replace(config.data, root=str(options.data)))
        dataset = open_dataset(config.data, config.data.val_lists)
        detector, variables, _ = load_detector(config, folder)
        learned = detector.temporal.learned_offsets(variables["params"])
        for name, offsets in {
            INITIAL: initial_offsets(detector, config),
            CENTRE: jnp.zeros_like(learned),
        }.items():
            file = results / f"{name}-seed{seed}.json"
            if file.exists():
                continue
            changed = {**variables, "params": {**variables["params"], "offsets": offsets}}
            with tempfile.TemporaryDirectory() as out:
                metrics = evaluate(detector, changed, config, dataset, Path(out)).metrics
            result = {"suite": options.suite, "experiment": name, "seed": seed, "of": LSTS}
            result |= {"overrides": {}, "mAP": metrics["mAP"]}
            result |= {key: values for key, values in metrics.items() if key.startswith("mAP by ")}
            write_json(file, result | {"machine": device})
            print(f"{file.stem}: {summary(result)}", flush=True)


if __name__ == "__main__":
    cli.main(run)
