"""Checksums of a checkpoint's files, which detect flipped bits in arrays.

They are computed when the checkpoint is written, and detect later damage: a failing disk, a truncated copy.
"""

import json
import zlib
from collections.abc import Collection
from pathlib import Path

CHECKSUMS = "checksums.json"
AT_ONCE = 1 << 24  # bytes


def write_checksums(folder: Path) -> None:
    """Writes FOLDER/checksums.json: the CRC-32 of every file in its subfolders, the items of a checkpoint."""
    sums = {name: _checksum(folder / name) for name in sorted(_files(folder))}
    (folder / CHECKSUMS).write_text(json.dumps(sums, indent=1) + "\n")


def find_damage(folder: Path, items: Collection[str]) -> Path | None:
    """The first file of the items that is changed, missing or unexpected; None if there is none.
    Returns None, too, for checkpoints of earlier versions, which have no checksums."""
    file = folder / CHECKSUMS
    try:
        sums = {str(name): int(value) for name, value in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return file
    there = _files(folder)
    for name in sorted(sums.keys() | there):
        if name.split("/")[0] in items and (name not in there or _checksum(folder / name) != sums.get(name)):
            return folder / name
    return None


def _files(folder: Path) -> set[str]:
    """Files in the subfolders, by path relative to the folder."""
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/**/*") if path.is_file()}


def is_incomplete(folder: Path) -> bool:
    """True if files of a checkpoint are missing, for example after an interrupted deletion."""
    try:
        names = json.loads((folder / CHECKSUMS).read_text())
        return not all((folder / name).is_file() for name in names)
    except (OSError, ValueError, TypeError):
        return True


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(AT_ONCE):
            value = zlib.crc32(block, value)
    return value
