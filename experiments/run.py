"""Train and evaluate the experiments of a suite, one after another, each in a process of its own.

    python -m lsts_jax.data.synthvid --out runs/synthvid_s --benchmark s
    python -m experiments.run --suite paper --workdir runs/paper
    python -m experiments.results

Every run leaves a small JSON file. What has one is skipped, a training that was interrupted goes on from its
checkpoint, and one that fails is reported at the end and keeps only those from running that start from it.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree

from experiments.flow import ERRORS, WEIGHTS
from experiments.plan import FINISHED, Run, find_suite, plan, unfinished
from experiments.process import ROOT, Failed, call
from experiments.record import (
    cost,
    inside,
    join,
    machine,
    read_json,
    training_record,
    write_json,
    write_motion,
)
from experiments.suites import FLOW, Overrides, Suite
from lsts_jax import cli
from lsts_jax.errors import UserError

RESULTS = ROOT / "experiments" / "results"
OWN = "own"
KEPT = ("mAP", "average_delay", "flicker", "memory weight")
"""Scores that a run's JSON file holds, beside those by group."""


@dataclass(frozen=True)
class Options:
    """Train and evaluate the experiments of a suite; what is finished is skipped."""

    suite: str
    """Name of a suite in experiments/suites.py."""
    workdir: Path
    """Folder of the training runs, a folder each."""
    data: Path | None = None
    """Folder of the data set, by default that of the suite's config."""
    results: Path | None = None
    """Folder of the JSON files, by default experiments/results/SUITE/own. All in one folder come from one
    workdir: what starts from one detector can be compared."""
    seeds: tuple[int, ...] = ()
    """Seeds, by default those of the suite; experiments that need one seed take the first."""
    only: tuple[str, ...] = ()
    """Names of experiments, or patterns such as 'k*'; what they start from is trained too. By default all."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    suite = find_suite(options.suite)
    workdir = options.workdir.resolve()
    results = cli.make_folder(options.results or RESULTS / options.suite / OWN)
    config = cli.load_config(ROOT / suite.config)
    data = options.data.resolve() if options.data else ROOT / config.data.root
    planned = plan(suite, options.seeds or suite.seeds, options.only)
    wanted = unfinished(planned, workdir, results)
    print(f"{len(planned) - len(wanted)} of {len(planned)} runs are in {results}", flush=True)
    if not wanted:
        return
    if not data.is_dir():
        raise UserError(f"{data}: no such folder; name it by --data, or make it: {suite.data}")
    write_motion(config, data, results)
    device = machine()
    failed: dict[str, str] = {}
    for number, each in enumerate(wanted, start=1):
        place = f"[{number}/{len(wanted)}] {each.name}"
        print(f"{place}: started, see {log_of(each, workdir)}", flush=True)
        begin = time.perf_counter()
        try:
            if broken := [needed.name for needed in each.needs if needed.name in failed]:
                raise Failed(f"left out, since {broken[0]} failed")
            result = execute(each, suite, workdir, data) | {"machine": device}
        except (Failed, UserError) as error:
            failed[each.name] = str(error)
            print(f"{place}: FAILED: {error}", flush=True)
            continue
        write_json(results / f"{each.name}.json", {"suite": options.suite} | result)
        if each.trains:  # a flow network too
            (workdir / each.name / FINISHED).touch()
        print(f"{place}: {summary(result)}, {clock(time.perf_counter() - begin)}", flush=True)
    if failed:
        print(
            f"{len(failed)} of {len(wanted)} runs failed; the same command tries them again:", file=sys.stderr
        )
        for name, reason in failed.items():
            print(f"  {name}: {reason}", file=sys.stderr)
        sys.exit(1)


def execute(run: Run, suite: Suite, workdir: Path, data: Path) -> dict:
    """Do a run and give what its JSON file holds. Raises `Failed`."""
    log = log_of(run, workdir)
    log.parent.mkdir(parents=True, exist_ok=True)
    if run.experiment == FLOW:
        return execute_flow(run, workdir / run.name, data, log)
    trained = run if run.trains else run.after
    folder = workdir / trained.name
    start = [f"--config.train.pretrained={start_of(trained, workdir)}"] if trained.after else []
    common = [
        *("--config", suite.config, "--workdir", str(folder)),
        *(f"--config.data.root={data}", f"--config.seed={run.seed}"),
        *(*start, *as_arguments(run.overrides)),
    ]
    if run.trains:
        call([sys.executable, "train.py", *common], log)
    call([sys.executable, "evaluate.py", *common, "--report", "False", "--speed", str(run.trains)], log)
    # evaluations of one detector share its folder: the next one would write over this one
    evaluated = folder / "evaluations" / run.experiment
    rmtree(evaluated, ignore_errors=True)
    evaluated.parent.mkdir(exist_ok=True)
    (folder / "eval").rename(evaluated)
    metrics = read_json(evaluated / "metrics.json")
    result = {
        "experiment": run.experiment,
        "seed": run.seed,
        "of": None if run.trains else trained.experiment,
        "overrides": dict(run.overrides),
        **{name: values for name, values in metrics.items() if name in KEPT or name.startswith("mAP by ")},
    }
    result |= cost(folder, run.overrides)
    if run.trains:
        speed = read_json(evaluated / "speed.json")
        kinds = {"keyframe": "live, keyframe", "other frame": "live, other frame"}
        result["milliseconds"] = {
            kind: 1e3 * speed[measured] for kind, measured in kinds.items() if measured in speed
        }
        result |= training_record(folder) | inside(folder)
    return result


def execute_flow(run: Run, folder: Path, data: Path, log: Path) -> dict:
    """Train a flow network and give what its JSON file holds. Raises `Failed`."""
    options = {"data": str(data), "out": str(folder), "seed": run.seed} | dict(run.overrides)
    call([sys.executable, "-m", "experiments.flow", *flow_arguments(options)], log)
    about = {"experiment": run.experiment, "seed": run.seed, "overrides": dict(run.overrides)}
    return about | read_json(folder / ERRORS)


def flow_arguments(overrides: Overrides) -> list[str]:
    return [word for name, value in overrides.items() for word in (f"--{name}", str(value))]


def start_of(run: Run, workdir: Path) -> Path:
    """Weights that a training starts from: a detector's folder, or a file of it and a flow network."""
    detector = workdir / run.after.name
    if run.flow is None:
        return detector
    joined = workdir / run.name / "start.npz"
    if not joined.exists():
        join(detector, workdir / run.flow.name / WEIGHTS, joined)
    return joined


def as_arguments(overrides: Overrides) -> list[str]:
    """Overrides as the scripts take them."""
    arguments = []
    for name, value in overrides.items():
        arguments += [f"--config.{name}", *map(str, value if isinstance(value, tuple) else (value,))]
    return arguments


def log_of(run: Run, workdir: Path) -> Path:
    return workdir / (run.name if run.trains else run.after.name) / "log.txt"


def summary(result: dict) -> str:
    if result["experiment"] == FLOW:
        return f"end-point error {result['end-point error']:.3f} cells"
    scores = {"mAP": result["mAP"]} | result.get("mAP by degraded", {})
    return ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


if __name__ == "__main__":
    cli.main(run)
