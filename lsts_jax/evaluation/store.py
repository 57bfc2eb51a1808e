"""Detections of finished videos on disk, from which a killed evaluation continues."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

import jax
import numpy as np

from lsts_jax.config import Config
from lsts_jax.config_io import method_identity
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.files import write_whole

KEY = "key.json"


def store_key(variables: dict, config: Config, dataset: VideoDataset) -> dict:
    """Everything that detections depend on: the weights, the config, the source of a user's own temporal
    method, and the videos with the names, times and ids of their frames."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    weights = (part for path, leaf in leaves for part in (repr(path), str(leaf.dtype), np.asarray(leaf)))
    names = [video.name for video in dataset.videos]
    frames = (
        repr((names[video], video, t, dataset.frame_name(video, t), dataset.global_id(video, t)))
        for video, t in dataset.samples
    )
    method = _digest([method_identity(config.model.temporal)])
    key = {"weights": _digest(weights), "method": method, "frames": _digest(frames), "config": asdict(config)}
    return json.loads(json.dumps(key))  # as JSON returns it: lists instead of tuples


def _digest(parts: Iterable[str | np.ndarray]) -> str:
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part.tobytes()
        found.update(len(data).to_bytes(8, "big"))
        found.update(data)
    return found.hexdigest()


class VideoStore:
    """A folder with one file per video. Files of another key (`store_key`) are removed.

    If several processes share the folder, one opens it before the others use it.
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
        """Writes the detections of a video atomically."""
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
