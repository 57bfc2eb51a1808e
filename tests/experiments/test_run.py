"""The runner goes on where it stopped, and says what went wrong."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments import results, run
from experiments.numbers import read_runs
from experiments.process import Failed
from experiments.suites import PRETRAINED, SUITES, Experiment
from lsts_jax.config_io import save_config
from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset
from lsts_jax.errors import UserError
from tests.experiments.suite import ALL, MACHINE, SUITE
from tests.tiny import tiny_config


@pytest.fixture
def scripts(monkeypatch, tmp_path):
    """The suite with scripts that write what train.py and evaluate.py do, and their calls."""
    calls, broken = [], set()

    def fake(command, log):
        script, options = command[1], dict(zip(command[2::2], command[3::2], strict=False))
        folder = Path(options["--workdir"])
        calls.append((script, folder.name, command))
        if folder.name in broken:
            raise Failed("train.py ended with status 2: error: no such field")
        if script == "train.py":
            save_config(tiny_config(), folder / "config.json")
            (folder / "metrics.jsonl").write_text('{"step": 5, "images_per_second": 4.0}\n')
        else:
            score = 0.2 if any("keyframe_interval" in each for each in command) else 0.5
            (folder / "eval").mkdir()
            groups = {"mAP by degraded": {"degraded": 0.25, "clean": 0.75}, "AP": {"disc": score}}
            (folder / "eval" / "metrics.json").write_text(json.dumps({"mAP": score} | groups))
            speed = {"decode": 1.0, "live, keyframe": 0.002, "live, other frame": 0.001}
            (folder / "eval" / "speed.json").write_text(json.dumps(speed))

    monkeypatch.setitem(SUITES, "test", SUITE)
    monkeypatch.setattr(run, "call", fake)
    monkeypatch.setattr(run, "inside", lambda folder: {"parameters": 1000})
    monkeypatch.setattr(run, "cost", lambda folder, overrides: {"memory_bytes": 64})
    monkeypatch.setattr(run, "machine", lambda: MACHINE)
    (tmp_path / "data").mkdir()
    folders = ["--workdir", tmp_path / "work", "--data", tmp_path / "data", "--results", tmp_path / "results"]
    start = lambda *options: run.run(["--suite", "test", *map(str, folders), *options])
    return start, calls, broken


def test_every_run_leaves_a_result_and_is_not_done_again(scripts, tmp_path, capsys):
    start, calls, _ = scripts
    start()
    assert sorted(file.stem for file in (tmp_path / "results").iterdir()) == sorted(ALL)
    trained = [folder for script, folder, _ in calls if script == "train.py"]
    assert trained == [name for name in ALL if not name.startswith("interval20")]
    found = json.loads((tmp_path / "results" / "lsts-seed1.json").read_text())
    assert found == {
        "suite": "test",
        "experiment": "lsts",
        "seed": 1,
        "of": None,
        "overrides": {"train.epochs": 0.5, "model.temporal": "lsts"},
        "mAP": 0.5,
        "mAP by degraded": {"degraded": 0.25, "clean": 0.75},
        "milliseconds": {"keyframe": 2.0, "other frame": 1.0},
        "steps": 5,
        "seconds": 2.5,  # 5 batches of 2 at 4 images a second
        "parameters": 1000,
        "memory_bytes": 64,
        "machine": MACHINE,
    }
    evaluated = json.loads((tmp_path / "results" / "interval20-seed1.json").read_text())
    assert (evaluated["of"], evaluated["mAP"]) == ("lsts", 0.2)
    command = next(
        command for script, folder, command in calls if (script, folder) == ("train.py", "lsts-seed1")
    )
    assert f"--config.train.pretrained={tmp_path / 'work' / 'pretrain-seed1'}" in command
    assert "--config.seed=1" in command
    # each evaluation of a detector is kept
    for name, score in (("lsts", 0.5), ("interval20", 0.2)):
        kept = tmp_path / "work" / "lsts-seed1" / "evaluations" / name / "metrics.json"
        assert json.loads(kept.read_text())["mAP"] == score
    assert "interval20-seed1: mAP 20.0, degraded 25.0, clean 75.0" in capsys.readouterr().out

    calls.clear()
    start()
    assert not calls
    assert f"9 of 9 runs are in {tmp_path / 'results'}" in capsys.readouterr().out


def test_an_interrupted_suite_goes_on(scripts, tmp_path):
    start, calls, _ = scripts
    start()
    calls.clear()
    (tmp_path / "results" / "interval20-seed1.json").unlink()
    start()
    assert [(script, folder) for script, folder, _ in calls] == [("evaluate.py", "lsts-seed1")]
    calls.clear()
    # results without the detectors that made them, as in a fresh clone: new ones would be other ones
    (tmp_path / "results" / "interval20-seed1.json").unlink()
    (tmp_path / "work").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"work/lsts-seed1: the detector of .*lsts-seed1.json is not there"):
        start()
    start("--only", "single")
    assert not calls


def test_a_result_of_other_settings_is_refused(scripts, tmp_path, monkeypatch):
    start, _, _ = scripts
    start()
    monkeypatch.setitem(SUITES, "test", replace(SUITE, training={"train.epochs": 0.75}))
    with pytest.raises(
        UserError, match=r"-seed\d.json: was made with other settings of train.epochs; delete"
    ):
        start()


def test_a_failed_run_is_told_and_the_others_go_on(scripts, tmp_path, capsys):
    start, calls, broken = scripts
    broken |= {"lsts-seed0", "pretrain-seed1"}
    with pytest.raises(SystemExit) as stopped:
        start()
    assert stopped.value.code == 1
    done = {file.stem for file in (tmp_path / "results").iterdir()}
    assert done == {"pretrain-seed0", "single-seed0", "frozen-seed0"}
    assert not {"single-seed1", "lsts-seed1"} & {folder for _, folder, _ in calls}
    told = capsys.readouterr()
    assert "lsts-seed0: FAILED: train.py ended with status 2: error: no such field" in told.out
    assert "6 of 9 runs failed; the same command tries them again" in told.err
    assert "  interval20-seed0: left out, since lsts-seed0 failed\n" in told.err
    assert "  interval20-seed1: left out, since lsts-seed1 failed\n" in told.err

    broken.clear()
    start()
    assert sorted(file.stem for file in (tmp_path / "results").iterdir()) == sorted(ALL)


def test_mistakes(scripts, tmp_path):
    start, _, _ = scripts
    with pytest.raises(UserError, match=r"--suite papre: no such suite; choose from paper"):
        run.run(["--suite", "papre", "--workdir", str(tmp_path)])
    (tmp_path / "data").rmdir()
    with pytest.raises(UserError, match=r"data: no such folder; name it by --data, or .*: render it"):
        start()
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.slow
def test_a_small_suite_is_trained_evaluated_and_told(tmp_path, monkeypatch):
    """A step or two each, in processes of their own."""
    settings = SynthVIDConfig(
        videos=1, val_videos=1, frames=12, height=64, width=96, stills=2, difficulty="bursts"
    )
    render_dataset(tmp_path / "data", settings, workers=1, progress=False)
    short = {"data.class_names": (), "train.epochs": 0.1, "train.checkpoint_every": 1}
    dff = Experiment("dff", "DFF", {"model.temporal": "dff"}, flow=True)
    suite = replace(
        SUITE,
        seeds=(0,),
        pretraining={PRETRAINED: short | SUITE.pretraining[PRETRAINED]},
        flow={"width": 4, "steps": 2, "batch_size": 2, "pairs": 2},
        training=short | {"model.dff.flow_width": 4},
        experiments=(*(replace(each, every_seed=False) for each in SUITE.experiments), dff),
    )
    monkeypatch.setitem(SUITES, "test", suite)
    folder = tmp_path / "results"
    places = [
        "--workdir",
        tmp_path / "work",
        "--data",
        tmp_path / "data",
        "--results",
        folder / "test" / "own",
    ]
    run.run(["--suite", "test", *map(str, places)])
    (tmp_path / "RESULTS.md").write_text("<!-- table: test/core -->\n<!-- end -->\n")
    results.run(["--suite", "test", "--results", str(folder), "--pages", str(tmp_path / "RESULTS.md")])
    runs = read_runs(folder / "test")
    assert runs.keys() == {"pretrain", "single", "lsts", "frozen", "interval20", "flow", "dff"}
    assert runs["dff"]["own/0"]["gmac"].keys() == {"keyframe", "other frame"}
    assert 0 < runs["flow"]["own/0"]["end-point error"] < 10
    offsets = {name: runs[name]["own/0"]["offsets"] for name in ("lsts", "frozen")}
    assert offsets["lsts"][0]["offsets"] != offsets["lsts"][-1]["offsets"]
    assert offsets["frozen"][0]["offsets"] == offsets["frozen"][-1]["offsets"]
    assert "nan" not in (tmp_path / "RESULTS.md").read_text()
