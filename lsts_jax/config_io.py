"""The config of a run, saved as JSON in its folder and read by evaluation and prediction."""

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
"""Name of the file, in the folder of a run, that defines a user's own temporal method."""


def save_config(config: Config, path: Path | str) -> None:
    """Writes the config. The file is complete or, if the process dies, as it was before.

    The file of a user's own temporal method is copied beside the config, so that the folder is
    complete.
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
    """Source code of a temporal method. Raises `UserError` if the file cannot be read."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"config.model.temporal: {file}: {error}") from error


def method_identity(temporal: str) -> str:
    """Identity of a temporal method: the name of a built-in method, or class and source code of a
    user's own."""
    file, _, class_name = temporal.rpartition(":")
    return f"{class_name} of {read_method(Path(file))}" if file else temporal


def _with_method(config: Config, temporal: str) -> Config:
    return replace(config, model=replace(config.model, temporal=temporal))


def load_saved_config(path: Path | str) -> Config:
    """Loads the config that `save_config` wrote. Raises `UserError` naming the file and the field."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; name the folder of a run") from error
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); remove it and run train.py again") from error
    try:
        config = check_fields(Config, _move_fields(values) if isinstance(values, dict) else values, "config")
    except UserError as error:
        raise UserError(f"{path}: {error}; if another version wrote it, run train.py again") from error
    try:
        validate(config)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    file, _, class_name = config.model.temporal.rpartition(":")
    return _with_method(config, f"{Path(path).parent / file}:{class_name}") if file else config


# Fields of older versions, and their current names: data.schedule is now model.schedule.
MOVED = {
    "optimizer.offset_rate": "model.lsts.offset_rate",
    "optimizer.alignment_rate": "model.lsts.alignment_rate",
    "data.schedule": "model.schedule",
}


def rename_moved(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Renames fields of older versions (values by dotted name) to their current names.

    Raises `UserError` if the old and the new name of a field have different values.
    """
    found: dict[str, Any] = {}
    for name, value in overrides.items():
        if found.setdefault(MOVED.get(name, name), value) != value:
            raise UserError(
                f"config.{name} is {value!r}, config.{MOVED.get(name, name)} is not; they are one field now"
            )
    return found


def _move_fields(values: dict) -> dict:
    """Moves fields of older versions to their current place in the nested dictionary of a config."""
    flat = rename_moved(_flatten(values))
    moved: dict = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        place = moved
        for i, parent in enumerate(parents, 1):
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise UserError(
                    f"config.{'.'.join(parents[:i])} is {place!r}, but {name} is one of its fields"
                )
        place[last] = value
    return moved


def _flatten(values: dict, start: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flatten(value, f"{start}{name}.") if isinstance(value, dict) else {start + name: value}
    return flat


def check_fields(kind: Any, value: Any, name: str) -> Any:
    """Converts `value` (dictionaries, sequences and scalars, as in JSON) to the type `kind`.

    `kind` is a dataclass, tuple, Literal or scalar type, or a nesting of them. Ints become floats
    and lists become tuples where `kind` has these; nothing else is converted. Absent fields get
    their default, since the run may be older than the field. Raises `UserError` for unknown fields
    and wrong types; the message names the field by its path, which starts with `name`.
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
        try:
            return float(value)
        except OverflowError:
            raise UserError(f"{name} is an integer beyond the largest float; give a smaller one") from None
    if type(value) is kind:
        return value
    expected = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
    raise UserError(f"{name} is {value!r}, expected {expected.replace('typing.', '')}")
