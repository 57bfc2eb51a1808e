"""Options, experiments and exit statuses, shared by all commands.

A command declares a frozen dataclass of its options and a function `run`, which `main(run)` calls.
A field `config: Experiment` makes every field of the experiment an option:

    @dataclass(frozen=True)
    class Options:
        config: Experiment
        workdir: str

    def run(arguments): train(parse(Options, arguments))
"""

import errno
import os
from pathlib import Path

from lsts_jax.cli.exits import main
from lsts_jax.cli.experiment import load_config
from lsts_jax.cli.options import Experiment, parse
from lsts_jax.cli.processes import Hosts, cache_folder, prepare_jax
from lsts_jax.errors import UserError

__all__ = [
    "Experiment",
    "Hosts",
    "cache_folder",
    "load_config",
    "main",
    "make_folder",
    "parse",
    "prepare_jax",
]


def make_folder(path: Path, *, option: str = "") -> Path:
    """Creates a folder to write into and returns its path.

    Raises `UserError` if the folder cannot be written; the message names `option`, which selects
    another folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        mend = f"name another folder, {option}" if option else "name another folder"
        raise UserError(f"{path}: {error.strerror}; {mend}") from error
    return path
