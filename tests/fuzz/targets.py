"""The readers, valid input for each, and what they may do with any input.

They may give back what they read, or raise `UserError` in one line that names the file. They may not raise
anything else, take longer than SECONDS, or hold more than MEMORY, whatever lengths the input declares.
"""

import contextlib
import io
import json
import logging
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from lsts_jax import cli
from lsts_jax.commands import evaluate, train
from lsts_jax.config import Config, DataConfig
from lsts_jax.config_io import load_saved_config
from lsts_jax.data.bad_samples import BadSamples
from lsts_jax.data.convert.__main__ import Options, convert
from lsts_jax.data.counts import Counts
from lsts_jax.data.dataset import Sample, Video
from lsts_jax.data.formats import coco_vid, imagenet_lists, imagenet_xml, mot
from lsts_jax.data.formats.mot_frames import PictureFrames
from lsts_jax.data.motion import read_motion_iou
from lsts_jax.data.synthvid import SynthVIDConfig
from lsts_jax.data.synthvid.dataset import TRUTH, render_dataset
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from lsts_jax.evaluation.submissions import read_detections
from lsts_jax.training.bad_log import BadSampleLog
from lsts_jax.training.checksums import CHECKSUMS, find_damage
from lsts_jax.training.metrics_log import MetricsLog
from lsts_jax.training.pretrained import open_weights
from tests.data.convert.trees import TREES
from tests.data.video.clips import write_animation, write_clip
from tests.training.test_pretrained_files import archive, npz, params, safetensors

SECONDS = 5.0
MEMORY = 128 << 20  # bytes that Python and NumPy hold at a time
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Target:
    """A reader: `read` takes the bytes of a file of this name, and that file."""

    name: str
    seeds: tuple[bytes, ...]
    file: str
    read: Callable[[Path], object]
    needs: str = ""  # a package
    costly: bool = False  # per input

    def available(self) -> bool:
        return not self.needs or find_spec(self.needs) is not None


class Broken(AssertionError):
    """A reader did what it may not."""


class Attempts:
    """Runs a target on inputs, in a folder that is removed at the end; use as a context manager."""

    def __init__(self, target: Target):
        self.target = target

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        logging.getLogger("lsts_jax").setLevel(logging.CRITICAL)
        return self

    def __exit__(self, *_):
        logging.getLogger("lsts_jax").setLevel(logging.NOTSET)
        self._folder.cleanup()

    def __call__(self, data: bytes, *, memory: bool = True) -> str:
        """What the reader said, empty if it read. Raises `Broken`, and what the reader may not raise."""
        file = Path(self._folder.name) / self.target.file
        file.write_bytes(data)
        said = ""
        if memory:
            tracemalloc.start()
        begin = time.process_time()
        try:
            self.target.read(file)
        except UserError as error:
            said = str(error)
            if "\n" in said.strip() and not said.startswith("--"):
                raise Broken(f"more than a line: {said!r}") from error
        finally:
            peak = tracemalloc.get_traced_memory()[1] if memory else 0
            tracemalloc.stop()
        if (seconds := time.process_time() - begin) > SECONDS:
            raise Broken(f"{seconds:.1f} seconds")
        if peak > MEMORY:
            raise Broken(f"{peak >> 20} MiB")
        return said


class TwoVideos:
    """A data set for submissions: two videos of five frames."""

    class_names = ("dog", "cat")
    videos = (Video("val/a", 5), Video("val/b", 5))
    samples = tuple(Sample(video, t) for video in range(2) for t in range(5))

    def global_id(self, video, t):
        return 5 * video + t + 1

    def frame(self, video, t):
        raise NotImplementedError

    objects = frame_name = frame


class OneVideo(TwoVideos):
    videos, samples = TwoVideos.videos[:1], TwoVideos.samples[:5]


def _objects_of_xml(file: Path) -> None:
    imagenet_xml.read_annotation(file, imagenet_xml.number_classes(("dog", "cat")))
    imagenet_xml.read_names(file)


def _sequence(labels: tuple[str, ...], class_names: tuple[str, ...], file: Path) -> None:
    """Of gt.txt, with the classes of a labels.txt or without."""
    mot.read_objects(file, PictureFrames([file] * 3, [1, 2, 3], (48, 64)), labels, class_names, Counts())


def _coco_dataset(file: Path) -> None:
    file.with_name("a").mkdir(exist_ok=True)
    (file.with_name("a") / "0.png").touch()
    data = coco_vid.CocoVID(DataConfig(root=str(file.parent), class_names=()), (file.stem,))
    for video, t in data.samples[:50]:
        data.objects(video, t)
        data.frame_name(video, t)


def _convert(name: str, place: str, file: Path) -> None:
    """A data set in which one file is the input; what is written can be read."""
    folder = file.parent / "data"
    if not folder.is_dir():
        TREES[name](folder)
    (folder / place).write_bytes(file.read_bytes())
    convert(Options(folder, folder / "result.json", name))
    if '"name"' in (folder / "result.json").read_text().partition('"videos"')[0]:  # it has a category
        coco_vid.CocoVID(DataConfig(root=str(folder), class_names=()), ("result",))


def _converters() -> list[Target]:
    targets = []
    with tempfile.TemporaryDirectory() as folder:
        for name, place in CONVERTED:
            root = Path(folder) / name
            if not root.is_dir():
                TREES[name](root)
            title, seed = f"convert-{name}-{Path(place).stem}", (root / place).read_bytes()
            targets.append(Target(title, (seed,), "x", partial(_convert, name, place), costly=True))
    return targets


CONVERTED = (
    ("cvat_coco", "annotations/instances_default.json"),
    ("cvat_mot", "gt/gt.txt"),
    ("cvat_mot", "gt/labels.txt"),
    ("youtube_vis", "instances.json"),
    ("yolo", "labels/train/yard_0.txt"),
    ("yolo", "data.yaml"),
    ("visdrone", "annotations/uav0000013_00000_v.txt"),
    ("kitti", "training/label_02/0000.txt"),
    ("voc", "Annotations/yard/0001.xml"),
)


def _weights(file: Path) -> None:
    for stored in open_weights(file).arrays.values():
        array = stored.read()
        assert array.shape == stored.shape


def _member(file: Path) -> None:
    """The bytes of an array in an archive that is whole."""
    outer = file.with_suffix(".npz")
    outer.write_bytes(archive({"conv1.weight.npy": file.read_bytes()}))
    _weights(outer)


def _arguments(script, file: Path) -> None:
    arguments = file.read_bytes().decode("utf-8", "replace").splitlines()
    if {"-h", "--help"} & set(arguments):
        return
    with contextlib.redirect_stdout(io.StringIO()):
        cli.parse(script.Options, ["--config", str(ROOT / "configs/tiny.py"), *arguments])


def _synthvid(file: Path) -> None:
    if len(file.read_bytes()) > 0:
        with contextlib.suppress(FileExistsError):
            render_dataset(file.parent, STORED, workers=1, progress=False)


def _metrics(file: Path) -> None:
    with contextlib.suppress(ImportError):
        log = MetricsLog.__new__(MetricsLog)
        log.path = file
        log.cut_back(5)
        log.has_evaluation(5)
        log.last("loss")


def _bad_samples(file: Path) -> None:
    BadSampleLog(file.parent, BadSamples(9, 1.0), "frame{}.jpg".format, 5)


STORED = SynthVIDConfig(videos=0, val_videos=0, stills=0, frames=1)


def _synthvid_header() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        render_dataset(folder, STORED, workers=1, progress=False)
        return (Path(folder) / TRUTH).read_bytes()


def _xml() -> bytes:
    box = "<bndbox><xmin>8</xmin><ymin>10</ymin><xmax>22</xmax><ymax>29.5</ymax></bndbox>"
    return (
        "<annotation><folder>a</folder><size><width>64</width><height>48</height></size>"
        f"<object><trackid>0</trackid><name>n02084071</name>{box}<occluded>0</occluded></object>"
        f"<object><name>cat</name><degraded>1</degraded>{box}</object></annotation>"
    ).encode()


def _coco() -> bytes:
    content = {
        "images": [
            {"id": t + 1, "file_name": f"a/{t}.png", "video_id": 1, "frame_id": t, "height": 48, "width": 64}
            for t in range(3)
        ]
        + [{"id": 9, "file_name": "s.png", "is_vid_train_frame": True}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 20], "instance_id": 1},
            {"id": 2, "image_id": 2, "category_id": 7, "bbox": [5, 5.5, 20, 20], "iscrowd": 1},
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}],
        "videos": [{"id": 1, "name": "a"}],
    }
    return json.dumps(content).encode()


def _jsonl() -> bytes:
    found = [{"class": "dog", "score": 0.98, "box": [1.5, 2, 30, 40]}]
    rows = [{"frame": t, "time": t / 25, "detections": found * t} for t in range(3)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _results() -> bytes:
    row = {"image_id": 1, "category_id": 1, "bbox": [1, 2.5, 3, 4], "score": 0.5}
    return json.dumps([row, row | {"image_id": 4, "category_id": 2}]).encode()


def _mat() -> tuple[bytes, bytes]:
    from scipy.io import savemat

    cells = np.empty(3, object)
    for place, values in enumerate(([0.5, 0.9], [], [1.0])):
        cells[place] = np.array([[value] for value in values]).astype(object)
    files = []
    for compressed in (False, True):
        file = io.BytesIO()
        savemat(file, {"motion_iou": cells}, do_compression=compressed)
        files.append(file.getvalue())
    return tuple(files)


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones((2, 3), np.float32))
    return file.getvalue()


def _pth() -> tuple[bytes, ...]:
    if find_spec("torch") is None:
        return (b"",)
    import torch

    file = io.BytesIO()
    torch.save({"conv1.weight": torch.ones(2, 3)}, file)
    return (file.getvalue(),)


ARRAYS = {"conv1.weight": np.ones((2, 3), np.float32), "bn1.bias": np.ones(4, np.float16)}
VAL_LIST = b"val/a 1 0 5\nval/b 6 0 5\n"
TRAIN_LIST = b"train/a 1 2 20\ntrain/a 1 5 20\ntrain/b 1 0 8\n"
FRAME_LIST = b"val/a/000000 1\nval/a/000001 2\n"
GT = b"1,1,5,5,10,10,1,-1,-1,-1\n2,1,6,5,10,10,0,-1,-1,-1\n"
GT_LABELS = b"1,1,5,5,10.5,10,1,1,0.5\n3,2,6,5,10,10,1,2,1\n"
GT16 = b"1,1,5,5,10.5,10,1,1,0.5\n3,2,6,5,10,10,1,7,1\n"
OPTIONS = (
    b"--workdir\nx\n--config.optimizer.learning_rate\n0.0005\n--config.data.canvases\n608\n1008\n1008\n608\n",
    b"--workdir=x\n--config.model.lsts.offsets\ngaussian\n--config.data.flip\nFalse\n",
    b"--workdir\nx\n--config.data.train_lists\nVID_a\nVID_b\n--config.model.lsts.num-offsets=25\n",
)


def all_targets() -> dict[str, Target]:
    """By name. Nothing is read yet, but valid input is made."""
    targets = [
        Target("xml", (_xml(),), "000000.xml", _objects_of_xml),
        Target("list", (VAL_LIST, TRAIN_LIST, FRAME_LIST), "VID_val_videos.txt", imagenet_lists.read_list),
        Target("list-stills", (b"train/s1 1\ntrain/s2 1\n",), "DET_train.txt", imagenet_lists.read_list),
        Target("coco-vid", (_coco(),), "train.json", _coco_dataset),
        Target("mot", (GT, GT16), "gt.txt", partial(_sequence, (), ("person",))),
        Target("mot-labels", (GT_LABELS,), "gt.txt", partial(_sequence, ("person", "car"), ("car",))),
        Target("params", (params(ARRAYS), params(ARRAYS, 0), params(ARRAYS, 1)), "x.params", _weights),
        Target("npz", (npz(ARRAYS), npz(ARRAYS, 0)), "x.npz", _weights),
        Target("npz-member", (_npy(),), "x.npy", _member),
        Target("safetensors", (safetensors(ARRAYS),), "x.safetensors", _weights, needs="safetensors"),
        Target("pth", _pth(), "x.pth", _weights, needs="torch"),
        Target("text", (b"1 1 0.9000 1.00 2.00 30.00 40.00\n7 2 0.5 1 2 3 4\n",), "det.txt", _submission()),
        Target("jsonl", (_jsonl(),), "detections.jsonl", _submission(OneVideo())),
        Target("coco-results", (_results(),), "results.json", _submission()),
        Target("coco-results-video", (_results(),), "a.json", _submission()),
        Target("mat", _mat(), "motion.mat", lambda file: read_motion_iou(file, np.array([2, 0, 1]))),
        Target("config-json", (json.dumps(asdict(Config())).encode(),), "config.json", load_saved_config),
        Target("train-options", OPTIONS, "arguments", partial(_arguments, train), costly=True),
        Target("evaluate-options", OPTIONS, "arguments", partial(_arguments, evaluate), costly=True),
        Target("synthvid-json", (_synthvid_header(),), TRUTH, _synthvid),
        Target("checksums", (b'{"a/b": 5, "c": 7}',), CHECKSUMS, lambda file: find_damage(file.parent, "a")),
        Target("metrics", (b'{"step": 5, "loss": 1.0}\n{"step": 5, "mAP": 0.5}\n',), "m.jsonl", _metrics),
        Target(
            "bad-samples",
            (b'{"step": 5, "sample": 3, "frame": "frame3.jpg"}\n',),
            "bad_samples.jsonl",
            _bad_samples,
        ),
        Target("video-mp4", (clip("mp4", "mp4v"),), "v.mp4", _video),
        Target("video-avi", (clip("avi", "MJPG"),), "v.avi", _video),
        Target("animation-webp", (animation("webp"),), "a.webp", _video),
        *_converters(),
    ]
    return {target.name: target for target in targets}


def _video(file: Path) -> list[float]:
    """Times of the frames, which grow, as their numbers do."""
    frames = [(frame.number, frame.time) for frame in islice(open_source(file), 200)]
    assert all(a < b for one, other in pairwise(frames) for a, b in zip(one, other, strict=True))


def clip(suffix: str, codec: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_clip(Path(folder) / f"v.{suffix}", 6, codec=codec).read_bytes()


def animation(suffix: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        return write_animation(Path(folder) / f"a.{suffix}").read_bytes()


def _submission(dataset: TwoVideos | None = None) -> Callable[[Path], object]:
    return lambda file: read_detections([file], dataset or TwoVideos())
