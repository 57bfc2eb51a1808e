"""ImageNet VID and DET in the layout of ILSVRC2015, and data sets with the same layout (SynthVID).

    ROOT/Data/VID/VIDEO/%06d.JPEG   ROOT/Annotations/VID/VIDEO/%06d.xml   frames counted from 0
    ROOT/Data/DET/STILL.JPEG        ROOT/Annotations/DET/STILL.xml
    ROOT/ImageSets/LIST.txt         a name that begins with VID_ or DET_, and lines of one of these forms:

    DET_train_30classes   still anything
    VID_train_15frames    video 1 frame number_of_frames
    VID_val_videos        video global_id_of_frame_0 0 number_of_frames     all frames of the video
    VID_val_frames        video/frame global_id

Missing lists are made from the tree if possible: imagenet_tree.py.

Global ids count from 1. The two forms of four columns are distinguished by content: a list names
whole videos if its third column is always 0 and its second column never repeats.
"""

from collections import Counter
from pathlib import Path

from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects, Sample, Video, number_samples
from lsts_jax.data.formats.imagenet_lists import is_stills, open_list
from lsts_jax.data.formats.imagenet_tree import find_class_names
from lsts_jax.data.formats.imagenet_xml import number_classes, read_annotation, read_names
from lsts_jax.data.video.pictures import read_picture


class ImageNetVID:
    """A `VideoDataset` of the frames below `config.root` that `lists` of ImageSets name.

    Objects whose class, a WordNet id or a name, is not in `config.class_names` are left out. If
    that is empty, the classes are those of the annotations of the lists
    (`imagenet_tree.find_class_names`). Global ids are those of the lists if they number all samples
    and differ, else positions.
    """

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        self.root = Path(config.root)
        self.videos: list[Video] = []
        self.samples: list[Sample] = []
        positions: dict[tuple[str, bool], int] = {}
        listed_ids: dict[Sample, int | None] = {}
        for name in lists:
            is_still = is_stills(name)
            for path, t, num_frames, global_id in open_list(self.root, name, config.class_names):
                video = positions.setdefault((path, is_still), len(self.videos))
                if video == len(self.videos):
                    self.videos.append(Video(path, num_frames, is_still))
                elif num_frames > self.videos[video].num_frames:
                    self.videos[video] = Video(path, num_frames, is_still)
                self.samples.append(Sample(video, t))
                listed_ids[Sample(video, t)] = global_id
        given = {sample: number for sample, number in listed_ids.items() if number is not None}
        complete = len(set(given.values())) == len(listed_ids)
        self._global_ids = given if complete else number_samples(self.samples)
        self.class_names = config.class_names or find_class_names(
            self._path("Annotations", *sample, ".xml") for sample in listed_ids
        )
        self._class_ids = number_classes(self.class_names)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        return read_picture(self._path("Data", video, t, ".JPEG"), as_stored=True)

    def objects(self, video: int, t: int) -> Objects:
        return read_annotation(self._path("Annotations", video, t, ".xml"), self._class_ids)

    def unknown_names(self, video: int, t: int) -> Counter[str]:
        names = read_names(self._path("Annotations", video, t, ".xml"))
        return Counter({name: number for name, number in names.items() if name not in self._class_ids})

    def frame_name(self, video: int, t: int) -> str:
        return str(self._path("Data", video, t, ".JPEG"))

    def global_id(self, video: int, t: int) -> int:
        return self._global_ids[Sample(video, t)]

    def _path(self, kind: str, video: int, t: int, suffix: str) -> Path:
        return frame_file(self.root, kind, self.videos[video], t, suffix)


def frame_file(root: Path, kind: str, video: Video, t: int, suffix: str) -> Path:
    """File of a frame of a video, or of a still; `kind` is Data or Annotations."""
    file = f"DET/{video.name}" if video.is_still else f"VID/{video.name}/{t:06d}"
    return root / kind / f"{file}{suffix}"
