"""A detector as a folder in the form of a Hugging Face repository: weights, config and model card."""

from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from numpy import ndarray

from lsts_jax.config import Config
from lsts_jax.config_io import load_saved_config, save_config
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole
from lsts_jax.hub import CONFIG, WEIGHTS, is_address, locate, shipped_detectors
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.training.checkpoints import load_detector
from lsts_jax.training.pretrained import import_weights
from lsts_jax.training.pretrained.files import open_weights
from lsts_jax.training.pretrained.run_folder import require_no_run
from lsts_jax.training.pretrained.safetensors_file import require_no_other, write_safetensors

CARD = "README.md"


def load_trained(
    name: Path | str, checkpoint: str = "latest", config: Config | None = None
) -> tuple[Config, Detector, dict, int]:
    """Loads config, detector, variables and step of a trained detector.

    Args:
      name: the folder of a run or of a published detector, a `.safetensors` file of either,
        `hf://ORG/NAME[/FILE]`, or the name of a detector of the package.
      checkpoint: latest, best or a step; only for a run.
      config: replaces the detector's own config.

    Raises:
      UserError: there is no such detector, it cannot be read, or its weights do not fit the config.
    """
    path = locate(name)
    if not path.exists():
        raise UserError(
            f"{name}: no such folder; name that of a run or of a published detector, hf://ORG/NAME, or a "
            f"detector of the package: {', '.join(shipped_detectors())}"
        )
    if not path.is_file() and not (path / WEIGHTS).is_file():
        config = config or load_saved_config(path / CONFIG)
        return config, *load_detector(config, path, checkpoint)
    if checkpoint != "latest":
        raise UserError(
            f"--checkpoint {checkpoint}: {name} is not a run and has only one set of weights; "
            f"leave out the option"
        )
    return _read(str(name), path, config)


def _read(name: str, path: Path, config: Config | None) -> tuple[Config, Detector, dict, int]:
    """Config, detector, variables and step of a published folder or its file of weights.

    Raises `UserError` if a file is missing or damaged, or the weights do not fit the config.
    """
    weights = open_weights(path)
    config = config or (load_saved_config(path / CONFIG) if path.is_dir() else weights.config)
    if config is None:
        raise UserError(f"{name}: holds no config of lsts_jax; lsts pretrained imports weights of others")
    if is_address(name) and ":" in config.model.temporal:
        raise UserError(
            f"{name}: its temporal method is a file of code, which is not run from the hub; read it, "
            "download the repository into a folder, and name that folder"
        )
    config, variables, _ = import_weights(name, weights, config)
    detector = build_detector(config.model, len(config.data.class_names))
    temporal = detector.temporal.for_test(variables["params"])
    return config, detector.clone(temporal=temporal), variables, weights.step


def require_no_other_repository(folder: Path) -> None:
    """Raises `UserError` if the folder holds a run, or files that `write_published` did not write."""
    require_no_run(folder)
    require_no_other(folder / WEIGHTS)
    if (folder / CARD).exists() and not (folder / WEIGHTS).exists():
        raise UserError(f"{folder / CARD}: exists but is not of a published detector; name another folder")


def write_published(folder: Path, variables: dict, config: Config, card: str, step: int) -> None:
    """Writes model.safetensors (parameters as float16, statistics as float32), config.json and the card."""
    flat = {path: _halved(np.asarray(array), path) for path, array in flatten_dict(variables).items()}
    save_config(config, folder / CONFIG)
    with write_whole(folder / CARD) as part:
        part.write_text(card, encoding="utf-8")
    write_safetensors(folder / WEIGHTS, unflatten_dict(flat), config, step)


def _halved(array: ndarray, path: tuple[str, ...]) -> ndarray:
    """The array as float16, unless it holds statistics or values that float16 cannot hold."""
    largest = float(np.finfo(np.float16).max)
    fits = path[0] == "params" and bool((np.abs(array) <= largest).all())
    return array.astype(np.float16) if fits else array
