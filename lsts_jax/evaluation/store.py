"""Detections of finished videos on disk: an evaluation that was killed goes on with the next video."""

import json
import os
import shutil
from pathlib import Path

import numpy as np

from lsts_jax.errors import writing
from lsts_jax.evaluation.vid_map import DetectionArrays

KEY = "key.json"


class VideoStore:
    """A folder with a file a video; those of another key (checkpoint, config) are removed.

    Of several processes that share it, one opens it before the others use it.
    """

    def __init__(self, folder: Path, key: dict, *, opens: bool = True):
        self.folder = folder
        if opens and _read_key(folder) != key:
            self.remove()
            folder.mkdir(parents=True)
            _replace(folder / KEY, json.dumps(key, indent=2).encode())

    def __contains__(self, video: int) -> bool:
        return self._file(video).exists()

    def write(self, video: int, found: DetectionArrays) -> None:
        """Whole or not at all."""
        part = self._file(video).with_suffix(".part.npz")
        with writing(self._file(video)):
            np.savez(part, **found._asdict())
            os.replace(part, self._file(video))

    def read(self, video: int) -> DetectionArrays:
        with np.load(self._file(video)) as arrays:
            return DetectionArrays(**arrays)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _file(self, video: int) -> Path:
        return self.folder / f"{video:06d}.npz"


def _read_key(folder: Path) -> dict | None:
    try:
        return json.loads((folder / KEY).read_text())
    except (OSError, ValueError):
        return None


def _replace(file: Path, data: bytes) -> None:
    part = file.with_suffix(".part")
    with writing(file):
        part.write_bytes(data)
        os.replace(part, file)
