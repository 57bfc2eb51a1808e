"""Stores an ILSVRC tree in few large files: python -m lsts_jax.data.prepare --root TREE --out
FOLDER"""

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lsts_jax import cli
from lsts_jax.config import DataConfig
from lsts_jax.data.formats.imagenet_lists import default_lists
from lsts_jax.data.formats.tfds_source import COMPLETE, NAME, folder_of, open_builder, require_packages
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

NAMED = 3  # number of damaged files named in the last line


@dataclass(frozen=True)
class Options:
    """Store an ILSVRC tree in few large files, for TFDS and for --config.data.format tfds. Run
    again, the command continues after an interruption."""

    root: Path
    """Folder with Data, Annotations and ImageSets."""
    out: Path
    """Folder to write into, the --config.data.root for training. Needs as much space as the
    pictures."""
    train_lists: tuple[str, ...] = ()
    """Lists to store: files in ImageSets without .txt. Default: those of config.data.train_lists
    that the tree has data for."""
    val_lists: tuple[str, ...] = ()
    """The same for config.data.val_lists."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    root = options.root.resolve()
    if not root.is_dir():
        raise UserError(f"--root {options.root}: no such folder; name the one with Data and Annotations")
    train_lists = options.train_lists or default_lists(root, DataConfig.train_lists)
    val_lists = options.val_lists or default_lists(root, DataConfig.val_lists)
    if not train_lists + val_lists:
        raise UserError(f"--root {options.root}: has no ImageSets and no Data/VID/train; name an ILSVRC tree")
    require_packages()
    cli.make_folder(options.out / NAME)
    with locked(options.out / NAME):
        prepare(root, options.out, train_lists, val_lists)
    print(f"use it with --config.data.format tfds --config.data.root {options.out}")


def prepare(root: Path, out: Path, train_lists: Sequence[str], val_lists: Sequence[str]) -> None:
    """Stores the frames of the lists, unless they are stored already, and prints a summary.

    Raises `UserError` if a list is wrong, `out` holds other data, or `out` cannot be written.
    """
    import tensorflow_datasets as tfds  # here, because --help and error messages should not wait for it

    from lsts_jax.data.formats.tfds_vid import DAMAGED, ImageNetVid

    folder = folder_of(out)
    complete = (folder / COMPLETE).is_file()
    if complete:
        open_builder(folder)  # reports a damaged one, at which the next line would fail
    builder = ImageNetVid(root=root, train_lists=train_lists, val_lists=val_lists, data_dir=out)
    if complete:
        builder.check_stored()
        print(f"{out}: already prepared")
        return
    builder.check_tree()
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    try:
        # TFDS makes a folder for downloads, and prints false information.
        with tempfile.TemporaryDirectory() as downloads, contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare(download_dir=downloads, download_config=config)
    except (OSError, RuntimeError) as error:  # array_record raises RuntimeError when the disk is full
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"{out}: cannot be written ({reason}); fix this, then the same command continues"
        ) from error
    splits = builder.videos.values()
    stills = sum(video.is_still for videos in splits for video in videos)
    videos = sum(map(len, splits)) - stills
    print(f"{out}: {builder.num_frames:,} frames of {videos:,} videos and {stills:,} stills")
    if (folder / DAMAGED).is_file():
        lines = dict.fromkeys((folder / DAMAGED).read_text(encoding="utf-8").splitlines())
        names = [line.partition(": ")[0] for line in lines]
        logger.warning(
            "%d files are damaged; using them fails, as in the tree: %s%s (all: %s)",
            len(names), ", ".join(names[:NAMED]), ", …" * (len(names) > NAMED), folder / DAMAGED
        )  # fmt: skip


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Locks the folder against other preparations. The operating system removes the lock of a
    killed process."""
    import fcntl  # here, because Windows has none, as it has no array_record

    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{folder}: another process prepares it; wait for that to end") from error
        except OSError:  # some network file systems have no locks
            pass
        yield


if __name__ == "__main__":
    cli.main(run)
