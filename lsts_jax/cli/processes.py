"""JAX as a command needs it: compiled programs kept between runs, and the other processes of a run."""

import logging
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path

from lsts_jax.errors import UserError

PATIENCE = 3600
"""Seconds that a process which has done its part waits for the first, which writes reports."""


@dataclass(frozen=True)
class Hosts:
    """Where one run is many processes, one a host or one a GPU: the same command in each."""

    detect: bool = False
    """Slurm, Open MPI, Kubernetes or Cloud TPU tell how many there are and which this is."""
    coordinator: str | None = None
    """Where nothing tells: HOST:PORT of process 0, with a free port, and ..."""
    count: int | None = None
    """... the number of processes ..."""
    index: int | None = None
    """... and which of them this is, from 0."""


def prepare_jax(hosts: Hosts = Hosts()) -> None:
    """Keep compiled programs between runs, in JAX_COMPILATION_CACHE_DIR or the user's cache folder (if any),
    and join the other processes of a run, if any. Of those the first alone reports what is not an error.

    Raises `UserError` if they cannot be found.
    """
    import jax  # here: --help and mistakes should not wait for it

    # JAX makes the attributes of its config while it runs
    stored = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    if not stored and (folder := cache_folder()):
        jax.config.update("jax_compilation_cache_dir", str(folder))
    given = (hosts.coordinator, hosts.count, hosts.index)
    if given.count(None) not in (0, 3):
        raise UserError("--hosts: give all of --hosts.coordinator, --hosts.count and --hosts.index")
    if hosts.detect or hosts.coordinator:
        try:
            jax.distributed.initialize(*given, shutdown_timeout_seconds=PATIENCE)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"--hosts: the processes do not find each other ({reason}); see docs/scaling.md"
            ) from error
        if jax.process_index() > 0:
            _be_quiet()


def cache_folder() -> Path | None:
    """The user's cache folder for compiled programs; None for a user without a home, as in containers."""
    try:
        return Path.home() / ".cache" / "lsts_jax" / "xla"
    except RuntimeError:  # HOME is unset, and the user has no account
        return None


def _be_quiet() -> None:
    """No progress bars, no messages but errors: another process has the same ones."""
    from tqdm import tqdm

    logging.getLogger("lsts_jax").setLevel(logging.ERROR)
    # tqdm has no switch for all of its bars
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)  # pyright: ignore[reportAttributeAccessIssue]
