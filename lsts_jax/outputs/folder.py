"""Output folder of predict.py. A run replaces only files that an earlier run wrote.

OUTPUT/.predicted lists the files of the last run by paths below OUTPUT, with size and time of last
change: a file that was changed or replaced since then no longer counts as written by the run. The
next run into the same folder first removes the files of the last run, so that the folder holds the
results of one run.
"""

import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lsts_jax.errors import UserError, writing
from lsts_jax.outputs.manifest import read_manifest, stamp_of, stamps, write_manifest
from lsts_jax.outputs.names import Format, Place

CROP = re.compile(r"[0-9]{6,}_[0-9]+\.jpg")  # name of a file in crops/CLASS


class Claim(NamedTuple):
    """Files that a run will replace and write, by paths below the output folder."""

    output: Path
    earlier: tuple[str, ...]  # files
    planned: tuple[str, ...]  # files, and folders of crops


def claim(output: Path, places: Sequence[Place], formats: Collection[Format], read: Sequence[Path]) -> Claim:
    """Checks that a run would not destroy other files; writes nothing.

    Args:
      read: files that the run reads.

    Raises `UserError` naming the file that would be destroyed.
    """
    planned = [place.path(kind) for place in places for kind in formats]
    names = tuple(dict.fromkeys(path.relative_to(output).as_posix() for path in planned))
    earlier = _earlier(output)
    for name in names:
        _require_own(output, name, earlier)
    sources = {_identity(path): path for path in read if path.exists()}
    for name in earlier:
        if source := sources.get(_identity(output / name)):
            raise UserError(
                f"{output / name}: would be replaced, but it is the source {source}; name another "
                f"--output folder"
            )
    return Claim(output, earlier, names)


@contextmanager
def begin(claimed: Claim) -> Iterator[None]:
    """Context manager: removes the files of the earlier run, and makes the folders for the new
    ones. At the end, also after an exception, it lists the new files with their sizes and times."""
    output, earlier, planned = claimed
    for folder in {output, *((output / name).parent for name in planned)}:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    # If the run is killed before the end, it owns the earlier and the planned files.
    write_manifest(output, dict.fromkeys(planned) | stamps(output, earlier))
    for name in earlier:
        with writing(output / name):
            (output / name).unlink()
        for folder in _folders_of(output, name):
            with suppress(OSError):  # it is not empty
                folder.rmdir()
    for name in planned:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
    # No sizes yet: the files of a killed run are those that changed after this list was written.
    write_manifest(output, dict.fromkeys(planned))
    try:
        yield
    finally:
        write_manifest(output, stamps(output, [file for name in planned for file in _files(output, name)]))


def _require_own(output: Path, name: str, earlier: Collection[str]) -> None:
    """Raises `UserError` if the output at a path exists and is not in `earlier`."""
    path = output / name
    inner = [folder for folder in path.iterdir() if folder.is_dir()] if _is_crops(path) else []
    for part in (path, *inner, *_folders_of(output, name)):
        if part.is_symlink():
            raise UserError(
                f"{part}: is a link, and links are not followed for writing; name another --output"
            )
    if path.is_dir() and not _is_crops(path):
        raise UserError(f"{path}: is a folder that no earlier run made; name another --output")
    for file in _files(output, name):
        if file not in earlier:
            raise UserError(
                f"{output / file}: exists, but no earlier run into {output} wrote it, or it was "
                f"changed since; name another --output, or move it"
            )


def _is_crops(path: Path) -> bool:
    return path.name == "crops" and path.is_dir()


def _files(output: Path, name: str) -> Iterator[str]:
    """The file at a path, if it exists, or the files that the format `crops` left in its folder."""
    path = output / name
    if not _is_crops(path):
        yield from [name] * (path.exists() and not path.is_dir())
        return
    for inner in path.iterdir():
        if inner.is_dir() and not inner.is_symlink():
            yield from (f"{name}/{inner.name}/{f.name}" for f in inner.iterdir() if CROP.fullmatch(f.name))


def _folders_of(output: Path, name: str) -> list[Path]:
    """The folders below `output` that lead to a path, the innermost first."""
    return list((output / name).parents[: len(PurePosixPath(name).parts) - 1])


def _earlier(output: Path) -> tuple[str, ...]:
    """The files that the last run wrote into the folder and nobody has changed."""
    listed, since = read_manifest(output)
    found: dict[str, None] = {}
    for name, stamp in listed.items():
        for file in _files(output, name) if stamp is None else [name]:
            if any(folder.is_symlink() for folder in _folders_of(output, file)):
                continue
            now = stamp_of(output / file)
            if now and (now == stamp or (stamp is None and now.changed >= since)):
                found[file] = None
    return tuple(found)


def _identity(path: Path) -> tuple[int, int]:
    """Equal for two paths to the same file, also through links."""
    about = os.stat(path)
    return about.st_dev, about.st_ino
