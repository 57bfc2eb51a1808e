"""`python -m lsts_jax.training.pretrained`: what it leaves is a run like any other."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

import lsts_jax
from lsts_jax.cli import load_config
from lsts_jax.config import Config
from lsts_jax.config_io import load_saved_config
from lsts_jax.errors import UserError
from lsts_jax.models.detector import build_detector
from lsts_jax.training.pretrained import check_classes, load_pretrained, open_weights
from lsts_jax.training.pretrained.__main__ import Conversion, ConversionTo, convert
from lsts_jax.training.state import init_variables
from tests.training.test_pretrained import torchvision_arrays

ROOT = Path(__file__).resolve().parents[2]


def run(source: Path, output: Path, config: Config | None = None, **options) -> str:
    if config is None:
        return convert(Conversion(source=str(source), output=output, **options))
    return convert(ConversionTo(source=str(source), output=output, config=config, **options))


def tiny(**data) -> Config:
    config = load_config(ROOT / "configs" / "tiny.py")
    return replace(config, data=replace(config.data, **data))


def equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A backbone under torchvision's names, and the run that it becomes."""
    place = tmp_path_factory.mktemp("pretrained")
    np.savez(place / "resnet.npz", **torchvision_arrays())
    run(place / "resnet.npz", place / "run", tiny())
    return place


def test_the_folder_is_a_run(place):
    loaded = lsts_jax.load(place / "run")
    assert loaded.step == 0
    assert loaded.config == load_saved_config(place / "run" / "config.json")
    backbone = loaded.config.model.backbone
    assert (backbone.norm, backbone.pixel_std, backbone.width) == ("frozen_batch", (58.395, 57.12, 57.375), 8)
    kernel = loaded.variables["params"]["high_level"]["res5_2"]["conv2"]["conv"]["kernel"]
    expected = torchvision_arrays()["layer4.1.conv2.weight"]
    np.testing.assert_array_equal(kernel[2, 0, 5, 7], expected[7, 5, 2, 0])


def test_training_starts_from_the_folder(place):
    loaded = lsts_jax.load(place / "run")
    config = replace(loaded.config, seed=5)
    initial = init_variables(build_detector(config.model, len(config.data.class_names)), config)
    equal(load_pretrained(initial, place / "run", config.model.backbone), loaded.variables)
    with pytest.raises(UserError, match=r"set --config\.model\.backbone\.norm frozen_batch"):
        load_pretrained(initial, place / "run", replace(config.model.backbone, norm="group"))


def test_classes_in_another_order_are_refused(place, caplog):
    trained = load_saved_config(place / "run" / "config.json")
    names = trained.data.class_names
    check_classes("run", trained, names)
    check_classes("run", trained, names[1:])  # is told by the shapes
    check_classes("resnet.npz", None, names)
    assert not caplog.records
    with pytest.raises(
        UserError, match=f"run: has the classes .* --config.data.class_names {' '.join(names)}$"
    ):
        load_pretrained({}, place / "run", trained.model.backbone, names[::-1])
    check_classes("run", trained, (*names[1:], "moon"))
    assert f"run: its classes are {' '.join(names)}; the detector begins with them as" in caplog.text


def test_a_run_becomes_a_file_and_a_run_again(place):
    file = place / "new" / "x.safetensors"
    told = run(place / "run", file, checkpoint="0")
    assert told == f"matched    137 of 137 arrays of the model\nnew        none\nleft over  none\n{file}"
    run(file, place / "again")
    first, second = lsts_jax.load(place / "run"), lsts_jax.load(place / "again")
    assert first.config == second.config == open_weights(file).config
    equal(first.variables, second.variables)
    assert [file.name for file in (place / "new").iterdir()] == ["x.safetensors"]
    assert run(place / "run", file)  # it was written here


def test_a_detector_of_other_classes_gives_all_but_its_head(place):
    config = tiny(class_names=("cat", "dog"))
    with pytest.raises(UserError, match=r"2 of another shape \(rfcn/classes/conv/bias: .*data\.class_names"):
        run(place / "run", place / "two", config)
    assert not (place / "two").exists()
    assert "new        rfcn 2\n" in run(place / "run", place / "two", config, allow_missing=("rfcn/classes",))
    first, second = (lsts_jax.load(place / name) for name in ("run", "two"))
    assert second.class_names == ("cat", "dog")
    equal(first.variables["params"]["rfcn"]["boxes"], second.variables["params"]["rfcn"]["boxes"])
    assert second.variables["params"]["rfcn"]["classes"]["conv"]["bias"].shape == (3 * 49,)


@pytest.mark.parametrize(
    "source, output, options, told",
    [
        ("resnet.npz", "run", {"config": tiny()}, "run: there is a run in it"),
        ("resnet.npz", "x.npz", {"config": tiny()}, r"a file that ends in \.safetensors"),
        ("resnet.npz", "x", {}, "give --config PATH"),
        ("resnet.npz", "x", {"config": tiny(class_names=())}, "class_names is empty"),
        ("none.npz", "x", {"config": tiny()}, "no such file"),
        ("run", "x", {"checkpoint": "3"}, r"does not exist; .*checkpoints has \[0\]"),
    ],
)
def test_mistakes_are_told(place, source, output, options, told):
    with pytest.raises(UserError, match=told):
        run(place / source, place / output, **options)
    assert not (place / "x").exists()


@pytest.mark.parametrize("output", ["mine.safetensors", "mine/config.json", "link.safetensors"])
def test_files_of_somebody_else_stay(place, output):
    file = place / output
    file.parent.mkdir(exist_ok=True)
    if output.startswith("link"):
        file.symlink_to(place / "elsewhere")
    else:
        file.write_text('{"mine": 1}')
    with pytest.raises(UserError, match=f"{output}: exists but"):
        run(place / "run", file.parent if file.name == "config.json" else file)
    assert file.is_symlink() or file.read_text() == '{"mine": 1}'
    assert not (place / "elsewhere").exists()


def test_the_command_line(place):
    """Once from the outside: the options, then a mistake as one line and a status."""

    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "lsts_jax.training.pretrained", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )

    (place / "x.params").write_bytes(b"damaged")
    done = command("--config=configs/tiny.py", place / "x.params", place / "x", "--allow-unused", "a", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {place}/x.params: damaged or cut short at byte 0 of 7\n"
    done = command(place / "run", place / "outside", "--checkpoint", "latest")
    assert done.returncode == 0, done.stderr
    assert done.stderr.endswith(f"{place}/outside\n")
    equal(lsts_jax.load(place / "outside").variables, lsts_jax.load(place / "run").variables)
