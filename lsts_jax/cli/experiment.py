"""Experiments: Python files whose `get_config()` returns the `Config`."""

import difflib
import importlib.util
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path

from lsts_jax.config import Config
from lsts_jax.config_checks import validate
from lsts_jax.config_io import check_fields
from lsts_jax.errors import UserError


def load_config(path: Path | str) -> Config:
    """Runs `get_config()` of a Python file and returns the config, with its fields checked.

    Args:
      path: a file, or the name of an experiment of the package, such as `demo` or `variants/paper`.

    Raises `UserError` naming the file, and the line or the field.
    """
    path = find_experiment(Path(path))
    spec = importlib.util.spec_from_file_location(f"lsts_jax_experiment_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path}: an experiment is a Python file, such as {experiments(near=path)}")
    # registered, because classes that the file defines are looked up by their module
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise UserError(
                f"{path}: no function get_config(); define one that returns a lsts_jax.config.Config"
            )
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path}{_line_in(spec.origin or '', error)}: {reason}") from error
    if not isinstance(config, Config):
        raise UserError(f"{path}: get_config() returns {type(config).__name__}, not lsts_jax.config.Config")
    try:
        return validate(check_fields(Config, asdict(config), "config"))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def shipped() -> Path:
    """Folder of the package's experiments: inside an installed package, beside the package in a
    checkout."""
    package = Path(__file__).parents[1]
    return next(folder for folder in (package / "configs", package.parent / "configs") if folder.is_dir())


def find_experiment(path: Path) -> Path:
    """Returns the file itself if it exists, else the package's experiment of that name: `demo`,
    `configs/demo.py`.

    Raises `UserError` that lists the experiments.
    """
    if os.path.isfile(path):  # Path.is_file raises for names that no file can have
        return path
    name = Path(*path.parts[1:]) if path.parts[:1] == ("configs",) else path
    file = shipped() / (name if name.suffix else f"{name}.py")
    if path.is_absolute() or not os.path.isfile(file):
        raise UserError(f"{path}: no such file; choose from {experiments(near=path)}")
    return file


def experiments(near: Path | None = None) -> str:
    """Names of the experiments in the folder `configs`, or of the package's if there is no such
    folder.

    Args:
      near: list only names with a similar spelling, if there are any.
    """
    folders = {Path("configs")}
    if near and near.parent != Path() and os.path.isdir(near.parent):
        folders.add(near.parent)
    found = {file.stem: str(file) for folder in sorted(folders) for file in sorted(folder.glob("*.py"))}
    found = found or {file.stem: file.stem for file in sorted(shipped().glob("*.py"))}
    alike = difflib.get_close_matches(near.stem, found) if near else []
    return ", ".join(found[stem] for stem in alike or found)


def _line_in(path: str, error: Exception) -> str:
    """`, line N` if `error` was raised in the file, else an empty string."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f", line {lines[-1]}" if lines else ""
