"""Options of a command: a dataclass that tyro reads from the command line."""

import contextlib
import io
import os
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import MISSING, fields, is_dataclass
from itertools import zip_longest
from pathlib import Path
from shutil import get_terminal_size
from textwrap import TextWrapper
from typing import Any, TypeVar

import tyro

from lsts_jax.cli.experiment import experiments, load_config
from lsts_jax.config import Config
from lsts_jax.config_checks import validate
from lsts_jax.config_io import load_saved_config
from lsts_jax.errors import UserError
from lsts_jax.hub import CONFIG, locate

T = TypeVar("T")

LONGEST = 200
"""Characters of the name of an option."""

Experiment = tyro.conf.FlagConversionOff[Config]
"""Type of a field `config`, whose bool fields take a value: `--config.data.flip False`."""


def parse(options: type[T], arguments: Sequence[str], *, run_option: str = "") -> T:
    """Reads the options of a command from its arguments.

    If the dataclass has a field `config: Experiment`, `--config PATH` names the experiment, and
    `--config.model.lsts.window 8` sets a field of it. Bool options are flags (`--tracks`,
    `--no_report`); bool fields of an experiment take a value. `--help` prints all options, with the
    values of the experiment if one is named, and exits.

    Args:
      run_option: the option that names a run or a published detector, such as "--workdir". Without
        `--config`, the experiment of that run is used.

    Raises `UserError` naming the option and its allowed values.
    """
    for word in arguments:  # tyro compares an unknown option with every known one, for minutes if it is long
        if word.startswith("-") and len(word.partition("=")[0]) > LONGEST:
            raise UserError(f"{word[:40]}...: no such option; see --help")
    # without the constructor, which may check types
    assert is_dataclass(options)
    default = object.__new__(options)
    for field in fields(options):
        value = field.default if field.default_factory is MISSING else field.default_factory()
        object.__setattr__(default, field.name, tyro.MISSING if value is MISSING else value)
    description = options.__doc__ or ""
    if any(field.name == "config" for field in fields(options)):
        path, arguments = _take_config_path(arguments)
        run = _value_of(run_option, arguments) if run_option else None
        description += "\n\n--config PATH: the experiment, a file such as configs/demo.py"
        description += f" (default: the experiment of {run_option})" if run_option else ""
        description += ". The options --config.FIELD override its fields."
        if path is not None:
            config = load_config(path)
        elif run and os.path.isfile(locate(run) / CONFIG):
            config = load_saved_config(locate(run) / CONFIG)
        elif {"-h", "--help"} & set(arguments) or (run_option and not run):  # the parser reports its absence
            config = Config()
        elif run:
            raise UserError(
                f"{run}: no config.json there; name the folder of a run or of a published detector, or "
                f"give --config PATH, such as "
                f"{experiments()}"
            )
        else:
            raise UserError(f"--config is missing: give --config PATH, such as {experiments()}")
        object.__setattr__(default, "config", config)
    problem = io.StringIO()
    try:
        with contextlib.redirect_stderr(problem):
            parsed = tyro.cli(
                options,
                args=_as_flags(arguments, _bools(options)),
                default=default,
                description=_wrapped(description),
                prog=Path(sys.argv[0]).name,
                use_underscores=True,
            )
    except SystemExit as error:
        if error.code != 2:
            raise
        raise UserError(_condense(problem.getvalue())) from None
    if isinstance(config := getattr(parsed, "config", None), Config):
        validate(config)
    return parsed


def _wrapped(text: str) -> str:
    """Paragraphs wrapped to the width of the terminal, which tyro does for options only.

    Lines begin with a space: tyro joins lines that begin with a letter.
    """
    wrap = TextWrapper(get_terminal_size().columns, initial_indent=" ", subsequent_indent=" ")
    return "\n\n".join(wrap.fill(" ".join(part.split())) for part in text.split("\n\n") if part.strip())


def _bools(options: Any, start: str = "") -> set[str]:
    """Names of the bool options, which are flags."""
    names = set()
    for field in fields(options):
        if field.type is bool:
            names.add(start + field.name)
        elif is_dataclass(field.type):
            names |= _bools(field.type, f"{start}{field.name}.")
    return names


def _as_flags(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """The arguments with `--tracks True` and `--report False`, the older spelling, rewritten as
    flags."""
    result: list[str] = []
    for word in arguments:
        if word not in ("True", "False") or not result or _name(result[-1]) not in flags:
            result.append(word)
        elif word == "False":
            result[-1] = re.sub(r"([^.-][^.]*)$", r"no_\1", result[-1])
    return result


def _name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _take_config_path(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of --config, and the arguments without it."""
    path, rest = None, []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--config":
            path = next(remaining, "")
        elif argument.startswith("--config="):
            path = argument.removeprefix("--config=")
        else:
            rest.append(argument)
            continue
        if not path or path.startswith("-"):
            raise UserError(f"--config needs a file: --config PATH, such as {experiments()}")
    return path, rest


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The last value of an option in the arguments."""
    value = None
    for argument, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == option:
            value = after
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
    return value


def _condense(box: str) -> str:
    """Condenses tyro's framed report to one line: the problem, then the options that it names."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip("│| ") for line in box.splitlines()]
    sections = [[]]
    for line in lines:
        if re.fullmatch(r"─+|-{20,}", line):  # a ruler; fewer dashes come from the arguments
            sections.append([])
        elif line and line[0] not in "╭╰+":
            sections[-1].append(line)
    readable = [lines for lines in sections if lines and not lines[0].startswith("For full helptext")]
    problem, *hints = readable or [["the options cannot be read"]]
    report = [" ".join(problem).removeprefix("Error parsing ")]
    for title, *details in hints:
        title = "expected" if title == "Argument helptext:" else title[0].lower() + title[1:]
        report.append(f"{title} {', '.join(line for line in details if line.startswith('-'))}")
    return "; ".join(report) + " (--help lists all options)"
