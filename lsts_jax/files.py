"""Atomic writing of files."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lsts_jax.errors import writing


@contextmanager
def write_whole(path: Path | str) -> Iterator[Path]:
    """Context manager: yields the path of an empty file to fill, and moves that file to `path` at
    the end.

    A reader of `path` sees the old file or the complete new one, even after a crash or a power
    failure. An exception in the block leaves `path` as it was and removes the new file. The new
    file gets the permissions of the old one; if `path` is a symbolic link, the file that it points
    to is replaced.

    Raises `UserError` naming `path` if it cannot be written.
    """
    with writing(path):
        target = Path(os.path.realpath(path))
        part = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            part.touch(exist_ok=False)
            with suppress(FileNotFoundError):
                shutil.copymode(target, part)
            yield part
            with part.open("rb+") as file:
                os.fsync(file.fileno())  # before the move, which a disk may otherwise do first
            part.replace(target)
        except BaseException:
            with suppress(OSError):
                part.unlink()
            raise
