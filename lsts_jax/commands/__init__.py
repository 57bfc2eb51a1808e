"""The console command `lsts`: all programs of the package. A program is imported when it is called."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

import lsts_jax
from lsts_jax import cli
from lsts_jax.errors import UserError

COMMANDS = {
    "train": ("lsts_jax.commands.train", "train a detector, or continue a training that was interrupted"),
    "evaluate": ("lsts_jax.commands.evaluate", "score a detector, or files of detections; compare two"),
    "predict": ("lsts_jax.commands.predict", "detect objects in videos, pictures, cameras and streams"),
    "export": ("lsts_jax.export.__main__", "write a detector as files that run without this package"),
    "check": ("lsts_jax.data.check", "read a data set once and report its faults"),
    "prepare": ("lsts_jax.data.prepare", "store an ILSVRC tree in few large files, for TFDS"),
    "convert": ("lsts_jax.data.convert.__main__", "convert a data set to COCO-VID"),
    "synthvid": ("lsts_jax.data.synthvid.__main__", "render a data set of drawn objects"),
    "pretrained": ("lsts_jax.training.pretrained.__main__", "import weights, or write a run as a file"),
    "publish": ("lsts_jax.commands.publish", "write a run as a repository of the Hugging Face hub"),
    "experiments": ("lsts_jax.commands.experiments", "train and evaluate the experiments of a suite"),
}
HELP = "\n".join(
    [
        "usage: lsts COMMAND [OPTIONS]",
        "",
        "Object detection in video, in JAX.",
        "",
        *(f"  {name:<12} {summary}" for name, (_, summary) in COMMANDS.items()),
        "",
        "lsts COMMAND --help lists the options of a command; lsts --version prints the version.",
    ]
)


def main() -> None:
    """Runs `lsts COMMAND [OPTIONS]`. `cli.main` lists the exit statuses."""
    cli.main(run)


def run(arguments: Sequence[str]) -> None:
    """Runs the command that the arguments name. Raises `UserError` if there is no such command."""
    name, *rest = arguments or ["--help"]
    if name in ("-h", "--help"):
        print(HELP)
    elif name == "--version":
        print(f"lsts {lsts_jax.__version__}")
    elif name in COMMANDS:
        sys.argv = [f"lsts {name}", *rest]  # the name that --help shows
        import_module(COMMANDS[name][0]).run(rest)
    else:
        alike = difflib.get_close_matches(name, COMMANDS, n=1) or COMMANDS
        raise UserError(f"lsts {name}: no such command; choose from {', '.join(alike)}")
