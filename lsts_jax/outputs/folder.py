"""The folder that predict.py writes into: nothing in it is replaced but what an earlier run wrote.

OUTPUT/.predicted lists what the last run wrote, by paths below OUTPUT. The next run into the same folder
removes that first, so that the folder holds the results of one run.
"""

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lsts_jax.errors import UserError, writing
from lsts_jax.files import write_whole
from lsts_jax.outputs.names import Format, Place

MANIFEST = ".predicted"
WRITTEN_BY = "predict.py of lsts_jax"
CROP = re.compile(r"[0-9]{6,}_[0-9]+\.jpg")  # name of a file in crops/CLASS


class Claim(NamedTuple):
    """What a run is going to replace and to write, by paths below the output folder."""

    output: Path
    earlier: tuple[str, ...]
    planned: tuple[str, ...]


def claim(output: Path, places: Sequence[Place], formats: Collection[Format], read: Sequence[Path]) -> Claim:
    """Checks that a run would destroy nothing; nothing is written.

    Args:
      read: the files that the run reads.

    Raises `UserError` that names the file which is in the way.
    """
    planned = [place.path(kind) for place in places for kind in formats]
    names = tuple(dict.fromkeys(path.relative_to(output).as_posix() for path in planned))
    earlier = _earlier(output)
    sources = {_identity(path): path for path in read if path.exists()}
    for name in dict.fromkeys((*earlier, *names)):
        path = output / name
        _require_own(output, name, is_known=name in earlier)
        for file in [path, *_crops(path)]:
            if file.exists() and (source := sources.get(_identity(file))):
                raise UserError(
                    f"{file}: would be replaced, and {source} is a source; name another --output folder"
                )
    return Claim(output, earlier, names)


def begin(claimed: Claim) -> None:
    """Removes what the earlier run wrote and lists what this run writes; makes the folders for it."""
    output, earlier, planned = claimed
    for folder in {output, *((output / name).parent for name in planned)}:
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    # A run that is killed between the two owns both.
    _write_manifest(output, (*earlier, *planned))
    for name in earlier:
        path = output / name
        with writing(path):
            for file in _crops(path):
                file.unlink()
            if path.is_file():
                path.unlink()
        inner = [folder for folder in path.iterdir() if folder.is_dir()] if path.is_dir() else []
        for folder in (*inner, path, *path.parents[: len(PurePosixPath(name).parts) - 1]):
            with suppress(OSError):  # it is not empty, or no folder
                folder.rmdir()
    for name in planned:
        (output / name).parent.mkdir(parents=True, exist_ok=True)
    _write_manifest(output, planned)


def _require_own(output: Path, name: str, *, is_known: bool) -> None:
    """Raises `UserError` if what is at the path is not what a run of predict.py left there."""
    path = output / name
    for part in (path, *path.parents[: len(PurePosixPath(name).parts) - 1]):
        if part.is_symlink():
            raise UserError(f"{part}: is a link, and nothing is written through it; name another --output")
    if path.is_dir() and (path.name != "crops" or (not is_known and any(path.iterdir()))):
        raise UserError(f"{path}: is a folder that no earlier run made; name another --output")
    if path.exists() and not path.is_dir() and not is_known:
        raise UserError(
            f"{path}: is there, and no earlier run into {output} wrote it; name another --output, or move it"
        )


def _crops(folder: Path) -> Iterator[Path]:
    """The files that the format `crops` left in its folder."""
    if folder.name == "crops" and folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                yield from (file for file in inner.iterdir() if CROP.fullmatch(file.name))


def _earlier(output: Path) -> tuple[str, ...]:
    """What the last run wrote into the folder. Raises `UserError` if its list is damaged."""
    file = output / MANIFEST
    if file.is_symlink():
        raise UserError(f"{file}: is a link, and nothing is written through it; name another --output")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        names = [str(name) for name in content["files"]]
        if content["written_by"] != WRITTEN_BY or any(map(_leads_out, names)):
            raise ValueError("not our list")
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file}: does not list what an earlier run of predict.py wrote; name another --output"
        ) from error
    return tuple(names)


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name


def _write_manifest(output: Path, names: Sequence[str]) -> None:
    content = {"written_by": WRITTEN_BY, "files": list(dict.fromkeys(names))}
    with write_whole(output / MANIFEST) as part:
        part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _identity(path: Path) -> tuple[int, int]:
    """Equal for two paths to one file, links included."""
    about = os.stat(path)
    return about.st_dev, about.st_ino
