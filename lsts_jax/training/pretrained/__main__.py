"""Converts weights from elsewhere to a run to start from, or a run to a file of weights."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from lsts_jax import cli
from lsts_jax.errors import UserError
from lsts_jax.training.pretrained import import_weights, open_weights
from lsts_jax.training.pretrained.files import READERS
from lsts_jax.training.pretrained.matching import Match, some
from lsts_jax.training.pretrained.run_folder import require_no_run, write_run
from lsts_jax.training.pretrained.safetensors_file import require_no_other, write_safetensors


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Convert weights to a folder for predict.py and --config.train.pretrained, or to a
    .safetensors file. A run of this package needs no --config."""

    source: tyro.conf.Positional[str]
    """.params file of MXNet; .pth, .safetensors or .npz of torchvision or timm; the folder of a run
    or of a published detector; or hf://ORG/NAME[/FILE]."""
    output: tyro.conf.Positional[Path]
    """Folder to make, or file to write, whose name ends in .safetensors."""
    checkpoint: str = "latest"
    """Checkpoint of a run: latest, best (by mAP during training), or a step."""
    allow_missing: tuple[str, ...] = ()
    """Beginnings of names of the model, such as rfcn/classes, that may be absent or of another
    shape and stay new."""
    allow_unused: tuple[str, ...] = ()
    """Beginnings of names of the file that may have no place in the model."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """bgr: Caffe's weights with torchvision's names: stride in the 1x1 convolution, pixels not
    divided by a standard deviation."""


@dataclass(frozen=True, kw_only=True)
class ConversionTo(Conversion):
    __doc__ = Conversion.__doc__
    config: cli.Experiment


def run(arguments: Sequence[str]) -> None:
    has_config = any(argument.startswith(("--config", "--help", "-h")) for argument in arguments)
    options = cli.parse(ConversionTo if has_config else Conversion, arguments)
    cli.prepare_jax()
    print(convert(options), file=sys.stderr)


def convert(options: Conversion) -> str:
    """Converts as the options say, and reports the outcome of every array."""
    source, output = options.source, options.output
    to_file = output.suffix == ".safetensors"
    if output.suffix in READERS and not to_file:
        raise UserError(f"{output}: weights are written to a folder or to a file that ends in .safetensors")
    (require_no_other if to_file else require_no_run)(output)
    weights = open_weights(source, options.checkpoint)
    config = options.config if isinstance(options, ConversionTo) else weights.config
    if config is None:
        raise UserError(f"{source}: does not say what detector it belongs to; give --config PATH")
    if not config.data.class_names:
        raise UserError("--config.data.class_names is empty; name the classes of the detector")
    config, variables, matched = import_weights(
        source,
        weights,
        config,
        allow_missing=options.allow_missing,
        allow_unused=options.allow_unused,
        channel_order=options.channel_order,
    )
    cli.make_folder(output.parent if to_file else output)
    (write_safetensors if to_file else write_run)(output, variables, config)
    return f"{_table(matched)}\n{output}"


def _table(matched: Match) -> str:
    new = Counter(path[1] for path in matched.new)
    kept = [name for name in matched.unused if not name.endswith("num_batches_tracked")]
    counters = len(matched.unused) - len(kept)
    rows = {
        "matched": f"{len(matched.found)} of {len(matched.found) + len(matched.new)} arrays of the model",
        "new": ", ".join(f"{part} {count}" for part, count in new.items()) or "none",
        "left over": some([*kept, *[f"{counters} num_batches_tracked"] * bool(counters)], 8) or "none",
    }
    return "\n".join(f"{name:<10} {row}" for name, row in rows.items())


if __name__ == "__main__":
    cli.main(run)
