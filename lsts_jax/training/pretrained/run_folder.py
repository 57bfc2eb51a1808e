"""The folder of a run of this package, as a source and as a target of weights."""

import re
from contextlib import closing
from pathlib import Path

import numpy as np
from flax.traverse_util import flatten_dict

from lsts_jax.config import BackboneConfig, Config
from lsts_jax.config_io import load_saved_config, save_config
from lsts_jax.errors import UserError
from lsts_jax.training.checkpoints import LATEST, load_detector
from lsts_jax.training.interruption import only_process
from lsts_jax.training.pretrained.arrays import Weights, in_memory
from lsts_jax.training.pretrained.authors import DEFORMABLE
from lsts_jax.training.pretrained.naming import SAME, Naming
from lsts_jax.training.saving import CheckedSaver

SETTINGS = ("network", "norm", "norm_epsilon", "stride_on", "pixel_mean", "pixel_std")


def our_naming(config: Config | None) -> Naming:
    """Names `params/low_level/…` and `batch_stats/…`, as in runs and `.safetensors` files of this
    package."""
    return Naming(
        title="ours",
        path=lambda name, split: tuple(name.split("/")) if re.match("(params|batch_stats)/", name) else None,
        layout=lambda path: SAME,
        ignored=re.compile("(?!)"),
        settings=_settings(config.model.backbone) if config else {},
    )


def _settings(backbone: BackboneConfig) -> dict[str, object]:
    names = [*SETTINGS, *(DEFORMABLE if backbone.deformable else ())]
    return {name: getattr(backbone, name) for name in names}


def read_run(workdir: Path, checkpoint: str = "latest") -> Weights:
    """Reads the weights of a run. Raises `UserError` if the folder holds no run, or no such
    checkpoint."""
    config = load_saved_config(workdir / "config.json")
    _, variables, _ = load_detector(config, workdir, checkpoint)
    flat = flatten_dict(variables, sep="/")
    return Weights({name: in_memory(np.asarray(array)) for name, array in flat.items()}, config)


def require_no_run(workdir: Path) -> None:
    """Raises `UserError` if the folder holds a run, or a config.json that does not belong to a run."""
    if any((workdir / LATEST).glob("[0-9]*")):
        raise UserError(f"{workdir}: there is a run in it; name another folder")
    config = workdir / "config.json"
    if config.is_symlink() or config.exists():
        try:
            load_saved_config(config)
        except UserError as error:
            raise UserError(f"{config}: exists but is not a run's; name another folder") from error


def write_run(workdir: Path, variables: dict, config: Config) -> None:
    """Writes config.json and a checkpoint of step 0 that has only `variables`. Raises `UserError`
    if another process has started a run in the folder."""
    folder = (workdir / LATEST).absolute()
    with only_process(workdir), closing(CheckedSaver()) as saver:
        require_no_run(workdir)
        save_config(config, workdir / "config.json")
        folder.mkdir(exist_ok=True)
        saver.save(folder / "0", variables=variables)
        saver.wait()
