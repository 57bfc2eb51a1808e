"""The experiment runner goes on where it stopped, and its tables hold what can be worked out by hand."""

import csv
import json
import os
import signal
import sys
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import results, run
from experiments.numbers import difference, distances, read_runs
from experiments.plan import plan
from experiments.process import ROOT, Failed, call, reason_in
from experiments.record import inside, training_record
from experiments.run import as_arguments
from experiments.suites import CENTRE, INITIAL, SUITES, Evaluation, Experiment, Suite
from lsts_jax import cli
from lsts_jax.config import Config
from lsts_jax.config_checks import validate
from lsts_jax.config_io import check_fields, save_config
from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset
from lsts_jax.errors import Stopped, UserError
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state
from tests.tiny import tiny_config, tiny_detector
from train import Options as TrainOptions

SUITE = Suite(
    config="configs/tiny.py",
    data="render it",
    seeds=(0, 1),
    pretraining={"model.temporal": "none"},
    training={"train.epochs": 0.5},
    experiments=(
        Experiment("single", "single frame", {"model.temporal": "none"}, every_seed=True),
        Experiment("lsts", "LSTS", {"model.temporal": "lsts"}, every_seed=True),
        Experiment("frozen", "frozen", {"model.lsts.learn_offsets": False}),
    ),
    evaluations=(Evaluation("interval20", "interval 20", "lsts", {"model.keyframe_interval": 20}),),
    tables={
        "core": {"single": "single frame", "lsts": "LSTS"},
        "offsets": {"lsts": "learned"},
        "interval": {"lsts": "3", "interval20": "20"},
        "normalization": {"lsts": "s / Σ |s|"},
        "beyond": {"single": "none", "lsts": "learned"},
    },
    baselines={"beyond": "single"},
)
ALL = [
    *("pretrain-seed0", "single-seed0", "lsts-seed0", "interval20-seed0"),
    *("pretrain-seed1", "single-seed1", "lsts-seed1", "interval20-seed1"),
    "frozen-seed0",
]
MACHINE = {"platform": "cpu", "device": "cpu", "devices": 1, "jax": "0.10.2", "cores": 2}


def test_a_suite_is_planned_seed_by_seed_and_what_a_run_needs_comes_before_it():
    planned = plan(SUITE, (0, 1))
    assert [each.name for each in planned] == ALL
    by_name = {each.name: each for each in planned}
    assert by_name["interval20-seed1"].after == by_name["lsts-seed1"]
    assert by_name["interval20-seed1"].overrides == {
        "train.epochs": 0.5,
        "model.temporal": "lsts",
        "model.keyframe_interval": 20,
    }
    assert by_name["frozen-seed0"].after == by_name["pretrain-seed0"]
    names = lambda *only: [each.name for each in plan(SUITE, (3, 4), only)]
    assert names("frozen") == ["pretrain-seed3", "frozen-seed3"]
    assert names("interval*") == [
        *("pretrain-seed3", "lsts-seed3", "interval20-seed3"),
        *("pretrain-seed4", "lsts-seed4", "interval20-seed4"),
    ]
    with pytest.raises(UserError, match=r"--only srfu: the experiments are single, lsts, frozen, interval20"):
        plan(SUITE, (0,), ("srfu",))


@pytest.mark.parametrize("name", SUITES)
def test_the_config_takes_every_override_and_tables_name_experiments(name):
    suite = SUITES[name]
    planned = plan(suite, suite.seeds)
    for each in planned:
        values = asdict(cli.load_config(suite.config))
        for field, value in each.overrides.items():
            *path, last = field.split(".")
            place = values
            for part in path:
                place = place[part]
            place[last] = value
        validate(check_fields(Config, values, "config"))
    assert len({each.name for each in planned}) == len(planned)
    for rows in suite.tables.values():
        assert rows.keys() <= {each.experiment for each in planned} | {INITIAL, CENTRE}


def test_overrides_reach_the_scripts():
    overrides = {
        "model.lsts.learn_offsets": False,
        "optimizer.drop_epochs": (0.4, 2.0),
        "data.class_names": (),
        "optimizer.learning_rate": 1e-3,
        "model.temporal": "copy",
    }
    arguments = ["--config", "configs/demo.py", "--workdir", "w", *as_arguments(overrides)]
    config = cli.parse(TrainOptions, arguments).config
    assert config.model.lsts.learn_offsets is False
    assert config.optimizer.drop_epochs == (0.4, 2.0)
    assert config.data.class_names == ()
    assert config.optimizer.learning_rate == 0.001
    assert config.model.temporal == "copy"


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
    with pytest.raises(UserError, match=r"--suite papre: there is paper"):
        run.run(["--suite", "papre", "--workdir", str(tmp_path)])
    (tmp_path / "data").rmdir()
    with pytest.raises(UserError, match=r"data: no such folder; name it by --data, or .*: render it"):
        start()
    assert not list((tmp_path / "results").iterdir())


def test_a_script_that_fails_tells_why(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("ValueError: of an earlier run\n")
    with pytest.raises(Failed, match=r"-c ended with status 3: last words$"):
        call([sys.executable, "-c", "print('first\\n\\rlast words'); raise SystemExit(3)"], log)
    with pytest.raises(Failed, match=r"-c ended with status 1: ValueError: no$"):
        call([sys.executable, "-c", "import os; print(os.getcwd(), flush=True); raise ValueError('no')"], log)
    assert f"{ROOT}\n" in log.read_text()
    call([sys.executable, "-c", "print('well')"], log)
    assert log.read_text().endswith("well\n")
    jax_error = "jax.errors.TracerError: leaked\n-----\nFor simplicity, JAX has removed frames\n"
    assert reason_in(jax_error) == "jax.errors.TracerError: leaked"
    assert reason_in("50% done\rerror: runs/x: no such file\n") == "error: runs/x: no such file"
    assert reason_in("") == "no output"


def test_a_signal_is_handed_on_and_waited_for(tmp_path):
    log = tmp_path / "log.txt"
    log.touch()
    child = (
        "import signal, sys, time\n"
        "def save(*_): time.sleep(0.3); print('saved', flush=True); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save); print('ready', flush=True); time.sleep(60)"
    )

    def interrupt():
        while "ready" not in log.read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped, match="SIGINT: stopped; the same command goes on") as stopped:
        call([sys.executable, "-c", child], log)
    thread.join()
    assert stopped.value.signal == signal.SIGINT
    assert log.read_text() == "ready\nsaved\n"


def test_steps_and_seconds_are_those_of_the_log(tmp_path):
    save_config(tiny_config(), tmp_path / "config.json")  # batches of 2
    lines = (
        {"step": 1, "images_per_second": 0.5, "offset_spread": 1.00004},
        {"step": 21, "images_per_second": 10.0, "offset_spread": 1.25},
        {"step": 21, "mAP": 0.5},
    )
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert training_record(tmp_path) == {
        "steps": 21,
        "seconds": 4.0 + 4.0,
        "offset spread": [[1, 1.0], [21, 1.25]],
    }


def test_offsets_before_during_and_after_the_training_are_kept(tmp_path):
    config = tiny_config()
    detector, variables = tiny_detector(config)
    optimizer = build_optimizer(config.optimizer, 10, detector.temporal)
    save_config(config, tmp_path / "config.json")
    with Checkpoints(tmp_path) as checkpoints:
        for step, shift in ((4, 0.25), (10, 0.5)):
            params = variables["params"]
            moved = {"params": params | {"offsets": params["offsets"] + shift}}
            state = init_state(detector, optimizer, moved, config.seed)
            checkpoints.save(state._replace(step=jnp.int32(step)))
    found = inside(tmp_path)
    assert found["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert [stored["step"] for stored in found["offsets"]] == [0, 4, 10]
    grid = [[float(x), float(y)] for x in (-1, 0, 1) for y in (-1, 0, 1)]
    assert found["offsets"][0]["offsets"] == grid
    np.testing.assert_allclose(found["offsets"][2]["offsets"], np.array(grid) + 0.5)


def stored(folder, experiment, seed, mAP, *, degraded=None, offsets=None, **more):
    result = {"experiment": experiment, "seed": seed, "of": None, "overrides": {}, "mAP": mAP / 100}
    result |= {"machine": MACHINE, "parameters": 12345, "seconds": 1800.0, "steps": 10}
    result |= {"milliseconds": {"keyframe": 4.0, "other frame": 2.5}} | more
    if degraded is not None:
        result["mAP by degraded"] = {"degraded": degraded / 100, "clean": 0.9}
    if offsets is not None:
        result["offsets"] = [
            {"step": step, "offsets": values} for step, values in zip((0, 10), offsets, strict=True)
        ]
        result["offset spread"] = [[1, 1.0], [10, 2.0]]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{experiment}-seed{seed}.json").write_text(json.dumps(result))


def test_the_interval_is_that_of_paired_differences():
    a, b = {0: 90.0, 1: 92.0, 2: 94.0, 3: 7.0}, {0: 80.0, 1: 84.0, 2: 82.0, 4: 1.0}
    found = difference(a, b)  # 10, 8, 12: standard deviation 2; Student's t of 2 degrees: 4.303
    assert found.mean == pytest.approx(10)
    assert found.interval == pytest.approx((10 - 4.303 * 2 / 3**0.5, 10 + 4.303 * 2 / 3**0.5), abs=1e-3)
    assert found.pairs == 3
    assert difference({0: 3.0}, {0: 5.0}) == (-2.0, None, 1)
    assert difference({0: 3.0}, {1: 5.0}) is None


def test_the_distance_is_the_way_that_offsets_would_have_to_move():
    motion = {"offline": np.array([[1.5, 0.0], [2.5, 0.0]]), "online": np.array([[2.5, 1.0]])}
    steps = [{"step": 0, "offsets": [[0, 1], [0, -1]]}, {"step": 9, "offsets": [[2.5, 0], [1.5, 0]]}]
    result = {"overrides": {}, "offsets": steps}
    assert distances(result, motion) == [(0, 2.0, 1.0), (9, 0.0, 0.0)]
    assert distances({"overrides": {}}, motion) == []
    # both frames' way is that of the schedule
    online = {"overrides": {"model.schedule": "online"}, "offsets": steps}
    assert distances(online, motion)[1] == (9, 0.5, 1.0)


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page with prose, the stored results of three seeds beside it."""
    monkeypatch.setitem(SUITES, "test", SUITE)
    folder = tmp_path / "results" / "test" / "first"
    learned = [[0.0, 0.0]] * 2, [[1.0, 0.0]] * 2
    for seed, lsts, single in ((0, 90, 80), (1, 92, 84), (2, 94, 82)):
        stored(folder, "lsts", seed, lsts, degraded=lsts - 10, offsets=learned)
        stored(folder, "single", seed, single, degraded=50)
    stored(folder, "pretrain", 0, 75)
    stored(folder, "interval20", 0, 88.06, of="lsts")
    (folder / "motion.json").write_text('{"offline": [[1.0, 0.5], [1.0, 0.5]]}')
    page = tmp_path / "RESULTS.md"
    page.write_text(
        "Before.\n<!-- table: test/core -->\nold\n<!-- end -->\nBetween | them.\n"
        "<!-- table: test/differences -->\n<!-- end -->\n<!-- table: test/interval -->\n<!-- end -->\n"
        "<!-- table: test/motion -->\n<!-- end -->\n<!-- table: test/machines -->\n<!-- end -->\n"
        "<!-- table: test/normalization -->\n<!-- end -->\n"
        "<!-- table: test/beyond -->\n<!-- end -->\nAfter.\n"
    )
    return page, folder


def tables_of(page):
    """Lines of each table, without its ruler, once the command has filled the page."""
    results.run(["--suite", "test", "--results", str(page[1].parents[1]), "--page", str(page[0])])
    found = {}
    for block in page[0].read_text().split("<!-- table: test/")[1:]:
        name, rest = block.split(" -->\n", 1)
        head, ruler, *rows = rest.split("<!-- end -->")[0].splitlines()
        assert ruler.count("|") == head.count("|")
        found[name] = [head, *rows]
    return found


def test_tables_hold_what_the_files_say(page):
    tables = tables_of(page)
    written = page[0].read_text()
    prose = [part.split("<!-- end -->\n")[-1] for part in written.split("<!-- table: ")]
    assert prose == ["Before.\n", "Between | them.\n", "", "", "", "", "", "After.\n"]
    assert tables["core"] == [
        "|  | runs | mAP | degraded | clean | slow | medium | fast | parameters (k) | keyframe (ms) | "
        "other frame (ms) | training (min) |",
        "| where all start | 1 | 75.0 | - | - | - | - | - | 12 | 4.0 | 2.5 | 30.0 |",
        "| single frame | 3 | 82.0 ± 2.0 | 50.0 ± 0.0 | 90.0 ± 0.0 | - | - | - | 12 ± 0 | 4.0 ± 0.0 | "
        "2.5 ± 0.0 | 30.0 ± 0.0 |",
        "| LSTS | 3 | 92.0 ± 2.0 | 82.0 ± 2.0 | 90.0 ± 0.0 | - | - | - | 12 ± 0 | 4.0 ± 0.0 | 2.5 ± 0.0 | "
        "30.0 ± 0.0 |",
    ]
    assert tables["differences"] == [
        "|  | mAP, against single frame | degraded, against single frame | clean, against single frame | "
        "mAP, against frozen | degraded, against frozen | clean, against frozen |",
        "| where all start | -5.0 | - | - | - | - | - |",
        "| single frame |  |  |  | - | - | - |",
        "| LSTS | +10.0 [+5.0, +15.0] | +32.0 [+27.0, +37.0] | +0.0 [+0.0, +0.0] | - | - | - |",
    ]
    # against 90, its own seed
    assert tables["interval"][2] == "| 20 | 1 | 88.1 | - | - | - | - | - | -1.9 | - | - |"
    assert tables["beyond"][0].endswith(
        "| fast | mAP, against single frame | degraded, against single frame | fast, against single frame |"
    )
    assert tables["beyond"][2].endswith("| - | +10.0 [+5.0, +15.0] | +32.0 [+27.0, +37.0] | - |")
    assert tables["motion"][1] == "| LSTS | 1.00 ± 0.00 | - | 0.00 ± 0.00 | 0.50 ± 0.00 | - | 0.50 ± 0.00 |"
    assert tables["machines"][1] == "| cpu | 1 | 2 | 0.10.2 | 8 | 4.0 |"
    assert tables["normalization"][1].startswith(r"| s / Σ \|s\| | 3 |")

    tables_of(page)
    assert page[0].read_text() == written


def test_files_beside_the_tables(page):
    tables_of(page)
    folder = page[1].parent
    with (folder / "results.csv").open(newline="") as file:
        rows = {(row["experiment"], row["replicate"]): row for row in csv.DictReader(file)}
    assert len(rows) == 8
    assert rows["interval20", "first/0"]["mAP"] == "88.06"
    assert rows["interval20", "first/0"]["evaluates"] == "lsts"
    assert rows["lsts", "first/2"]["degraded"] == "84.0"
    summary = json.loads((folder / "results.json").read_text())
    assert summary["lsts"]["mAP"] == {"mean": pytest.approx(92), "deviation": pytest.approx(2)}
    assert summary["lsts"]["against single"]["mAP"]["interval"] == pytest.approx([5.032, 14.968], abs=1e-3)
    assert summary["lsts"]["distance of offsets to motion"]["first/0"] == [[0, 1.0, 0.5], [10, 0.0, 0.5]]
    for name in ("core", "interval", "learning", "offsets_lsts"):
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG"), name


def test_a_page_is_begun_with_all_tables_and_figures(page):
    page[0].unlink()
    assert tables_of(page).keys() == {*SUITE.tables, "differences", "motion", "machines"}
    assert "![core](results/test/core.png)" in page[0].read_text()


def test_pages_and_results_that_are_wrong(page):
    file, folder = page
    file.write_text("<!-- table: test/cores -->\n<!-- end -->\n")
    with pytest.raises(
        UserError, match=r"RESULTS.md: table: test/cores: there are test/core, test/differences"
    ):
        tables_of(page)
    (folder / "lsts-seed0.json").write_text('{"experiment": "lsts"')
    with pytest.raises(UserError, match=r"lsts-seed0.json: no result of a run"):
        read_runs(folder.parent)
    with pytest.raises(UserError, match=r"first: no results; make them"):
        read_runs(folder)


@pytest.mark.slow
def test_a_small_suite_is_trained_evaluated_and_told(tmp_path, monkeypatch):
    """A step or two each, in processes of their own."""
    settings = SynthVIDConfig(
        videos=1, val_videos=1, frames=12, height=64, width=96, stills=2, difficulty="bursts"
    )
    render_dataset(tmp_path / "data", settings, workers=1, progress=False)
    short = {"data.class_names": (), "train.epochs": 0.1, "train.checkpoint_every": 1}
    suite = replace(
        SUITE,
        seeds=(0,),
        pretraining=short | SUITE.pretraining,
        training=short,
        experiments=tuple(replace(each, every_seed=False) for each in SUITE.experiments),
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
    results.run(["--suite", "test", "--results", str(folder), "--page", str(tmp_path / "RESULTS.md")])
    runs = read_runs(folder / "test")
    assert runs.keys() == {"pretrain", "single", "lsts", "frozen", "interval20"}
    offsets = {name: runs[name]["own/0"]["offsets"] for name in ("lsts", "frozen")}
    assert offsets["lsts"][0]["offsets"] != offsets["lsts"][-1]["offsets"]
    assert offsets["frozen"][0]["offsets"] == offsets["frozen"][-1]["offsets"]
    assert "nan" not in (tmp_path / "RESULTS.md").read_text()
