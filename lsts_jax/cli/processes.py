"""Preparation of JAX for a command: the cache of compiled programs, and the processes of a run."""

import logging
from dataclasses import dataclass
from functools import partialmethod
from pathlib import Path

from lsts_jax.errors import UserError

PATIENCE = 3600
"""Seconds that a process waits at the end for the first process, which writes the reports."""


@dataclass(frozen=True)
class Hosts:
    """One run in several processes, one per host or GPU, all started with the same command."""

    detect: bool = False
    """Read the number of processes and the index of this one from Slurm, Open MPI, Kubernetes or Cloud
    TPU."""
    coordinator: str | None = None
    """Address of process 0, HOST:PORT with a free port, if no cluster is detected; needs count and index."""
    count: int | None = None
    """Number of processes."""
    index: int | None = None
    """Index of this process, from 0."""


def prepare_jax(hosts: Hosts = Hosts()) -> None:
    """Sets up the cache of compiled programs and joins the other processes of a run, if any.

    The cache is in the folder JAX_COMPILATION_CACHE_DIR, or else in the user's cache folder. Only
    the first process shows progress and messages other than errors.

    Raises `UserError` if the processes cannot connect.
    """
    import jax  # here, so that --help and error messages do not wait for JAX

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
    """The user's cache folder for compiled programs; None if the user has no home folder, as in
    containers."""
    try:
        return Path.home() / ".cache" / "lsts_jax" / "xla"
    except RuntimeError:  # HOME is unset, and the user has no account
        return None


def _be_quiet() -> None:
    """Turns off progress bars and all messages except errors; the first process shows them."""
    from tqdm import tqdm

    logging.getLogger("lsts_jax").setLevel(logging.ERROR)
    # tqdm has no switch for all of its bars
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)  # pyright: ignore[reportAttributeAccessIssue]
