"""COCO-VID: the json of COCO for detection, with videos.

    images       id, file_name; video_id and frame_id, or it is a still; height, width, is_vid_train_frame
    annotations  image_id, category_id, bbox; instance_id or track_id, iscrowd, ignore
    categories   id, name
    videos       id, name

- A list names a json file below the root, without .json.
- `file_name` is relative to the first of FOLDERS that has one of the pictures; see `find_folder`.
- A bbox is x, y, w, h; its inclusive corners are x, y, x + w - 1, y + h - 1. mmtracking's own conversion of
  ILSVRC2015 writes w = xmax - xmin, so that its boxes come out a pixel narrower and lower than ILSVRC's.
- Annotations with iscrowd or ignore are ignored regions; those whose category is none of the file's are
  ignored for every class, whichever the config names.
- frame_id may begin anywhere and have gaps: frames are counted in its order.
- Where is_vid_train_frame (mmtracking) is true of any image of a file, only those are samples; the others can
  be reached by triplets. Elsewhere every image is a sample.
"""

import json
import logging
from array import array
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64, UInt8
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects, Sample, Video, leads_out, number_samples
from lsts_jax.data.video.pictures import read_picture
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

# Below the root; LIST is the name of the json file.
FOLDERS = ("", "Data/VID", "Data/DET", "images", "frames", "LIST", "images/LIST")
# Pictures of a list that are looked for in them.
PROBES = 20

ROW = np.dtype([("image", "i8"), ("category", "i8"), ("track", "i4"), ("ignored", "?"), ("box", "f4", 4)])
NO_CATEGORY = -(1 << 60)  # of regions that are ignored for every class; no id is so small
COLUMNS = 8  # of an annotation: image, category, track, ignored, x, y, w, h


class Images(NamedTuple):
    """The images of a file, video by video, frame by frame."""

    videos: list[Video]
    ids: Int64[ndarray, "n"]
    files: ndarray  # [n] bytes, a quarter of the memory of str
    sizes: Int32[ndarray, "n 2"]  # height, width; 0 where unknown
    is_sample: Bool[ndarray, "n"]


class CocoVID:
    """A `VideoDataset`: the json files below `config.root` that `lists` name.

    Objects whose category is not in `config.class_names` are left out. A video that two files name is two.
    """

    counts = None

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        self.root = Path(config.root)
        contents = [read_json(_find_json(self.root, name)) for name in lists]
        found = tuple(dict.fromkeys(name for categories, _, _ in contents for name in categories.values()))
        self.class_names = config.class_names or found
        if not set(self.class_names) & set(found):
            raise UserError(
                f"{self.root}: no category of {', '.join(lists)} is in config.data.class_names; name some, "
                f"or none to have them all (there: {', '.join(found)})"
            )
        ids = {name: number for number, name in enumerate(self.class_names, start=1)}
        self.videos: list[Video] = []
        self._class_of_category: dict[int, int] = {}
        files, sizes, is_sample, rows, image_ids = [], [], [], [], []
        total = 0
        for name, (categories, images, table) in zip(lists, contents, strict=True):
            folder = find_folder(self.root, name, images.files)
            self.videos += images.videos
            files.append(np.char.add(f"{folder}/".encode() if folder else b"", images.files))
            sizes.append(images.sizes)
            is_sample.append(images.is_sample)
            image_ids.append(images.ids)
            self._class_of_category |= {key: ids.get(label, 0) for key, label in categories.items()}
            known, inverse = np.unique(table["category"], return_inverse=True)
            classes = [i if i == NO_CATEGORY else ids.get(categories[i], 0) for i in known.tolist()]
            table["category"] = np.array(classes, int)[inverse]
            table["image"] += total
            rows.append(table[table["category"] != 0])
            total += len(images.files)
        self._files, self._sizes = np.concatenate(files), np.concatenate(sizes)
        self._image_ids = np.concatenate(image_ids)
        self._rows = np.concatenate(rows)
        self._row_of_image = np.searchsorted(self._rows["image"], np.arange(total + 1))
        self._image_of_video = np.cumsum([0] + [video.num_frames for video in self.videos])
        chosen = np.flatnonzero(np.concatenate(is_sample))
        videos = np.searchsorted(self._image_of_video, chosen, side="right") - 1
        frames = chosen - self._image_of_video[videos]
        self.samples = list(map(Sample, videos.tolist(), frames.tolist()))
        self._global_ids = number_samples(self.samples)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        return read_picture(Path(self.frame_name(video, t)))

    def objects(self, video: int, t: int) -> Objects:
        image = self._image(video, t)
        rows = self._rows[self._row_of_image[image] : self._row_of_image[image + 1]]
        size = tuple(self._sizes[image].tolist())
        return Objects(
            rows["box"].copy(),
            np.where(rows["ignored"], 0, rows["category"]).astype(np.int32),
            rows["track"].copy(),
            rows["ignored"].copy(),
            size if min(size) > 0 else None,
        )

    def frame_name(self, video: int, t: int) -> str:
        return str(self.root / self._files[self._image(video, t)].decode())

    def global_id(self, video: int, t: int) -> int:
        return self._global_ids[Sample(video, t)]

    def frames_of_images(self, image_ids: Int64[ndarray, "m"]) -> Int64[ndarray, "m"]:
        """Number, from 0, of the sample that has the id of an image in the files; -1 if none has.

        Raises `UserError` if two files use an id.
        """
        known, place = np.unique(self._image_ids, return_index=True)
        if len(known) < len(self._image_ids):
            raise UserError(f"{self.root}: two of the lists use the same image ids; evaluate one at a time")
        found = np.searchsorted(known, image_ids).clip(max=len(known) - 1)
        number = np.full(len(self._image_ids), -1)
        for (video, t), position in self._global_ids.items():
            number[self._image(video, t)] = position - 1
        return np.where(known[found] == image_ids, number[place[found]], -1)

    def classes_of_categories(self, category_ids: Int64[ndarray, "m"]) -> Int64[ndarray, "m"]:
        """1..N, 0 where `class_names` does not name the category, -1 where the files have none of this id."""
        known, place = np.unique(category_ids, return_inverse=True)
        return np.array([self._class_of_category.get(i, -1) for i in known.tolist()], np.int64)[place]

    def _image(self, video: int, t: int) -> int:
        if not 0 <= t < self.videos[video].num_frames:
            raise IndexError(f"{self.videos[video].name} has no frame {t}")
        return int(self._image_of_video[video]) + t


def find_folder(root: Path, name: str, files: ndarray) -> str:
    """The first of FOLDERS that has one of PROBES pictures, which are spread over the list.

    Raises `UserError` if none has.
    """
    names = [files[i].decode() for i in np.linspace(0, len(files) - 1, PROBES).astype(int)]
    folders = [folder.replace("LIST", PurePosixPath(name).name) for folder in FOLDERS]
    for folder in folders:
        if any((root / folder / file).is_file() for file in names):
            return folder
    raise UserError(
        f"{root / name}.json: pictures such as {names[0]} are not in {root}, nor in its "
        f"{', '.join(folders[1:])}; put them there, or set --config.data.root"
    )


def _find_json(root: Path, name: str) -> Path:
    if leads_out(name):
        raise UserError(
            f"{name}: leads out of config.data.root; name a json file below {root}, without .json"
        )
    file = root / f"{name}.json"
    if not file.is_file():
        files = sorted([*root.glob("*.json"), *root.glob("*/*.json")])
        there = ", ".join(other.relative_to(root).with_suffix("").as_posix() for other in files) or "none"
        raise UserError(
            f"{file}: no such file; name others in --config.data.train_lists and val_lists (there: {there})"
        )
    return file


class _Image(NamedTuple):
    """An element of `images`, unchecked."""

    id: Any
    file_name: Any
    video_id: Any
    frame_id: Any
    height: Any
    width: Any
    is_vid_train_frame: Any


def read_json(file: Path) -> tuple[dict[int, str], Images, ndarray]:
    """Names of the categories by id, the images, and the annotations: [m] ROW, sorted by `image`, which is a
    position in the images; `category` is an id.

    Files have hundreds of MB. Each annotation becomes numbers as soon as it is parsed, so that there is never
    more in memory than the text, the images and those.

    Raises `UserError` naming the file and what is wrong in it.
    """
    numbers = array("d")
    try:
        with tqdm(desc=file.name, unit=" objects", delay=2.0, dynamic_ncols=True) as bar:

            def shrink(item: dict[str, Any]) -> Any:
                bar.update()
                if "image_id" in item:
                    numbers.extend(_numbers(item, len(numbers) // COLUMNS))
                    return None
                return _Image(*map(item.get, _Image._fields)) if "file_name" in item else item

            content = json.loads(file.read_text(encoding="utf-8-sig"), object_hook=shrink)
        for field in ("images", "annotations", "categories"):
            if not isinstance(content, dict) or not isinstance(content.get(field), list):
                raise ValueError(f"has no list {field!r}; is it in the format of COCO?")
        if any(item is not None for item in content["annotations"]):
            raise ValueError("has annotations without an image_id")
        if not isinstance(content.get("videos") or [], list):
            raise ValueError("'videos' is no list")
        categories = _named(content["categories"], "categories")
        images = _arrange(content["images"], _named(content.get("videos") or [], "videos"))
        table = np.frombuffer(numbers).reshape(-1, COLUMNS)
        return categories, images, _rows(file, table, categories, images.ids)
    except (OSError, ValueError, OverflowError, RecursionError) as error:  # not json, or from below
        raise UserError(f"{file}: {error}; repair it") from error


def _numbers(item: dict[str, Any], number: int) -> tuple[float, ...]:
    """The columns of an annotation. Raises ValueError."""
    track = item.get("instance_id", item.get("track_id"))
    ignored = bool(item.get("iscrowd") or item.get("ignore"))
    try:
        x, y, w, h = item["bbox"]
        ids = item["image_id"], item["category_id"], -1 if track is None else track
        return tuple(map(float, (*ids, ignored, x, y, w, h)))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"annotation {item.get('id', number)} has no image_id, category_id and bbox of 4 that are numbers"
        ) from error


def _named(items: list[Any], field: str) -> dict[int, str]:
    """Names by id. Raises ValueError."""
    names = {}
    for number, item in enumerate(items):
        item = item._asdict() if isinstance(item, _Image) else item  # some videos have a file_name
        if not isinstance(item, dict) or not _is_integer(item.get("id")) or item["id"] in names:
            raise ValueError(f"{field}[{number}] has no id of its own")
        names[item["id"]] = str(item.get("name") or item.get("file_name") or item["id"])
    return names


def _is_integer(value: Any) -> bool:
    """One that a float holds as well."""
    return isinstance(value, int) and abs(value) < 1 << 53


def _arrange(items: list[Any], video_names: dict[int, str]) -> Images:
    """Images in the order in which their videos are first mentioned. Raises ValueError."""
    if not items:
        raise ValueError("has no images")
    groups: dict[Any, int] = {}  # videos by id, stills by position
    group, frame, sizes, files = [], [], [], []
    for number, item in enumerate(items):
        where = f"images[{number}]"
        if not isinstance(item, _Image) or not isinstance(item.file_name, str):
            raise ValueError(f"{where} has no file_name")
        if not _is_integer(item.id):
            raise ValueError(f"{where} has no id that is a number")
        if not all(isinstance(side, int | float | None) for side in (item.height, item.width)):
            raise ValueError(f"{where}: height and width are no numbers")
        if leads_out(item.file_name):
            raise ValueError(f"{where}: file_name {item.file_name!r} leads out of the data set")
        if item.video_id is not None and not (_is_integer(item.video_id) and _is_integer(item.frame_id)):
            raise ValueError(f"{where} has no video_id and frame_id that are numbers")
        still = item.video_id is None
        group.append(groups.setdefault((number,) if still else item.video_id, len(groups)))
        frame.append(0 if still else item.frame_id)
        sizes.append([item.height or 0, item.width or 0])
        files.append(item.file_name.encode())
    order = np.lexsort((np.array(frame), np.array(group)))
    ids = np.array([item.id for item in items], np.int64)
    chosen = np.array([bool(item.is_vid_train_frame) for item in items])
    counts = np.bincount(group).tolist()
    pairs = list(zip(group, frame, strict=True))
    if len(set(ids.tolist())) < len(ids):
        raise ValueError("has two images of one id")
    if len(set(pairs)) < len(pairs):
        raise ValueError("has two images of one frame_id in a video")
    videos = [
        Video(PurePosixPath(items[key[0]].file_name).with_suffix("").as_posix(), 1, is_still=True)
        if isinstance(key, tuple)
        else Video(video_names.get(key, str(key)), counts[position])
        for key, position in groups.items()
    ]
    return Images(
        videos,
        ids[order],
        np.array(files, np.bytes_)[order],
        np.array(sizes, np.int32)[order],
        (chosen | ~chosen.any())[order],
    )


def _rows(
    file: Path, table: Float64[ndarray, "m 8"], categories: dict[int, str], image_ids: Int64[ndarray, "n"]
) -> ndarray:
    """[m] ROW, sorted by `image`. Raises ValueError."""
    if not np.isfinite(table).all():
        raise ValueError("has annotations whose numbers are not finite")
    of_none = ~np.isin(table[:, 1], list(categories))
    strangers = table[of_none & (table[:, 3] == 0), 1]
    if len(strangers):
        raise ValueError(f"has annotations of category {strangers.min():g}, which is not in categories")
    if np.abs(table[:, 2]).max(initial=0) >= 1 << 31:
        raise ValueError("has an instance_id of more than 32 bits")
    by_id = np.argsort(image_ids)
    nearest = by_id[np.searchsorted(image_ids, table[:, 0], sorter=by_id).clip(max=len(by_id) - 1)]
    belongs = image_ids[nearest] == table[:, 0]
    if not belongs.all():
        logger.warning("%s: %d annotations are of no image and are left out", file, (~belongs).sum())
    kept = belongs & (table[:, 6:] > 0).all(axis=1)  # an empty box has no pixel
    table, image = table[kept], nearest[kept]
    rows = np.zeros(len(table), ROW)
    rows["image"], rows["track"] = image, table[:, 2]
    rows["category"] = np.where(of_none[kept], NO_CATEGORY, table[:, 1])
    rows["ignored"] = table[:, 3] > 0
    rows["box"] = np.concatenate([table[:, 4:6], table[:, 4:6] + table[:, 6:] - 1], axis=1)
    return rows[np.argsort(image, kind="stable")]
