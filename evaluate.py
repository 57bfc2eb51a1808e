"""Evaluate a trained detector by the official ImageNet VID metric."""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from lsts_jax import cli
from lsts_jax.config import Config


@dataclass(frozen=True)
class Options:
    """Detect on every frame of the val lists and score it. Writes eval/metrics.json and eval/detections.txt
    into the workdir."""

    config: Config
    workdir: Path
    """Folder of the training run."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""
    speed: bool = True
    """Also measure where the time of a frame goes, into eval/speed.json."""


def run(arguments: list[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    from lsts_jax.config_io import load_saved_config
    from lsts_jax.data.dataset import open_dataset
    from lsts_jax.evaluation.runner import evaluate, table
    from lsts_jax.evaluation.speed import measure_speed, speed_table
    from lsts_jax.training.checkpoints import load_detector

    config = options.config
    if not config.data.class_names:  # whatever the data had that the detector was trained on
        saved = load_saved_config(options.workdir / "config.json")
        config = replace(config, data=replace(config.data, class_names=saved.data.class_names))
    dataset = open_dataset(config.data, config.data.val_lists)
    detector, variables, step = load_detector(config, options.workdir, options.checkpoint)
    metrics = evaluate(detector, variables, config, dataset, options.workdir / "eval", step=step)
    print(table(metrics))
    if metrics["fps"]:
        print(f"{metrics['fps']:.1f} frames a second: reading, detecting and post-processing, side by side")
    if options.speed:
        speed = measure_speed(detector, variables, config, dataset)
        (options.workdir / "eval" / "speed.json").write_text(json.dumps(speed, indent=2) + "\n")
        print(speed_table(speed))
    print(f"step {step}, {metrics['frames']} frames: {options.workdir / 'eval'}", file=sys.stderr)


if __name__ == "__main__":
    cli.main(run)
