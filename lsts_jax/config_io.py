"""A config as JSON in the run's folder, where evaluation and prediction find it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lsts_jax.config import Config
from lsts_jax.config_checks import validate
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole

METHOD_FILE = "temporal.py"
"""In a run's folder: the file of a temporal method that does not come with the package."""


def save_config(config: Config, path: Path | str) -> None:
    """Writes the config, whole or not at all: a process that dies leaves the file as it was.

    The file of a temporal method of one's own is copied beside it, so that the folder can be read wherever it
    is taken.
    """
    path = Path(path)
    file, _, class_name = config.model.temporal.rpartition(":")
    if file:
        text = read_method(Path(file))
        with write_whole(path.parent / METHOD_FILE) as part:
            part.write_text(text, encoding="utf-8")
        config = _with_method(config, f"{METHOD_FILE}:{class_name}")
    with write_whole(path) as part:
        part.write_text(json.dumps(asdict(config), indent=2) + "\n", encoding="utf-8")


def read_method(file: Path) -> str:
    """Source of a temporal method. Raises `UserError` where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"config.model.temporal: {file}: {error}") from error


def method_identity(temporal: str) -> str:
    """What `config.model.temporal` means: the name of a built-in method, or class and source of one's own."""
    file, _, class_name = temporal.rpartition(":")
    return f"{class_name} of {read_method(Path(file))}" if file else temporal


def _with_method(config: Config, temporal: str) -> Config:
    return replace(config, model=replace(config.model, temporal=temporal))


def load_saved_config(path: Path | str) -> Config:
    """Reads what `save_config` wrote, exactly. Raises `UserError` naming the file and the field."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; the folder of a run of train.py has one") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); remove it, and train.py writes it anew") from error
    try:
        config = check_fields(Config, _move_fields(values) if isinstance(values, dict) else values, "config")
    except UserError as error:
        raise UserError(f"{path}: {error}; is it of another version? train.py writes it anew") from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    file, _, class_name = config.model.temporal.rpartition(":")
    return _with_method(config, f"{Path(path).parent / file}:{class_name}") if file else config


# Fields that older versions had elsewhere, and where they are now. data.schedule is model.schedule.
MOVED = {
    "optimizer.offset_rate": "model.lsts.offset_rate",
    "optimizer.alignment_rate": "model.lsts.alignment_rate",
    "data.schedule": "model.schedule",
}


def rename_moved(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Fields by their dotted names, those of older versions under the names of today.

    Raises `UserError` where two names of one field have different values.
    """
    found: dict[str, Any] = {}
    for name, value in overrides.items():
        if found.setdefault(MOVED.get(name, name), value) != value:
            raise UserError(
                f"config.{name} is {value!r}, config.{MOVED.get(name, name)} is not; they are one field now"
            )
    return found


def _move_fields(values: dict) -> dict:
    """The nested dictionary of a config, whose fields of older versions are where they are now."""
    flat = rename_moved(_flatten(values))
    moved: dict = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = moved
        for i, parent in enumerate(parents, 1):
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UserError(f"config.{'.'.join(parents[:i])} is {place!r}, but {name} belongs into it")
        place[last] = value
    return moved


def _flatten(values: dict, start: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{start}{name}.") if isinstance(value, dict) else {start + name: value}
    return flat


def check_fields(kind: Any, value: Any, name: str) -> Any:
    """`value`, made of dictionaries, sequences and scalars, as the type `kind`.

    `kind` is a dataclass, a tuple, a Literal or a scalar type, nested at will. An int is also a float, and
    a list a tuple; nothing else is converted, and no field may be unknown. One that is absent takes its
    default: the run is older than the field. Raises `UserError` naming the field, which at the top is `name`.
    """
    if isinstance(kind, type) and is_dataclass(kind) and isinstance(value, dict):
        names = [field.name for field in fields(kind)]
        for unknown in value.keys() - set(names):
            raise UserError(f"{name} has no field {unknown!r}")
        types = get_type_hints(kind)
        given = (each for each in names if each in value)
        return kind(**{each: check_fields(types[each], value[each], f"{name}.{each}") for each in given})
    if get_origin(kind) is tuple and isinstance(value, (list, tuple)):
        types = get_args(kind)
        if types[-1] is Ellipsis:
            types = types[:1] * len(value)
        if len(types) == len(value):
            return tuple(
                check_fields(one, each, f"{name}[{i}]")
                for i, (one, each) in enumerate(zip(types, value, strict=True))
            )
    if get_origin(kind) is Literal and any(
        value == one and type(value) is type(one) for one in get_args(kind)
    ):
        return value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is kind:
        return value
    expected = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    raise UserError(f"{name} is {value!r}, expected {expected.replace('typing.', '')}")
