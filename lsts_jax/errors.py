"""Exceptions that a command prints as one line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST = 1500  # characters of a message


class UserError(Exception):
    """Invalid input (exit status 2): one line that names the file, field or frame, and the fix.

    A message longer than `LONGEST` is shortened in the middle.
    """

    def __init__(self, message: str):
        super().__init__(message if len(message) <= LONGEST else f"{message[:400]} … {message[-500:]}")


class Missing(UserError):
    """A file of the data set does not exist."""


class Stopped(Exception):
    """A signal ended the run after its work was saved; the exit status is 128 + the number of the
    signal."""

    def __init__(self, signal: int, message: str):
        super().__init__(message)
        self.signal = signal


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turns an `OSError` in the block into a `UserError` that names `path`."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{path}: {reason}; check the disk, or name another folder") from error
