"""Render a SynthVID data set: python -m lsts_jax.data.synthvid --out DIR [--benchmark s | --videos 64 ...]"""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lsts_jax.data.synthvid import BENCHMARKS, SynthVIDConfig, render_dataset
from lsts_jax.data.synthvid.settings import Benchmark
from lsts_jax.errors import UserError

PROGRAM = "python -m lsts_jax.data.synthvid"


@dataclass(frozen=True)
class Arguments:
    """Render seeded videos of drawn objects in the layout of ILSVRC2015 VID and DET."""

    out: Path
    """Folder to write; a repeated run completes it, or finds it complete."""
    benchmark: Benchmark | None = None
    """SynthVID-s, -m or -l, whose settings are frozen (docs/synthvid.md): no other can be given."""
    settings: Annotated[SynthVIDConfig, tyro.conf.arg(name="")] = field(default_factory=SynthVIDConfig)
    workers: int | None = None
    """Processes; default: one a core. Their number changes no byte."""


def parse() -> Arguments:
    """The command line. Raises UserError for a setting that a benchmark has otherwise."""
    arguments = tyro.cli(Arguments, prog=PROGRAM)
    if arguments.benchmark is None:
        return arguments
    frozen = BENCHMARKS[arguments.benchmark]
    # again, with other defaults: what differs from them was given
    given = tyro.cli(Arguments, prog=PROGRAM, default=Arguments(arguments.out, settings=frozen)).settings
    for name, value in asdict(given).items():
        if value != getattr(frozen, name):
            raise UserError(
                f"--{name.replace('_', '-')} {value}: --benchmark {arguments.benchmark} has "
                f"{getattr(frozen, name) or 'none'}; leave one of the two options out"
            )
    return Arguments(arguments.out, arguments.benchmark, frozen, arguments.workers)


def main() -> None:
    arguments = parse()
    rendered = render_dataset(arguments.out, arguments.settings, workers=arguments.workers)
    print(f"{arguments.out}: {'rendered' if rendered else 'already complete'}")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
