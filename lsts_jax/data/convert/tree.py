"""The files of the folder to convert, listed once for all formats."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from lsts_jax.data.convert.coco_json import is_ours
from lsts_jax.data.formats.text import read_text
from lsts_jax.data.video.pictures import SUFFIXES
from lsts_jax.errors import UserError

JSON_FIELDS = ("images", "annotations", "categories", "videos", "file_names", "video_id")
SYSTEM_FOLDERS = ("__MACOSX",)  # and those whose names begin with a dot


@dataclass(frozen=True)
class Tree:
    """Files of a folder. Paths are relative to `folder` and have slashes."""

    folder: Path
    annotations: tuple[str, ...]  # other files; only one if the user named it
    pictures: tuple[str, ...]

    @cached_property
    def picture_set(self) -> frozenset[str]:
        return frozenset(self.pictures)

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """The pictures in every folder ("." for the top) and the folders below it."""
        found: dict[str, list[str]] = {}
        for file in self.pictures:
            for parent in PurePosixPath(file).parents:
                found.setdefault(str(parent), []).append(file)
        return found

    def name_of(self, folder: str) -> str:
        """Name of a video whose pictures are in a folder: the folder's path, or the name of the
        whole for the top."""
        return self.folder.resolve().name or "video" if folder == "." else folder

    @cached_property
    def by_stem(self) -> dict[str, str]:
        """The picture at every path without suffix; if there are several, the first by name."""
        return {str(PurePosixPath(file).with_suffix("")): file for file in reversed(self.pictures)}

    @cached_property
    def json_fields(self) -> dict[str, frozenset[str]]:
        """The fields among JSON_FIELDS that appear in the text of every json; earlier conversions
        are left out."""
        files = [one for one in self.annotations if one.endswith(".json") and not is_ours(self.folder / one)]
        texts = ((file, self.text(file)) for file in files)
        return {
            file: frozenset(field for field in JSON_FIELDS if re.search(rf'"{field}"\s*:', text))
            for file, text in texts
        }

    def data(self, file: str) -> bytes:
        """The bytes of a file. Raises `UserError` naming the file."""
        try:
            return (self.folder / file).read_bytes()
        except OSError as error:
            raise UserError(f"{self.folder / file}: {error.strerror}; restore it, or remove it") from error

    def text(self, file: str) -> str:
        """The text of a file, without a byte order mark. Raises `UserError` naming the file."""
        path = self.folder / file
        try:
            return read_text(path)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; restore it, or remove it") from error
        except ValueError as error:
            raise UserError(f"{path}: is not text ({error}); save it as UTF-8") from error

    def rows(self, file: str, separator: str | None) -> Iterator[tuple[str, list[str]]]:
        """The fields of every non-empty line, with the place of the line for messages; separator
        None means white space."""
        for number, line in enumerate(self.text(file).splitlines(), start=1):
            if line.strip():
                yield f"{self.folder / file}, line {number}", [one.strip() for one in line.split(separator)]


def list_tree(path: Path) -> Tree:
    """The files below a folder, or, for an annotation file, below the folder that it describes: its
    own folder, or the parent of a folder named annotations. Hidden files and folders are left
    out.

    Raises `UserError` if there is no such path, or for a picture whose name no json can hold.
    """
    if not path.exists():
        raise UserError(f"{path}: no such folder; name the folder of the data set, or its annotation file")
    folder = path
    if path.is_file():
        folder = path.parent.parent if path.parent.name.lower() == "annotations" else path.parent
    annotations, pictures = [], []
    for file in tqdm(_walk(folder), desc=f"files of {folder}", unit="file", delay=2.0, dynamic_ncols=True):
        (pictures if file.lower().endswith(SUFFIXES) else annotations).append(file)
    for file in pictures:
        try:
            file.encode()
        except UnicodeEncodeError as error:
            raise UserError(f"{folder / repr(file)}: the name is not UTF-8; rename the picture") from error
    if path.is_file():
        annotations = [path.relative_to(folder).as_posix()]
    return Tree(folder, tuple(sorted(annotations)), tuple(sorted(pictures)))


def _walk(folder: Path) -> Iterator[str]:
    """Files below a folder; links are followed, and every folder is visited once. Raises
    `UserError` for a folder that cannot be read."""

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: {error.strerror}; make it readable") from error

    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in SYSTEM_FOLDERS)
        inside = Path(place).relative_to(folder).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        yield from (prefix + one for one in files if not one.startswith("."))
