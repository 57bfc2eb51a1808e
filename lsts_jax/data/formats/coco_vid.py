"""COCO-VID: the json of COCO for detection, with videos.

    images       id, file_name; video_id and frame_id, or it is a still; height, width, is_vid_train_frame
    annotations  image_id, category_id, bbox; instance_id or track_id, iscrowd, ignore
    categories   id, name
    videos       id, name; attributes, a list of texts by which scores are grouped

A list names a json file below the root, without .json. The file is read as follows.

Categories: a category that `config.class_names` does not name counts as its supercategory, if that
is named.

Ids: numbers or text. A track is instance_id, track_id or, as in CVAT, attributes.track_id.

Files: `file_name` is relative to the first of FOLDERS that has one of the pictures (`find_folder`);
an absolute path must be below the root. If there is no folder NAME but a video file, such as
NAME.mp4, NAME/00012.jpg is frame 12 of that file (`coco_videos.VideoFiles`). A picture is turned
upright by its EXIF orientation, unless height and width are those of the stored pixels.

Boxes: a bbox is x, y, w, h; its inclusive corners are x, y, x + w - 1, y + h - 1. mmtracking's own
conversion of ILSVRC2015 writes w = xmax - xmin, so that its boxes are a pixel narrower and lower
than ILSVRC's. Boxes without an area and annotations of no image are left out and counted.

Ignored regions: annotations with ignore, and those with iscrowd unless they have
attributes.track_id (CVAT marks every mask with iscrowd). Annotations of a category that the file
does not list are ignored for every class.

Frames: frame_id may start anywhere and have gaps; frames are counted in its order. In a file
without video_id, pictures of a folder whose names differ only in their last number are a video if
they share a track.

Samples: every image, or only those with is_vid_train_frame (mmtracking) if any image of the file
has it. Triplets can use the other images too.
"""

from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.counts import Counts
from lsts_jax.data.dataset import Objects, Sample, Video, leads_out, number_samples
from lsts_jax.data.formats.coco_images import Ids
from lsts_jax.data.formats.coco_json import NO_CATEGORY, read_json
from lsts_jax.data.formats.coco_videos import VideoFiles, video_beside
from lsts_jax.data.video.pictures import read_picture
from lsts_jax.errors import UserError

# Below the root; LIST is the name of the json file, SUBSET the rest of its name after instances_
# (COCO, CVAT).
FOLDERS = ("", "Data/VID", "Data/DET", "images", "frames", "LIST", "images/LIST", "SUBSET", "images/SUBSET")
# Number of pictures of a list that are searched for in the folders.
PROBES = 20


class CocoVID:
    """A `VideoDataset` of the json files below `config.root` that `lists` name.

    Objects whose category is not in `config.class_names` are left out. A video that is in two files
    counts as two.
    """

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        self.root = Path(config.root)
        self.ids = Ids()
        contents = [read_json(_find_json(self.root, name), self.root, self.ids) for name in lists]
        found = tuple(dict.fromkeys(name for content in contents for name in content.categories.values()))
        wider = {name for content in contents for name in content.supercategories.values()}
        self.class_names = config.class_names or found
        if not set(self.class_names) & (set(found) | wider):
            raise UserError(
                f"{self.root}: no category of {', '.join(lists)} is in config.data.class_names; "
                f"name some of them, or leave it empty for all (there: {', '.join(found)})"
            )
        ids = {name: number for number, name in enumerate(self.class_names, start=1)}
        self.counts = Counts()
        self.videos: list[Video] = []
        self._classes_of_list: dict[str, dict[int, int]] = {}  # by category
        files, sizes, is_sample, rows, image_ids = [], [], [], [], []
        total = 0
        for name, (categories, wider, images, table, lost) in zip(lists, contents, strict=True):
            folder = find_folder(self.root, name, images.files)
            self.videos += images.videos
            files.append(np.char.add(f"{folder}/".encode() if folder else b"", images.files))
            sizes.append(images.sizes)
            is_sample.append(images.is_sample)
            image_ids.append(images.ids)
            classes = {key: ids.get(label) or ids.get(wider[key], 0) for key, label in categories.items()}
            self._classes_of_list[name] = classes
            self.counts.add(lost)
            rows.append(_choose(table, categories, classes, self.counts))
            rows[-1]["image"] += total
            total += len(images.files)
        self._files, self._sizes = np.concatenate(files), np.concatenate(sizes)
        self._image_ids = np.concatenate(image_ids)
        self._of_videos = VideoFiles(self.root, self._files)
        self._rows = np.concatenate(rows)
        self._row_of_image = np.searchsorted(self._rows["image"], np.arange(total + 1))
        self._image_of_video = np.cumsum([0] + [video.num_frames for video in self.videos])
        chosen = np.flatnonzero(np.concatenate(is_sample))
        videos = np.searchsorted(self._image_of_video, chosen, side="right") - 1
        frames = chosen - self._image_of_video[videos]
        self.samples = list(map(Sample, videos.tolist(), frames.tolist()))
        self._global_ids = number_samples(self.samples)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        image = self._image(video, t)
        if found := self._of_videos.find(self._files[image].decode()):
            stored, number = found
            return stored.read(number)
        path, (height, width) = Path(self.frame_name(video, t)), self._sizes[image]
        picture = read_picture(path)
        lies = picture.shape[:2] == (width, height) != (height, width)
        return read_picture(path, as_stored=True) if lies else picture

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
        file = self._files[self._image(video, t)].decode()
        if found := self._of_videos.find(file):
            stored, number = found
            return stored.name(number)
        return str(self.root / file)

    def global_id(self, video: int, t: int) -> int:
        return self._global_ids[Sample(video, t)]

    def frames_of_images(self, image_ids: Int64[ndarray, "m"]) -> Int64[ndarray, "m"]:
        """Number, from 0, of the sample with every image id of the files; -1 for ids without a
        sample.

        Raises `UserError` if two files use the same id.
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
        """Class of every category id: 1..N, 0 if `class_names` does not name the category, -1 if
        the files have no such id.

        Raises `UserError` if two files use an id for different classes.
        """
        known, place = np.unique(category_ids, return_inverse=True)
        return np.array([self._class_of_category(i) for i in known.tolist()], np.int64)[place]

    def _class_of_category(self, category: int) -> int:
        found = {
            classes[category]: name for name, classes in self._classes_of_list.items() if category in classes
        }
        if len(found) > 1:
            one, other, *_ = found.values()
            raise UserError(
                f"{self.root / one}.json and {other}.json have category {category} for different classes; "
                "evaluate one at a time"
            )
        return next(iter(found), -1)

    def _image(self, video: int, t: int) -> int:
        if not 0 <= t < self.videos[video].num_frames:
            raise IndexError(f"{self.videos[video].name} has no frame {t}")
        return int(self._image_of_video[video]) + t


def _choose(table: ndarray, categories: dict[int, str], class_of: dict[int, int], counts: Counts) -> ndarray:
    """The rows whose category has a class, with the class in place of the category. Adds all rows
    to `counts`."""
    classes = np.zeros(len(table), np.int64)
    for category in np.unique(table["category"]).tolist():
        found = table["category"] == category
        ignored = found & table["ignored"]
        name = categories.get(category, "")
        if category != NO_CATEGORY and not class_of[category]:
            counts.dropped[f"class {name}"] += int(found.sum())
            continue
        classes[found] = NO_CATEGORY if category == NO_CATEGORY else class_of[category]
        if ignored.any():
            counts.ignored["iscrowd or ignore"] += int(ignored.sum())
        if not ignored.all() and (number := int((found & ~ignored).sum())):
            counts.read[name] += number
    rows = table[classes != 0]
    rows["category"] = classes[classes != 0]
    return rows


def find_folder(root: Path, name: str, files: ndarray) -> str:
    """The first of FOLDERS with one of PROBES pictures, which are spread over the list, or with its
    video.

    Raises `UserError` if no folder has one.
    """
    names = [bytes(files[i]).decode() for i in np.linspace(0, len(files) - 1, PROBES).astype(int)]
    own = PurePosixPath(name).name
    subset = own.removeprefix("instances_")
    folders = list(dict.fromkeys(f.replace("LIST", own).replace("SUBSET", subset) for f in FOLDERS))
    for folder in folders:
        paths = [root / folder / file for file in names]
        if any(path.is_file() or video_beside(path.parent) for path in paths):
            return folder
    raise UserError(
        f"{root / name}.json: pictures such as {names[0]} are not in {root}, nor in its "
        f"{', '.join(folders[1:])}; put them there, or set --config.data.root"
    )


def _find_json(root: Path, name: str) -> Path:
    if leads_out(name):
        raise UserError(
            f"{name}: points out of config.data.root; name a json file below {root}, without .json"
        )
    file = root / f"{name}.json"
    if not file.is_file():
        files = sorted([*root.glob("*.json"), *root.glob("*/*.json")])
        there = ", ".join(other.relative_to(root).with_suffix("").as_posix() for other in files) or "none"
        raise UserError(
            f"{file}: no such file; name others in --config.data.train_lists and val_lists (there: {there})"
        )
    return file
