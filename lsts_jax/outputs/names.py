"""Names of the outputs of predict.py, determined for all sources before any source is opened."""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

from lsts_jax.data.video.pictures import printable

Format = Literal["video", "jsonl", "csv", "mot", "coco", "crops"]

# Longest part of a path in bytes; most file systems allow 255, including the endings that are added.
LONGEST = 200


class Origin(NamedTuple):
    """Parts of a source's path or address that its outputs are named after."""

    parts: tuple[str, ...]  # folders, outermost first, and the name
    ending: str = ""  # mp4, of a file


class Place(NamedTuple):
    """Place of the outputs of one source."""

    folder: Path
    name: str

    def path(self, kind: Format) -> Path:
        """The file of a format; for crops the folder."""
        match kind:
            case "video":
                return self.folder / f"{self.name}.mp4"
            case "mot":
                return self.folder / "det.txt"
            case "coco":
                return self.folder / "coco.json"
            case "crops":
                return self.folder / "crops"
            case _:
                return self.folder / f"detections.{kind}"


def places(output: Path, origins: Sequence[Origin]) -> list[Place]:
    """Places of the outputs of all sources: `output` for a single source, otherwise separate
    folders below it.

    If two sources have the same name, their file endings or their folders are added to it, or else
    a number.
    """
    spelled = [_spellings(origin) for origin in origins]
    if len(origins) == 1:
        return [Place(output, spelled[0][0].name)]
    groups: dict[str, list[int]] = {}
    for i, names in enumerate(spelled):
        groups.setdefault(_key(names[0]), []).append(i)
    chosen = [names[0] for names in spelled]
    for group in groups.values():
        longest = max(len(spelled[i]) for i in group)
        rows = [[spelled[i][min(k, len(spelled[i]) - 1)] for i in group] for k in range(longest)]
        best = max(rows, key=lambda row: len(set(map(_key, row))))  # the first of equally good ones
        for i, name in zip(group, best, strict=True):
            chosen[i] = name
    return [Place(output / name, name.name) for name in _distinct(chosen)]


def class_folders(class_names: Sequence[str]) -> tuple[str, ...]:
    """A folder name for every class, one part of a path, all different."""
    return tuple(str(name) for name in _distinct([PurePosixPath(safe_part(name)) for name in class_names]))


def safe_part(text: str) -> str:
    """The text as one visible part of a path that does not lead elsewhere."""
    text = re.sub(r"[/\\\x00-\x1f\x7f]", "_", printable(text)).strip()
    text = text.encode()[:LONGEST].decode(errors="ignore")
    return re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), text) or "_"


def _spellings(origin: Origin) -> list[PurePosixPath]:
    """Names for the outputs of a source, shortest first: clip, clip_mp4, a/clip, a/clip_mp4, …"""
    *folders, name = map(safe_part, origin.parts or ("_",))
    names = [name, safe_part(f"{name}_{origin.ending}")] if origin.ending else [name]
    return [
        PurePosixPath(*folders[len(folders) - depth :], name)
        for depth in range(len(folders) + 1)
        for name in names
    ]


def _distinct(names: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """The names, with a number added to those that occurred before."""
    given, found = set(map(_key, names)), {}
    for name in names:
        unique, number = name, 1
        while _key(unique) in found or (number > 1 and _key(unique) in given):
            number += 1
            unique = name.with_name(f"{name.name}-{number}")
        found[_key(unique)] = unique
    return list(found.values())


def _key(name: PurePosixPath) -> str:
    """Equal for names that some file systems treat as the same."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name)).casefold())
