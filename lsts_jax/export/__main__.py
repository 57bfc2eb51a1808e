"""Write a trained detector as files that run without this package."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lsts_jax import cli
from lsts_jax.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Options:
    """Write a trained detector as programs, with its weights, a description and a loader, run.py. StableHLO
    programs, for CPU and CUDA, need only jax, numpy, flatbuffers and OpenCV; ONNX files need onnxruntime,
    numpy and OpenCV."""

    workdir: str
    """Folder of a training run or of a published detector; hf://ORG/NAME; or synthvid-s, the detector that
    comes with the package."""
    out: Path
    """Folder to write into; an earlier export in it is replaced."""
    format: Literal["stablehlo", "onnx"] = "stablehlo"
    """Programs to write."""
    checkpoint: str = "latest"
    """latest, best (by mAP during training), or a step."""
    size: tuple[int, int] | None = None
    """Height and width of the pictures before resizing, to export programs for the smallest canvas that holds
    them. Default: programs for all canvases of the config."""


def run(arguments: Sequence[str]) -> None:
    options = cli.parse(Options, arguments)
    cli.prepare_jax()
    import jax

    import lsts_jax
    from lsts_jax.api import tight_canvas
    from lsts_jax.export import require_export, write_export
    from lsts_jax.export.onnx_files import require_onnx, write_onnx

    if options.size and min(options.size) < 1:
        raise UserError("--size: give height and width of the pictures in pixels, as in --size 720 1280")
    require, write = {"stablehlo": (require_export, write_export), "onnx": (require_onnx, write_onnx)}[
        options.format
    ]
    require(options.out)
    # programs must not contain paths of source files
    jax.config.update("jax_traceback_in_locations_limit", 0)
    loaded = lsts_jax.load(options.workdir, options.checkpoint)
    canvases = loaded.config.data.canvases
    if options.size:
        canvases = (tight_canvas(options.size, loaded.config),)
    write(cli.make_folder(options.out), loaded, canvases)
    print(options.out, file=sys.stderr)


if __name__ == "__main__":
    cli.main(run)
