"""A prepared data set is the tree: the same videos, samples, pictures, objects and batches."""

import logging
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.config import IMAGENET_VID_CLASSES, DataConfig
from lsts_jax.data import prepare
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.formats import tfds_source
from lsts_jax.data.formats.imagenet_lists import read_list
from lsts_jax.data.formats.tfds_source import TFDSVideos
from lsts_jax.data.loader import TripletLoader
from lsts_jax.data.open import open_dataset
from lsts_jax.data.triplets import key_ranges
from lsts_jax.errors import UserError
from tests.data.trees import write_imagenet, write_list, write_xml

tfds_vid = pytest.importorskip("lsts_jax.data.formats.tfds_vid", reason="the extra tfds is not installed")

FRAMES = 20 + 8 + 12 + 5 + 2  # of write_imagenet
FOLDER = "imagenet_vid/1.0.0"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_imagenet(tmp_path_factory.mktemp("ilsvrc"))


@pytest.fixture(scope="module")
def prepared(tree, tmp_path_factory):
    """In shards of 9 frames, which end within videos."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tfds_vid, "FRAMES_PER_SHARD", 9)
        return store(tree, tmp_path_factory.mktemp("prepared") / "out")


def store(tree: Path, out: Path, *options: str) -> Path:
    prepare.run(["--root", str(tree), "--out", str(out), *options])
    return out


def config_of(root: Path, **fields) -> DataConfig:
    form = "tfds" if (root / "imagenet_vid").is_dir() else "imagenet_vid"
    return DataConfig(root=str(root), format=form, **fields)


def open_both(tree, prepared, lists, **fields):
    return [open_dataset(config_of(root, **fields), lists) for root in (tree, prepared)]


def assert_equal(left, right):
    """Of arrays, or tuples of them, in type and value."""
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, tuple):
        for a, b in zip(left, right, strict=True):
            assert_equal(a, b)
    else:
        assert left == right


@pytest.mark.parametrize("lists", [DataConfig.train_lists, DataConfig.val_lists, DataConfig.train_lists[1:]])
def test_it_is_the_tree(tree, prepared, lists):
    there, here = open_both(tree, prepared, lists)
    assert isinstance(here, VideoDataset) and isinstance(here, TFDSVideos)
    assert (here.videos, here.samples, here.class_names) == (there.videos, there.samples, there.class_names)
    for sample in there.samples:
        assert here.global_id(*sample) == there.global_id(*sample)
    for video, (_, num_frames, *_) in enumerate(there.videos):
        for t in range(num_frames):  # samples or not
            assert here.frame_name(video, t) == there.frame_name(video, t)
            assert_equal(here.frame(video, t), there.frame(video, t))
            assert_equal(here.objects(video, t), there.objects(video, t))


def test_batches_are_those_of_the_tree(tree, prepared):
    fields = {"short_side": 48, "long_side": 64, "canvases": ((48, 64), (64, 48)), "workers": 0}
    loaders = [
        TripletLoader(
            open_dataset(config, config.train_lists),
            config,
            batch_size=2,
            seed=3,
            ranges=key_ranges("offline", 10),
        )
        for config in (config_of(root, **fields) for root in (tree, prepared))
    ]
    for step in range(0, 2 * loaders[0].steps_per_epoch, 5):
        assert_equal(loaders[0].make_batch(step), loaders[1].make_batch(step))


def test_classes_are_chosen_at_reading(tree, prepared):
    there, here = open_both(tree, prepared, DataConfig.train_lists, class_names=("cat", "domestic_cat"))
    assert here.objects(2, 0).classes.tolist() == [2] and here.objects(0, 0).boxes.shape == (0, 4)
    for sample in there.samples:
        assert_equal(here.objects(*sample), there.objects(*sample))
    for dataset in open_both(tree, prepared, DataConfig.train_lists, class_names=()):
        assert dataset.class_names == IMAGENET_VID_CLASSES


def test_class_names_of_the_data(tmp_path):
    tree = write_imagenet(tmp_path / "tree")
    for t, names in enumerate((["moon"], ["disc", "moon"], [], ["unlisted"])):
        write_xml(tree / f"Annotations/VID/new/{t:06d}.xml", [(name, 1, 0, 0, 5, 5) for name in names])
        shutil.copytree(tree / "Data/VID/val/v", tree / "Data/VID/new", dirs_exist_ok=True)
    write_list(tree, "VID_new", "new 1 0 4", "new 1 1 4", "new 1 2 4")
    write_list(tree, "VID_nothing", "new/000002 1")
    prepared = store(tree, tmp_path / "out", "--train_lists", "VID_new", "VID_nothing")
    there, here = open_both(tree, prepared, ("VID_new",), class_names=())
    assert here.class_names == there.class_names == ("disc", "moon")
    assert_equal(here.objects(0, 1), there.objects(0, 1))
    with pytest.raises(UserError, match=r"config\.data\.class_names"):
        open_dataset(config_of(prepared, class_names=()), ("VID_nothing",))


def test_tfds_reads_it(tree, prepared):
    """A frame is a record, those of a video in order; shards hold no more than they should."""
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(prepared / FOLDER)
    assert issubclass(tfds_vid.ImageNetVid, tfds.core.GeneratorBasedBuilder)
    assert builder.info.splits["train"].shard_lengths == [9, 9, 9, 9, 6]
    assert builder.info.splits["val"].shard_lengths == [5]
    decoders = {"picture": tfds.decode.SkipDecoding()}
    records = [*builder.as_data_source("train", decoders=decoders)]
    videos = [(b"train/a", 20), (b"train/b", 8), (b"train/c", 12), (b"train/s1", 1), (b"train/s2", 1)]
    assert [(r["video"], r["t"]) for r in records] == [(name, t) for name, n in videos for t in range(n)]
    assert [r["is_still"] for r in records] == 40 * [False] + 2 * [True]
    assert records[13]["picture"] == (tree / "Data/VID/train/a/000013.JPEG").read_bytes()
    assert records[41]["annotation"] == (tree / "Annotations/DET/train/s2.xml").read_bytes()
    assert "tensorflow" not in sys.modules


def test_frames_are_stored_once_and_as_far_as_any_list_reaches(tree, tmp_path):
    write_list(tree, "VID_first", "train/a/000002 1", "train/a/000001 2")
    write_list(tree, "VID_both", "val/v 1 0 5", "train/a 6 0 20")
    out = store(tree, tmp_path / "out", "--train_lists", "VID_first", "--val_lists", "VID_both")
    builder = tfds_vid.tfds.builder_from_directory(out / FOLDER)
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == {
        "train": 20,
        "val": 5,
    }
    for lists in (("VID_first",), ("VID_both",), ("VID_both", "VID_first")):
        there, here = open_both(tree, out, lists)
        assert (here.videos, here.samples) == (there.videos, there.samples)
        assert [here.global_id(*s) for s in here.samples] == [there.global_id(*s) for s in there.samples]
        for sample in there.samples:
            assert_equal(here.frame(*sample), there.frame(*sample))
    with pytest.raises(UserError, match=r"val/v/000005\.JPEG: "):
        open_dataset(config_of(out), ("VID_both",)).frame(0, 5)


@pytest.mark.parametrize(
    "name, lines",
    [
        ("VID_a", ["x/v 1 10 300", "x/v 1 0 300", "x/v 1 0 300"]),
        ("VID_b", ["v/a 101 0 2", "v/b 3 0 1"]),
        ("VID_c", ["v/a/000004 7", "v/a 1 3 9", "v/b 1 0 9"]),
        ("DET_d", ["n01/n01_2 1", "n01/n01_2 5"]),
    ],
)
def test_a_stored_list_tells_the_same(tmp_path, name, lines):
    write_list(tmp_path, name, *lines)
    frames = read_list(tmp_path / f"ImageSets/{name}.txt")
    (tmp_path / f"{name}.txt").write_text(tfds_vid.format_list(name, frames))
    again = read_list(tmp_path / f"{name}.txt")
    assert [f[:2] + f[3:] for f in again] == [f[:2] + f[3:] for f in frames]
    assert tfds_vid.gather_videos({name: again}) == tfds_vid.gather_videos({name: frames})


def test_damaged_files_do_not_stop_it(tmp_path, caplog):
    tree = write_imagenet(tmp_path / "tree")
    annotations, pictures = tree / "Annotations/VID/val/v", tree / "Data/VID/val/v"
    (annotations / "000000.xml").unlink()
    (annotations / "000001.xml").write_text("<annotation><object>")
    (annotations / "000002.xml").write_text("<annotation><object><name>moon</name></object></annotation>")
    (pictures / "000003.JPEG").unlink()
    (pictures / "000004.JPEG").write_bytes(b"no picture")
    with caplog.at_level(logging.WARNING):
        out = store(tree, tmp_path / "out", "--train_lists", "VID_val_videos")
    assert re.search(r"4 files are damaged; .*v/000000\.xml, .*v/000002\.xml, … ", caplog.text)
    assert "\n" not in caplog.messages[-1]
    report = (out / FOLDER / "damaged.txt").read_text().splitlines()
    assert [re.search(r"\w+\.\w+(?=: )", line)[0] for line in report] == [
        "000000.xml",
        "000001.xml",
        "000002.xml",
        "000003.JPEG",
    ]
    dataset = open_dataset(config_of(out), ("VID_val_videos",))
    with pytest.raises(UserError, match=r"000000\.xml: was missing or empty .*; restore it"):
        dataset.objects(0, 0)
    with pytest.raises(UserError, match=r"000001\.xml: .*; repair it"):
        dataset.objects(0, 1)
    assert len(dataset.objects(0, 2).boxes) == 0  # damaged, but in nothing that the config asks for
    with pytest.raises(UserError, match=r"000003\.JPEG: was missing or empty .*; restore it"):
        dataset.frame(0, 3)
    with pytest.raises(UserError, match=r"000004\.JPEG: cannot be decoded"):
        dataset.frame(0, 4)
    assert dataset.frame(0, 0).shape == (48, 64, 3) and dataset.objects(0, 3).size == (48, 64)


def test_lists_that_are_missing_are_made_of_the_tree(tmp_path):
    tree = write_imagenet(tmp_path / "tree")
    shutil.rmtree(tree / "ImageSets")
    shutil.rmtree(tree / "Data/DET")
    prepared = store(tree, tmp_path / "out")
    for lists in (("VID_train_15frames",), ("VID_val_videos",)):
        there, here = open_both(tree, prepared, lists)
        assert (here.videos, here.samples) == (there.videos, there.samples)
    assert not (prepared / FOLDER / "ImageSets/DET_train_30classes.txt").exists()


def test_it_can_be_moved_and_does_without_the_tree(tmp_path):
    tree = write_imagenet(tmp_path / "tree")
    expected = open_dataset(config_of(tree), ("VID_val_videos",)).frame(0, 2)
    store(tree, tmp_path / "out").rename(tmp_path / "moved")
    shutil.rmtree(tree)
    assert_equal(open_dataset(config_of(tmp_path / "moved"), ("VID_val_videos",)).frame(0, 2), expected)


def test_a_repeated_command_finds_it_complete(tree, prepared, tmp_path, capsys):
    before = {file: file.stat().st_mtime_ns for file in (prepared / FOLDER).rglob("*")}
    store(tree, prepared)
    store(tree, prepared, "--train_lists", "DET_train_30classes", "--val_lists", "VID_train_15frames")
    assert capsys.readouterr().out.count("already prepared") == 2
    assert before == {file: file.stat().st_mtime_ns for file in (prepared / FOLDER).rglob("*")}
    write_list(tree, "VID_more", "train/b 1 0 8")
    with pytest.raises(UserError, match=r"VID_more was added or changed; name another --out, or remove"):
        store(tree, prepared, "--train_lists", "VID_more")
    other = write_imagenet(tmp_path / "other")
    with pytest.raises(UserError, match=r"was prepared from .*ilsvrc.*; name another --out, or remove"):
        store(other, prepared)


KILLED = """
    import os, signal, sys
    from lsts_jax.data import prepare
    from lsts_jax.data.formats import tfds_vid

    write = tfds_vid.ImageNetVid._write_shard

    def write_two(builder, places, file, bar):
        if file.name.endswith("00002-of-00005"):
            (file.parent / f"{file.name}.part").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
        write(builder, places, file, bar)

    tfds_vid.FRAMES_PER_SHARD = 9
    tfds_vid.ImageNetVid._write_shard = write_two
    prepare.run(["--root", sys.argv[1], "--out", sys.argv[2]])
"""


def test_a_killed_preparation_is_not_read_and_is_continued(tmp_path, monkeypatch):
    tree, out = write_imagenet(tmp_path / "tree"), tmp_path / "out"
    (tree / "Annotations/VID/train/a/000001.xml").unlink()
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED), tree, out], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    with pytest.raises(UserError, match=r"out: is not completely prepared; run python -m"):
        open_dataset(DataConfig(root=str(out), format="tfds"), DataConfig.val_lists)
    read = []
    generate = tfds_vid.ImageNetVid._read
    monkeypatch.setattr(tfds_vid.ImageNetVid, "_read", lambda self, p: read.append(p) or generate(self, p))
    monkeypatch.setattr(tfds_vid, "FRAMES_PER_SHARD", 9)
    store(tree, out)
    assert len(read) == FRAMES - 2 * 9  # two shards were complete
    assert "000001.xml" in (out / FOLDER / "damaged.txt").read_text()  # in one of them
    assert sorted(path.name for path in (out / "imagenet_vid").iterdir()) == [".lock", "1.0.0"]
    there, here = open_both(tree, out, DataConfig.train_lists)
    for video, (_, num_frames, *_) in enumerate(there.videos):
        for t in range(num_frames):
            assert_equal(here.frame(video, t), there.frame(video, t))


def test_what_another_preparation_left_is_not_used(tmp_path):
    tree, out = write_imagenet(tmp_path / "tree"), tmp_path / "out"
    for left in ("partial-0", "incomplete.ABC_1.0.0"):
        (out / "imagenet_vid" / left).mkdir(parents=True)
        (out / "imagenet_vid" / left / "imagenet_vid-val.array_record-00000-of-00001").write_text("old")
    store(tree, out)
    assert sorted(path.name for path in (out / "imagenet_vid").iterdir()) == [".lock", "1.0.0"]


def test_two_at_once(tree, tmp_path):
    (tmp_path / "imagenet_vid").mkdir()
    with prepare.locked(tmp_path / "imagenet_vid"), pytest.raises(UserError, match="another process"):
        store(tree, tmp_path)


def test_it_is_read_from_any_thread_and_process(tree, prepared):
    there, here = open_both(tree, prepared, DataConfig.train_lists)
    samples = 20 * here.samples
    for dataset in (pickle.loads(pickle.dumps(here)), here, pickle.loads(pickle.dumps(here))):
        with ThreadPoolExecutor(8) as pool:
            images = list(pool.map(lambda sample, dataset=dataset: dataset.frame(*sample), samples))
        for sample, image in zip(samples[::7], images[::7], strict=True):
            assert_equal(image, there.frame(*sample))


def test_what_cannot_be_read_is_named(tree, prepared, tmp_path, monkeypatch):
    def error_of(root, lists=DataConfig.val_lists):
        with pytest.raises(UserError) as caught:
            open_dataset(DataConfig(root=str(root), format="tfds"), lists).frame(0, 0)
        return str(caught.value)

    (tmp_path / "empty").mkdir()
    assert re.search(r"empty: holds no prepared .*lsts_jax\.data\.prepare", error_of(tmp_path / "empty"))
    assert "set --config.data.format imagenet_vid" in error_of(tree)
    assert re.search(
        r"without the list VID_no;.*there: DET_train_30classes, ", error_of(prepared, ("VID_no",))
    )
    for name, data in (
        ("dataset_info.json", b"{"),
        ("imagenet_vid-val.array_record-00000-of-00001", b"short"),
    ):
        copy = shutil.copytree(prepared, tmp_path / name)
        (copy / FOLDER / name).write_bytes(data)
        assert re.search(r"cannot be read .*; remove (it|that) and repeat", error_of(copy))
    with pytest.raises(UserError, match=r"cannot be read .*; remove it and repeat"):
        store(tree, tmp_path / "dataset_info.json")
    monkeypatch.setattr(tfds_source, "find_spec", lambda name: None if name == "array_record" else name)
    assert 'pip install "lsts_jax[tfds]"' in error_of(prepared)
    with pytest.raises(UserError, match=r'array_record is not installed.*pip install "lsts_jax\[tfds\]"'):
        store(tree, tmp_path / "out")


def test_what_cannot_be_prepared_is_named(tree, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for root, out, message in (
        (tmp_path / "nowhere", "out", "--root .*nowhere: no such folder"),
        (tmp_path / "empty", "out", "--root .*empty: has no"),
        (tree, "file", "file/imagenet_vid: Not a directory; name another folder"),
    ):
        with pytest.raises(UserError, match=message):
            store(root, tmp_path / out)
    write_list(tree, "DET_gone", "train/gone 1", "train/lost 1")
    with pytest.raises(
        UserError, match=r"DET/train/gone\.JPEG: no such picture, nor any other of .*DET_gone"
    ):
        store(tree, tmp_path / "out", "--train_lists", "VID_train_15frames", "DET_gone")
    with pytest.raises(UserError, match=r"VID_no\.txt: no such list"):
        store(tree, tmp_path / "out", "--train_lists", "VID_no")
    with pytest.raises(UserError, match="root"):
        prepare.run(["--out", "x"])


def test_a_full_disk_is_named(tree, tmp_path):
    """A limit on the size of files does as well."""
    script = """
        import resource, sys
        from lsts_jax import cli
        from lsts_jax.data import prepare
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        cli.main(prepare.run)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(script), "--root", tree, "--out", tmp_path / "out"]
    result = subprocess.run(arguments, capture_output=True, text=True)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert re.search(r"^error: .*out: cannot be written \(.*File too large.*\); fix", result.stderr, re.M)
