"""Images of a json that are frames of video files, as annotation tools for videos write them."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from lsts_jax.data.formats.jpeg_store import JpegStore
from lsts_jax.data.formats.stored_video import StoredVideo
from lsts_jax.data.formats.text import split_number
from lsts_jax.data.video.pictures import is_hidden
from lsts_jax.data.video.video_io import VIDEO_SUFFIXES


def video_beside(folder: Path) -> Path | None:
    """The video file that replaces a folder of pictures: the folder's name with a suffix. None if
    the folder exists, or if there is no such file."""
    if folder.is_dir() or not folder.parent.is_dir():
        return None
    files = (file for file in folder.parent.iterdir() if file.stem == folder.name and not is_hidden(file))
    return min((file for file in files if file.suffix.lower() in VIDEO_SUFFIXES), default=None)


class VideoFiles:
    """The frames of all video files that a json names, as NAME/00012.jpg for frame 12 of NAME.mp4.

    Frames count from 0; in a video with an image of number 1 and none of number 0 they count from
    1.
    """

    def __init__(self, root: Path, files: Iterable[bytes]):
        folders: dict[bytes, list[bytes]] = defaultdict(list)
        for file in files:  # millions
            folders[file.rpartition(b"/")[0]].append(file)
        store = JpegStore()
        self._videos: dict[str, tuple[StoredVideo, int]] = {}  # with the number of the first frame
        for folder, images in folders.items():
            if file := video_beside(root / folder.decode()):
                splits = [split_number(PurePosixPath(image.decode()).stem) for image in images]
                known = {split[1] for split in splits if split}
                first = int(1 in known and 0 not in known)
                video = StoredVideo(file, 0, max(known, default=0) + 1 - first, store)
                self._videos[folder.decode()] = video, first

    def find(self, file: str) -> tuple[StoredVideo, int] | None:
        """The video of an image, and the frame counted from 0; None if the image is not a frame of
        a video file."""
        folder, _, name = file.rpartition("/")
        video, split = self._videos.get(folder), split_number(PurePosixPath(name).stem)
        return (video[0], split[1] - video[1]) if video and split else None
