"""OUTPUT/.predicted: list of the files that the last run of predict.py wrote."""

import json
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lsts_jax.errors import UserError
from lsts_jax.files import write_whole

MANIFEST = ".predicted"
WRITTEN_BY = "predict.py of lsts_jax"


class Stamp(NamedTuple):
    """Size and time of a file when a run had written it."""

    size: int  # bytes
    changed: int  # time of the last change, nanoseconds


def read_manifest(output: Path) -> tuple[dict[str, Stamp | None], int]:
    """The files of the last run, and the time at which their list was written, in nanoseconds.
    Files of a run that did not reach its end have no stamp. Raises `UserError` if the list is
    damaged."""
    file = output / MANIFEST
    if file.is_symlink():
        raise UserError(f"{file}: is a link, and links are not followed for writing; name another --output")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        files = content["files"]
        files = dict.fromkeys(files) if isinstance(files, list) else dict(files)
        listed = {str(name): stamp and Stamp(*map(int, stamp)) for name, stamp in files.items()}
        if content["written_by"] != WRITTEN_BY or any(map(_leads_out, listed)):
            raise ValueError("not our list")
        return listed, file.stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return {}, 0
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{file}: does not list what an earlier run of predict.py wrote; name another --output"
        ) from error


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name


def write_manifest(output: Path, files: Mapping[str, Stamp | None]) -> None:
    """Writes the list of files atomically."""
    with write_whole(output / MANIFEST) as part:
        part.write_text(json.dumps({"written_by": WRITTEN_BY, "files": files}, indent=1) + "\n", "utf-8")


def stamps(output: Path, names: Iterable[str]) -> dict[str, Stamp]:
    """Stamps of the files that exist."""
    return {name: stamp for name in names if (stamp := stamp_of(output / name))}


def stamp_of(path: Path) -> Stamp | None:
    """Stamp of a file; None if it does not exist or is a link."""
    try:
        about = path.lstat()
    except OSError:
        return None
    return Stamp(about.st_size, about.st_mtime_ns) if stat.S_ISREG(about.st_mode) else None
