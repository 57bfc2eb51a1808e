"""An ILSVRC tree (`imagenet_vid`) as a TensorFlow Datasets builder, which works without TensorFlow.

A record is a frame: the unchanged bytes of its picture and of its annotation. The frames of a video
follow each other. A list names some frames of a video but a triplet reads others, so all frames are
stored, once. Beside the shards are `ImageSets` with the lists and, if needed, `damaged.txt`, which
lists the files that are missing or cannot be parsed. Preparation continues without them; using them
fails as in the tree.

    source = tfds.builder_from_directory("OUT/imagenet_vid/1.0.0").as_data_source("train")

Importing this module needs the packages of lsts_jax[tfds].
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from tqdm import tqdm

from lsts_jax.data.dataset import Video
from lsts_jax.data.formats.imagenet_lists import ListedFrame, is_stills, open_list
from lsts_jax.data.formats.imagenet_vid import frame_file
from lsts_jax.data.formats.imagenet_xml import parse_annotation, parse_names
from lsts_jax.data.formats.tfds_source import NAME, VERSION
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole

# ImageNet VID and DET become about 170 shards of 0.7 GB. A reader keeps the shards open that it has read,
# and a process may often open no more than 1024 files.
FRAMES_PER_SHARD = 8192
# Threads that read files; mostly they wait for the disk.
THREADS = 8
READ_AHEAD = 256  # frames
# Random access needs groups of one record. Pictures are compressed already.
WRITER_OPTIONS = "group_size:1,uncompressed"
DAMAGED = "damaged.txt"

Example = dict[str, Any]


class Place(NamedTuple):
    """A frame of the tree."""

    video: Video
    t: int

    def file(self, root: Path, kind: str, suffix: str) -> Path:
        return frame_file(root, kind, self.video, self.t, suffix)


class ImageNetVid(tfds.core.GeneratorBasedBuilder):
    """All frames of the videos and stills that lists of a tree refer to. Split `train` has those of
    `train_lists`, split `val` those that only `val_lists` refer to.

    A preparation that was killed is continued by the next one with the same frames, shard by shard.
    """

    name = NAME
    VERSION = tfds.core.Version(VERSION)
    # Nothing is downloaded; to look for checksums, TFDS would need a package that it does not install.
    url_infos = None

    def __init__(self, *, root: Path, train_lists: Sequence[str], val_lists: Sequence[str], data_dir: Path):
        """Raises `UserError` naming the list, or the wrong line of a list."""
        self.root = root
        self.lists = {name: open_list(root, name, ()) for name in (*train_lists, *val_lists)}
        self.videos = split_videos(self.lists, train_lists)
        self.num_frames = sum(video.num_frames for videos in self.videos.values() for video in videos)
        super().__init__(data_dir=data_dir, file_format="array_record")

    def check_tree(self) -> None:
        """Raises `UserError` for a list without any existing picture, before hours are spent on it."""
        for name, frames in self.lists.items():
            places = [Place(Video(f.path, f.num_frames, is_stills(name)), f.t) for f in frames]
            files = [place.file(self.root, "Data", ".JPEG") for place in places]
            if not any(file.is_file() for file in files):
                raise UserError(
                    f"{files[0]}: no such picture, nor any other of the list {name}; restore them, or choose "
                    "lists by --train_lists and --val_lists"
                )

    def check_stored(self) -> None:
        """Raises `UserError` if the prepared folder does not contain what its lists refer to."""
        folder = Path(self.data_dir)
        mend = f"name another --out, or remove {folder}"
        root = (self.info.metadata or {})["root"]
        if root != str(self.root):
            raise UserError(f"{folder}: was prepared from {root}; {mend}")
        for name, frames in self.lists.items():
            file = list_file(folder, name)
            if not file.is_file() or file.read_text(encoding="utf-8") != format_list(name, frames):
                raise UserError(f"{folder}: was prepared before {name} was added or changed; {mend}")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "video": tfds.features.Text(doc="Its path below Data/VID, or that of a still below Data/DET."),
            "t": tfds.features.Scalar(np.int64, doc="The frame of the video, counted from 0."),
            "is_still": tfds.features.Scalar(np.bool_),
            "picture": tfds.features.Image(
                encoding_format="jpeg", doc="The file; no bytes if it is missing."
            ),
            "annotation": tfds.features.Text(doc="The XML file; no bytes if it is missing."),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Videos and stills in the layout of ILSVRC2015 VID and DET, a record a frame.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(root=str(self.root), videos=self._stored_videos()),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Example]]]:
        return {split: self._generate_examples(places_of(videos)) for split, videos in self.videos.items()}

    def _generate_examples(self, places: Sequence[Place]) -> Iterator[tuple[int, Example]]:
        yield from enumerate(example for example, _ in self._read_all(places))

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> list[tfds.core.SplitInfo]:
        """Writes shard after shard, in order. TFDS's own method keeps a split in memory to sort it,
        or needs TensorFlow for more than 1 GB, and starts again after an interruption."""
        partial = self._partial_folder()
        with tqdm(desc="frames", total=self.num_frames, unit="frame", dynamic_ncols=True) as bar:
            splits = [self._write_split(split, partial, bar) for split in self.videos]
        for file in partial.iterdir():
            file.rename(self.data_path / file.name)
        partial.rmdir()
        for name, frames in self.lists.items():
            file = list_file(Path(self.data_dir), name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(format_list(name, frames), encoding="utf-8")
        return splits

    def _partial_folder(self) -> Path:
        """Folder of the shards until the last is written; files of other preparations are removed
        from it."""
        content = json.dumps([str(self.root), self._stored_videos(), FRAMES_PER_SHARD])
        partial = Path(self.data_dir).with_name(
            f"partial-{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        )
        for pattern in ("partial-*", "incomplete.*"):
            for left in partial.parent.glob(pattern):
                if left not in (partial, Path(self.data_dir)):
                    shutil.rmtree(left)
        partial.mkdir(exist_ok=True)
        for left in partial.glob("*.part"):
            left.unlink()
        return partial

    def _write_split(self, split: str, partial: Path, bar: tqdm) -> tfds.core.SplitInfo:
        """Writes the missing shards of a split."""
        places = places_of(self.videos[split])
        shards = [places[i : i + FRAMES_PER_SHARD] for i in range(0, len(places), FRAMES_PER_SHARD)]
        template = self._get_filename_template(split_name=split)
        num_bytes = 0
        for index, shard in enumerate(shards):
            file = partial / template.sharded_filepath(shard_index=index, num_shards=len(shards)).name
            if file.exists():
                bar.update(len(shard))
            else:
                self._write_shard(shard, file, bar)
            num_bytes += file.stat().st_size
        lengths = [len(shard) for shard in shards]
        return tfds.core.SplitInfo(
            name=split, shard_lengths=lengths, num_bytes=num_bytes, filename_template=template
        )

    def _write_shard(self, places: Sequence[Place], file: Path, bar: tqdm) -> None:
        """Writes a shard atomically."""
        damaged: list[str] = []
        features: Any = self.info.features  # which has the methods of its implementation
        with write_whole(file) as part:
            with closing(ArrayRecordWriter(str(part), WRITER_OPTIONS)) as writer:
                for example, wrong in self._read_all(places):
                    writer.write(features.serialize_example(example))
                    damaged += wrong
                    bar.update()
            if damaged:  # before the shard is in place: a file named twice is better than one not named
                with (file.parent / DAMAGED).open("a", encoding="utf-8") as report:
                    report.writelines(f"{line}\n" for line in damaged)

    def _read_all(self, places: Sequence[Place]) -> Iterator[tuple[Example, list[str]]]:
        """Records in the order of `places`, with the faults of their files."""
        with ThreadPoolExecutor(THREADS) as pool:
            for start in range(0, len(places), READ_AHEAD):
                yield from pool.map(self._read, places[start : start + READ_AHEAD])

    def _stored_videos(self) -> dict[str, list[tuple[str, int, bool]]]:
        """Videos as the metadata stores them; attributes are of other formats."""
        return {split: [video[:3] for video in videos] for split, videos in self.videos.items()}

    def _read(self, place: Place) -> tuple[Example, list[str]]:
        damaged: list[str] = []
        picture = _read_bytes(place.file(self.root, "Data", ".JPEG"), damaged)
        annotation = _read_bytes(xml := place.file(self.root, "Annotations", ".xml"), damaged)
        if annotation:
            try:  # as strictly as possible: with every name that it has
                parse_annotation(annotation, str(xml), dict.fromkeys(parse_names(annotation, str(xml)), 1))
            except UserError as error:
                damaged.append(str(error))
        example = {
            "video": place.video.name,
            "t": place.t,
            "is_still": place.video.is_still,
            "picture": picture,
            "annotation": annotation,
        }
        return example, damaged


def _read_bytes(file: Path, damaged: list[str]) -> bytes:
    """The bytes of a file; none if it cannot be read, and then the file is added to `damaged`."""
    try:
        data, reason = file.read_bytes(), "is empty"
    except OSError as error:
        data, reason = b"", error.strerror
    if not data:
        damaged.append(f"{file}: {reason}")
    return data


def places_of(videos: Sequence[Video]) -> list[Place]:
    """All frames, in order."""
    return [Place(video, t) for video in videos for t in range(video.num_frames)]


def gather_videos(lists: dict[str, list[ListedFrame]]) -> list[Video]:
    """Videos and stills that lists refer to, in order, with the largest length that any line gives."""
    longest: dict[tuple[str, bool], int] = {}
    for name, frames in lists.items():
        for frame in frames:
            key = frame.path, is_stills(name)
            longest[key] = max(longest.get(key, 0), frame.num_frames)
    return [Video(path, num_frames, is_still) for (path, is_still), num_frames in longest.items()]


def split_videos(lists: dict[str, list[ListedFrame]], train_lists: Sequence[str]) -> dict[str, list[Video]]:
    """The videos of each split; none is empty."""
    trained = {(frame.path, is_stills(name)) for name in train_lists for frame in lists[name]}
    splits: dict[str, list[Video]] = {"train": [], "val": []}
    for video in gather_videos(lists):
        splits["train" if (video.name, video.is_still) in trained else "val"].append(video)
    return {split: videos for split, videos in splits.items() if videos}


def format_list(name: str, frames: Sequence[ListedFrame]) -> str:
    """The text of a list, from which `read_list` reads these or equivalent frames."""
    if is_stills(name):
        lines = (f"{frame.path} 1" for frame in frames)
    else:
        lines = (
            f"{path} 1 {t} {num_frames}" if global_id is None else f"{path}/{t:06d} {global_id}"
            for path, t, num_frames, global_id in frames
        )
    return "".join(f"{line}\n" for line in lines)


def list_file(folder: Path, name: str) -> Path:
    """File of a list below a tree or a prepared folder."""
    return folder / "ImageSets" / f"{name}.txt"
