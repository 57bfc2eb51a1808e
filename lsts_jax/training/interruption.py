"""Interruptions of a run: signals, and a second process on the same folder."""

import errno
import logging
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lsts_jax.errors import Stopped, UserError, writing

try:
    import fcntl
except ImportError:  # Windows has locks of its own
    fcntl = None

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Signals of Ctrl-C, and of schedulers before they kill."""
NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK)
"""Errors of file systems without locks, as on some clusters."""


class Interruption:
    """Records the first of SIGNALS, to be checked between two steps.

    A second Ctrl-C acts at once. A second SIGTERM does not: schedulers repeat it, and if one of
    several processes interrupted a save, the others would wait for it. Schedulers finally send
    SIGKILL.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, Any] = {}
        self._stopped: Callable[[int], Stopped] | None = None

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python's rule
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        self._restore(*SIGNALS)

    @contextmanager
    def at_once(self, stopped: Callable[[int], Stopped]) -> Iterator[None]:
        """Context manager for long work that may be interrupted anywhere: a signal, also an earlier
        one, raises the exception `stopped(number)` at once."""
        self._stopped = stopped
        try:
            if self.signal is not None:
                raise stopped(self.signal)
            yield
        finally:
            self._stopped = None

    def _note(self, number, _frame):
        self.signal = self.signal or number
        self._restore(signal.SIGINT)
        if (stopped := self._stopped) is not None:
            self._stopped = None
            raise stopped(number)

    def _restore(self, *numbers):
        for number in numbers:
            if number in self._before:
                signal.signal(number, self._before.pop(number))


@contextmanager
def only_process(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Locks a folder. If another process holds the lock, waits for it or raises `UserError`.

    The operating system releases the lock at the end of the process. On file systems without locks
    a warning is logged.
    """
    file = Path(folder) / ".lock"
    try:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("a").close()
            reason = _why_not_locked(file.parent)
        if reason:
            logger.warning(
                "%s: cannot be locked (%s); make sure that no other process uses it", folder, reason
            )
            yield
            return
        with FileLock(file, timeout=-1 if wait else 0):
            yield
    except Timeout:
        raise UserError(
            f"{folder}: another process is using this folder; wait for it, or name another --workdir"
        ) from None


def _why_not_locked(folder: Path) -> str:
    """The system's reason why files in a folder cannot be locked; empty if they can."""
    if fcntl is None:
        return ""
    with tempfile.TemporaryFile(dir=folder) as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return str(error.strerror)
    return ""
