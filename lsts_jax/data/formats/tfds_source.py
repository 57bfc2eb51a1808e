"""Reads an ILSVRC tree that `python -m lsts_jax.data.prepare` stored, through TFDS and
array_record."""

import threading
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.config import IMAGENET_VID_CLASSES, DataConfig
from lsts_jax.data.dataset import Objects
from lsts_jax.data.formats.imagenet_vid import ImageNetVID
from lsts_jax.data.formats.imagenet_xml import (
    WNIDS,
    choose_classes,
    number_classes,
    parse_annotation,
    parse_names,
)
from lsts_jax.data.video.pictures import decode_picture
from lsts_jax.errors import UserError

COMMAND = "python -m lsts_jax.data.prepare"
# Folder of the data set below the folder that TFDS gets, and the file that TFDS writes last.
NAME, VERSION = "imagenet_vid", "1.0.0"
COMPLETE = "dataset_info.json"


class TFDSVideos(ImageNetVID):
    """A `VideoDataset` of the frames that `lists` name in the tree stored below `config.root`.

    Videos, samples, ids, pictures and objects equal those that `ImageNetVID` reads from the tree.
    Frames have the names of the tree's files, which need not exist any more.
    """

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        self._folder = find_prepared(Path(config.root))
        for name in lists:
            if not (self._folder / "ImageSets" / f"{name}.txt").is_file():
                there = ", ".join(sorted(file.stem for file in (self._folder / "ImageSets").glob("*.txt")))
                raise UserError(
                    f"{config.root}: was prepared without the list {name}; name others in --config.data."
                    f"train_lists and val_lists (there: {there}), or prepare a folder with it"
                )
        metadata = open_builder(self._folder).info.metadata
        self._splits: list[str] = list(metadata["videos"])
        self._stored: dict[tuple[str, bool], range] = {}  # records of a video or still
        start = 0
        for videos in metadata["videos"].values():
            for name, num_frames, is_still in videos:
                self._stored[name, is_still] = range(start, start + num_frames)
                start += num_frames
        self._source: Any = None
        self._lock = threading.Lock()
        # Its names are sought below, in the records.
        class_names = config.class_names or IMAGENET_VID_CLASSES
        super().__init__(replace(config, root=str(self._folder), class_names=class_names), lists)
        self.root = Path(metadata["root"])
        if not config.class_names:
            self.class_names = self._find_class_names()
            self._class_ids = number_classes(self.class_names)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        name = self._path("Data", video, t, ".JPEG")
        return decode_picture(self._read("picture", name, video, t), str(name), as_stored=True)

    def objects(self, video: int, t: int) -> Objects:
        name = self._path("Annotations", video, t, ".xml")
        return parse_annotation(self._read("annotation", name, video, t), str(name), self._class_ids)

    def unknown_names(self, video: int, t: int) -> Counter[str]:
        file = self._path("Annotations", video, t, ".xml")
        names = parse_names(self._read("annotation", file, video, t), str(file))
        return Counter({name: number for name, number in names.items() if name not in self._class_ids})

    def _read(self, feature: str, name: Path, video: int, t: int) -> bytes:
        """The bytes of a file. Raises `UserError` beginning with the file's name, as for a file of
        the tree."""
        path, _, is_still, _ = self.videos[video]
        records = self._stored[path, is_still]
        if not 0 <= t < len(records):
            raise UserError(f"{name}: is not in {self._folder}, whose lists have {len(records)} frames")
        try:
            data = self._records()[records[t]][feature]
        except Exception as error:  # from array_record, protobuf or TFDS
            raise UserError(
                f"{name}: cannot be read from {self._folder} ({error}); remove that and repeat {COMMAND}"
            ) from error
        if not data:
            raise UserError(
                f"{name}: was missing or empty when {self._folder} was prepared; restore it, remove that and "
                f"repeat {COMMAND}, or take the frame out of the list"
            )
        return data

    def _records(self) -> Any:
        """Random access to all records; opened at the first call."""
        import tensorflow_datasets as tfds

        with self._lock:
            if self._source is None:
                decoders = {"picture": tfds.decode.SkipDecoding()}
                self._source = open_builder(self._folder).as_data_source(
                    "+".join(self._splits), decoders=decoders
                )
        return self._source

    def _find_class_names(self) -> tuple[str, ...]:
        """The names that `imagenet_tree.find_class_names` returns for the tree."""
        found: set[str] = set()
        for video, t in tqdm(
            dict.fromkeys(self.samples), "classes", unit="frame", delay=2.0, dynamic_ncols=True
        ):
            name = self._path("Annotations", video, t, ".xml")
            try:
                found.update(parse_names(self._read("annotation", name, video, t), str(name)))
            except UserError:
                continue  # reported when its objects are read
            if not found.isdisjoint(WNIDS):
                break
        if not found:
            raise UserError(
                f"{self._folder}: no annotation of the lists has an object to take class names "
                f"from (config.data.class_names is empty); name the classes, or other lists"
            )
        return choose_classes(found)

    def __getstate__(self) -> dict[str, Any]:
        """State without open files: another process opens them again."""
        return self.__dict__ | {"_source": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())


def folder_of(out: Path) -> Path:
    """Folder of a data set that is prepared to `out`."""
    return out / NAME / VERSION


def find_prepared(out: Path) -> Path:
    """The folder of a completely prepared data set. Raises `UserError` if there is none, or if TFDS
    or array_record is not installed."""
    if not (folder_of(out) / COMPLETE).is_file():
        if (out / "ImageSets").is_dir():
            reason = f"is a tree that was not prepared; set --config.data.format imagenet_vid, or {COMMAND} "
            raise UserError(f"{out}: {reason}--root {out} --out FOLDER and set --config.data.root FOLDER")
        if (out / NAME).is_dir():
            raise UserError(f"{out}: is not completely prepared; run {COMMAND} again to continue")
        raise UserError(f"{out}: holds no prepared data set; make it with {COMMAND} --root TREE --out {out}")
    require_packages()
    return folder_of(out)


def require_packages() -> None:
    """Raises `UserError` if TFDS or array_record is not installed."""
    for package in ("tensorflow_datasets", "array_record"):
        if find_spec(package) is None:
            raise UserError(
                f'{package} is not installed, which the format tfds needs: pip install "lsts_jax[tfds]"'
            )


def open_builder(folder: Path) -> Any:
    """The TFDS builder that reads a folder. Raises `UserError` if it cannot."""
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(folder)
    except Exception as error:  # from json, protobuf or TFDS
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{folder}: cannot be read ({reason}); remove it and repeat {COMMAND}") from error
