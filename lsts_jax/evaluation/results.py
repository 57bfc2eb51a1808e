"""The files of an evaluation in its folder; all files of a folder belong to one evaluation."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lsts_jax.errors import UserError, writing
from lsts_jax.files import write_whole

METRICS, DETECTIONS, COMPARISON = "metrics.json", "detections.txt", "comparison.json"
SPEED, REPORT = "speed.json", "report.html"


OWN_FOLDERS = ("eval", "scored", "compared")
"""Folders of a run that belong to evaluation. Any other folder gets the file MARK when an evaluation writes
there."""
MARK = ".evaluated"


def remove_results(folder: Path, inputs: Iterable[Path] = ()) -> None:
    """Removes the files of an earlier evaluation, before a new one writes its first file.

    Args: inputs, files or folders of detections that are evaluated.

    Raises `UserError` if files of these names were not written by an evaluation, or are among `inputs`.
    """
    names = (METRICS, DETECTIONS, COMPARISON, SPEED, REPORT)
    present = [folder / name for name in names if (folder / name).exists()]
    is_own = folder.name in OWN_FOLDERS
    if present and not is_own and not (folder / MARK).exists():
        raise UserError(f"{present[0]}: not written by an evaluation; remove it, or name another --output")
    read = {path.resolve() for path in inputs}
    for file in present:
        if file.resolve() in read or folder.resolve() in read:
            raise UserError(f"{file}: is an input and would be removed; name another --output")
    if not is_own:
        with writing(folder):
            (folder / MARK).touch()
    for name in names:
        with writing(folder / name):
            (folder / name).unlink(missing_ok=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file atomically."""
    with write_whole(path) as part:
        part.write_text(json.dumps(content, indent=2) + "\n")


def class_names_of(detections: Path) -> tuple[str, ...] | None:
    """The class names, in order, that a file of detections refers to by number.

    They are in metrics.json beside the file, or in the config of the run whose eval/ the file is in. None
    if neither exists.
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
