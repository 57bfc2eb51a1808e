"""Detections of finished videos on disk: an evaluation that was killed goes on with the next video."""

import json
import shutil
from pathlib import Path

import numpy as np

from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.files import write_whole

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
            with write_whole(folder / KEY) as part:
                part.write_text(json.dumps(key, indent=2))

    def __contains__(self, video: int) -> bool:
        return self._file(video).exists()

    def write(self, video: int, found: DetectionArrays) -> None:
        """Whole or not at all."""
        with write_whole(self._file(video)) as part, part.open("wb") as file:
            np.savez(file, **found._asdict())

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
