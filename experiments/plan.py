"""The runs of a suite in their order, and the unfinished ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from experiments.suites import FLOW, SUITES, Overrides, Suite
from lsts_jax.config_io import rename_moved
from lsts_jax.errors import UserError

FINISHED = "finished"
"""File in the folder of a training that has a result."""


@dataclass(frozen=True)
class Run:
    """A training with its evaluation, another evaluation of a trained detector, or the training of a flow
    network, whose overrides are options of `experiments.flow`."""

    experiment: str
    seed: int
    overrides: Overrides
    after: "Run | None" = None
    """Whose detector it starts from or evaluates."""
    flow: "Run | None" = None
    """The flow network that its own starts from."""
    trains: bool = True

    @property
    def name(self) -> str:
        return f"{self.experiment}-seed{self.seed}"

    @property
    def needs(self) -> list["Run"]:
        """Runs that have to be done before it."""
        return [each for each in (self.after, self.flow) if each]


def find_suite(name: str) -> Suite:
    if name not in SUITES:
        raise UserError(f"--suite {name}: no such suite; choose from {', '.join(SUITES)}")
    return SUITES[name]


def plan(suite: Suite, seeds: Sequence[int], only: Sequence[str] = ()) -> list[Run]:
    """All runs in an order in which they can be done: seed by seed those of every seed, then the others.

    Raises `UserError` for a name of `only` that no experiment has.
    """
    names = [each.name for each in (*suite.experiments, *suite.evaluations)]
    require_known(only, names)
    runs: dict[str, Run] = {}

    def add(each: Run) -> None:
        for needed in each.needs:
            add(needed)
        runs.setdefault(each.name, each)

    for every_seed in (True, False):
        for seed in seeds if every_seed else seeds[:1]:
            pretrained = {name: Run(name, seed, fields) for name, fields in suite.pretraining.items()}
            flow = Run(FLOW, 0, suite.flow)  # one for all seeds, as the papers have one
            for experiment in suite.experiments:
                if experiment.every_seed != every_seed:
                    continue
                trained = Run(
                    experiment.name,
                    seed,
                    {**suite.training, **experiment.overrides},
                    pretrained[experiment.start],
                    flow if experiment.flow else None,
                )
                evaluated = [
                    Run(each.name, seed, {**trained.overrides, **each.overrides}, trained, trains=False)
                    for each in suite.evaluations
                    if each.of == experiment.name
                ]
                for each in (trained, *evaluated):
                    if not only or any(fnmatch(each.experiment, pattern) for pattern in only):
                        add(each)
    return list(runs.values())


def require_known(only: Sequence[str], names: Sequence[str]) -> None:
    """Raises `UserError` for a pattern that matches no name."""
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise UserError(f"--only {pattern}: choose from {', '.join(names)}")


def unfinished(planned: Sequence[Run], workdir: Path, results: Path) -> list[Run]:
    """Those without a result.

    Raises `UserError` for a result that other settings gave, and where one is to start from a detector that
    has a result but is not in `workdir`: trained again on another machine it is another one, since rounding
    decides, and what starts from it cannot be compared with the rest.
    """
    needed: set[str] = set()
    wanted = []
    for each in reversed(planned):
        file = results / f"{each.name}.json"
        if file.exists():
            check_overrides(file, each)
            if each.name in needed and not (workdir / each.name / FINISHED).exists():
                raise UserError(
                    f"{workdir / each.name}: the detector of {file} is not there, and trained again it "
                    "would be another one; name the --workdir that has it, or another --results"
                )
            continue
        wanted.append(each)
        needed |= {one.name for one in each.needs}
    return wanted[::-1]


def check_overrides(file: Path, run: Run) -> None:
    found = rename_moved(json.loads(file.read_text())["overrides"])
    expected = json.loads(json.dumps(dict(run.overrides)))
    differing = sorted(name for name in {*found, *expected} if found.get(name) != expected.get(name))
    if differing:
        raise UserError(
            f"{file}: was made with other settings of {', '.join(differing)}; delete it and the run's "
            "folder, or name another --results and --workdir"
        )
