"""Paths, annotations and lists of SynthVID, in the layout of ILSVRC2015."""

from typing import Literal, NamedTuple
from xml.sax.saxutils import escape

from lsts_jax.data.synthvid.render import ObjectState
from lsts_jax.data.synthvid.settings import SynthVIDConfig

VIDEOS_PER_FOLDER = 1000  # train/ILSVRC2015_VID_train_000N
LISTED_FRAMES = 15  # frames of a training video in VID_train_15frames.txt

Split = Literal["train", "val", "still"]
SPLITS: tuple[Split, ...] = ("train", "val", "still")


class Clip(NamedTuple):
    """A video, or a still: a video of one frame."""

    split: Split
    index: int
    frames: int

    @property
    def kind(self) -> str:
        return "DET" if self.split == "still" else "VID"

    @property
    def path(self) -> str:
        """Path below Data/VID or Data/DET: a folder for a video, a file without suffix for a still."""
        group = f"{self.index // VIDEOS_PER_FOLDER:04d}"
        if self.split == "train":
            return f"train/ILSVRC2015_VID_train_{group}/ILSVRC2015_train_{self.index:08d}"
        if self.split == "val":
            return f"val/ILSVRC2015_val_{self.index:08d}"
        return f"train/ILSVRC2014_train_{group}/ILSVRC2014_train_{self.index:08d}"

    def file(self, frame: int) -> str:
        return self.path if self.split == "still" else f"{self.path}/{frame:06d}"


def clips(settings: SynthVIDConfig) -> list[Clip]:
    """All clips to render, in order."""
    counts = {"train": settings.videos, "val": settings.val_videos, "still": settings.stills}
    frames = {"train": settings.frames, "val": settings.frames, "still": 1}
    return [Clip(split, i, frames[split]) for split in SPLITS for i in range(counts[split])]


def annotation(
    clip: Clip,
    frame: int,
    size: tuple[int, int],
    objects: list[ObjectState],
    names: tuple[str, ...],
    degraded: list[bool] | None = None,
) -> str:
    """ILSVRC's XML for a frame, with SynthVID's own element `degraded` if that is given. The XML of
    a still has no trackid, occluded and generated."""
    folder, name = clip.file(frame).rpartition("/")[::2]
    lines = [
        "<annotation>",
        f"\t<folder>{folder}</folder>",
        f"\t<filename>{name}</filename>",
        "\t<source>\n\t\t<database>SynthVID</database>\n\t</source>",
        f"\t<size>\n\t\t<width>{size[1]}</width>\n\t\t<height>{size[0]}</height>\n\t</size>",
    ]
    video = clip.split != "still"
    for i, thing in enumerate(objects):
        if thing.box is None:
            continue
        x1, y1, x2, y2 = thing.box
        lines.append("\t<object>")
        if video:
            lines.append(f"\t\t<trackid>{thing.trackid}</trackid>")
        lines.append(f"\t\t<name>{escape(names[thing.object_class])}</name>")
        lines.append("\t\t<bndbox>")
        lines += [
            f"\t\t\t<{k}>{v}</{k}>" for k, v in (("xmax", x2), ("xmin", x1), ("ymax", y2), ("ymin", y1))
        ]
        lines.append("\t\t</bndbox>")
        if video:
            lines.append(f"\t\t<occluded>{int(thing.occluded)}</occluded>")
            if degraded:
                lines.append(f"\t\t<degraded>{int(degraded[i])}</degraded>")
            lines.append("\t\t<generated>0</generated>")
        lines.append("\t</object>")
    return "\n".join([*lines, "</annotation>", ""])


def image_sets(settings: SynthVIDConfig) -> dict[str, list[str]]:
    """Lines of the files of ImageSets, by name; files that would be empty are left out."""
    lists: dict[str, list[str]] = {
        "VID_train_15frames": [],
        "VID_val_videos": [],
        "VID_val_frames": [],
        "DET_train_30classes": [],
    }
    for clip in clips(settings):
        if clip.split == "train":
            count = min(clip.frames, LISTED_FRAMES)
            picked = [int((i + 0.5) * clip.frames / count) for i in range(count)]
            lists["VID_train_15frames"] += [f"{clip.path} 1 {frame} {clip.frames}" for frame in picked]
        elif clip.split == "val":
            first = len(lists["VID_val_frames"]) + 1
            lists["VID_val_videos"].append(f"{clip.path} {first} 0 {clip.frames}")
            lists["VID_val_frames"] += [f"{clip.file(f)} {first + f}" for f in range(clip.frames)]
        else:
            lists["DET_train_30classes"].append(f"{clip.path} 1")
    return {name: lines for name, lines in lists.items() if lines}
