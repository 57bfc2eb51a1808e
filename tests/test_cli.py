"""The command line: experiments, overrides, mistakes as one line, and the config's round trip."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsts_jax import cli
from lsts_jax.commands import predict
from lsts_jax.config import BackboneConfig, Config, DataConfig, LSTSConfig, ModelConfig, OptimizerConfig
from lsts_jax.config_io import load_saved_config, save_config
from lsts_jax.errors import UserError

EXPERIMENT = """
from lsts_jax.config import Config, OptimizerConfig

def get_config():
    return Config(seed=7, optimizer=OptimizerConfig(learning_rate=0.125))
"""


@dataclass(frozen=True)
class Options:
    """Trains a detector."""

    config: cli.Experiment
    workdir: str
    """Folder of the run."""
    checkpoint: str = "best"


@dataclass(frozen=True)
class PlainOptions:
    """Has no experiment."""

    source: str


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with configs/demo.py and configs/tiny.py, to run in."""
    (tmp_path / "configs").mkdir()
    for name in ("demo", "tiny"):
        (tmp_path / "configs" / f"{name}.py").write_text(EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["/some/where/train.py"])
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def parse(line):
    return cli.parse(Options, line.split())


def mistake(action, *arguments):
    """The one line of the UserError that `action` raises."""
    with pytest.raises(UserError) as caught:
        action(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_experiment_gives_the_defaults():
    options = parse("--config configs/demo.py --workdir runs/demo")
    assert options == Options(
        Config(seed=7, optimizer=OptimizerConfig(learning_rate=0.125)), "runs/demo", "best"
    )
    assert parse("--workdir runs/demo --config=configs/demo.py") == options


def test_overrides_reach_every_level_and_type():
    options = parse(
        "--workdir w --config.optimizer.learning_rate 0.5 --config configs/demo.py --checkpoint 300"
        " --config.model.backbone.depth 18 --config.model.backbone.split 2"
        " --config.data.canvases 128 192 192 128 --config.data.flip False"
        " --config.model.lsts.offsets=gaussian --config.data.class-names cat dog"
    )
    assert options.config == Config(
        seed=7,
        optimizer=OptimizerConfig(learning_rate=0.5),
        model=ModelConfig(backbone=BackboneConfig(depth=18, split=2), lsts=LSTSConfig(offsets="gaussian")),
        data=DataConfig(canvases=((128, 192), (192, 128)), flip=False, class_names=("cat", "dog")),
    )
    assert options.checkpoint == "300"


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("--config.model.lsts.windw 1", ["lsts.windw,", "meant: --config.model.lsts.window INT"]),
        ("--config.train.epochs x", ["--config.train.epochs:", "'x'", "expected", "FLOAT"]),
        ("--config.seed 2.5", ["--config.seed:", "'2.5'", "INT"]),
        ("--config.seed", ["--config.seed", "Missing value"]),
        ("--config.model.backbone.depth 19", ["'19'", ".backbone.depth", "'10', '18', '34', '50', '101'"]),
        ("--config.data.flip maybe", ["'maybe'", "--config.data.flip", "'True', 'False'"]),
        ("--config.data.canvases 3 4 5", ["--config.data.canvases:", "INT INT"]),
        ("--config.nothing.like.it 3", ["--config.nothing.like.it"]),
        ("stray", ["stray"]),
    ],
)  # fmt: skip
def test_a_wrong_override_is_one_line_that_names_it(line, parts):
    message = mistake(parse, f"--config configs/demo.py --workdir w {line}")
    for part in parts:
        assert part in message
    assert not set(message) & set("│╭╰─\x1b")


def test_missing_options_are_named():
    assert "--workdir" in mistake(parse, "--config configs/demo.py")
    assert "configs/demo.py, configs/tiny.py" in mistake(parse, "--workdir w")
    for line in ("--workdir w --config", "--config --workdir w", "--config= --workdir w"):
        assert "--config needs a file" in mistake(parse, line)


@dataclass(frozen=True)
class Flags:
    """Has flags, one of a part."""

    draw_tracks: bool = False
    report: bool = True
    hosts: cli.Hosts = field(default_factory=cli.Hosts)


@pytest.mark.parametrize(
    ("line", "changed"),
    [
        ("", {}),
        ("--draw_tracks --no_report", {"draw_tracks": True, "report": False}),
        ("--draw-tracks --no-report", {"draw_tracks": True, "report": False}),
        ("--draw-tracks True --report False", {"draw_tracks": True, "report": False}),
        ("--draw_tracks False --report True", {}),
        ("--hosts.detect", {"hosts": cli.Hosts(detect=True)}),
        ("--hosts.detect True", {"hosts": cli.Hosts(detect=True)}),
        ("--hosts.detect False", {}),
    ],
)
def test_bools_are_flags_that_may_have_a_value(line, changed):
    assert cli.parse(Flags, line.split()) == replace(Flags(), **changed)


def test_a_flag_takes_no_other_value():
    assert "maybe" in mistake(cli.parse, Flags, ["--report", "maybe"])


def test_options_without_an_experiment():
    assert cli.parse(PlainOptions, ["--source", "clip.mp4"]) == PlainOptions("clip.mp4")
    assert "--config" in mistake(cli.parse, PlainOptions, ["--source", "clip.mp4", "--config", "a.py"])


@pytest.mark.parametrize(("line", "rate"), [("--help", "0.00025"), ("--config configs/demo.py -h", "0.125")])
def test_help_shows_docstrings_and_the_experiments_values(capsys, line, rate):
    with pytest.raises(SystemExit) as caught:
        parse(line)
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Trains a detector." in shown and "--config PATH" in shown and "Folder of the run." in shown
    assert "--config.model.backbone.depth {10,18,34,50,101}" in shown
    assert "Learning rate of the offsets, as a multiple of the optimizer's (authors)." in shown
    assert f"(default: {rate})" in shown


def test_help_wraps_the_docstring_to_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        cli.parse(predict.Options, ["--help"])
    lines = capsys.readouterr().out.partition("Detect objects")[2].partition("\n\n")[0].splitlines()
    assert len(lines) > 3 and max(map(len, lines)) <= 60
    assert all(line[0] == " " != line[1] for line in lines)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (None, ["configs/broken.py: no such file", "configs/demo.py, configs/tiny.py"]),
        ("x = 1", ["configs/broken.py: no function get_config()"]),
        ("def get_config():\n    return {}", ["configs/broken.py: get_config() returns dict"]),
        ("def get_config(:", ["configs/broken.py, line 1: SyntaxError"]),
        ("import nowhere_at_all", ["configs/broken.py, line 1: ModuleNotFoundError", "nowhere_at_all"]),
        ("\ndef get_config():\n    return 1 / 0", ["configs/broken.py, line 3: ZeroDivisionError"]),
        (
            "from lsts_jax.config import Config\ndef get_config():\n    return Config(sead=1)",
            ["configs/broken.py, line 3: TypeError", "'sead'"],
        ),
    ],
)
def test_a_broken_experiment_is_named(folder, source, parts):
    if source is not None:
        (folder / "configs" / "broken.py").write_text(source)
    message = mistake(cli.load_config, "configs/broken.py")
    for part in parts:
        assert part in message


def test_near_misses_are_offered(folder):
    assert (
        mistake(cli.load_config, "configs/dmeo.py")
        == "configs/dmeo.py: no such file; choose from configs/demo.py"
    )
    assert mistake(cli.load_config, "tinny").endswith("choose from configs/tiny.py")
    (folder / "configs" / "demo.json").write_text("{}")
    assert mistake(cli.load_config, "configs/demo.json").endswith("a Python file, such as configs/demo.py")


@pytest.mark.parametrize(
    ("name", "depth"), [("lsts_r101_vid", 101), ("configs/lsts_r101_vid.py", 101), ("variants/paper", 18)]
)
def test_experiments_of_the_package_are_found_by_name_from_any_folder(name, depth):
    assert cli.load_config(name).model.backbone.depth == depth


def test_a_file_goes_before_an_experiment_of_the_package():
    assert cli.load_config("configs/demo.py").seed == 7


def test_without_files_the_experiments_of_the_package_are_named(folder, monkeypatch):
    monkeypatch.chdir(folder / "configs")
    assert mistake(cli.load_config, "synthvid").endswith("choose from synthvid_s")
    assert "demo, dff_r101_vid, fgfa_r101_vid, lite_real, lsts_" in mistake(
        cli.load_config, "nothing/like/it"
    )


def test_fields_of_an_experiment_are_checked(folder):
    # In a process of its own: here the types are also checked by the tests' import hook, as Config is made.
    (folder / "configs" / "broken.py").write_text(
        "from lsts_jax.config import *\n"
        "def get_config(): return Config(model=ModelConfig(backbone=BackboneConfig(depth=102)))\n"
    )
    (folder / "configs" / "loose.py").write_text(
        "from lsts_jax.config import *\n"
        "def get_config(): return Config(data=DataConfig(val_lists=['a']), train=TrainConfig(epochs=3))\n"
    )
    code = (
        "import sys; from lsts_jax.cli import *; c = load_config('configs/loose.py')\n"
        "assert c.data.val_lists == ('a',) and type(c.train.epochs) is float\n"
        "sys.argv = ['train.py', 'configs/broken.py']; main(lambda arguments: load_config(arguments[0]))"
    )
    path = [entry for entry in sys.path if entry] + [str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{code}"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == (
        "error: configs/broken.py: config.model.backbone.depth is 102, "
        "expected Literal[10, 18, 34, 50, 101]\n"
    )


def test_a_reader_that_leaves_ends_a_command_without_a_traceback():
    code = (
        "import sys; from lsts_jax.cli import main; sys.argv = ['lsts']\n"
        "main(lambda arguments: [print(number) for number in range(1_000_000)])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout.readline() == "0\n"
        command.stdout.close()
        assert (command.stderr.read(), command.wait(60)) == ("", 141)


def test_main_exits_with_a_line(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["train.py", "a", "b"])
    seen = []
    cli.main(seen.extend)
    assert seen == ["a", "b"]

    def stop(error):
        def run(arguments):
            raise error

        with pytest.raises(SystemExit) as caught:
            cli.main(run)
        return caught.value.code, capsys.readouterr().err

    assert stop(UserError("clip.mp4: cannot be\n  opened")) == (2, "error: clip.mp4: cannot be opened\n")
    assert stop(KeyboardInterrupt()) == (130, "interrupted\n")
    with pytest.raises(ZeroDivisionError):
        cli.main(lambda arguments: 1 / 0)


@given(
    st.integers(0, 2**63 - 1),
    st.floats(0, allow_infinity=False),
    st.lists(st.tuples(st.integers(1), st.integers(1)), min_size=1),
    st.lists(st.text(), unique=True),
    st.booleans(),
)
def test_a_saved_config_comes_back_exactly(tmp_path_factory, seed, rate, canvases, names, flip):
    config = Config(
        seed=seed,
        optimizer=OptimizerConfig(name="adamw", learning_rate=rate, drop_epochs=(rate, 2.0)),
        data=DataConfig(canvases=tuple(canvases), class_names=tuple(names), flip=flip, train_lists=()),
    )
    path = tmp_path_factory.getbasetemp() / "saved" / "config.json"  # a folder that no other test looks into
    path.parent.mkdir(exist_ok=True)
    save_config(config, path)
    loaded = load_saved_config(path)
    assert loaded == config and repr(loaded) == repr(config)
    assert [each.name for each in path.parent.iterdir() if each.name.startswith("config.json")] == [path.name]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda all: all.update(sead=1), ["config has no field 'sead'", "another version"]),
        (lambda all: all["model"].update(lsts=3), ["config.model.lsts is 3, expected LSTSConfig"]),
        (lambda all: all["data"].update(flip=1), ["config.data.flip is 1, expected bool"]),
        (lambda all: all.update(seed=True), ["config.seed is True, expected int"]),
        (lambda all: all["data"].update(canvases=[[1, 2, 3]]), ["config.data.canvases[0] is [1, 2, 3]"]),
        (lambda all: all["data"].update(canvases=[[1, "2"]]), ["config.data.canvases[0][1] is '2'"]),
        (lambda all: all["model"].update(dtype="int8"), ["'int8', expected Literal['float32'"]),
    ],
)
def test_a_file_of_another_version_is_refused_by_field(folder, change, parts):
    path = folder / "config.json"
    save_config(Config(), path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    message = mistake(load_saved_config, path)
    assert message.startswith(f"{path}: ")
    for part in parts:
        assert part in message


def test_a_field_that_is_younger_than_the_file_takes_its_default(folder):
    save_config(replace(Config(), seed=3), folder / "config.json")
    values = json.loads((folder / "config.json").read_text())
    del values["model"]["lsts"]["window"], values["evaluation"]
    (folder / "config.json").write_text(json.dumps(values))
    assert load_saved_config(folder / "config.json") == replace(Config(), seed=3)


def test_an_unreadable_file_is_named(folder):
    assert "runs/config.json: no such file" in mistake(load_saved_config, "runs/config.json")
    (folder / "config.json").write_text('{"data": ')
    assert "config.json: not JSON" in mistake(load_saved_config, "config.json")
    assert "runs/config.json: No such file" in mistake(save_config, Config(), "runs/config.json")


def test_saving_again_replaces(folder):
    save_config(Config(), folder / "config.json")
    save_config(replace(Config(), seed=3), folder / "config.json")
    assert load_saved_config(folder / "config.json").seed == 3


def test_a_user_without_home_and_account_has_no_cache(monkeypatch):
    def nobody(uid):
        raise KeyError(uid)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert cli.cache_folder() is None
    before = jax.config.jax_compilation_cache_dir
    try:
        jax.config.update("jax_compilation_cache_dir", None)
        cli.prepare_jax()
        assert jax.config.jax_compilation_cache_dir is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)
