"""`lsts publish`: writes a run as a repository of the Hugging Face hub."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from lsts_jax import cli
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """Write a trained detector as model.safetensors (float16), config.json and a model card, README.md.
    `lsts predict --workdir` and `lsts_jax.load` read the folder; `hf upload ORG/NAME OUT` uploads it."""

    workdir: tyro.conf.Positional[Path]
    """Folder of the training run."""
    out: tyro.conf.Positional[Path]
    """Folder to write into; the detector gets its name. An earlier detector in it is replaced."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    publish(options)
    print(options.out, file=sys.stderr)


def publish(options: Options) -> None:
    """Writes the folder. Raises `UserError` if the run does not exist or the folder holds other files."""
    from lsts_jax.commands.model_card import measured_map, model_card
    from lsts_jax.config_io import load_saved_config
    from lsts_jax.training.checkpoints import load_detector
    from lsts_jax.training.pretrained.published import require_no_other_repository, write_published

    if options.out.resolve() == options.workdir.resolve():
        raise UserError(f"{options.out}: is the folder of the run; name another folder")
    config = load_saved_config(options.workdir / "config.json")
    _, variables, step = load_detector(config, options.workdir, options.checkpoint)
    require_no_other_repository(options.out)
    score = measured_map(options.workdir, step)
    if score is None:
        command = f"lsts evaluate --workdir {options.workdir} --checkpoint {options.checkpoint}"
        logger.warning("the card has no mAP: step %d was not evaluated; run %s", step, command)
    card = model_card(options.out.resolve().name, config, step, score)
    write_published(cli.make_folder(options.out), variables, config, card, step)
