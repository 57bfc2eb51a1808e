"""The folder of an export: an earlier export in it is replaced, other files stay."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from lsts_jax.errors import UserError, writing

FORMAT, DESCRIPTION = "lsts_jax detector", "detector.json"


def earlier_export(folder: Path) -> dict[str, str]:
    """SHA-256 of the files of an earlier export, by name; empty if there is none.

    Raises `UserError` if the folder holds other files, or a file of the export was changed since.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return {}
    try:
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        sums = {Path(name).name: digest for name, digest in about["sha256"].items()}
        ours = about["format"] == FORMAT
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        sums, ours = {}, False
    if not ours:
        raise UserError(f"{folder}: exists but is not an export; name another folder or remove it")
    for name, digest in sums.items():
        file = folder / name
        if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise UserError(f"{file}: was changed since the export; move it, or name another folder")
    return sums


def replace_export(folder: Path, files: Mapping[str, bytes]) -> None:
    """Replaces the files of an earlier export by `files` (content by name), the description last.

    Raises `UserError` if a file of the same name belongs to no export.
    """
    earlier = {*earlier_export(folder), DESCRIPTION}
    for name in files:
        file = folder / name
        if file.is_symlink() or (file.exists() and name not in earlier):
            raise UserError(
                f"{file}: exists but does not belong to an earlier export; move it, or name another folder"
            )
    with writing(folder):
        for name in earlier:
            (folder / name).unlink(missing_ok=True)
        for name in sorted(files, key=DESCRIPTION.__eq__):
            (folder / name).write_bytes(files[name])
