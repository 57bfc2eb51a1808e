"""Render a SynthVID data set: python -m lsts_jax.data.synthvid --out DIR [--difficulty hard ...]"""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset
from lsts_jax.errors import UserError


@dataclass(frozen=True)
class Arguments:
    """Render seeded videos of drawn objects in the layout of ILSVRC2015 VID and DET."""

    out: Path
    """Folder to write; a repeated run completes it, or finds it complete."""
    settings: Annotated[SynthVIDConfig, tyro.conf.arg(name="")] = field(default_factory=SynthVIDConfig)
    workers: int | None = None
    """Processes; default: one a core. Their number changes no byte."""


def main(arguments: Arguments) -> None:
    rendered = render_dataset(arguments.out, arguments.settings, workers=arguments.workers)
    print(f"{arguments.out}: {'rendered' if rendered else 'already complete'}")


if __name__ == "__main__":
    try:
        main(tyro.cli(Arguments, prog="python -m lsts_jax.data.synthvid"))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
