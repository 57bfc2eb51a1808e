"""Sources of predict.py: the words of --source, as sources that can be opened one by one."""

import io
import os
import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lsts_jax.data.video.address import is_address, name_of, split_account
from lsts_jax.data.video.picture_files import open_pictures
from lsts_jax.data.video.pictures import SUFFIXES, natural_order, pictures_in
from lsts_jax.data.video.source import VideoSource
from lsts_jax.data.video.video_io import CAMERA, VIDEO_SUFFIXES, matches, open_raw, open_source, sources_in
from lsts_jax.errors import UserError
from lsts_jax.outputs.names import Origin


class Source(NamedTuple):
    """A source that has not been opened."""

    text: str  # for messages
    origin: Origin
    files: tuple[Path, ...]  # files that it reads from the disk
    open: Callable[[], VideoSource]


def sources_of(texts: Sequence[str], raw_size: tuple[int, int] | None = None) -> list[Source]:
    """The sources that texts name, in order: a folder or a pattern of videos is several sources.
    Picture files, as a shell expands an unquoted pattern, are one sequence in natural order.

    Args:
      raw_size: height and width of the frames on standard input, which is named `-`.
    """
    if "-" in texts and (raw_size is None or min(raw_size) < 1):
        raise UserError("--source -: give the size of the raw frames, --raw_size HEIGHT WIDTH")
    if texts.count("-") > 1:
        raise UserError("--source -: standard input can be read once; name it once")
    found = list(chain.from_iterable(map(sources_in, texts)))
    pictures = [Path(text) for text in found if _is_picture(text)]
    if len(pictures) < 2:
        return [_source(text, raw_size) for text in found]
    first = next(i for i, text in enumerate(found) if _is_picture(text))
    others = [(i, _source(text, raw_size)) for i, text in enumerate(found) if not _is_picture(text)]
    sequence = _sequence(f"{len(pictures)} pictures, {pictures[0]} …", natural_order(pictures))
    return [source for _, source in sorted([*others, (first, sequence)], key=lambda pair: pair[0])]


def _source(text: str, raw_size: tuple[int, int] | None) -> Source:
    path, opens = Path(text), partial(open_source, text)
    if text == "-" and raw_size:
        return Source(text, Origin(("stdin",)), (), partial(_open_stdin, raw_size))
    if is_address(text):
        return Source(name_of(text), _origin_of_address(text), (), opens)
    if text and os.path.isdir(path):
        return Source(text, Origin(_parts(path)), tuple(pictures_in(path)), opens)
    if os.path.isfile(path):
        origin = Origin((*_parts(path)[:-1], path.stem), path.suffix.removeprefix("."))
        return Source(text, origin, (path,), opens)
    if camera := CAMERA.fullmatch(text):
        return Source(text, Origin((f"camera{camera[1] or camera[2]}",)), (), opens)
    if files := [file for file in matches(text) if file.suffix.lower() in SUFFIXES]:
        return _sequence(text, files)
    opens()  # which tells that there is nothing
    return Source(text, Origin(_parts(path)), (), opens)


def _open_stdin(raw_size: tuple[int, int]) -> VideoSource:
    # sys.stdin's own buffer would make Python wait at its end for the thread that reads
    return open_raw(io.BufferedReader(io.FileIO(0, closefd=False)), raw_size)


def _sequence(text: str, files: Sequence[Path]) -> Source:
    """Picture files, named after the folder that holds them all."""
    folder = Path(os.path.commonpath([os.path.abspath(file.parent) for file in files]))
    return Source(text, Origin(_parts(folder)), tuple(files), partial(open_pictures, text, files))


def _origin_of_address(address: str) -> Origin:
    """Name of an address: that of the file, or host and path for a stream; without account,
    passwords and query."""
    about = urlsplit(split_account(name_of(address))[1])
    host, path = re.sub(r"\W+", "_", about.netloc), Path(about.path)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return Origin((host, *path.parts[1:-1], path.stem), path.suffix.removeprefix("."))
    return Origin((re.sub(r"\W+", "_", f"{host}{path}").strip("_"),))


def _is_picture(text: str) -> bool:
    path = Path(text)
    return path.suffix.lower() in SUFFIXES and os.path.isfile(path)


def _parts(path: Path) -> tuple[str, ...]:
    path = Path(os.path.abspath(path))
    return tuple(part for part in path.parts if part != path.anchor)
