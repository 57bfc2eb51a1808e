"""`lsts experiments`: the paper's experiments, which need a checkout of the repository."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import lsts_jax
from lsts_jax.errors import UserError

ROOT = Path(lsts_jax.__file__).parents[1]
PROGRAMS = {
    "run": "train and evaluate the experiments of a suite",
    "exchange": "evaluate trained detectors with other sampling offsets or memory weights",
    "results": "write the tables and figures of RESULTS.md and docs/results",
}


def run(arguments: Sequence[str]) -> None:
    """Runs a program of `experiments/`. Raises `UserError` outside a checkout of the repository."""
    if not (ROOT / "experiments" / "suites.py").is_file():
        raise UserError("lsts experiments: needs a checkout of the repository, installed by pip install -e .")
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print("usage: lsts experiments PROGRAM [OPTIONS]\n")
        print(*(f"  {name:<14} {summary}" for name, summary in PROGRAMS.items()), sep="\n")
    elif (name := name.replace("-", "_")) in PROGRAMS:
        sys.argv = [f"lsts experiments {name}", *rest]
        sys.path.insert(0, str(ROOT))
        import_module(f"experiments.{name}").run(rest)
    else:
        raise UserError(f"lsts experiments {name}: no such program; choose from {', '.join(PROGRAMS)}")
