"""The files that an evaluation leaves in a folder: all of them belong to one evaluation."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lsts_jax.errors import UserError, writing
from lsts_jax.files import write_whole

METRICS, DETECTIONS, COMPARISON = "metrics.json", "detections.txt", "comparison.json"
SPEED, REPORT = "speed.json", "report.html"


OWN_FOLDERS = ("eval", "scored", "compared")
"""Folders of a run that are evaluation's; any other has MARK once an evaluation has written to it."""
MARK = ".evaluated"


def remove_results(folder: Path, inputs: Iterable[Path] = ()) -> None:
    """Removes what an earlier evaluation left, before the first file of a new one is written.

    Args: inputs, files or folders of detections that are evaluated.

    Raises `UserError` if the folder holds files of these names that no evaluation wrote, or that are among
    `inputs`.
    """
    names = (METRICS, DETECTIONS, COMPARISON, SPEED, REPORT)
    present = [folder / name for name in names if (folder / name).exists()]
    is_own = folder.name in OWN_FOLDERS
    if present and not is_own and not (folder / MARK).exists():
        raise UserError(f"{present[0]}: no evaluation wrote it; remove it, or name another --output")
    read = {path.resolve() for path in inputs}
    for file in present:
        if file.resolve() in read or folder.resolve() in read:
            raise UserError(f"{file}: would be removed, but it is read; name another --output")
    if not is_own:
        with writing(folder):
            (folder / MARK).touch()
    for name in names:
        with writing(folder / name):
            (folder / name).unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a file of JSON, whole or not at all."""
    with write_whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def class_names_of(detections: Path) -> tuple[str, ...] | None:
    """The class names by which a file of detections numbers its classes.

    They are in metrics.json beside the file, or in the config of the run whose eval/ the file is in. None
    where neither tells.
    """
    for file, keys in (
        (detections.parent / METRICS, ("class_names",)),
        (detections.parent.parent / "config.json", ("data", "class_names")),
    ):
        try:
            found: Any = json.loads(file.read_text(encoding="utf-8"))
            for key in keys:
                found = found[key]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if isinstance(found, list) and found:
            return tuple(map(str, found))
    return None
