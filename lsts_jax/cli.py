"""What the scripts share: the experiment's file, overrides on the command line, one line for a mistake.

A script declares a frozen dataclass of its options, whose field `config: Config` makes every field of the
experiment an option, and ends in `main(run)`:

    @dataclass(frozen=True)
    class Options:
        config: Config
        workdir: str

    def run(arguments): train(parse(Options, arguments))
"""

import contextlib
import difflib
import errno
import importlib.util
import io
import logging
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from functools import partialmethod
from itertools import zip_longest
from pathlib import Path
from typing import TypeVar

import tyro

from lsts_jax.config import Config
from lsts_jax.config_checks import validate
from lsts_jax.config_io import check_fields, load_saved_config
from lsts_jax.errors import Stopped, UserError

T = TypeVar("T")

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO)

PATIENCE = 3600
"""Seconds that a process which has done its part waits for the first, which writes reports."""


def main(run: Callable[[Sequence[str]], None]) -> None:
    """Runs a script on the command line's arguments and turns mistakes into an exit status.

    `UserError`, and a disk that is full or read-only: a line on stderr, status 2. `Stopped`: a line, status
    128 + signal. Ctrl-C elsewhere: a line, status 130. Others keep their traceback.
    """
    logging.basicConfig(format="%(message)s")
    logging.getLogger("lsts_jax").setLevel(logging.INFO)
    _hush_orbax()
    try:
        run(sys.argv[1:])
    except UserError as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in DISK_ERRORS:
            raise
        what = f"{error.filename}: " if error.filename else ""
        print(f"error: {what}{error.strerror}; see to the disk, or name another folder", file=sys.stderr)
        sys.exit(2)
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        sys.exit(128 + stopped.signal)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)


def _hush_orbax() -> None:
    """When a checkpoint cannot be written Orbax raises, but tells of each of its files besides."""

    def unraisable(event):
        if str(event.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(event)

    sys.unraisablehook = unraisable
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)


def parse(options: type[T], arguments: Sequence[str], *, run_option: str = "") -> T:
    """Reads a script's arguments into its dataclass.

    Where that has a field `config`, `--config PATH` names the experiment, and `--config.model.lsts.window 8`
    sets a field of it. Every option takes a value, bools included (`--config.data.flip False`). `--help`
    prints all of them, with the values of the experiment if one is named, and exits.

    Args:
      run_option: the option that names the folder of a run, such as "--workdir". Without `--config` the
        experiment is then the run's own.

    Raises `UserError` naming the option and what it takes.
    """
    # not by its constructor, which may check types
    default = object.__new__(options)
    for field in fields(options):
        value = field.default if field.default_factory is MISSING else field.default_factory()
        object.__setattr__(default, field.name, tyro.MISSING if value is MISSING else value)
    description = options.__doc__ or ""
    if any(field.name == "config" for field in fields(options)):
        path, arguments = _take_config_path(arguments)
        run = _value_of(run_option, arguments) if run_option else None
        description += "\n\n--config PATH names the experiment, a file of configs/"
        description += f", by default that of {run_option}" if run_option else ""
        description += "; the options below override it."
        if path is not None:
            config = load_config(path)
        elif run and os.path.isfile(Path(run) / "config.json"):
            config = load_saved_config(Path(run) / "config.json")
        elif {"-h", "--help"} & set(arguments) or (run_option and not run):  # which is then what is missing
            config = Config()
        elif run:
            raise UserError(
                f"{run}: no config.json there; name the folder of a run, or give --config PATH, such as "
                f"{_experiments()}"
            )
        else:
            raise UserError(f"--config is missing: give --config PATH, such as {_experiments()}")
        object.__setattr__(default, "config", config)
    problem = io.StringIO()
    try:
        with contextlib.redirect_stderr(problem):
            parsed = tyro.cli(
                options,
                args=arguments,
                default=default,
                description=description,
                prog=Path(sys.argv[0]).name,
                use_underscores=True,
                config=(tyro.conf.FlagConversionOff,),
            )
    except SystemExit as error:
        if error.code != 2:
            raise
        raise UserError(_condense(problem.getvalue())) from None
    if isinstance(config := getattr(parsed, "config", None), Config):
        validate(config)
    return parsed


@dataclass(frozen=True)
class Hosts:
    """Where one run is many processes, one a host or one a GPU: the same command in each."""

    detect: bool = False
    """Slurm, Open MPI, Kubernetes or Cloud TPU tell how many there are and which this is."""
    coordinator: str | None = None
    """Where nothing tells: HOST:PORT of process 0, with a free port, and ..."""
    count: int | None = None
    """... the number of processes ..."""
    index: int | None = None
    """... and which of them this is, from 0."""


def prepare_jax(hosts: Hosts = Hosts()) -> None:
    """Keep compiled programs between runs, in JAX_COMPILATION_CACHE_DIR or the user's cache folder (if any),
    and join the other processes of a run, if any. Of those the first alone reports what is not an error.

    Raises `UserError` if they cannot be found.
    """
    import jax  # here: --help and mistakes should not wait for it

    if not jax.config.jax_compilation_cache_dir and (folder := cache_folder()):
        jax.config.update("jax_compilation_cache_dir", str(folder))
    given = (hosts.coordinator, hosts.count, hosts.index)
    if given.count(None) not in (0, 3):
        raise UserError("--hosts: give all of --hosts.coordinator, --hosts.count and --hosts.index")
    if hosts.detect or hosts.coordinator:
        try:
            jax.distributed.initialize(*given, shutdown_timeout_seconds=PATIENCE)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"--hosts: the processes do not find each other ({reason}); see docs/scaling.md"
            ) from error
        if jax.process_index() > 0:
            _be_quiet()


def cache_folder() -> Path | None:
    """The user's cache folder for compiled programs; None for a user without a home, as in containers."""
    try:
        return Path.home() / ".cache" / "lsts_jax" / "xla"
    except RuntimeError:  # HOME is unset, and the user has no account
        return None


def _be_quiet() -> None:
    """No progress bars, no messages but errors: another process has the same ones."""
    from tqdm import tqdm

    logging.getLogger("lsts_jax").setLevel(logging.ERROR)
    tqdm.__init__ = partialmethod(tqdm.__init__, disable=True)


def make_folder(path: Path) -> Path:
    """Create a folder to write into, and give it back. Raises `UserError` where that cannot be done."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name another folder") from error
    return path


def load_config(path: Path | str) -> Config:
    """The experiment that `get_config()` of a Python file returns, its fields checked.

    Raises `UserError` naming the file, and the line or the field.
    """
    path = Path(path)
    if not os.path.isfile(path):  # unlike Path.is_file it bears names that no file can have
        raise UserError(f"{path}: no such file; there is {_experiments(near=path)}")
    spec = importlib.util.spec_from_file_location(f"lsts_jax_experiment_{path.stem}", path)
    if spec is None:
        raise UserError(f"{path}: an experiment is a Python file, such as {_experiments(near=path)}")
    # named, since the classes of a method that it defines are looked up by their module
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not callable(getattr(module, "get_config", None)):
            raise UserError(f"{path}: there is no function get_config() that returns the Config")
        config = module.get_config()
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"{path}{_line_in(spec.origin, error)}: {reason}") from error
    if not isinstance(config, Config):
        raise UserError(f"{path}: get_config() returns {type(config).__name__}, not lsts_jax.config.Config")
    try:
        return validate(check_fields(Config, asdict(config), "config"))
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


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
            raise UserError(f"--config needs a file: --config PATH, such as {_experiments()}")
    return path, rest


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The last value that the arguments give to an option."""
    value = None
    for argument, after in zip_longest(arguments, arguments[1:], fillvalue=""):
        if argument == option:
            value = after
        elif argument.startswith(f"{option}="):
            value = argument.removeprefix(f"{option}=")
    return value


def _experiments(near: Path | None = None) -> str:
    """The experiments that can be named, those spelled much like `near` only, if there are any."""
    folders = {Path("configs")}
    if near and near.parent != Path() and os.path.isdir(near.parent):
        folders.add(near.parent)
    found = {file.stem: file for folder in sorted(folders) for file in sorted(folder.glob("*.py"))}
    alike = difflib.get_close_matches(near.stem, found) if near else []
    return ", ".join(str(found[stem]) for stem in alike or found) or "configs/NAME.py"


def _line_in(path: str, error: Exception) -> str:
    """Where in the file `error` arose, as far as it did."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return f", line {error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == path]
    return f", line {lines[-1]}" if lines else ""


def _condense(box: str) -> str:
    """tyro's framed report as one line: the problem, then the options it names, without their help."""
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line).strip("│| ") for line in box.splitlines()]
    sections = [[]]
    for line in lines:
        if re.fullmatch(r"─+|-{20,}", line):  # a ruler; few dashes are what somebody typed
            sections.append([])
        elif line and line[0] not in "╭╰+":
            sections[-1].append(line)
    told = [lines for lines in sections if lines and not lines[0].startswith("For full helptext")]
    problem, *hints = told or [["the options cannot be read"]]
    report = [" ".join(problem).removeprefix("Error parsing ")]
    for title, *details in hints:
        title = "expected" if title == "Argument helptext:" else title[0].lower() + title[1:]
        report.append(f"{title} {', '.join(line for line in details if line.startswith('-'))}")
    return "; ".join(report) + " (--help lists all options)"
