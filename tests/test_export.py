"""An exported detector is the live one, in a process that knows nothing of this package."""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.export
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsts_jax
from lsts_jax.api import LoadedDetector
from lsts_jax.config import Config, DataConfig
from lsts_jax.config_io import save_config
from lsts_jax.data.transforms import resized
from lsts_jax.data.video.source import select
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from lsts_jax.export import loader, write_export
from lsts_jax.export.__main__ import run
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state
from tests.data.trees import write_picture, write_turned_photo
from tests.data.video.clips import damage, retime, write_clip
from tests.tiny import CLASS_NAMES, tiny_config, tiny_detector

PAGE = Path(__file__).parents[1] / "docs" / "export.md"
PROGRAM = """
import runpy, sys
import numpy as np
script, frames, pictures, out = sys.argv[1:]
names = runpy.run_path(script)
detector, found = names["Detector"](), {}
for name, video in np.load(pictures).items():
    for online in (False, True):
        for t, arrays in enumerate(detector.detect(video, online)):
            for kind, array in zip(("boxes", "scores", "classes"), arrays):
                found[f"{name} {online} {t} {kind}"] = array
np.savez(out, **found)
names["main"].__globals__["Detector"] = lambda: detector  # so that it is compiled once
sys.argv[1:] = [frames]
names["main"]()
assert not {name.split(".")[0] for name in sys.modules} & {"lsts_jax", "flax", "tests"}
"""


def two_canvases(**model) -> Config:
    """The tiny experiment on 64 x 96 and 96 x 64, segments of 4 frames with the second as keyframe."""
    config = tiny_config(keyframe_interval=4, **model)
    return replace(config, data=replace(config.data, canvases=((64, 96), (96, 64))))


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    config, folder = two_canvases(), tmp_path_factory.mktemp("run")
    detector, variables = tiny_detector(config)
    save_config(config, folder / "config.json")
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(
            init_state(detector, build_optimizer(config.optimizer, 10, detector.temporal), variables, 0)
        )
    return folder


@pytest.fixture(scope="module")
def exported(workdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "exported"
    run(["--workdir", str(workdir), "--out", str(folder)])
    return folder


@pytest.fixture(scope="module")
def videos():
    """RGB pictures."""
    rng = np.random.default_rng(0)
    return {
        "wide": rng.integers(0, 256, (9, 60, 110, 3), np.uint8),  # resized to 52 x 96
        "square": rng.integers(0, 256, (2, 64, 64, 3), np.uint8),  # fills neither canvas
    }


@pytest.fixture(scope="module")
def live(workdir):
    return lsts_jax.load(workdir).live()


@pytest.fixture(scope="module")
def fresh(exported, videos, tmp_path_factory):
    """What another process finds in the videos, and the lines that run.py prints of the first."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "frames").mkdir()
    for t, picture in enumerate(videos["wide"]):
        write_picture(folder / "frames" / f"frame{t + 4}.png", picture)  # 4 ... 12, in natural order
    np.savez(folder / "pictures.npz", **videos)
    arguments = [exported / "run.py", folder / "frames", folder / "pictures.npz", folder / "found.npz"]
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    with np.load(folder / "found.npz") as found:
        return dict(found), [json.loads(line) for line in process.stdout.splitlines()]


def load_script(folder: Path):
    """The run.py of a folder."""
    spec = importlib.util.spec_from_file_location("exported_run", folder / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def assert_close(found, result):
    """Boxes, scores and classes are those of a `Result`, within rounding."""
    boxes, scores, classes = found
    np.testing.assert_array_equal(classes, result.classes)
    np.testing.assert_allclose(scores, result.scores, atol=1e-5)
    np.testing.assert_allclose(boxes, result.boxes, atol=1e-2)
    assert len(scores) > 0


def assert_same(fresh, name, live, pictures, order, *, online):
    """What was found in a video is what the live detector finds in its pictures, given in `order`."""
    live.restart()
    for t in order:
        found = [fresh[0][f"{name} {online} {t} {kind}"] for kind in ("boxes", "scores", "classes")]
        assert_close(found, live(pictures[t]))


@pytest.mark.parametrize("name", ["wide", "square"])
def test_another_process_finds_what_the_live_detector_finds(fresh, live, videos, name):
    assert_same(fresh, name, live, videos[name], range(len(videos[name])), online=True)


def test_offline_the_keyframe_goes_before_the_frames_of_its_segment(fresh, live, videos):
    assert_same(fresh, "wide", live, videos["wide"], [1, 0, 2, 3, 5, 4, 6, 7, 8], online=False)


def test_the_short_loader_of_the_documentation(exported, live, monkeypatch):
    monkeypatch.chdir(exported.parent)
    programs = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {}
    exec(compile(programs[1], PAGE.name, "exec"), names)
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (6, 64, 90, 3), np.uint8)  # narrower than the canvas
    live.restart()
    found = list(names["detect"](pictures))
    assert len(found) == 6
    for one, picture in zip(found, pictures, strict=True):
        assert_close(one, live(picture))


@pytest.mark.slow
@pytest.mark.parametrize("online", [False, True])
def test_a_hundred_real_frames(exported, workdir, shared, online):
    clip = open_source(shared / "data" / "mot" / "PETS09-S2L1" / "PETS09-S2L1.avi")
    frames = select(clip, start=100, end=200, stride=1)
    detector = lsts_jax.load(workdir, schedule="online" if online else "offline")
    program = load_script(exported).Detector(exported)
    found = program.detect((picture for _, picture in frames), online)
    for one, result in zip(found, detector.stream(frames), strict=True):
        assert_close(one, result)
    assert result.frame_index == 199


def test_run_prints_a_line_a_frame(fresh):
    arrays, lines = fresh
    assert [line["frame"] for line in lines] == list(range(9))
    assert lines[5]["time"] == 5 / 25
    for t, line in enumerate(lines):
        boxes, scores, classes = (arrays[f"wide False {t} {kind}"] for kind in ("boxes", "scores", "classes"))
        found = line["detections"]
        np.testing.assert_allclose([one["score"] for one in found], scores, atol=1e-4)
        np.testing.assert_allclose([one["box"] for one in found], boxes, atol=1e-2)
        assert [one["class"] for one in found] == [CLASS_NAMES[label - 1] for label in classes]


def test_the_description_says_what_a_loader_needs(exported):
    about = json.loads((exported / "detector.json").read_text())
    assert about["class_names"] == list(CLASS_NAMES)
    assert (about["keyframe_interval"], about["schedule"], about["keyframe_index"]) == (4, "offline", 1)
    assert (about["resize"]["short_side"], about["resize"]["long_side"]) == (64, 96)
    assert about["score_threshold"] == 1e-4
    assert about["pixels"]["mean_subtracted_inside"] == [123.15, 115.90, 103.06]
    assert [(canvas["height"], canvas["width"]) for canvas in about["canvases"]] == [(64, 96), (96, 64)]
    program = about["canvases"][1]["programs"]["on_keyframe"]
    frame = [
        {"name": "pixels", "shape": [96, 64, 3], "dtype": "uint8"},
        {"name": "size", "shape": [2], "dtype": "int32"},
        {"name": "scale", "shape": [], "dtype": "float32"},
    ]
    memory = {"name": "memory", "shape": [6, 4, 16], "dtype": "float32"}
    assert program["inputs"] == [memory, *frame]
    assert program["outputs"] == [
        memory,
        {"name": "boxes", "shape": [48, 4], "dtype": "float32"},  # 16 regions of 3 classes
        {"name": "scores", "shape": [48], "dtype": "float32"},
        {"name": "classes", "shape": [48], "dtype": "int32"},
        {"name": "valid", "shape": [48], "dtype": "bool"},
    ]
    programs = about["canvases"][0]["programs"]
    assert [one["name"] for one in programs["start"]["inputs"]] == ["pixels", "size", "scale"]
    assert programs["on_frame"]["outputs"] == program["outputs"][1:]
    files = {file.name for file in exported.iterdir()} - {"detector.json"}
    assert about["sha256"] == {
        name: hashlib.sha256((exported / name).read_bytes()).hexdigest() for name in files
    }


def test_programs_are_for_cpu_and_cuda_and_name_no_file_of_this_machine(exported):
    about = json.loads((exported / "detector.json").read_text())
    for file in exported.glob("*.jaxexport"):
        program = jax.export.deserialize(bytearray(file.read_bytes()))
        assert list(program.platforms) == about["platforms"] == ["cpu", "cuda"]
        assert program.calling_convention_version == about["calling_convention_version"]
        assert about["jax"] == jax.__version__
        assert b".py" not in program.mlir_module_serialized


@pytest.mark.parametrize(
    ("temporal", "programs"),
    [("none", ["start"]), ("copy", ["on_frame", "start"])],
)
def test_detectors_with_less_memory(temporal, programs, videos, tmp_path):
    config = two_canvases(temporal=temporal)
    loaded = LoadedDetector(config, *tiny_detector(config), step=0)
    write_export(tmp_path, loaded, ((64, 96),))
    assert sorted(file.name for file in tmp_path.glob("*.jaxexport")) == [
        f"{p}_64x96.jaxexport" for p in programs
    ]
    live, pictures = loaded.live(), videos["wide"][:5]
    results = load_script(tmp_path).Detector(tmp_path).detect(pictures, online=True)
    for found, picture in zip(results, pictures, strict=True):
        assert_close(found, live(picture))


def test_an_export_replaces_an_earlier_one_and_nothing_else(workdir, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "exported")
    (tmp_path / "exported" / "notes.txt").write_text("mine")
    arguments = ["--workdir", str(workdir), "--out"]
    run([*arguments, str(tmp_path / "exported"), "--size", "64", "33"])  # resized to 96 x 50
    assert sorted(file.name for file in (tmp_path / "exported").iterdir()) == [
        "detector.json",
        "notes.txt",
        *(f"{name}_96x64.jaxexport" for name in ("on_frame", "on_keyframe")),
        "run.py",
        "start_96x64.jaxexport",
        "weights.npz",
    ]
    with pytest.raises(ValueError, match=r"fit no canvas; export with --size 60 110"):
        load_script(exported).Detector(tmp_path / "exported").canvas_of((60, 110))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "detector.json").write_text("{}")
    with pytest.raises(UserError, match="other: exists but is not an export"):
        run([*arguments, str(tmp_path / "other")])
    with pytest.raises(UserError, match=r"notes\.txt: exists but is not an export"):
        run([*arguments, str(tmp_path / "exported" / "notes.txt")])


def test_what_cannot_be_exported(workdir, tmp_path, monkeypatch):
    out = ["--out", str(tmp_path / "out")]
    with pytest.raises(UserError, match="nowhere: no such folder"):
        run(["--workdir", str(tmp_path / "nowhere"), *out])
    with pytest.raises(UserError, match="--checkpoint 7"):
        run(["--workdir", str(workdir), *out, "--checkpoint", "7"])
    with pytest.raises(UserError, match="--size: give height and width"):
        run(["--workdir", str(workdir), *out, "--size", "0", "7"])
    with pytest.raises(UserError, match=r"a picture of 1x1000 .* too thin"):
        run(["--workdir", str(workdir), *out, "--size", "1", "1000"])
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    with pytest.raises(UserError, match="pip install flatbuffers"):
        run(["--workdir", str(workdir), *out])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["start_64x96.jaxexport", "weights.npz"])
def test_a_damaged_file_is_named(exported, tmp_path, monkeypatch, name):
    shutil.copytree(exported, tmp_path / "copy")
    file = tmp_path / "copy" / name
    file.write_bytes(file.read_bytes()[:-100])
    write_picture(tmp_path / "frame.png", np.zeros((60, 110, 3), np.uint8))
    monkeypatch.setattr(sys, "argv", ["run.py", str(tmp_path)])
    with pytest.raises(SystemExit, match=rf"error: .*{name}: damaged; export the detector again"):
        load_script(tmp_path / "copy").main()


def test_pictures_go_on_the_smallest_canvas(exported):
    detector = load_script(exported).Detector(exported)
    assert detector.canvas_of((60, 110)) == (64, 96)
    assert detector.canvas_of((90, 40)) == (96, 64)  # resized to 96 x 43
    with pytest.raises(ValueError, match="give it a separate video"):
        detector.prepare(np.zeros((90, 40, 3), np.uint8), (64, 96))


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_pictures_are_resized_as_the_package_does(height, width):
    """An exported run.py imports nothing of ours, and has the function of its own."""
    config = DataConfig(short_side=600, long_side=1000)
    script = object.__new__(loader.Detector)
    script.about = {"resize": {"short_side": 600, "long_side": 1000}}
    found = script._resized((height, width))
    if min(found[1]) == 0:
        with pytest.raises(UserError, match="too thin"):
            resized((height, width), config)
    else:
        assert found == resized((height, width), config)


def test_a_source_without_frames(exported, tmp_path, monkeypatch, capsys):
    (tmp_path / "frame.png").write_bytes(b"")
    script = load_script(exported)
    for source in (tmp_path, tmp_path / "frame.png", tmp_path / "absent.mp4"):
        monkeypatch.setattr(sys, "argv", ["run.py", str(source)])
        with pytest.raises(SystemExit, match="no frame or picture"):
            script.main()
    assert "frame 0 cannot be decoded" in capsys.readouterr().err


def test_the_loader_reads_what_the_package_reads(tmp_path, capsys):
    """Damaged frames, variable rates, hidden files, turned photos: the same numbers, times and pictures."""
    times = [0, 0.1, 0.2, 0.3, 2.5, 2.55, 2.6, 2.65]
    damage(retime(write_clip(tmp_path / "v.mp4", 8), times), 0, 5)
    write_turned_photo(tmp_path / "photos" / "9.jpg", np.zeros((48, 64, 3), np.uint8))
    write_turned_photo(tmp_path / "photos" / "10.jpg", np.zeros((48, 64, 3), np.uint8))
    (tmp_path / "photos" / "9.jpg").write_bytes(b"")
    (tmp_path / "photos" / "._10.jpg").write_bytes(b"Mac OS X")
    for source, lost in ((tmp_path / "v.mp4", (0, 5)), (tmp_path / "photos", (0,))):
        found, expected = list(loader.read(source)), list(open_source(source))
        assert [number for number, _, _ in found] == [frame.number for frame in expected]
        np.testing.assert_allclose([time for _, time, _ in found], [frame.time for frame in expected])
        for (_, _, picture), frame in zip(found, expected, strict=True):
            np.testing.assert_array_equal(picture, frame.picture)
        said = capsys.readouterr().err.splitlines()
        assert said == [f"{source}: frame {t} cannot be decoded and is left out" for t in lost]
