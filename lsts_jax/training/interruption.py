"""What ends a run from outside: signals, and a second process on the same folder."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from lsts_jax.errors import UserError, writing

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""Sent by schedulers before they kill, and by Ctrl-C."""


class Interruption:
    """Notes the first of SIGNALS, to be looked at between two steps.

    A second Ctrl-C acts at once. A second SIGTERM does not: schedulers repeat it, and a save that one of
    several processes breaks off leaves the others waiting; what they send at last is SIGKILL.
    """

    def __init__(self):
        self.signal: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():  # Python's rule
            self._before = {number: signal.signal(number, self._note) for number in SIGNALS}
        return self

    def __exit__(self, *_):
        self._restore(*SIGNALS)

    def _note(self, number, _frame):
        self.signal = self.signal or number
        self._restore(signal.SIGINT)

    def _restore(self, *numbers):
        for number in numbers:
            if number in self._before:
                signal.signal(number, self._before.pop(number))


@contextmanager
def only_process(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Holds a folder. If another process does, waits for it or raises `UserError`.

    The system lets go of it when the process dies, however it dies.
    """
    file = Path(folder) / ".lock"
    try:
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.open("a").close()
        with FileLock(file, timeout=-1 if wait else 0):
            yield
    except Timeout:
        raise UserError(
            f"{folder}: another process is at work in it; wait for it, or name another --workdir"
        ) from None
