"""Render a SynthVID data set: lsts synthvid --out DIR [--benchmark s | --videos 64 ...]

lsts synthvid --clip clip.mp4        one video, of no data set, to try a detector on
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from lsts_jax import cli
from lsts_jax.data.synthvid import BENCHMARKS, SynthVIDConfig, render_dataset
from lsts_jax.data.synthvid.clip import render_video
from lsts_jax.data.synthvid.settings import Benchmark
from lsts_jax.errors import UserError


@dataclass(frozen=True)
class Options:
    """Render seeded videos of drawn objects in the layout of ILSVRC2015 VID and DET."""

    out: Path | None = None
    """Folder to write; the same command, run again, completes it."""
    clip: Path | None = None
    """Write a single video to this .mp4 file instead; no data set of the same seed contains it."""
    benchmark: Benchmark | None = None
    """SynthVID-s, -m or -l, with frozen settings (docs/synthvid.md), which no other option can
    change."""
    settings: Annotated[SynthVIDConfig, tyro.conf.arg(name="")] = field(default_factory=SynthVIDConfig)
    workers: int | None = None
    """Number of processes; default: one per core. The files do not depend on it."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    settings = options.settings
    if options.benchmark:
        settings = BENCHMARKS[options.benchmark]
        require_settings(options.benchmark, options.settings, arguments)
    if (options.out is None) == (options.clip is None):
        raise UserError("give either --out FOLDER for a data set or --clip FILE.mp4 for one video")
    if options.clip is not None:
        render_video(options.clip, settings)
        print(options.clip)
        return
    assert options.out is not None
    rendered = render_dataset(cli.make_folder(options.out), settings, workers=options.workers)
    print(f"{options.out}: {'rendered' if rendered else 'already complete'}")


def require_settings(benchmark: Benchmark, settings: SynthVIDConfig, arguments: Sequence[str]) -> None:
    """Raises `UserError` if an argument differs from the settings of the benchmark."""
    given = {argument.split("=")[0].replace("-", "_").lstrip("_") for argument in arguments}
    frozen = asdict(BENCHMARKS[benchmark])
    for name, value in asdict(settings).items():
        if name in given and value != frozen[name]:
            raise UserError(
                f"--{name} {value}: --benchmark {benchmark} has {frozen[name] or 'none'}; "
                "leave one of the two options out"
            )


if __name__ == "__main__":
    cli.main(run)
