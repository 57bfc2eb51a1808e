"""Opens a file of weights by the suffix of its name."""

from pathlib import Path

from lsts_jax.errors import UserError
from lsts_jax.hub import WEIGHTS, locate
from lsts_jax.training.pretrained.arrays import Weights, in_memory
from lsts_jax.training.pretrained.mxnet import read_mxnet_params
from lsts_jax.training.pretrained.npz import read_npz
from lsts_jax.training.pretrained.run_folder import read_run
from lsts_jax.training.pretrained.safetensors_file import read_safetensors
from lsts_jax.training.pretrained.torch_file import read_torch

READERS = {
    ".params": lambda path: Weights(
        {name: in_memory(array) for name, array in read_mxnet_params(path).items()}
    ),
    ".npz": lambda path: Weights(read_npz(path)),
    ".safetensors": read_safetensors,
    **dict.fromkeys((".pth", ".pt", ".tar", ".bin"), lambda path: Weights(read_torch(path))),
}


def open_weights(path: Path | str, checkpoint: str = "latest") -> Weights:
    """Content of a file of weights, of a checkpoint in a run's folder, or of a published detector.

    Args:
      path: the file or the folder, `hf://ORG/NAME[/FILE]`, or the name of a detector of the
        package.

    Raises:
      UserError: `path` does not exist, its suffix is unknown, or it is damaged.
    """
    path = locate(path)
    if (path / WEIGHTS).is_file():
        return read_safetensors(path / WEIGHTS)
    if path.is_dir():
        return read_run(path, checkpoint)
    if not path.exists():
        raise UserError(f"{path}: no such file; name a file of weights or the folder of a run")
    if path.suffix.lower() not in READERS:
        raise UserError(f"{path}: weights come as {', '.join(READERS)}, or as the folder of a run")
    return READERS[path.suffix.lower()](path)
